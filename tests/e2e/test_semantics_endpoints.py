"""The other tables of HTTP.md, row by row: endpoints, request headers, error statuses, batches, keys."""

import json
import re

from case import Case, through_both
from processes import wait_until
from semantics import timings

JSON = {"Content-Type": "application/json"}
NO_KEY = "0" * 64

# path -> the methods it has; HEAD comes with GET and OPTIONS with all.
ENDPOINTS = {
    "/predict": {"POST", "QUERY"},
    "/cache/stats": {"GET"},
    f"/cache/{NO_KEY}": {"GET", "DELETE"},
    "/cache": {"DELETE"},
    "/cache/purge": {"POST"},
    "/metrics": {"GET"},
    "/healthz": {"GET"},
    "/readyz": {"GET"},
    "/dashboard": {"GET"},
    "/openapi.json": {"GET"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
ADMINISTRATION = ("/cache/stats", f"/cache/{NO_KEY}", "/cache", "/cache/purge", "/metrics", "/dashboard")
SHOWN = {  # what GET brings
    "/cache/stats": "application/json",
    "/metrics": "text/plain",
    "/healthz": "application/json",
    "/readyz": "application/json",
    "/dashboard": "text/html",
    "/openapi.json": "application/json",
}

# (method, path, body, headers, status, pointer)
ERRORS = [
    ("POST", "/predict", '{"text": ', JSON, 400, None),
    ("POST", "/predict", b'{"text": "\xff"}', JSON, 400, None),
    ("POST", "/predict", '{"text": "a", "text": "b"}', JSON, 400, None),
    ("POST", "/predict", r'{"text": "\ud800"}', JSON, 400, None),
    ("POST", "/predict", '{"text": "a", "b": ' + "[" * 65 + "]" * 65 + "}", JSON, 400, None),
    ("POST", "/predict", '{"text": "' + "a" * 1024 * 1024 + '"}', JSON, 413, None),
    ("POST", "/predict", '{"text": "a"}', {}, 415, None),
    ("POST", "/predict", '{"text": "a"}', {"Content-Type": "text/plain"}, 415, None),
    ("POST", "/predict", '{"text": "a"}', {**JSON, "Content-Encoding": "gzip"}, 415, None),
    ("POST", "/predict", "[]", JSON, 422, None),
    ("POST", "/predict", '{"text": 1}', JSON, 422, "#/text"),
    ("POST", "/predict", '{"text": ""}', JSON, 422, "#/text"),
    ("POST", "/predict", '{"text": " \\n\\u00a0"}', JSON, 422, "#/text"),
    ("POST", "/predict", '{"texts": []}', JSON, 422, "#/texts"),
    ("POST", "/predict", '{"texts": ["a", ""]}', JSON, 422, "#/texts/1"),
    ("POST", "/predict", '{"texts": ["a", "b", " "]}', JSON, 422, "#/texts/2"),
    ("POST", "/predict", json.dumps({"texts": ["a"] * 257}), JSON, 422, "#/texts"),
    ("QUERY", "/predict", '{"text": 1}', JSON, 422, "#/text"),
    ("POST", "/cache/purge", "{}", JSON, 422, None),
    ("POST", "/cache/purge", '{"text": "known", "keys": []}', JSON, 422, None),
    ("POST", "/cache/purge", json.dumps({"keys": [NO_KEY, "zz"]}), JSON, 422, "#/keys/1"),
    ("POST", "/cache/purge", '{"namespace": "a b"}', JSON, 422, "#/namespace"),
    ("GET", "/cache/zz", None, {}, 400, None),
    ("DELETE", "/cache/zz", None, {}, 400, None),
    ("GET", f"/cache/{NO_KEY}", None, {}, 404, None),
    ("DELETE", f"/cache/{NO_KEY}", None, {}, 404, None),
    ("GET", "/nothing", None, {}, 404, None),
]

BAD_NAMESPACES = ["a b", "a/b", "a,b", "\u00e4", "a" * 65]
GOOD_NAMESPACES = ["a", "Team-A_1.x", "a" * 64]

# X-Cache-TTL -> lifetime, or 400; CACHE_TTL is 60 and CACHE_TTL_MAX 100.
LIFETIMES = [("1", 1), ("50", 50), ("100", 100), ("101", 100), ("99999999999999999999999999", 100), ("abc", 400), ("-1", 400),
             ("1.5", 400), ("1 2", 400), ("+5", 400), ("0x10", 400), ("5s", 400)]

# Bodies of one key, and bodies of other keys.
SAME_KEY = [
    r'{"text": "Caf\u00e9 is nice", "top": 1.0, "more": {"b": [1, 2], "a": "x"}}',
    '{"more": {"a": "x", "b": [1, 2]}, "top": 1.0, "text": "Café is nice"}',
    '{"text":"Café is nice","top":1.0,"more":{"b":[1,2],"a":"x"}}',
    '\n{ "top" :\t1.0 , "text" : "Café is nice" ,\r\n "more" : { "b" : [ 1 , 2 ] , "a" : "x" } }\n',
    r'{"\u0074ext": "C\u0061fé\u0020is nice", "top": 1.0, "more": {"b": [1, 2], "a": "\u0078"}}',
    '{"text": "  CAFE\u0301   IS\\tnice ", "top": 1.0, "more": {"b": [1, 2], "a": "x"}}',
]
OTHER_KEYS = [
    '{"text": "Café is nice"}',
    '{"text": "Café is nice", "top": 1.0}',
    '{"text": "Café is nice", "top": 1, "more": {"b": [1, 2], "a": "x"}}',
    '{"text": "Café is nice", "top": "1.0", "more": {"b": [1, 2], "a": "x"}}',
    '{"text": "Café is nice", "top": 1.0, "more": {"b": [2, 1], "a": "x"}}',
    '{"text": "Café is nice", "top": 1.0, "more": {"b": [1, 2], "a": "X"}}',
    '{"text": "Café is nice", "top": 1.0, "more": {"b": [1, 2], "a": "x"}, "last": null}',
    '{"text": "Cafe is nice", "top": 1.0, "more": {"b": [1, 2], "a": "x"}}',
]

# (stored before, asked, Cache-Control, X-Cache, which are cached (None: 504), inferences, Cache-Status)
STORED, FORWARDED = {"fwd": "miss", "stored": True}, {"fwd": "request", "stored": True}
BATCHES = [
    ([], ["good", "bad"], None, "MISS", [False, False], 2, STORED),
    ([], ["bad", "bad", " BAD "], None, "MISS", [False, False, False], 1, STORED),
    (["good"], ["bad", "good", "so so"], None, "PARTIAL", [False, True, False], 2, STORED),
    (["good"], ["good", "bad", "good", "bad"], None, "PARTIAL", [True, False, True, False], 1, STORED),
    (["good", "bad"], ["bad", "good"], None, "HIT", [True, True], 0, {"hit": True}),
    (["good"], ["good", "GOOD"], None, "HIT", [True, True], 0, {"hit": True}),
    (["good", "bad"], ["good", "bad"], "no-cache", "BYPASS", [False, False], 2, FORWARDED),
    (["good"], ["good", "bad"], "no-store", "BYPASS", [False, False], 2, {"fwd": "request"}),
    (["good", "bad"], ["good", "bad"], "only-if-cached", "HIT", [True, True], 0, {"hit": True}),
    (["good"], ["good", "bad"], "only-if-cached", "PARTIAL", [True, None], 0, {"fwd": "miss"}),
]
SENTIMENTS = {"good": "positive", "bad": "negative", "so so": "neutral"}

# If-None-Match, with the entity tag for %s -> the status of QUERY; POST's is always 200.
CONDITIONS = [("%s", 304), ('"other", %s', 304), ("*", 304), ('"other"', 200), ("nonsense", 200), ("", 200)]



@through_both
class Endpoints(Case):
    def test_methods(self):
        client = self.serve()
        for path, methods in ENDPOINTS.items():
            allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
            for method in METHODS:
                with self.subTest(method=method, path=path):
                    response = client.request(method, path)
                    self.assertNotEqual(response.status, 501)
                    if method == "OPTIONS":
                        self.assertEqual((response.status, response.body), (204, b""))
                    elif method not in allowed:
                        self.assertEqual(response.status, 405)
                        self.assertNoCacheHeaders(response)
                    else:
                        self.assertNotEqual(response.status, 405)
                        continue
                    self.assertEqual({name.strip() for name in response.header("Allow").split(",")}, allowed)
            self.assertEqual(client.request("BREW", path).status, 501)

    def test_what_is_shown(self):
        client = self.serve()
        for path, media_type in SHOWN.items():
            with self.subTest(path=path):
                response, head = client.get(path), client.request("HEAD", path)
                self.assertEqual((response.status, head.status), (200, 200))
                self.assertEqual(response.header("Content-Type").partition(";")[0], media_type)
                self.assertEqual(head.header("Content-Type"), response.header("Content-Type"))
                self.assertEqual(len(response.body), int(response.header("Content-Length")))
                self.assertEqual(head.body, b"")
                self.assertGreater(int(head.header("Content-Length")), 0)
        self.assertEqual(client.get("/cache/stats/").status, 404)

    def test_administration_needs_the_token(self):
        client = self.serve(ADMIN_TOKEN="secret")
        for path, methods in ENDPOINTS.items():
            for method in sorted(methods):
                with self.subTest(method=method, path=path):
                    refused = client.request(method, path, headers={"Authorization": "Bearer wrong"})
                    admitted = client.request(method, path)
                    self.assertEqual(refused.status == 401, path in ADMINISTRATION, refused)
                    self.assertNotIn(admitted.status, (401, 403))
                    if refused.status == 401:
                        self.assertProblem(refused, 401)
                        self.assertIsNotNone(refused.header("WWW-Authenticate"))

    def test_administration_is_for_this_machine(self):
        app = self.serve().app
        with app.connect() as connection:
            for path, methods in ENDPOINTS.items():
                for method in sorted(methods):
                    with self.subTest(method=method, path=path):
                        status = connection.ask(method, path, remote="192.0.2.1").status
                        self.assertEqual(status == 403, path in ADMINISTRATION, status)

    def test_errors(self):
        client = self.serve()
        client.predict("known")
        before = client.stats()
        for method, path, body, headers, status, pointer in ERRORS:
            with self.subTest(method=method, path=path, body=str(body)[:60], headers=headers):
                response = client.request(method, path, body, headers)
                self.assertProblem(response, status, pointer)
                self.assertNoCacheHeaders(response)
                if status == 415:
                    self.assertIn("application/json", response.header("Accept"))
        after = client.stats()
        for name in ("hits", "misses", "bypasses", "inferences", "stores", "size"):
            self.assertEqual(after[name], before[name], name)

    def test_entry(self):
        client = self.serve(CACHE_TTL=60, INFERENCE_DELAY_MS=20)
        made = client.predict("a good thing", {"X-Cache-Namespace": "team"})
        path, team = f"/cache/{made.header('X-Cache-Key')}", {"X-Cache-Namespace": "team"}
        before = client.stats()
        response = client.get(path, team)
        self.assertEqual(response.status, 200)
        entry = response.json()
        self.assertEqual(entry["result"], made.json()["result"])
        self.assertEqual(entry["namespace"], "team")
        self.assertEqual(entry["model"], {"name": "vader", "version": "1"})
        self.assertEqual(entry["age"] + entry["ttl"], 60)
        self.assertEqual(entry["inference_time_ms"], made.json()["inference_time_ms"])
        self.assertEqual(entry["size"], len(json.dumps(made.json()["result"], separators=(",", ":"))))
        tag = response.header("ETag")
        unchanged = client.get(path, {**team, "If-None-Match": tag})
        self.assertEqual((unchanged.status, unchanged.body, unchanged.header("ETag")), (304, b"", tag))
        self.assertEqual(client.get(path, {**team, "If-None-Match": '"other"'}).status, 200)
        head = client.request("HEAD", path, headers=team)
        self.assertEqual((head.status, head.body, head.header("ETag")), (200, b"", tag))
        self.assertProblem(client.get(path), 404)
        self.assertProblem(client.delete(path), 404)
        self.assertEqual((client.stats()["hits"], client.stats()["misses"]), (before["hits"], before["misses"]))
        self.assertEqual(client.delete(path, team).json(), {"deleted": True})
        for refused in (client.get(path, team), client.delete(path, team)):
            self.assertProblem(refused, 404)

    def test_statistics(self):
        client = self.serve(CACHE_TTL=60, CACHE_MAX_SIZE=500, WORKERS=3, INFERENCE_DELAY_MS=20)
        cost_ms = client.predict("one").json()["inference_time_ms"]
        client.predict("two")
        client.predict("one")
        client.predict("two", {"Cache-Control": "no-cache"})
        client.predict("two", {"Cache-Control": "no-store"})
        client.predict_batch(["two", "TWO", "three"])
        client.predict("never", {"Cache-Control": "only-if-cached"})
        client.request("POST", "/cache/purge", {"text": "two"})
        stats = client.stats()
        expected = {"hits": 2, "misses": 4, "hit_ratio": 0.3333, "size": 2, "max_size": 500, "evictions": 0, "ttl_seconds": 60,
                    "bypasses": 2, "stale_hits": 0, "coalesced": 0, "stores": 4, "store_errors": 0, "rejected_entries": 0,
                    "purges": 1, "inferences": 5, "inference_errors": 0, "in_flight": 0, "parked": 0, "queue": 0, "workers": 3,
                    "backend": {"type": "memory", "state": "ok", "servers": []}}
        self.assertEqual({name: stats[name] for name in expected}, expected)
        self.assertTrue(0 <= stats["memory_mb"] < 1, stats)
        # Two hits; what each saved was at least the declared delay.
        self.assertTrue((cost_ms + 20) / 1000 <= stats["inference_seconds_saved"] < 60, stats)
        self.assertTrue(0 <= stats["uptime_seconds"] < 60, stats)


@through_both
class RequestHeaders(Case):
    def test_lifetime(self):
        client = self.serve(CACHE_TTL=60, CACHE_TTL_MAX=100)
        for number, (value, lifetime) in enumerate(LIFETIMES):
            with self.subTest(value=value):
                response = client.predict(f"text {number}", {"X-Cache-TTL": value})
                if lifetime == 400:
                    self.assertProblem(response, 400)
                    self.assertNoCacheHeaders(response)
                    continue
                self.assertEqual((response.status, response.cache), (200, "MISS"))
                entry = client.get(f"/cache/{response.header('X-Cache-Key')}").json()
                self.assertEqual(entry["age"] + entry["ttl"], lifetime)

    def test_a_lifetime_does_not_change_what_is_stored(self):
        client = self.serve(CACHE_TTL=60)
        client.predict("one")
        hit = client.predict("one", {"X-Cache-TTL": "5"})
        self.assertEqual(hit.cache, "HIT")
        self.assertEqual(int(hit.header("Age")) + hit.cache_status["ttl"], 60)

    def test_names_of_namespaces(self):
        client = self.serve()
        for method, path, body in (("POST", "/predict", {"text": "one"}), ("DELETE", "/cache", None),
                                   ("GET", f"/cache/{NO_KEY}", None), ("POST", "/cache/purge", {"text": "one"})):
            for names, refused in ((BAD_NAMESPACES, True), (GOOD_NAMESPACES, False)):
                for name in names:
                    with self.subTest(method=method, path=path, name=name):
                        response = client.request(method, path, body, {"X-Cache-Namespace": name})
                        self.assertEqual(response.status == 400, refused, response)
                        if refused:
                            self.assertProblem(response, 400)
                            self.assertNoCacheHeaders(response)

    def test_a_field_given_twice(self):
        """nginx hands on two lines, lighttpd one with a comma in it: what one refuses, the other must not guess at."""
        client = self.serve()
        client.predict("one")
        for name, value, other in (("X-Cache-Namespace", "a", "b"), ("X-Cache-TTL", "5", "6")):
            refused = client.predict("one", [(name, value), (name, other)])
            self.assertProblem(refused, 400)
            self.assertNoCacheHeaders(refused)
        self.assertEqual(client.predict("one", [("Pragma", "other"), ("Pragma", "no-cache")]).cache, "BYPASS")

    def test_a_list_on_two_lines(self):
        """Of If-None-Match nginx refuses a second line and lighttpd drops it."""
        client = self.serve()
        for accept in (["text/plain;q=0.5", "application/openmetrics-text"], ["application/openmetrics-text", "text/plain;q=0.5"]):
            metrics = client.get("/metrics", [("Accept", line) for line in accept])
            self.assertTrue(metrics.header("Content-Type").startswith("application/openmetrics-text"), metrics)

    def test_what_caches_between_may_do(self):
        client = self.serve()
        tag = client.predict("one", method="QUERY").header("ETag")
        for headers, status in (({}, 200), ({"If-None-Match": tag}, 304)):
            response = client.predict("one", headers, method="QUERY")
            self.assertEqual(response.status, status)
            self.assertEqual((response.header("Cache-Control"), response.header("Vary")), ("no-cache", "X-Cache-Namespace"))
        self.assertIsNone(client.predict("one").header("Vary"))
        for path in ("/cache/stats", "/metrics", "/cache/" + client.predict("one").header("X-Cache-Key"), "/nowhere"):
            self.assertEqual(client.get(path).header("Cache-Control"), "no-store")

    def test_namespaces_are_apart(self):
        client = self.serve(CACHE_NAMESPACE="own")
        names = {"own": {}, "team": {"X-Cache-Namespace": "team"}, "other": {"X-Cache-Namespace": "other"}}
        keys = {name: client.predict("one", headers).header("X-Cache-Key") for name, headers in names.items()}
        self.assertEqual(len(set(keys.values())), 3)
        self.assertEqual(client.stats()["inferences"], 3)

        def there():
            return {name for name in names if client.get(f"/cache/{keys[name]}", {"X-Cache-Namespace": name}).status == 200}

        self.assertEqual(client.get(f"/cache/{keys['own']}").status, 200)
        self.assertEqual(client.get(f"/cache/{keys['team']}").status, 404)
        self.assertEqual(client.delete(f"/cache/{keys['team']}").status, 404)
        self.assertEqual(client.request("POST", "/cache/purge", {"keys": list(keys.values())}, names["other"]).json(), {"deleted": 1})
        self.assertEqual(there(), {"own", "team"})
        self.assertEqual(client.request("POST", "/cache/purge", {"text": "one"}, names["other"]).json(), {"deleted": 0})
        self.assertEqual(client.delete("/cache", names["other"]).json(), {"message": "Cache cleared", "entries": 0})
        self.assertEqual(there(), {"own", "team"})
        self.assertEqual(client.request("POST", "/cache/purge", {"namespace": "team"}).json(), {"deleted": 1})
        self.assertEqual(there(), {"own"})
        client.predict("one", names["team"])
        self.assertEqual(client.delete("/cache").json(), {"message": "Cache cleared", "entries": 1})
        self.assertEqual(there(), {"team"})


@through_both
class Keys(Case):
    def send(self, client, body, path="/predict", method="POST"):
        return client.request(method, path, body, JSON)

    def test_same_and_other_keys(self):
        client = self.serve()
        responses = [self.send(client, body) for body in SAME_KEY]
        self.assertEqual([response.status for response in responses], [200] * len(SAME_KEY))
        self.assertEqual(len({response.header("X-Cache-Key") for response in responses}), 1)
        self.assertEqual([response.cache for response in responses], ["MISS"] + ["HIT"] * (len(SAME_KEY) - 1))
        others = [self.send(client, body) for body in OTHER_KEYS]
        self.assertEqual([response.cache for response in others], ["MISS"] * len(OTHER_KEYS))
        keys = {response.header("X-Cache-Key") for response in responses + others}
        self.assertEqual(len(keys), 1 + len(OTHER_KEYS))
        self.assertEqual(client.stats()["inferences"], 1 + len(OTHER_KEYS))

    def test_purging_by_text_finds_the_same_keys(self):
        client = self.serve()
        for body in SAME_KEY:
            with self.subTest(body=body):
                self.assertEqual(self.send(client, SAME_KEY[0]).cache, "MISS")
                for other in OTHER_KEYS:
                    self.assertEqual(self.send(client, other, "/cache/purge").json(), {"deleted": 0})
                self.assertEqual(self.send(client, body, "/cache/purge").json(), {"deleted": 1})

    def test_purging_several(self):
        client = self.serve()
        keys = [client.predict(text).header("X-Cache-Key") for text in ("one", "two", "three", "four")]
        for body, deleted in (({"texts": ["one", " ONE", "never seen"]}, 1), ({"texts": ["one"]}, 0),
                              ({"keys": [keys[1], keys[1], NO_KEY]}, 1), ({"keys": keys}, 2), ({"namespace": "default"}, 0)):
            with self.subTest(body=body):
                response = client.request("POST", "/cache/purge", body)
                self.assertEqual((response.status, response.json()), (200, {"deleted": deleted}))
        self.assertEqual(client.stats()["size"], 0)

    def test_conditions(self):
        client = self.serve()
        cold = client.predict("one", method="QUERY")
        tag = cold.header("ETag")
        self.assertEqual((cold.cache, cold.status), ("MISS", 200))
        for condition, status in CONDITIONS:
            with self.subTest(condition=condition):
                headers = {"If-None-Match": condition.replace("%s", tag)}
                response = client.predict("one", headers, method="QUERY")
                self.assertEqual((response.status, response.cache, response.header("ETag")), (status, "HIT", tag))
                self.assertEqual(response.body == b"", status == 304)
                self.assertEqual(client.predict("one", headers).status, 200)
        self.assertNotEqual(client.predict("a good one", method="QUERY").header("ETag"), tag)
        self.assertEqual(client.stats()["inferences"], 2)


@through_both
class Batches(Case):
    def test_rows(self):
        client = self.serve(CACHE_TTL=60)
        for row in BATCHES:
            with self.subTest(row=row):
                client.delete("/cache")
                for text in row[0]:
                    client.predict(text)
                self.row(client, *row[1:])

    def row(self, client, texts, directive, cache, cached, inferences, cache_status):
        before = client.stats()
        response = client.predict_batch(texts, {"Cache-Control": directive} if directive else {})
        self.assertEqual((response.status, response.cache), (200, cache), response)
        self.assertIsNone(response.header("X-Cache-Key"))
        answer = response.json()
        self.assertEqual([item.get("cached") for item in answer["results"]], cached)
        self.assertEqual(answer["cached"], cached.count(True))
        for text, item, from_cache in zip(texts, answer["results"], cached):
            if from_cache is None:
                self.assertEqual(item["error"]["status"], 504)
                continue
            self.assertEqual(item["result"]["sentiment"], SENTIMENTS[text.strip().lower()])
            self.assertEqual("inference_time_ms" in item, not from_cache)
        status = response.cache_status
        self.assertEqual("ttl" in status, "hit" in status)
        status.pop("ttl", None)
        self.assertEqual(status, cache_status)
        self.assertEqual(response.header("Age") is not None, True in cached)
        self.assertEqual(set(timings(response)), {"cache", "inference"} if inferences else {"cache"})
        after = client.stats()
        self.assertEqual(after["inferences"] - before["inferences"], inferences)
        self.assertEqual(after["stores"] - before["stores"], inferences if cache_status.get("stored") else 0)

    def test_nothing_cached(self):
        client = self.serve()
        self.assertProblem(client.request("POST", "/predict", {"texts": ["a", "b"]}, {"Cache-Control": "only-if-cached"}), 504)
        self.assertEqual(client.stats()["inferences"], 0)

    def test_an_item_that_fails_fails_alone(self):
        client = self.serve(WORKERS=1, INFERENCE_CONCURRENCY=1, INFERENCE_QUEUE=0, INFERENCE_DELAY_MS=1000)
        client.predict("good")
        other = client.start(client.encode("POST", "/predict", {"text": "bad"}))  # has the only place
        wait_until(lambda: client.stats()["in_flight"] == 1, "the model is busy")
        response = client.predict_batch(["so so", "good", "so so"])
        self.assertEqual((response.status, response.cache), (200, "PARTIAL"))
        items = response.json()["results"]
        self.assertEqual((items[1]["result"]["sentiment"], items[1]["cached"]), ("positive", True))
        self.assertEqual(items[0], items[2])
        self.assertEqual(items[0]["error"]["status"], 503)
        self.assertRegex(items[0]["error"]["type"], re.compile(r"\Aurn:inferonce:problem:"))
        self.assertEqual(client.finish(other).json()["result"]["sentiment"], "negative")
        self.assertEqual(client.predict("bad").cache, "HIT")
        self.assertEqual(client.predict("so so").cache, "MISS")

    def test_equal_texts_of_two_batches_are_inferred_once(self):
        client = self.serve(INFERENCE_DELAY_MS=1000)
        first = client.start(client.encode("POST", "/predict", {"texts": ["one", "two"]}))
        wait_until(lambda: client.stats()["in_flight"] == 2, "the inferences have begun")
        second = client.predict_batch(["two", "three"])
        self.assertEqual((second.status, second.cache, client.finish(first).status), (200, "MISS", 200))
        stats = client.stats()
        self.assertEqual((stats["inferences"], stats["coalesced"]), (3, 1), stats)
