"""Everything that a client can get wrong gets the right problem, and costs nobody else anything."""

import json

from case import Case, through_both

JSON = {"Content-Type": "application/json"}


def deep(depth):
    return '{"text": "a", "more": ' + "[" * depth + "]" * depth + "}"


NOT_JSON = [
    b"", b"hello", b'{"text": "a"', b'{"text": "a"} more', b"{'text': 'a'}", b'{"text": "a",}', b'{"text": "\xff"}', b'{"text": "\xc0\xaf"}',
    b'{"text": "\xed\xa0\x80"}', rb'{"text": "\ud800"}', rb'{"text": "\udc00\ud800"}', b'{"text": "a", "text": "b"}',
    b'{"text": "a\nb"}', b'{"text": "a", "n": 01}', b'{"text": NaN}', b'\xef\xbb\xbf{"text": "a"}', b'{"text": "a\x00b"}',
    deep(100).encode(), b"[" * 200000,
]

WRONG_SHAPE = [
    ("[]", None), ('"text"', None), ("{}", None), ("null", None), ('{"texts": "a"}', "#/texts"), ('{"text": 5}', "#/text"),
    ('{"text": null}', "#/text"), ('{"text": ["a"]}', "#/text"), ('{"text": ""}', "#/text"), ('{"texts": []}', "#/texts"),
    ('{"texts": ["a", 1]}', "#/texts/1"), ('{"texts": ["a", "b", ""]}', "#/texts/2"), ('{"text": "a", "texts": ["b"]}', None),
    (json.dumps({"texts": ["a"] * 257}), "#/texts"),
]

BAD_TYPES = [
    {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/jsonp"},
    {"Content-Type": "application/json; charset=iso-8859-1"}, {**JSON, "Content-Encoding": "gzip"},
    {**JSON, "Content-Encoding": "identity, gzip"},
]

GOOD_TYPES = ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/vnd.api+json",
              "application/json; charset=utf8", "text/json"]


