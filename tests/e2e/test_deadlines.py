"""UPSTREAM_TIMEOUT counts from the arrival of each request, the queue and others' inferences included; a full queue is shared by clients."""

import collections
import concurrent.futures
import json
import time

import fastcgi
from processes import wait_until
from upstream_case import TIMEOUT_S, UpstreamCase

LATE_S = 1.5  # generous: the fault took several times the timeout
HEAVY, LIGHT = "192.0.2.1", "192.0.2.2"

Answered = collections.namedtuple("Answered", "status body took_s")


class DeadlineCase(UpstreamCase):
    def serve_directly(self, **settings):
        self.app = self.serve_model(**settings).app
        self.pool = concurrent.futures.ThreadPoolExecutor(64)
        self.addCleanup(self.pool.shutdown)

    def ask_now(self, body, client):
        with self.app.connect() as connection:
            began = time.monotonic()
            connection.send(fastcgi.request("POST", "/predict", json.dumps(body).encode(), remote=client))
            answer = connection.answer()
            return Answered(answer.status, json.loads(answer.body), time.monotonic() - began)

    def ask(self, body, client=HEAVY):
        """A future of the answer."""
        return self.pool.submit(self.ask_now, body, client)

    def stats(self):
        with self.app.connect() as connection:
            return json.loads(connection.ask("GET", "/cache/stats").body)

    def assertInTime(self, answered, timeout_s=TIMEOUT_S):
        self.assertIn(answered.status, (200, 503, 504))
        self.assertLess(answered.took_s, timeout_s + LATE_S, answered)


class Queue(DeadlineCase):
    def test_a_full_queue_of_slow_inferences(self):
        """Nobody waits for longer than the timeout, and another client than the one that fills the queue gets answers."""
        self.serve_directly(INFERENCE_CONCURRENCY=2, INFERENCE_QUEUE=32)
        self.model.delay_s = 0.3
        batches = [self.ask({"texts": [f"{number} {text}" for text in range(128)]}) for number in range(4)]
        single = [self.ask({"text": f"single {number}"}) for number in range(24)]
        wait_until(lambda: self.stats()["queue"] == 32, "the queue is full")
        others = [self.ask_now({"text": f"other {number}"}, LIGHT) for number in range(3)]
        for answered in others:
            self.assertInTime(answered)
        self.assertEqual([answered.status for answered in others], [200] * 3)
        for waiting in batches + single:
            self.assertInTime(waiting.result())
        for waiting in batches:
            statuses = {item["error"]["status"] for item in waiting.result().body["results"] if "error" in item}
            self.assertLessEqual(statuses, {503, 504})
        wait_until(lambda: self.stats()["parked"] == self.stats()["queue"] == self.stats()["in_flight"] == 0, "nothing is left")


class Followers(DeadlineCase):
    def check(self, workers):
        self.serve_directly(WORKERS=workers)
        self.model.behaviour = ["hang"]
        leader = self.ask({"text": "the same"})
        wait_until(lambda: len(self.model.calls) == 1, "the inference has begun")
        time.sleep(0.6 * TIMEOUT_S)  # what is tested is the time that is left
        followers = [self.ask({"text": "the same"}, LIGHT) for _ in range(12)]
        wait_until(lambda: self.stats()["parked"] == 13, "the others wait for it")
        self.model.behaviour = None
        self.assertEqual(leader.result().status, 504)
        self.assertInTime(leader.result())
        for follower in followers:
            self.assertEqual(follower.result().status, 200, follower.result())
            self.assertInTime(follower.result())
        self.assertEqual(len(self.model.calls), 2, "one of them inferred for all")

    def test_who_joined_late_in_the_same_worker(self):
        self.check(workers=1)

    def test_who_joined_late_in_other_workers(self):
        self.check(workers=4)

    def test_a_model_that_hangs(self):
        """Whoever waits for it in whatever worker waits for the timeout, and the model is asked a few times."""
        self.serve_directly(WORKERS=4)
        self.model.behaviour = ["hang"]
        waiting = []
        for _ in range(4):
            waiting += [self.ask({"text": "the same"}) for _ in range(8)]
            time.sleep(0.2 * TIMEOUT_S)  # they come one after the other
        for answered in [future.result() for future in waiting]:
            self.assertEqual(answered.status, 504)
            self.assertInTime(answered)
        self.assertLessEqual(len(self.model.calls), 5)


class Merged(DeadlineCase):
    def test_each_text_of_a_call_has_its_own_time(self):
        """The one that came first is not kept waiting for as long as the other may; its result is kept when it comes."""
        timeout_s = 2
        self.serve_directly(UPSTREAM_DIALECT="openai", UPSTREAM_TIMEOUT=timeout_s, INFERENCE_CONCURRENCY=2, UPSTREAM_BATCH=2)
        self.model.delay_s = 1.2
        busy = self.ask({"texts": ["one", "two"]})
        wait_until(lambda: len(self.model.calls) == 1, "both places are taken")
        self.model.delay_s = 1.5
        early = self.ask({"text": "early"})
        time.sleep(1)  # so much earlier is it due
        late = self.ask({"text": "late"})
        self.assertEqual(busy.result().status, 200)
        self.assertEqual(early.result().status, 504)
        self.assertLess(early.result().took_s, timeout_s + 0.5, "the call takes 2.7 s from its arrival")
        self.assertEqual(late.result().status, 200)
        self.assertEqual([call.texts for call in self.model.calls], [["one", "two"], ["early", "late"]])
        again = self.ask({"text": "early"}).result()
        self.assertEqual((again.status, again.body["cached"]), (200, True))
