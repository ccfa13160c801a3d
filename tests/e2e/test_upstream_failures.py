"""ENGINE=http: one text that the model cannot take fails alone, and what the model says of it reaches who asked and who operates it."""

import json
import re

import model_server
from processes import wait_until
from upstream_case import TIMEOUT_S, UpstreamCase

BATCHES = ("tei", "kserve", "openai", "kserve1", "tei-embed", "tei-rerank")


class OneTextFailsAlone(UpstreamCase):
    # What the model does with a call that has this text, and the status of that text.
    BAD = [("status 500", 502), ("status 424", 502), ("status 404", 502), ("status 413", 413), ("status 400", 400), ("status 422", 422),
           ("status 402", 402), ("body 202 {}", 502), ("nan", 502), ("html", 502), ("empty", 502), ("huge_head", 502)]

    def check(self, client, bad, status, n):
        before, calls = client.stats(), len(self.model.calls)
        texts = [f"good {calls} {i}" for i in range(n - 1)]
        texts.insert(n // 3, bad)
        results = client.predict_batch(texts).json()["results"]
        self.assertEqual([item.get("error", {}).get("status") for item in results], [status if text == bad else None for text in texts])
        made = self.model.calls[calls:]
        self.assertEqual(made[0].texts, texts)
        self.assertLessEqual(len(made), 2 * n)
        after = client.stats()
        self.assertEqual({name: after[name] - before[name] for name in ("upstream_retries", "inferences", "inference_errors", "stores")},
                         {"upstream_retries": len(made) - 1, "inferences": n, "inference_errors": 1, "stores": n - 1})

    def test_each_failure(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        for number, (behaviour, status) in enumerate(self.BAD):
            with self.subTest(behaviour=behaviour):
                self.check(client, f"!{behaviour} {number}", status, 9)
        self.assertIn("event=upstream_asked_again", client.app.log())

    def test_each_dialect(self):
        for dialect in BATCHES:
            with self.subTest(dialect=dialect):
                self.start_model()
                client = self.serve_model(UPSTREAM_DIALECT=dialect)
                self.check(client, "!status 500", 502, 32)
                self.check(client, "!nan", 502, 2)
                self.end(client)

    def test_a_result_for_one_is_too_large(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai", CACHE_MAX_ENTRY_KB=1, UPSTREAM_TIMEOUT=30)
        self.check(client, "!endless", 502, 4)

    def test_everything_fails(self):
        """A server that is broken is asked at most twice for each text."""
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        for behaviour in ("status 500", "html", "nan"):
            with self.subTest(behaviour=behaviour):
                calls = len(self.model.calls)
                self.model.behaviour = behaviour.split()
                results = client.predict_batch([f"text {i}" for i in range(32)]).json()["results"]
                self.assertEqual([item["error"]["status"] for item in results], [502] * 32)
                self.assertLessEqual(len(self.model.calls) - calls, 2 * 32)
        self.assertEqual(client.stats()["stores"], 0)

    def test_clients_that_know_nothing_of_each_other(self):
        """Texts of several clients travel together; the bad one's is nobody else's trouble."""
        client = self.serve_model(UPSTREAM_DIALECT="openai", INFERENCE_CONCURRENCY=8, UPSTREAM_TIMEOUT=30)
        self.model.gate.clear()
        self.model.delay_s = 0.1
        first = [client.start(client.encode("POST", "/predict", {"text": f"first {i}"})) for i in range(8)]
        wait_until(lambda: client.stats()["in_flight"] == 8, "all places are taken")
        texts = [f"text {i}" for i in range(7)] + ["!status 500"]
        waiting = []
        for text in texts:
            waiting.append(client.start(client.encode("POST", "/predict", {"text": text})))
            wait_until(lambda: client.stats()["queue"] == len(waiting), "it waits")
        self.model.gate.set()
        self.assertEqual([client.finish(connection).status for connection in first], [200] * 8)
        self.assertEqual([client.finish(connection).status for connection in waiting], [200] * 7 + [502])
        self.assertGreater(max(len(call.texts) for call in self.model.calls), 1)

    def test_within_the_time_that_is_left(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        self.model.behaviour_of_several = ["late", str(0.6 * TIMEOUT_S), "500"]
        results = client.predict_batch(["good", "!hang"]).json()["results"]
        self.assertEqual([item.get("error", {}).get("status") for item in results], [None, 504])
        self.model.behaviour_of_several = ["late", str(2 * TIMEOUT_S), "500"]
        calls = len(self.model.calls)
        results = client.predict_batch(["one", "two"]).json()["results"]
        self.assertEqual([item["error"]["status"] for item in results], [504, 504])
        self.assertEqual(len(self.model.calls) - calls, 1)

    def test_a_batch_that_is_larger_than_the_model_takes(self):
        client = self.serve_model(UPSTREAM_DIALECT="tei", UPSTREAM_BATCH=32)
        self.model.behaviour = ["at_most", "16", "413"]
        for number in range(3):
            results = client.predict_batch([f"text {number} {i}" for i in range(32)]).json()["results"]
            self.assertEqual([item.get("error") for item in results], [None] * 32)
        self.assertEqual(sorted(len(call.texts) for call in self.model.calls), [16] * 6 + [32] * 3)
        told = re.findall("event=upstream_batch_too_large.*", client.app.log())
        self.assertEqual(len(told), 1, told)
        self.assertRegex(told[0], "texts=32 status=413 .*UPSTREAM_BATCH")

    def test_a_bad_text_is_no_batch_that_is_too_large(self):
        client = self.serve_model(UPSTREAM_DIALECT="tei")
        client.predict_batch(["a", "!status 413", "bb", "ccc"])
        self.assertNotIn("upstream_batch_too_large", client.app.log())


class Reasons(UpstreamCase):
    # The model's answer, and the reason in it.
    SHAPES = [('{"error":{"message":"too long","code":"x"}}', "too long"), ('{"error":"too long"}', "too long"),
              ('{"message":"too long"}', "too long"), ('{"detail":"too long"}', "too long"),
              ('{"detail":[{"loc":["body"],"msg":"too long"}]}', "too long"),
              ('{"type":"about:blank","title":"Bad","detail":"too long"}', "too long"),
              ("{}", None), ("<html>too long</html>", None), ("", None), ('{"error":{"code":5}}', None)]

    def test_the_client_is_told(self):
        client = self.serve_model()
        for number, (body, reason) in enumerate(self.SHAPES):
            for status, expected in ((400, 400), (402, 402), (422, 422), (429, 429), (503, 503), (500, 502), (418, 502)):
                with self.subTest(body=body, status=status):
                    self.model.behaviour = ["body", str(status), body]
                    problem = self.assertProblem(client.predict(f"text {number} {status}"), expected)
                    if reason:
                        self.assertEqual(problem["detail"], reason)
                    else:
                        self.assertIn("the model's server", problem["detail"])

    def test_each_text_of_a_batch_is_told_its_own(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        results = client.predict_batch(["a", "!error 400 the reason", "bb"]).json()["results"]
        self.assertEqual(results[1]["error"]["detail"], "the reason")
        self.assertEqual([sorted(item) for item in (results[0], results[2])], [["cached", "inference_time_ms", "result"]] * 2)

    def test_it_is_bounded(self):
        client = self.serve_model()
        self.model.behaviour = ["error", "400", "\u20ac" * 600]
        self.assertEqual(self.assertProblem(client.predict("one"), 400)["detail"], "\u20ac" * 170)
        self.model.behaviour = ["error", "400", "\u20ac" * 100000]
        self.assertIn("the model's server", self.assertProblem(client.predict("two"), 400)["detail"])

    def test_the_log_says_so(self):
        client = self.serve_model()
        for behaviour, event, status in ((["error", "422", "no such language"], "upstream_rejected", 422),
                                         (["error", "500", "no such language"], "upstream_error", 500),
                                         (["error", "429", "no such language"], "upstream_rejected", 429),
                                         (["error", "202", "no such language"], "upstream_bad_answer", 202)):
            with self.subTest(behaviour=behaviour):
                self.model.behaviour = behaviour
                client.predict(f"a text {status}")
                self.assertRegex(client.app.log(), f'level=warn event={event} .*status={status} texts=1 error="no such language"')
        self.model.behaviour = ["error", "400", "x" * 1000]
        client.predict("another text")
        self.assertRegex(client.app.log(), "status=400 texts=1 error=x{200}\n")
        self.model.behaviour = ["status", "500"]
        for number in range(200):
            client.predict(f"many {number}")
        self.assertLess(client.app.log().count("status=500"), 200)

    def test_bad_answers_are_told_too(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        self.model.behaviour = ["text", '{"error":"still loading"}']
        problem = self.assertProblem(client.predict("a text"), 502)
        self.assertEqual(problem["detail"], "still loading")
        self.assertRegex(client.app.log(), 'event=upstream_bad_answer .*status=200 texts=1 error="still loading"')

    def test_the_counters(self):
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        for status in (302, 400, 401, 402, 403, 404, 413, 415, 422, 429, 500, 503, 202):
            client.predict(f"!status {status}")
        client.predict("!html")
        client.predict("!close")
        client.predict("good")
        stats = client.stats()
        self.assertEqual({name: value for name, value in stats.items() if name.startswith("upstream_")},
                         {"upstream_retries": 0, "upstream_rejections": 8, "upstream_bad_answers": 2, "upstream_answers_2xx": 3,
                          "upstream_answers_3xx": 1, "upstream_answers_4xx": 9, "upstream_answers_5xx": 2})

    def test_neither_texts_nor_credentials_are_repeated(self):
        """By a model that repeats what it was given."""
        client = self.serve_model(UPSTREAM_DIALECT="openai")
        secret = "my secret is 4711 " * 20
        self.model.behaviour = ["echo", "400"]
        for text in ("sick", "a rather long text with many words", secret, secret[:23]):
            problem = self.assertProblem(client.predict(text, {"Authorization": "Bearer key-0815"}), 400)
            self.assertNotIn(text, problem["detail"])
            self.assertNotIn("key-0815", problem["detail"])
        self.model.behaviour = ["echo", "401"]
        for item in client.predict_batch(["mine", "yours"], {"Authorization": "Bearer key-0815"}).json()["results"]:
            self.assertNotIn("yours", item["error"]["detail"])
            self.assertNotIn("mine", item["error"]["detail"])
        log = client.app.log()
        for word in ("sick", "rather", "secret", "key-0815", "yours", "mine"):
            self.assertNotIn(word, log)


class Keeping(UpstreamCase):
    """What the model's server says of keeping its answers."""

    def test_what_may_not_be_kept(self):
        client = self.serve_model()
        for number, field in enumerate(("Vary: *", "Vary: Accept, *", "Expires: Thu, 01 Jan 1970 00:00:00 GMT", "Expires: 0",
                                        "Cache-Control: no-cache; no-store, must-revalidate, private")):
            with self.subTest(field=field):
                self.model.fields = [field]
                for _ in range(2):
                    response = client.predict(f"text {number}")
                    self.assertEqual((response.status, response.cache_status), (200, {"fwd": "miss"}), response)
        self.assertEqual((client.stats()["stores"], client.stats()["not_storable"]), (0, 10))

    def test_expires_counts_from_the_date(self):
        client = self.serve_model(CACHE_TTL=1000)
        self.model.fields = ["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Expires: Sun, 06 Nov 1994 08:50:37 GMT"]
        client.predict("a text")
        self.assertIn(client.predict("a text").cache_status["ttl"], (59, 60))

    def test_it_is_said_once(self):
        client = self.serve_model()
        self.model.fields = ["Cache-Control: no-store"]
        for number in range(5):
            client.predict(f"text {number}")
        told = re.findall("event=upstream_not_storable.*", client.app.log())
        self.assertEqual(len(told), 1, told)
        self.assertIn("UPSTREAM_CACHE_CONTROL=ignore", told[0])
        self.assertEqual(client.stats()["not_storable"], 5)

    def test_it_may_be_ignored(self):
        """TorchServe says so with everything, and means nothing by it."""
        client = self.serve_model(UPSTREAM_CACHE_CONTROL="ignore", CACHE_TTL=1000)
        for number, field in enumerate(("Cache-Control: no-cache; no-store, must-revalidate, private", "Cache-Control: max-age=1",
                                        "Cache-Control: max-age=0", "Expires: 0", "Vary: *")):
            with self.subTest(field=field):
                self.model.fields = ["Age: 10", field]
                self.assertEqual(client.predict(f"text {number}").cache, "MISS")
                response = client.predict(f"text {number}")
                self.assertEqual(response.cache, "HIT")
                self.assertIn(response.cache_status["ttl"], (999, 1000))
        self.assertEqual(client.stats()["not_storable"], 0)
        self.assertNotIn("upstream_not_storable", client.app.log())


class UsedUp(UpstreamCase):
    """CACHE_SHARE_AUTHORIZED=on: what one credential has used up another has not."""

    def check(self, status, workers):
        client = self.serve_model(CACHE_SHARE_AUTHORIZED="on", WORKERS=workers, UPSTREAM_TIMEOUT=30)
        self.model.accepted = ["Bearer rich"]
        self.model.refusal = status
        self.model.gate.clear()
        waiting = []
        for credential in ["Bearer poor", "Bearer rich"] * 8:
            request = client.encode("POST", "/predict", {"text": "the same text"}, {"Authorization": credential})
            waiting.append((credential, client.start(request)))
            wait_until(lambda: client.stats()["parked"] == len(waiting), "it waits")
        self.model.gate.set()
        for credential, connection in waiting:
            response = client.finish(connection)
            self.assertEqual(response.status, status if credential == "Bearer poor" else 200)
            self.assertEqual(response.header("Retry-After") is not None, response.status == 429)
        self.assertEqual(sorted(call.header("Authorization") for call in self.model.calls), ["Bearer poor", "Bearer rich"])
        self.end(client)
        del self.model

    def test_in_one_worker(self):
        for status in (402, 429):
            with self.subTest(status=status):
                self.check(status, 1)

    def test_in_several(self):
        for status in (402, 429):
            with self.subTest(status=status):
                self.check(status, 4)

    def test_a_batch_has_the_largest_retry_after(self):
        client = self.serve_model()
        response = client.predict_batch(["!status 429 7", "good", "!status 503 30", "!status 422"])
        self.assertEqual([item.get("error", {}).get("status") for item in response.json()["results"]], [429, None, 503, 422])
        self.assertEqual(response.header("Retry-After"), "30")
        self.assertIsNone(client.predict_batch(["good", "!status 422"]).header("Retry-After"))