@through_both
class BadInput(Case):
    def setUp(self):
        super().setUp()
        self.client = self.serve(MAX_BODY_KB=512)
        self.pids = self.client.app.workers()

    def send(self, body, headers=None, path="/predict", method="POST"):
        return self.client.request(method, path, body, JSON if headers is None else headers)

    def assertUnharmed(self):
        self.assertEqual(self.client.app.workers(), self.pids)
        self.assertEqual(self.client.predict("still here").status, 200)

    def assertRefused(self, response, status, pointer=None):
        problem = self.assertProblem(response, status, pointer)
        self.assertNoCacheHeaders(response)
        self.assertEqual(response.header("Cache-Control"), "no-store")
        self.assertUnharmed()
        return problem

    def test_not_json(self):
        for body in NOT_JSON:
            with self.subTest(body=body[:80]):
                self.assertTrue(self.assertRefused(self.send(body), 400)["detail"])

    def test_wrong_shape(self):
        for body, pointer in WRONG_SHAPE:
            with self.subTest(body=body[:80]):
                self.assertTrue(self.assertRefused(self.send(body), 422, pointer)["detail"])

    def test_content_type(self):
        for headers in BAD_TYPES:
            with self.subTest(headers=headers):
                response = self.send('{"text": "a"}', headers)
                self.assertRefused(response, 415)
                self.assertIn("application/json", response.header("Accept"))
        for value in GOOD_TYPES:
            with self.subTest(value=value):
                self.assertEqual(self.send('{"text": "a"}', {"Content-Type": value}).status, 200)
        self.assertEqual(self.send('{"text": "a"}', {**JSON, "Content-Encoding": "identity"}).status, 200)

    def test_size(self):
        frame = len('{"text": ""}')
        largest = '{"text": "' + "a" * (512 * 1024 - frame) + '"}'
        self.assertEqual(self.send(largest).status, 200)
        self.assertRefused(self.send(largest + " "), 413)
        self.assertRefused(self.send("x" * (2 * 1024 * 1024)), 413)

    def test_chunked_body(self):
        data = self.client.encode("POST", "/predict", b"", [*JSON.items(), ("Transfer-Encoding", "chunked")])
        response = self.client.raw(data + b'8\r\n{"text":\r\n6\r\n "ok"}\r\n0\r\n\r\n', "POST")
        self.assertEqual(response.status, 200, response)

    def test_method_that_the_path_has_not(self):
        for method, path, allowed in (("GET", "/predict", {"POST", "QUERY", "OPTIONS"}), ("DELETE", "/predict", {"POST", "QUERY", "OPTIONS"}),
                                      ("PUT", "/predict", {"POST", "QUERY", "OPTIONS"}), ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
                                      ("POST", "/cache/stats", {"GET", "HEAD", "OPTIONS"}), ("GET", "/cache", {"DELETE", "OPTIONS"})):
            with self.subTest(method=method, path=path):
                response = self.send(None, {}, path, method)
                self.assertRefused(response, 405)
                self.assertEqual({name.strip() for name in response.header("Allow").split(",")}, allowed)

    def test_options(self):
        response = self.send(None, {}, "/predict", "OPTIONS")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual({name.strip() for name in response.header("Allow").split(",")}, {"POST", "QUERY", "OPTIONS"})

    def test_unknown_method(self):
        response = self.send(None, {}, "/predict", "BREW")
        self.assertEqual(response.status, 501)
        if self.web.program == "nginx":  # lighttpd answers it by itself
            self.assertRefused(response, 501)

    def test_unknown_path(self):
        for path in ("/", "/nothing", "/predict/", "/predict/more", "/Predict", "/cache/", "/cache/stats/more"):
            with self.subTest(path=path):
                self.assertRefused(self.client.get(path), 404)

    def test_malformed_key(self):
        for key in ("zz", "0" * 63, "0" * 65, "G" * 64, "0" * 63 + "%20"):
            with self.subTest(key=key):
                self.assertRefused(self.client.get(f"/cache/{key}"), 400)
        self.assertRefused(self.client.get("/cache/" + "0" * 64), 404)

    def test_malformed_headers_of_ours(self):
        for headers in ({"X-Cache-TTL": "abc"}, {"X-Cache-TTL": "-1"}, {"X-Cache-TTL": "1 2"}, {"X-Cache-TTL": "nan"},
                        {"X-Cache-Namespace": "a b"}, {"X-Cache-Namespace": "a/b"}, {"X-Cache-Namespace": "a" * 65},
                        {"X-Cache-Namespace": "\u00e4"}):
            with self.subTest(headers=headers):
                self.assertRefused(self.client.predict("a", headers), 400)

    def test_purge_shapes(self):
        for body, status in (("{}", 422), ('{"text": "a", "keys": []}', 422), ('{"keys": "a"}', 422), ("[", 400), ('{"namespace": 1}', 422)):
            with self.subTest(body=body):
                self.assertRefused(self.send(body, path="/cache/purge"), status)

    def test_client_that_cuts_off(self):
        data = self.client.encode("POST", "/predict", b'{"text": "never complete"}', JSON)
        for length in (1, 20, len(data) - 1):
            self.client.start(data[:length]).close()
        self.assertUnharmed()


