"""What a user sees: one text after another through a real web server."""

import json
import re
import time

from case import Case, through_both

GREAT = "This is a great product!"


@through_both
class Session(Case):
    def cleared(self, entries):
        """What a purge of a namespace says of so many entries: servers do not tell."""
        return entries if self.backend == "memory" else None

    def test_curl_session(self):
        client = self.serve(INFERENCE_DELAY_MS=500)

        started = time.monotonic()
        first = client.predict(GREAT)
        self.assertGreaterEqual(time.monotonic() - started, 0.5)
        self.assertEqual(first.status, 200, first)
        self.assertEqual(first.header("Content-Type"), "application/json")
        answer = first.json()
        self.assertEqual(answer["result"]["sentiment"], "positive")
        self.assertIs(answer["cached"], False)
        self.assertGreaterEqual(answer["inference_time_ms"], 500)
        self.assertEqual(first.cache, "MISS")
        self.assertRegex(first.header("X-Cache-Key"), re.compile(r"\A[0-9a-f]{64}\Z"))
        self.assertEqual(first.cache_status, {"fwd": "miss", "stored": True})
        self.assertIsNone(first.header("Age"))

        second = client.predict(GREAT)
        self.assertEqual(second.status, 200, second)
        self.assertEqual(second.json(), {"result": answer["result"], "cached": True})
        self.assertEqual(second.cache, "HIT")
        self.assertEqual(second.header("X-Cache-Key"), first.header("X-Cache-Key"))
        self.assertTrue(0 <= int(second.header("Age")) <= 60, second)
        self.assertTrue(second.cache_status["hit"])
        self.assertTrue(3540 <= second.cache_status["ttl"] <= 3600, second)

        stats = client.stats()
        for name, value in {"hits": 1, "misses": 1, "hit_ratio": 0.5, "inferences": 1, "stores": 1,
                            "ttl_seconds": 3600, "in_flight": 0, "parked": 0}.items():
            self.assertEqual(stats[name], value, (name, stats))

        if self.backend == "memory":  # servers tell figures of their own
            self.assertEqual((stats["size"], stats["max_size"]), (1, 64 * 2**20 // 300), stats)

        cleared = client.delete("/cache")
        self.assertEqual(cleared.status, 200, cleared)
        self.assertEqual(cleared.json(), {"message": "Cache cleared", "entries": self.cleared(1)})
        self.assertEqual(client.predict(GREAT).cache, "MISS")
        self.assertEqual(client.stats()["inferences"], 2)

    def test_statistics_are_complete(self):
        stats = self.serve().stats()
        for name in ("hits misses hit_ratio size max_size evictions ttl_seconds memory_mb bypasses stale_hits coalesced expired "
                     "stores store_errors rejected_entries purges inferences inference_errors in_flight parked queue "
                     "inference_seconds_saved uptime_seconds workers backend").split():
            self.assertIn(name, stats)
        self.assertEqual(stats["hit_ratio"], 0)
        self.assertEqual(stats["backend"]["type"], self.backend)
        self.assertEqual(stats["backend"]["state"], "ok")

    def test_a_saved_inference_is_counted_in_seconds(self):
        client = self.serve(INFERENCE_DELAY_MS=300)
        for _ in range(4):
            client.predict(GREAT)
        saved = client.stats()["inference_seconds_saved"]
        self.assertTrue(0.9 <= saved <= 30, saved)

    def test_equal_after_normalisation_is_one_text(self):
        client = self.serve()
        key = client.predict("Caf\u00e9 is great").header("X-Cache-Key")
        for text in ("  caf\u00e9 IS\tgreat \n", "CAFE\u0301 is great"):
            response = client.predict(text)
            self.assertEqual((response.cache, response.header("X-Cache-Key")), ("HIT", key), text)
        escaped = client.request("POST", "/predict", r'  {"text" : "caf\u00e9 \u0069s great" }', {"Content-Type": "application/json"})
        self.assertEqual((escaped.cache, escaped.header("X-Cache-Key")), ("HIT", key))
        self.assertNotEqual(client.predict("cafe is great").header("X-Cache-Key"), key)

    def test_parameters_are_part_of_the_key(self):
        client = self.serve()
        plain = client.predict(GREAT)
        with_parameters = client.predict(GREAT, top=3, lang="en")
        self.assertEqual(with_parameters.cache, "MISS")
        self.assertNotEqual(plain.header("X-Cache-Key"), with_parameters.header("X-Cache-Key"))
        reordered = client.request("POST", "/predict", json.dumps({"lang": "en", "text": GREAT, "top": 3}),
                                   {"Content-Type": "application/json"})
        self.assertEqual(reordered.cache, "HIT")
        self.assertEqual(client.predict(GREAT, top=4, lang="en").cache, "MISS")

    def test_batch(self):
        client = self.serve()
        stored = client.predict("good").json()["result"]
        response = client.predict_batch(["bad", "good", "bad", "good", "so so"])
        self.assertEqual(response.status, 200, response)
        answer = response.json()
        self.assertEqual([item["cached"] for item in answer["results"]], [False, True, False, True, False])
        self.assertEqual(answer["cached"], 2)
        self.assertEqual(answer["results"][1]["result"], stored)
        self.assertEqual(answer["results"][0]["result"], answer["results"][2]["result"])
        self.assertEqual(answer["results"][0]["result"]["sentiment"], "negative")
        self.assertEqual(response.cache, "PARTIAL")
        self.assertIsNone(response.header("X-Cache-Key"))
        self.assertEqual(client.stats()["inferences"], 3)
        again = client.predict_batch(["bad", "so so"])
        self.assertEqual((again.cache, again.json()["cached"]), ("HIT", 2))
        self.assertEqual(client.stats()["inferences"], 3)

    def test_query_is_the_conditional_twin(self):
        client = self.serve()
        client.predict(GREAT)
        query = client.predict(GREAT, method="QUERY")
        self.assertEqual((query.status, query.cache), (200, "HIT"))
        tag = query.header("ETag")
        self.assertRegex(tag, r'\A(W/)?"[^"]+"\Z')
        unchanged = client.predict(GREAT, {"If-None-Match": f'"other", {tag}'}, method="QUERY")
        self.assertEqual((unchanged.status, unchanged.body), (304, b""))
        self.assertEqual(unchanged.header("ETag"), tag)
        self.assertEqual(client.predict(GREAT, {"If-None-Match": '"other"'}, method="QUERY").status, 200)
        self.assertEqual(client.predict(GREAT, {"If-None-Match": tag}).status, 200)

    def test_one_entry(self):
        client = self.serve()
        first = client.predict(GREAT)
        path = f"/cache/{first.header('X-Cache-Key')}"
        entry = client.get(path)
        self.assertEqual(entry.status, 200, entry)
        self.assertEqual(entry.json()["result"], first.json()["result"])
        self.assertEqual(client.get(path, {"If-None-Match": entry.header("ETag")}).status, 304)
        deleted = client.delete(path)
        self.assertEqual((deleted.status, deleted.json()), (200, {"deleted": True}))
        self.assertProblem(client.get(path), 404)
        self.assertProblem(client.delete(path), 404)
        self.assertEqual(client.predict(GREAT).cache, "MISS")

    def test_purge_by_text_key_and_namespace(self):
        client = self.serve()
        keys = [client.predict(text).header("X-Cache-Key") for text in ("one", "two", "three")]
        purged = client.request("POST", "/cache/purge", {"text": " ONE "})
        self.assertEqual((purged.status, purged.json()), (200, {"deleted": 1}), purged)
        self.assertEqual(client.predict("one").cache, "MISS")
        purged = client.request("POST", "/cache/purge", {"texts": ["one", "never seen"]})
        self.assertEqual(purged.json(), {"deleted": 1}, purged)
        purged = client.request("POST", "/cache/purge", {"keys": keys[1:]})
        self.assertEqual(purged.json(), {"deleted": 2}, purged)
        client.predict("one", {"X-Cache-Namespace": "other"})
        client.predict("one")
        purged = client.request("POST", "/cache/purge", {"namespace": "other"})
        self.assertEqual(purged.json(), {"deleted": self.cleared(1)}, purged)
        self.assertEqual(client.predict("one").cache, "HIT")
        self.assertEqual(client.predict("one", {"X-Cache-Namespace": "other"}).cache, "MISS")

    def test_namespaces_are_apart(self):
        client = self.serve()
        mine = client.predict(GREAT, {"X-Cache-Namespace": "team-a"})
        other = client.predict(GREAT)
        self.assertEqual((mine.cache, other.cache), ("MISS", "MISS"))
        self.assertNotEqual(mine.header("X-Cache-Key"), other.header("X-Cache-Key"))
        client.delete("/cache")
        self.assertEqual(client.predict(GREAT, {"X-Cache-Namespace": "team-a"}).cache, "HIT")
        self.assertEqual(client.predict(GREAT).cache, "MISS")

    def test_health(self):
        client = self.serve()
        for path in ("/healthz", "/readyz"):
            self.assertEqual(client.get(path).status, 200)
            head = client.request("HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertGreater(int(head.header("Content-Length")), 0)

    def test_openapi_describes_the_endpoints(self):
        description = self.serve().get("/openapi.json")
        self.assertEqual(description.status, 200, description)
        self.assertTrue(description.json()["openapi"].startswith("3.1"))
        self.assertLessEqual({"/predict", "/cache", "/cache/{key}", "/cache/stats", "/cache/purge", "/healthz", "/readyz"},
                             set(description.json()["paths"]))
