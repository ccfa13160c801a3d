"""ENGINE=http: what an inference server is asked, and that none of its misbehaviour gets further than the request it answers."""

import email.utils
import itertools
import json
import os
import re
import socket
import time
from urllib.parse import quote

import model_server
from processes import children_of, free_port, wait_until
from servers import ROOT, Nginx, run_program
from upstream_case import TIMEOUT_S, UpstreamCase

# A behaviour of the model (tests/lib/model_server.py), and the status that the client gets. None of them is stored.
MISBEHAVIOURS = [
    ("hang", 504),
    ("drip", 504),
    ("drip_head", 504),
    ("cut_off", 502),
    ("cut_off_chunked", 502),
    ("close", 502),
    ("reset", 502),
    ("garbage", 502),
    ("html", 502),
    ("empty", 502),
    ("no_content", 502),
    ("body 201 {}", 502),
    ('body 202 {"status":"queued"}', 502),
    ("body 204", 502),
    ("body 206 {}", 502),
    ("body 299 {}", 502),
    ("gzip", 502),
    ("nul", 502),
    ("huge_head", 502),
    ("text {\"a\":1", 502),
    ("text {\"a\":1} {}", 502),
    ("text {\"a\":1,\"a\":2}", 502),
    ("text [1,]", 502),
    ('text "\\ud83d"', 502),
    ("text " + "[" * 3000 + "]" * 3000, 502),
    ("text [" + "1," * 600000 + "1]", 502),
    ("status 301", 502),
    ("status 302", 502),
    ("status 307", 502),
    ("status 304", 502),
    ("status 400", 400),
    ("status 401", 401),
    ("status 402", 402),
    ("status 403", 403),
    ("status 404", 502),
    ("status 405", 502),
    ("status 409", 502),
    ("status 413", 413),
    ("status 415", 415),
    ("status 418", 502),
    ("status 422", 422),
    ("status 424", 502),
    ("status 429", 429),
    ("status 500", 502),
    ("status 501", 502),
    ("status 502", 502),
    ("status 503", 503),
    ("status 504", 502),
]


