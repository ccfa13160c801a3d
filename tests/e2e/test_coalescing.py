"""An answer is inferred once, a hit never waits, a purge holds."""

import time

from case import Case, through_both
from processes import wait_until


def encoded(client, text, headers=()):
    return client.encode("POST", "/predict", {"text": text}, headers)


@through_both
class Coalescing(Case):
    def assertOneInference(self, client, responses):
        self.assertEqual([response.status if response else None for response in responses], [200] * len(responses))
        self.assertEqual(len({str(response.json()["result"]) for response in responses}), 1)
        stats = client.stats()
        self.assertEqual(stats["inferences"], 1, stats)
        self.assertEqual(stats["misses"] + stats["hits"], len(responses), stats)
        self.assertEqual(stats["coalesced"] + stats["hits"], len(responses) - 1, stats)
        leaders = [response for response in responses if response.cache_status.get("fwd") and "collapsed" not in response.cache_status]
        self.assertEqual([leader.cache_status for leader in leaders], [{"fwd": "miss", "stored": True}])
        for response in responses:
            if response.cache == "MISS" and response is not leaders[0]:
                self.assertEqual((response.cache_status["fwd"], response.cache_status["collapsed"]), ("miss", True))

    def test_a_thousand_at_once_to_one_worker(self):
        client = self.serve(WORKERS=1, INFERENCE_DELAY_MS=3000)
        self.assertOneInference(client, client.at_once([encoded(client, "the same for all")] * 1000))

    def test_across_workers(self):
        client = self.serve(WORKERS=4, INFERENCE_DELAY_MS=1000)
        self.assertOneInference(client, client.at_once([encoded(client, "the same for all")] * 300))

    def test_a_hit_does_not_wait_behind_misses(self):
        client = self.serve(WORKERS=1, INFERENCE_DELAY_MS=4000, INFERENCE_CONCURRENCY=50, DRAIN_TIMEOUT=0)
        client.predict("known")
        misses = [client.start(encoded(client, f"unknown {i}")) for i in range(300)]
        wait_until(lambda: client.stats()["parked"] == 300, "all misses are parked")
        started = time.monotonic()
        for _ in range(20):
            self.assertEqual(client.predict("known").cache, "HIT")
        self.assertLess(time.monotonic() - started, 3)
        self.assertGreater(client.stats()["parked"], 200)
        for connection in misses:
            connection.close()

    def test_purge_while_an_inference_is_in_flight(self):
        client = self.serve(INFERENCE_DELAY_MS=1500)
        waiting = client.start(encoded(client, "in flight"))
        wait_until(lambda: client.stats()["in_flight"] == 1, "the inference has begun")
        self.assertEqual(client.delete("/cache").status, 200)
        # A request from after the purge does not get the answer of a flight from before it.
        later = client.predict("in flight")
        self.assertEqual((later.status, later.cache), (200, "MISS"))
        self.assertNotIn("collapsed", later.cache_status)
        self.assertEqual(client.finish(waiting).status, 200)
        self.assertEqual(client.stats()["inferences"], 2)
        self.assertEqual(client.predict("in flight").cache, "HIT")

    def test_an_answer_from_before_a_purge_is_not_seen_after_it(self):
        client = self.serve(INFERENCE_DELAY_MS=700)
        waiting = client.start(encoded(client, "in flight"))
        wait_until(lambda: client.stats()["in_flight"] == 1, "the inference has begun")
        client.delete("/cache")
        self.assertEqual(client.finish(waiting).status, 200)
        self.assertEqual(client.predict("in flight").cache, "MISS")

    def test_client_that_leaves(self):
        client = self.serve(INFERENCE_DELAY_MS=700)
        leaving = client.start(encoded(client, "for nobody"))
        wait_until(lambda: client.stats()["in_flight"] == 1, "the inference has begun")
        leaving.close()
        wait_until(lambda: client.stats()["stores"] == 1, "the answer is stored")
        self.assertEqual(client.predict("for nobody").cache, "HIT")
        self.assertEqual(client.stats()["inferences"], 1)

    def test_overload(self):
        client = self.serve(WORKERS=1, INFERENCE_DELAY_MS=1500, INFERENCE_CONCURRENCY=1, INFERENCE_QUEUE=2)
        client.predict("known")
        responses = client.at_once([encoded(client, f"unknown {i}") for i in range(10)])
        statuses = sorted(response.status for response in responses)
        self.assertEqual(statuses, [200] * 3 + [503] * 7)
        for response in responses:
            if response.status == 503:
                self.assertProblem(response, 503)
                self.assertGreaterEqual(int(response.header("Retry-After")), 1)
        self.assertEqual(client.predict("known").cache, "HIT")
        self.assertEqual(client.stats()["stores"], 4)

    def test_a_batch_larger_than_the_queue(self):
        """It feeds itself in: none of its texts is refused for there being many."""
        client = self.serve(WORKERS=1, INFERENCE_DELAY_MS=20, INFERENCE_CONCURRENCY=4, INFERENCE_QUEUE=16)
        response = client.predict_batch([f"text {i}" for i in range(250)])
        self.assertEqual(response.status, 200)
        self.assertEqual([result for result in response.json()["results"] if "error" in result], [])
        self.assertEqual(client.stats()["inferences"], 250)

    def test_one_client_does_not_fill_the_queue_for_others(self):
        """Five requests of 256 texts from one address; another one's text has its turn."""
        client = self.serve(WORKERS=1, INFERENCE_DELAY_MS=300, INFERENCE_CONCURRENCY=8, INFERENCE_QUEUE=64)
        greedy = [client.start(client.encode("POST", "/predict", {"texts": [f"text {i} {j}" for j in range(256)]})) for i in range(5)]
        wait_until(lambda: client.stats()["queue"] >= 40, "the queue is filled")
        with client.app.connect() as connection:
            answer = connection.ask("POST", "/predict", b'{"text": "mine"}', remote="192.0.2.7", CONTENT_TYPE="application/json")
        self.assertEqual(answer.status, 200, answer)
        self.assertGreater(client.stats()["queue"], 0)
        for connection in greedy:
            connection.close()