@through_both
class Administrators(Case):
    REQUESTS = [("GET", "/cache/stats"), ("GET", "/cache/" + "0" * 64), ("DELETE", "/cache"), ("DELETE", "/cache/" + "0" * 64),
                ("POST", "/cache/purge")]

    def test_token(self):
        client = self.serve(ADMIN_TOKEN="correct horse")
        for method, path in self.REQUESTS:
            for value in (None, "Bearer wrong", "Bearer correct hors", "Bearer correct horse2", "Basic correct horse", "correct horse", "Bearer"):
                with self.subTest(path=path, value=value):
                    client.token = None
                    refused = client.request(method, path, headers={} if value is None else {"Authorization": value})
                    self.assertProblem(refused, 401)
                    self.assertTrue(refused.header("WWW-Authenticate").startswith("Bearer"))
        client.token = "correct horse"
        self.assertEqual(client.stats()["inferences"], 0)
        self.assertEqual(client.delete("/cache").status, 200)
        client.token = None
        for path in ("/healthz", "/readyz"):
            self.assertEqual(client.get(path).status, 200)
        self.assertEqual(client.predict("a").status, 200)

    def test_without_a_token_only_this_machine(self):
        client = self.serve()
        self.assertEqual(client.stats()["inferences"], 0)
        with client.app.connect() as connection:
            for method, path in self.REQUESTS:
                for address in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "127.0.0.1.example", "", "1127.0.0.1"):
                    with self.subTest(path=path, address=address):
                        answer = connection.ask(method, path, remote=address, HTTP_X_FORWARDED_FOR="127.0.0.1")
                        self.assertEqual(answer.status, 403)
            for address in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"):
                with self.subTest(address=address):
                    self.assertEqual(connection.ask("GET", "/cache/stats", remote=address).status, 200)


    def test_a_local_proxy_or_a_foreign_name_is_not_this_machine(self):
        client = self.serve()
        for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"X-Real-IP": "127.0.0.1"}, {"Forwarded": "for=192.0.2.1"}, {"Via": "1.1 proxy"}):
            for method, path in self.REQUESTS:
                with self.subTest(headers=headers, path=path):
                    refused = self.assertProblem(client.request(method, path, headers=headers), 403)
                    self.assertIn("ADMIN_TOKEN", refused["detail"])
            self.assertEqual(client.predict("a", headers).status, 200)
        for host, status in (("rebound.example", 403), (f"rebound.example:{client.address[1]}", 403), ("localhost.example", 403),
                             ("localhost", 200), (f"localhost:{client.address[1]}", 200), ("[::1]", 200), ("app.localhost", 200)):
            with self.subTest(host=host):
                sent = client.encode("GET", "/cache/stats").replace(b"Host: 127.0.0.1", b"Host: " + host.encode())
                self.assertEqual(client.raw(sent).status, status)
        self.assertIn("admin_refused", client.app.log())

    def test_purges_are_logged(self):
        client = self.serve()
        client.predict("a")
        client.request("POST", "/cache/purge", {"text": "a"})
        self.assertIn("remote=127.0.0.1 what=texts namespace=default entries=1", client.app.log())


@through_both
class LargeHeaders(Case):
    def test_more_than_the_web_server_takes(self):
        """It says so itself: nginx by nginx.conf as inferonce would, lighttpd by its own page."""
        client = self.serve()
        for method, path in (("POST", "/predict"), ("GET", "/healthz")):
            refused = client.request(method, path, {"text": "a"} if method == "POST" else None, {"X-Large": "a" * 40000})
            self.assertEqual(refused.status, 431, refused)
            if self.web.program == "nginx":
                self.assertEqual(self.assertProblem(refused, 431)["type"], "urn:inferonce:problem:fields-too-large")
                self.assertEqual(refused.header("Cache-Control"), "no-store")
        self.assertEqual(client.predict("a", {"X-Large": "a" * 4000}).status, 200)

    def test_more_than_inferonce_takes(self):
        """Neither nginx nor lighttpd hands on more than a record of the protocol holds; others do."""
        client = self.serve()
        with client.app.connect() as connection:
            for size, status in ((65000, 200), (65600, 431), (1000000, 431)):
                for method, path in (("POST", "/predict"), ("GET", "/healthz")):
                    body = b'{"text": "a"}' if method == "POST" else b""
                    answer = connection.ask(method, path, body, HTTP_X_LARGE="a" * size)
                    self.assertEqual(answer.status, status)
        self.assertEqual(client.predict("a").status, 200)


class Logs(Case):
    def test_no_text_result_or_token_is_logged(self):
        client = self.serve(ADMIN_TOKEN="tok-5c1f-secret", LOG_LEVEL="debug")
        text = "marker-7d1e wonderful"
        client.predict(text, {"Authorization": "Bearer credential-88ab", "Cache-Control": "no-cache"})
        client.predict(text)
        client.request("POST", "/cache/purge", {"text": text})
        client.request("POST", "/predict", '{"text": "marker-7d1e', JSON)
        client.request("POST", "/predict", '{"marker-7d1e": 1}', JSON)
        client.app.stop()
        log = client.app.log()
        self.assertTrue(log)
        for secret in ("marker-7d1e", "wonderful", "tok-5c1f", "credential-88ab", "compound"):
            self.assertNotIn(secret, log)