class Misbehaviour(UpstreamCase):
    def check(self, client, behaviour, status, within_s=TIMEOUT_S):
        self.model.behaviour = behaviour.split(" ")
        before = client.stats()
        calls = len(self.model.calls)
        began = time.monotonic()
        response = client.predict("a text")
        took_s = time.monotonic() - began
        self.assertProblem(response, status)
        self.assertEqual(response.cache, "MISS")
        self.assertEqual(response.header("Retry-After") is not None, status in (429, 503), response)
        self.assertEqual(response.header("WWW-Authenticate") is not None, status == 401, response)
        self.assertIsNone(response.header("X-Accel-Redirect"))
        self.assertIsNone(response.header("Location"))
        if status == 504:
            self.assertGreaterEqual(took_s, TIMEOUT_S)
        self.assertLess(took_s, within_s + 1)
        self.assertEqual(len(self.model.calls) - calls, 1)
        after = client.stats()
        self.assertEqual({name: after[name] - before[name] for name in ("stores", "inferences", "inference_errors", "misses")},
                         {"stores": 0, "inferences": 1, "inference_errors": 1, "misses": 1})
        self.assertEqual((after["in_flight"], after["parked"], after["size"]), (0, 0, before["size"]))
        self.model.behaviour = None
        self.assertServes(client, f"after {behaviour[:40]} came {calls}")

    def test_each(self):
        client = self.serve_model(UPSTREAM_TIMEOUT=TIMEOUT_S)
        worker = client.app.workers()
        for behaviour, status in MISBEHAVIOURS:
            with self.subTest(behaviour=behaviour[:60]):
                self.check(client, behaviour, status)
        self.assertEqual(client.app.workers(), worker)

    def test_answers_that_are_too_large(self):
        client = self.serve_model(UPSTREAM_TIMEOUT=30)
        for behaviour in ("huge", "huge_chunked"):
            with self.subTest(behaviour=behaviour):
                self.check(client, behaviour, 502, within_s=30)

    def test_retry_after_is_passed_on(self):
        client = self.serve_model()
        for status, given, expected in (("429", "7", "7"), ("503", "120", "120"), ("503", "999999999", "3600"), ("429", "0", "1"),
                                        ("429", "9" * 30, "3600"), ("503", "9" * 30, "3600")):
            response = client.predict(f"!status {status} {given}")
            self.assertProblem(response, int(status))
            self.assertEqual(response.header("Retry-After"), expected)

    def test_retry_after_as_a_date(self):
        client = self.serve_model()
        for status, after_s in ((429, 100), (503, 100), (429, 100000), (503, -100)):
            with self.subTest(status=status, after_s=after_s):
                date = email.utils.formatdate(time.time() + after_s, usegmt=True).replace(" ", "_")
                response = client.predict(f"!status_until {status} {date}")
                self.assertProblem(response, status)
                most_s = min(max(after_s, 1), 3600)
                self.assertLessEqual(int(response.header("Retry-After")), most_s)
                self.assertGreater(int(response.header("Retry-After")), most_s // 2)

    def test_what_is_unusual_but_right(self):
        client = self.serve_model()
        for behaviour in ("chunked", "interim", "close_after"):
            for number in range(3):
                with self.subTest(behaviour=behaviour, number=number):
                    response = client.predict(f"!{behaviour} {number}")
                    self.assertEqual((response.status, response.cache), (200, "MISS"), response)
        self.assertEqual(len(self.model.calls), 9)
        self.assertServes(client)

    def test_a_large_answer_is_not_stored(self):
        client = self.serve_model(CACHE_MAX_ENTRY_KB=1024)
        for _ in range(2):
            response = client.predict("!large")
            self.assertEqual((response.status, response.cache_status), (200, {"fwd": "miss"}), response.headers)
        self.assertEqual((client.stats()["stores"], len(self.model.calls)), (0, 2))

    def test_any_json_value_is_an_answer_of_the_plain_dialect(self):
        client = self.serve_model()
        for value in ("1e400", "12345678901234567890123", "0.10000000000000000001", "null", "[ ]", '"\\u0000\\/"', "-0.0"):
            with self.subTest(value=value):
                response = client.predict(f"!text {value}")
                self.assertEqual(response.status, 200, response)
                self.assertIn(b'{"result":' + value.encode() + b',"cached":false', response.body)
                self.assertIn(b'{"result":' + value.encode() + b',"cached":true}', client.predict(f"!text {value}").body)

    def test_no_second_post_on_a_kept_connection(self):
        """libcurl would send again, silently, what a kept connection took with it."""
        client = self.serve_model(UPSTREAM_REUSE="all")
        for number, behaviour in enumerate(("close", "reset") * 3):
            self.assertServes(client, f"opens a connection {number}")
            connections, calls = self.model.connections, len(self.model.calls)
            self.assertProblem(client.predict(f"!{behaviour} {number}"), 502)
            self.assertEqual(len(self.model.calls) - calls, 1)
            self.assertEqual(self.model.calls[-1].connection, self.model.calls[-2].connection, "it was not a kept one")
            self.assertLessEqual(self.model.connections - connections, 1)

    def test_large_bodies_do_not_wait_for_100_continue(self):
        client = self.serve_model(MAX_BODY_KB=4096)
        began = time.monotonic()
        self.assertEqual(client.predict("x" * 3000000).status, 200)
        self.assertLess(time.monotonic() - began, 0.9)
        self.assertIsNone(self.model.calls[0].header("Expect"))

    def check_refused(self, manner, length, **options):
        client = self.serve_model(MAX_BODY_KB=8192, UPSTREAM_TIMEOUT=30,
                                  UPSTREAM_URL=self.start_model(**options).url(f"/refuses/{manner}"))
        for number in range(5):
            self.assertProblem(client.predict(f"{number}" * length), 413)
        self.assertEqual(self.model.connections, 5)

    def test_refused_before_it_was_sent(self):
        self.check_refused("lingers", 3000000)

    def test_refused_and_reset_before_it_was_sent(self):
        """More than any socket's buffers take, so that the connection stands still when it is reset."""
        self.check_refused("resets", 8000000, buffers_little=True)

    def test_the_environments_proxy_is_not_used(self):
        client = self.serve_model(http_proxy=f"http://127.0.0.1:{free_port()}", ALL_PROXY=f"http://127.0.0.1:{free_port()}")
        self.assertServes(client)

    def test_hits_are_served_while_the_model_hangs(self):
        client = self.serve_model(UPSTREAM_TIMEOUT=20, DRAIN_TIMEOUT=0)
        self.assertServes(client, "known")
        waiting = [client.start(client.encode("POST", "/predict", {"text": f"!hang {i}"})) for i in range(50)]
        wait_until(lambda: client.stats()["in_flight"] == 50, "all are with the model")
        began = time.monotonic()
        for _ in range(20):
            self.assertEqual(client.predict("known").cache, "HIT")
        self.assertLess(time.monotonic() - began, 2)
        for connection in waiting:
            connection.close()


class Breaker(UpstreamCase):
    def serve_nobody(self, **settings):
        self.port = free_port()
        return self.serve(ENGINE="http", UPSTREAM_URL=f"http://127.0.0.1:{self.port}/predict", WORKERS=1, **settings)

    def test_it_opens_and_one_probe_closes_it(self):
        client = self.serve_nobody()
        for number in range(5):
            self.assertProblem(client.predict(f"text {number}"), 502)
        response = client.predict("one more")
        self.assertProblem(response, 503)
        self.assertEqual(response.header("Retry-After"), "1")
        self.assertEqual(client.stats()["inferences"], 5)
        self.start_model(("127.0.0.1", self.port))
        wait_until(lambda: client.predict("is it back?").status == 200, "it is asked again", interval_s=0.2)
        self.assertEqual(len(self.model.calls), 1)
        for number in range(5):
            self.assertServes(client, f"all is well {number}")

    def test_the_pause_grows(self):
        client = self.serve_nobody()
        for number in range(5):
            self.assertProblem(client.predict(f"text {number}"), 502)

        def pause_s():
            response = client.predict("probe")
            return int(response.header("Retry-After")) if response.status == 503 else 0

        wait_until(lambda: pause_s() >= 2, "the pause is longer than the first one", timeout_s=10, interval_s=0.05)

    def test_errors_of_a_server_that_is_there_do_not_open_it(self):
        client = self.serve_model()
        for number in range(20):
            self.assertProblem(client.predict(f"!status 500 x {number}"), 502)
        self.assertServes(client)

    def test_a_host_that_does_not_answer(self):
        """A listener whose queue is full: connecting takes for ever."""
        with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for taker in (first, second):
                taker.setblocking(False)
                taker.connect_ex(listener.getsockname())
            client = self.serve(ENGINE="http", UPSTREAM_URL=f"http://127.0.0.1:{listener.getsockname()[1]}/", WORKERS=1,
                                UPSTREAM_CONNECT_TIMEOUT=0.3)
            began = time.monotonic()
            self.assertProblem(client.predict("a text"), 504)
            self.assertLess(time.monotonic() - began, 2)


class Batches(UpstreamCase):
    DIALECTS = ("tei", "kserve", "openai")

    def test_misses_of_a_batch_travel_together(self):
        for dialect in self.DIALECTS:
            with self.subTest(dialect=dialect):
                self.start_model()
                client = self.serve_model(UPSTREAM_DIALECT=dialect, MODEL_NAME="the-model")
                self.walk(client)
                self.end(client)

    def walk(self, client):
        known = [f"known {i}" for i in range(60)]
        for start in range(0, 60, 30):
            self.assertEqual(client.predict_batch(known[start:start + 30]).status, 200)
        self.assertEqual([len(call.texts) for call in self.model.calls], [30, 30])
        new = [f"new {i} " + "x" * i for i in range(30)]
        texts = []
        for i in range(30):  # two known, one new, and every third time one of the new ones again
            texts += [known[2 * i], new[i], known[2 * i + 1]] + ([new[i - 1]] if i % 3 == 1 else [])
        self.assertEqual(len(texts), 100)
        response = client.predict_batch(texts)
        self.assertEqual((response.status, response.cache), (200, "PARTIAL"))
        self.assertEqual(len(self.model.calls), 3)
        self.assertEqual(self.model.calls[2].texts, new)
        answer = response.json()
        self.assertEqual(answer["cached"], 60)
        self.assertEqual([item["cached"] for item in answer["results"]], [text in known for text in texts])
        for text, item in zip(texts, answer["results"]):
            self.assertEqual(item["result"], client.predict(text).json()["result"])
        self.assertEqual(len(self.model.calls), 3)
        # What one text gets does not depend on its company.
        alone = {text: client.predict(text, {"Cache-Control": "no-store"}).json()["result"] for text in (known[0], new[7])}
        for text, result in alone.items():
            self.assertEqual(result, client.predict(text).json()["result"])

    def test_more_than_a_call_takes(self):
        client = self.serve_model(UPSTREAM_DIALECT="tei", UPSTREAM_BATCH=10)
        response = client.predict_batch([f"text {i}" for i in range(45)])
        self.assertEqual(response.status, 200)
        self.assertEqual(sorted(len(call.texts) for call in self.model.calls), [5, 10, 10, 10, 10])
        self.assertEqual(sorted(self.model.texts), sorted(f"text {i}" for i in range(45)))

    def test_plain_asks_for_each_text(self):
        client = self.serve_model()
        response = client.predict_batch([f"text {i}" for i in range(10)] * 2)
        self.assertEqual(response.status, 200)
        self.assertEqual(sorted(self.model.texts), [f"text {i}" for i in range(10)])
        for i, item in enumerate(response.json()["results"]):
            self.assertEqual(item["result"]["length"], len(f"text {i % 10}"))

    def results(self, dialect, behaviour, texts):
        """With a model that does that with several texts, and does well with one."""
        client = self.serve_model(UPSTREAM_DIALECT=dialect)
        self.model.behaviour_of_several = behaviour
        results = client.predict_batch(texts).json()["results"]
        self.model.behaviour_of_several = None
        return client, results

    def test_openai_out_of_order(self):
        texts = ["a", "bb", "ccc"]
        _, results = self.results("openai", ["wrong", "reversed"], texts)
        for text, item in zip(texts, results):
            self.assertEqual(item["result"]["embedding"][1], len(text) / 10)

    def assertEmbeddings(self, texts, results):
        self.assertEqual([item["result"]["embedding"][1] for item in results], [len(text) / 10 for text in texts])

    def test_openai_one_too_few(self):
        """The one that is missing is asked for again, alone."""
        texts = ["a", "bb", "ccc"]
        _, results = self.results("openai", ["wrong", "short"], texts)
        self.assertEmbeddings(texts, results)
        self.assertEqual([call.texts for call in self.model.calls], [texts, ["ccc"]])

    def test_openai_an_index_twice(self):
        texts = ["a", "bb", "ccc"]
        _, results = self.results("openai", ["wrong", "twice"], texts)
        self.assertEmbeddings(texts, results)
        self.assertEqual(sorted(call.texts for call in self.model.calls), [["a"], texts, ["ccc"]])

    def test_openai_more_than_asked_for(self):
        texts = ["a", "bb", "ccc"]
        _, results = self.results("openai", ["wrong", "more"], texts)
        self.assertEqual([item["result"]["embedding"][1] for item in results], [0.1, 0.2, 0.3])

    def test_counts_that_differ(self):
        """Nothing of such an answer is believed."""
        texts = ["a", "bb", "ccc"]
        for dialect, how in itertools.product(("tei", "kserve", "kserve1", "tei-embed", "tei-rerank"), ("short", "more")):
            with self.subTest(dialect=dialect, how=how):
                self.start_model()
                client, results = self.results(dialect, ["wrong", how], texts)
                self.assertEqual(sorted(self.model.texts), sorted(texts * 2 + texts[1:]))
                self.assertEqual([item["result"] for item in results],
                                 [client.predict(text, {"Cache-Control": "no-store"}).json()["result"] for text in texts])
                self.end(client)

    def test_what_is_no_embedding_is_not_kept(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        for number, embedding in enumerate(('[null]', '[]', '""', '["0.1"]', '[true]', '[{}]', '[0.1,null]', '"AAAA"', '"no base64"', "null")):
            with self.subTest(embedding=embedding):
                text = f"text {number}"
                self.model.behaviour = ["embedding", embedding]
                self.assertProblem(client.predict(text), 502)
                self.model.behaviour = None
                self.assertEqual(client.predict(text).cache, "MISS")
        self.assertEqual(client.stats()["stores"], 10)

    def test_base64_is_an_embedding(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        self.model.behaviour = ["embedding", '"AACAPwAAAEA="']
        response = client.predict("a text", encoding_format="base64")
        self.assertEqual(response.json()["result"], {"embedding": "AACAPwAAAEA="})
        self.assertEqual(client.predict("a text", encoding_format="base64").cache, "HIT")

    def test_openai_numbered_from_one(self):
        """Each text would get the embedding of the one before."""
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        self.model.behaviour = ["numbered_from", "1"]
        results = client.predict_batch(["a", "bb", "ccc"]).json()["results"]
        self.assertEqual([item["error"]["status"] for item in results], [502] * 3)
        self.assertEqual(client.stats()["stores"], 0)

    def test_openai_an_index_of_0_left_out(self):
        """As Gemini's endpoint does."""
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        self.model.behaviour = ["numbered_from", "nothing"]
        results = client.predict_batch(["a", "bb", "ccc"]).json()["results"]
        self.assertEqual([item["result"]["embedding"][1] for item in results], [0.1, 0.2, 0.3])
        self.assertEqual(client.predict("dddd").json()["result"]["embedding"][1], 0.4)
        self.assertEqual(len(self.model.calls), 2)

    def test_kserve_somebody_elses_answer(self):
        client = self.serve_model(UPSTREAM_DIALECT="kserve")
        self.model.behaviour = ["wrong_id"]
        self.assertProblem(client.predict("a text"), 502)
        self.model.behaviour = None
        self.assertEqual(client.predict("a text").status, 200)
        ids = [call.json["id"] for call in self.model.calls]
        self.assertEqual(len(set(ids)), 2)

    def test_failures_that_are_not_for_one_texts_sake(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        for behaviour, status in ((["hang"], 504), (["status", "401"], 401), (["status", "403"], 403), (["status", "429", "5"], 429),
                                  (["status", "503"], 503), (["close"], 502), (["reset"], 502)):
            with self.subTest(behaviour=behaviour):
                calls = len(self.model.calls)
                self.model.behaviour = behaviour
                results = client.predict_batch(["a", "bb", "ccc"]).json()["results"]
                self.assertEqual([item["error"]["status"] for item in results], [status] * 3)
                self.assertEqual(len(self.model.calls) - calls, 1)
        self.assertEqual((client.stats()["stores"], client.stats()["upstream_retries"]), (0, 0))


class Requests(UpstreamCase):
    """What the model is told."""

    def test_dialects(self):
        expected = {
            "plain": '{"text":"Straße \\"1\\"\\n","a":1,"b":[2.50]}',
            "tei": '{"inputs":"Straße \\"1\\"\\n","a":1,"b":[2.50]}',
            "kserve": ('{"id":ID,"parameters":{"a":1,"b":[2.50]},"inputs":[{"name":"text","shape":[1],"datatype":"BYTES",'
                       '"data":["Straße \\"1\\"\\n"]}]}'),
            "openai": '{"input":"Straße \\"1\\"\\n","model":"a model","a":1,"b":[2.50]}',
        }
        self.start_model()
        for dialect, body in expected.items():
            with self.subTest(dialect=dialect):
                client = self.serve_model(UPSTREAM_DIALECT=dialect, MODEL_NAME="a model")
                response = client.request("POST", "/predict", '{"b":[2.50], "text":"Straße \\"1\\"\\n", "a":1}',
                                          {"Content-Type": "application/json"})
                self.assertEqual(response.status, 200, response)
                call = self.model.calls[-1]
                sent = re.sub(r'"id":"[0-9a-f]{16}"', '"id":ID', call.body.decode())
                self.assertEqual(sent, body)
                self.assertEqual(call.header("Content-Type"), "application/json")
                self.assertEqual(call.header("Content-Length"), str(len(call.body)))
                self.end(client)

    def test_parameters_the_dialect_gives_itself(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        self.assertProblem(client.predict("a text", model="another"), 422)
        self.assertProblem(client.predict("a text", input="another"), 422)
        self.assertEqual(client.predict("a text", encoding_format="float").status, 200)
        self.assertEqual(len(self.model.calls), 1)

    def test_each_dialect_and_its_batches(self):
        """The dialects that have no other test of it: one text and several get what the model says of each."""
        dialects = (("kserve1", {}, lambda text: json.loads(model_server.sentiment(text))),
                    ("tei-embed", {"normalize": True}, lambda text: [float(number) for number in model_server.score(text)]),
                    ("tei-rerank", {"query": "what?"}, lambda text: {"score": float(model_server.score(text)[0])}))
        for dialect, parameters, result_of in dialects:
            with self.subTest(dialect=dialect):
                self.start_model()
                client = self.serve_model(UPSTREAM_DIALECT=dialect)
                texts = [f"text {i} " + "x" * i for i in range(40)]
                response = client.predict_batch(texts, **parameters)
                self.assertEqual(response.status, 200, response)
                self.assertEqual(sorted(len(call.texts) for call in self.model.calls), [8, 32])
                self.assertEqual({name: self.model.calls[0].json[name] for name in parameters}, parameters)
                self.assertEqual([item["result"] for item in response.json()["results"]], [result_of(text) for text in texts])
                self.assertEqual(client.predict(texts[7], **parameters).cache, "HIT")
                self.assertEqual(client.predict("alone", **parameters).json()["result"], result_of("alone"))
                self.end(client)

    def test_the_name_of_the_text_and_the_shape(self):
        """UPSTREAM_INPUT_NAME and UPSTREAM_KSERVE_SHAPE."""
        expected = {
            "plain": '{"prompt":"a text","a":1}',
            "kserve1": '{"instances":[{"prompt":"a text"}],"a":1}',
            "kserve": ('{"id":ID,"parameters":{"a":1},"inputs":[{"name":"prompt","shape":[1,1],"datatype":"BYTES",'
                       '"data":["a text"]}]}'),
        }
        self.start_model()
        for dialect, body in expected.items():
            with self.subTest(dialect=dialect):
                client = self.serve_model(UPSTREAM_DIALECT=dialect, UPSTREAM_INPUT_NAME="prompt", UPSTREAM_KSERVE_SHAPE="n,1")
                self.assertEqual(client.predict("a text", a=1).status, 200)
                self.assertEqual(re.sub(r'"id":"[0-9a-f]{16}"', '"id":ID', self.model.calls[-1].body.decode()), body)
                if dialect == "plain":
                    self.assertProblem(client.predict("a text", prompt="another"), 422)
                self.end(client)

    def test_the_host_field(self):
        self.start_model()
        client = self.serve_model(UPSTREAM_HOST="models.example:8443")
        self.assertServes(client)
        self.assertEqual(self.model.calls[0].header("Host"), "models.example:8443")

    def test_normalisation_is_nfc_unless_given(self):
        client = self.serve_model()
        client.predict("  Stra\u00dfe I\u0308  ")
        self.assertEqual(self.model.texts, ["  Stra\u00dfe \u00cf  "])

    def test_normalisation_that_was_given(self):
        client = self.serve_model(CACHE_NORMALIZE="lower")
        client.predict("  STRASSE  ")
        self.assertEqual(self.model.texts, ["strasse"])

    def test_unix_socket(self):
        path = os.path.join(self.directory, "a model, 100% local.sock")
        self.start_model(path)
        client = self.serve_model(UPSTREAM_URL=f"http+unix://{quote(path)}:/v1/predict")
        self.assertServes(client)
        self.assertEqual(self.model.calls[0].path, "/v1/predict")

    def test_host_by_name(self):
        self.start_model()
        client = self.serve_model(UPSTREAM_URL=f"http://localhost:{self.model.port}/x?y=1")
        self.assertServes(client)
        self.assertEqual((self.model.calls[0].path, self.model.calls[0].header("Host")), ("/x?y=1", f"localhost:{self.model.port}"))

    def test_wrong_settings(self):
        for settings, named in (({}, "UPSTREAM_URL"), ({"UPSTREAM_URL": "ftp://x/"}, "UPSTREAM_URL"),
                                ({"UPSTREAM_URL": "http://user:secret@host/"}, "UPSTREAM_URL"),
                                ({"UPSTREAM_URL": "http://h/", "UPSTREAM_DIALECT": "x"}, "UPSTREAM_DIALECT"),
                                ({"UPSTREAM_URL": "http://h/", "UPSTREAM_BATCH": "0"}, "UPSTREAM_BATCH")):
            with self.subTest(settings=settings):
                ended = run_program(ENGINE="http", **settings)
                self.assertEqual(ended.returncode, 2)
                self.assertIn(named, ended.stderr)


class Credentials(UpstreamCase):
    def test_nobody_is_served_what_another_credential_paid_for(self):
        client = self.serve_model()
        for credential in ("Bearer one", "Bearer two", None):
            headers = {"Authorization": credential} if credential else {}
            first = client.predict("the same text", headers)
            again = client.predict("the same text", headers)
            self.assertEqual((first.cache, again.cache), ("MISS", "HIT"))
        self.assertEqual([call.header("Authorization") for call in self.model.calls], ["Bearer one", "Bearer two", None])

    def test_a_batch_has_its_credential_too(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        requests = [client.encode("POST", "/predict", {"texts": ["a", "b"]}, {"Authorization": f"Bearer {i}"}) for i in range(8)]
        self.model.delay_s = 0.3
        self.assertEqual([response.status for response in client.at_once(requests)], [200] * 8)
        self.assertEqual(sorted(call.header("Authorization") for call in self.model.calls), [f"Bearer {i}" for i in range(8)])

    def test_shared(self):
        client = self.serve_model(CACHE_SHARE_AUTHORIZED="on")
        self.assertEqual(client.predict("the same text", {"Authorization": "Bearer one"}).cache, "MISS")
        self.assertEqual(client.predict("the same text", {"Authorization": "Bearer two"}).cache, "HIT")
        self.assertEqual([call.header("Authorization") for call in self.model.calls], ["Bearer one"])

    def wait_with(self, client, credentials):
        """Starts a request for one text with each credential in turn; returns them when all wait for the model."""
        waiting = []
        for credential in credentials:
            waiting.append(client.start(client.encode("POST", "/predict", {"text": "the same text"}, {"Authorization": credential})))
            wait_until(lambda: client.stats()["parked"] == len(waiting), "it waits", interval_s=0.002)
        return waiting

    def ask_with_bad_ones(self, workers):
        """Returns the credentials that the model was asked with: each once, and those that it refused are told so, nobody else."""
        client = self.serve_model(CACHE_SHARE_AUTHORIZED="on", WORKERS=workers, UPSTREAM_TIMEOUT=30)
        self.model.accepted = ["Bearer good"]
        self.model.delay_s = 0.2
        self.model.gate.clear()
        credentials = ["Bearer bad", "Bearer worse", "Bearer good", "Bearer worst"] * 8
        waiting = self.wait_with(client, credentials)
        self.model.gate.set()
        asked = {}
        for credential, response in zip(credentials, [client.finish(connection) for connection in waiting]):
            asked.setdefault(credential, set()).add((response.status, response.cache))
        calls = [call.header("Authorization") for call in self.model.calls]
        self.assertEqual(len(set(calls)), len(calls), calls)
        self.assertEqual(asked, {credential: {(401 if credential in calls[:-1] else 200, "MISS")} for credential in credentials})
        self.assertEqual(client.predict("the same text", {"Authorization": "Bearer bad"}).cache, "HIT")
        return calls

    def test_a_refused_credential_is_nobody_elses(self):
        self.assertEqual(self.ask_with_bad_ones(1), ["Bearer bad", "Bearer worse", "Bearer good"])

    def test_a_refused_credential_is_nobody_elses_in_other_workers(self):
        calls = self.ask_with_bad_ones(4)
        self.assertEqual((calls[0], calls[-1]), ("Bearer bad", "Bearer good"))

    def test_a_refused_credential_is_not_served_what_is_stale(self):
        client = self.serve_model(CACHE_STALE_IF_ERROR=600, CACHE_TTL=0.1)
        headers = {"Authorization": "Bearer one"}
        key = client.predict("a text", headers).header("X-Cache-Key")
        wait_until(lambda: client.predict("a text", {**headers, "Cache-Control": "only-if-cached"}).status == 504, "it is stale")
        self.model.behaviour = ["status", "401"]
        self.assertProblem(client.predict("a text", headers), 401)
        self.model.behaviour = ["status", "500"]
        response = client.predict("a text", headers)
        self.assertEqual((response.status, response.cache, response.header("X-Cache-Key")), (200, "STALE", key))


class Traces(UpstreamCase):
    PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def test_a_trace_goes_on(self):
        client = self.serve_model()
        first = client.predict("one", {"traceparent": self.PARENT, "tracestate": "a=b,c=d"})
        call = self.model.calls[0]
        version, trace, parent, flags = call.header("traceparent").split("-")
        self.assertEqual((version, trace, flags), ("00", "0af7651916cd43dd8448eb211c80319c", "01"))
        self.assertRegex(parent, r"\A[0-9a-f]{16}\Z")
        self.assertNotEqual(parent, "b7ad6b7169203331")
        self.assertEqual(call.header("tracestate"), "a=b,c=d")
        self.assertEqual(client.predict("one").cache, "HIT")
        self.assertEqual(client.predict("one").header("X-Cache-Key"), first.header("X-Cache-Key"))
        client.predict("two", {"traceparent": self.PARENT})
        self.assertNotEqual(self.model.calls[1].header("traceparent"), call.header("traceparent"))

    def test_a_malformed_one_does_not(self):
        client = self.serve_model()
        for number, value in enumerate((self.PARENT.upper(), self.PARENT + "0", self.PARENT[:-1], "ff" + self.PARENT[2:],
                                        "00-" + "0" * 32 + self.PARENT[35:], self.PARENT[:36] + "0" * 16 + "-01", "x")):
            client.predict(f"text {number}", {"traceparent": value, "tracestate": "a=b"})
            call = self.model.calls[-1]
            self.assertEqual((call.header("traceparent"), call.header("tracestate")), (None, None), value)
        client.predict("no traceparent", {"tracestate": "a=b"})
        self.assertIsNone(self.model.calls[-1].header("tracestate"))


class Storing(UpstreamCase):
    def test_what_the_model_forbids(self):
        client = self.serve_model()
        for directive in ("no-store", "private", "No-Store", "max-age=60,_private", 'private="x"', "max-age=0", "s-maxage=0,max-age=60",
                          "max-age=abc", "no-cache"):
            with self.subTest(directive=directive):
                for _ in range(2):
                    response = client.predict(f"!cache_control {directive}")
                    self.assertEqual((response.status, response.cache_status), (200, {"fwd": "miss"}), response)
        self.assertEqual(client.stats()["stores"], 0)

    def test_what_it_shortens(self):
        client = self.serve_model(CACHE_TTL=1000)
        for behaviour, lifetime_s in (("cache_control max-age=60", 60), ("cache_control max-age=2000", 1000),
                                      ("cache_control max-age=60,_s-maxage=100", 100), ("cache_control max-age=90 max-age=70", 70),
                                      ("cache_control public", 1000), ("age 20 max-age=100", 80), ("age 20", 1000),
                                      ("age x max-age=100", 100)):
            with self.subTest(behaviour=behaviour):
                self.assertEqual(client.predict(f"!{behaviour}").cache, "MISS")
                response = client.predict(f"!{behaviour}")
                self.assertEqual(response.cache, "HIT")
                self.assertIn(response.cache_status["ttl"], (lifetime_s, lifetime_s - 1))

    def test_an_age_beyond_the_lifetime(self):
        client = self.serve_model()
        self.assertEqual(client.predict("!age 100 max-age=100").cache_status, {"fwd": "miss"})

    def test_an_old_answer_instead_of_an_error(self):
        client = self.serve_model(CACHE_TTL=0.1, CACHE_STALE_IF_ERROR=600)
        client.predict("a text")
        wait_until(lambda: client.predict("a text", {"Cache-Control": "only-if-cached"}).status == 504, "it is stale")
        for behaviour in ("hang", "close", "html", "status 500", "status 429", "status 503 9"):
            with self.subTest(behaviour=behaviour):
                self.model.behaviour = behaviour.split()
                response = client.predict("a text")
                self.assertEqual((response.status, response.cache), (200, "STALE"), response)


class Tls(UpstreamCase):
    def test_a_self_signed_server_is_refused(self):
        certificate, key = self.make_certificate("model")
        self.start_model(certificate=certificate, key=key)
        client = self.serve_model()
        problem = self.assertProblem(client.predict("a text"), 502)
        self.assertIn("certificate", problem["detail"])
        self.assertEqual(self.model.calls, [])
        self.assertRegex(client.app.log(), r"event=upstream_failed .*self.signed certificate")

    def test_it_is_accepted_with_its_certificate(self):
        certificate, key = self.make_certificate("model")
        self.start_model(certificate=certificate, key=key)
        client = self.serve_model(UPSTREAM_CA_FILE=certificate)
        for number in range(3):
            self.assertServes(client, f"text {number}")
        self.assertEqual(self.model.connections, 3)

    def test_a_file_that_is_no_certificate(self):
        """Known before anything is started: nobody finds a pool whose workers die one after another."""
        words = os.path.join(self.directory, "words.pem")
        with open(words, "w", encoding="utf-8") as file:
            file.write("not a certificate\n")
        for path in (words, os.path.join(self.directory, "missing.pem"), self.directory):
            with self.subTest(path=path):
                ended = run_program(ENGINE="http", UPSTREAM_URL="https://127.0.0.1/", UPSTREAM_CA_FILE=path,
                                    LISTEN=f"unix:{self.directory}/not.sock", timeout_s=10)
                self.assertEqual((ended.returncode, ended.stdout), (2, ""))
                self.assertIn("UPSTREAM_CA_FILE", ended.stderr)
                self.assertIn(path, ended.stderr)
                self.assertNotIn("event=started", ended.stderr)
                self.assertFalse(os.path.exists(os.path.join(self.directory, "not.sock")))

    def test_another_certificate_does_not_do(self):
        certificate, key = self.make_certificate("model")
        other, _ = self.make_certificate("other")
        self.start_model(certificate=certificate, key=key)
        client = self.serve_model(UPSTREAM_CA_FILE=other)
        self.assertProblem(client.predict("a text"), 502)
        self.assertEqual(self.model.calls, [])

    def test_a_name_that_does_not_match(self):
        certificate, key = self.make_certificate("model")
        self.start_model(certificate=certificate, key=key)
        client = self.serve_model(UPSTREAM_CA_FILE=certificate, UPSTREAM_URL=f"https://localhost:{self.model.port}/")
        self.assertProblem(client.predict("a text"), 502)
        self.assertEqual(self.model.calls, [])


class Queue(UpstreamCase):
    def test_overload_and_clients_that_leave(self):
        client = self.serve_model(INFERENCE_CONCURRENCY=1, INFERENCE_QUEUE=2, UPSTREAM_TIMEOUT=30, DRAIN_TIMEOUT=0)
        self.model.delay_s = 1.5
        first = client.start(client.encode("POST", "/predict", {"text": "first"}))
        wait_until(lambda: len(self.model.calls) == 1, "the model has the first")
        leaving = client.start(client.encode("POST", "/predict", {"text": "leaves"}))
        staying = client.start(client.encode("POST", "/predict", {"text": "stays"}))
        wait_until(lambda: client.stats()["queue"] == 2, "two wait")
        self.assertProblem(client.predict("one too many"), 503)
        leaving.close()
        wait_until(lambda: client.stats()["queue"] == 1, "it is dropped")
        self.assertEqual([client.finish(waiting).status for waiting in (first, staying)], [200, 200])
        self.assertEqual(self.model.texts, ["first", "stays"])

    def test_workers_share_one_inference(self):
        client = self.serve_model(WORKERS=4, UPSTREAM_TIMEOUT=30)
        self.model.delay_s = 0.5
        requests = [client.encode("POST", "/predict", {"text": "the same for all"})] * 200
        self.assertEqual([response.status for response in client.at_once(requests)], [200] * 200)
        self.assertEqual(len(self.model.calls), 1)
        self.model.behaviour = ["status", "422"]
        requests = [client.encode("POST", "/predict", {"text": "refused for all"})] * 50
        self.assertLessEqual(set(response.status for response in client.at_once(requests)), {422})

    def test_stopping_while_the_model_hangs(self):
        client = self.serve_model(UPSTREAM_TIMEOUT=60, DRAIN_TIMEOUT=0.2)
        waiting = client.start(client.encode("POST", "/predict", {"text": "!hang"}))
        wait_until(lambda: len(self.model.calls) == 1, "the model has it")
        workers = children_of(client.app.pid)
        self.assertEqual(client.app.stop(), 1, "a request was lost")
        self.assertEqual(len(workers), 1)
        waiting.close()


class Examples(UpstreamCase):
    """deploy/examples: the settings are accepted, the sites serve."""

    FOLDER = os.path.join(ROOT, "deploy", "examples")

    def test_settings(self):
        for dialect in ("plain", "tei", "kserve", "openai", "kserve1", "tei-embed", "tei-rerank"):
            with self.subTest(dialect=dialect):
                ended = run_program("--config", os.path.join(self.FOLDER, f"{dialect}.conf"), "--print-config")
                self.assertEqual(ended.returncode, 0, ended.stderr)
                self.assertIn(f"UPSTREAM_DIALECT={dialect}\n", ended.stdout)

    def site(self, name, key):
        with open(os.path.join(self.FOLDER, name), encoding="utf-8") as file:
            site = file.read().replace("/etc/nginx/openai-key.conf", f'"{key}"')

        class Site(Nginx):
            """The shipped nginx, with the example in place of its server."""

            def fill_in(self, text, socket_path):
                head, found, _ = text.partition("    include inferonce-upstream.conf;")
                if found:
                    text = head + site.replace("    listen [::]:80;\n", "").replace("listen 80;", f"listen 127.0.0.1:{self.port} backlog=64;") + "}\n"
                return super().fill_in(text, socket_path)

        return Site

    def test_sites(self):
        key = os.path.join(self.directory, "key.conf")
        with open(key, "w", encoding="utf-8") as file:
            file.write('fastcgi_param HTTP_AUTHORIZATION "Bearer of the site";\n')
        for name, sent in (("site.nginx.conf", "Bearer of the client"), ("openai.nginx.conf", "Bearer of the site")):
            with self.subTest(site=name):
                self.web = self.site(name, key)
                client = self.serve_model(ADMIN_TOKEN="admin")
                response = client.predict(f"through {name}", {"Authorization": "Bearer of the client"})
                self.assertEqual(response.status, 200, response)
                self.assertEqual(self.model.calls[-1].header("Authorization"), sent)
                self.assertEqual(client.stats()["stores"], 1)
                self.end(client)
