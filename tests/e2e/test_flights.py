"""An inference serves everybody who waits for it: in other workers, in other pools, and when who leads it dies."""

import json
import os
import signal
import time

import crowd
import fastcgi
from case import Case, through_both
from processes import let_run, reap, wait_until
from servers import Inferonce

TEXT = "the same for all"
LATE_S = 5  # generous: how fast is for tests/bench to say


def prediction(text=TEXT):
    return fastcgi.request("POST", "/predict", json.dumps({"text": text}).encode())


def ask(app, method, path):
    with app.connect() as connection:
        return connection.ask(method, path)


def stats(app):
    return json.loads(ask(app, "GET", "/cache/stats").body)


@through_both
class Crowd(Case):
    def test_a_thousand_at_once_over_four_workers(self):
        client = self.serve(WORKERS=4, INFERENCE_DELAY_MS=2000)
        answers = crowd.at_once(client, [client.encode("POST", "/predict", {"text": TEXT})] * 1000)
        responses = [answer.response for answer in answers]
        self.assertEqual({response.status for response in responses}, {200})
        self.assertEqual(len({json.dumps(response.json()["result"]) for response in responses}), 1)
        found = client.stats()
        self.assertEqual((found["inferences"], found["stores"]), (1, 1), found)
        self.assertEqual(found["misses"] + found["hits"], 1000, found)
        self.assertEqual(found["coalesced"] + found["hits"], 999, found)
        self.assertEqual((found["parked"], found["in_flight"]), (0, 0), found)
        leaders = [response for response in responses if response.cache_status == {"fwd": "miss", "stored": True}]
        self.assertEqual(len(leaders), 1)
        followers = [response for response in responses if response.cache_status.get("collapsed")]
        self.assertEqual(len(followers), found["coalesced"])
        for follower in followers:
            self.assertEqual(follower.cache_status, {"fwd": "miss", "stored": True, "collapsed": True})
            self.assertEqual(follower.cache, "MISS")
        ends = [answer.ended for answer in answers]
        self.assertLess(max(ends) - min(ends), LATE_S)

    def test_one_refresh_over_four_workers(self):
        client = self.serve(WORKERS=4, INFERENCE_DELAY_MS=1000, CACHE_STALE_WHILE_REVALIDATE=600)
        path = f"/cache/{client.predict(TEXT, {'X-Cache-TTL': '1'}).header('X-Cache-Key')}"
        wait_until(lambda: client.get(path).json()["ttl"] < 0, "the entry is stale")
        answers = crowd.at_once(client, [client.encode("POST", "/predict", {"text": TEXT})] * 300)
        caches = [answer.response.cache for answer in answers]
        self.assertEqual(caches.count("STALE") + caches.count("HIT"), 300)
        self.assertGreater(caches.count("STALE"), 0)
        wait_until(lambda: client.stats()["stores"] == 2, "the entry is refreshed")
        self.assertEqual(client.predict(TEXT).cache, "HIT")
        found = client.stats()
        self.assertEqual((found["inferences"], found["stores"], found["in_flight"]), (2, 2, 0), found)
        self.assertEqual(found["stale_hits"], caches.count("STALE"), found)


class Workers(Case):
    """Which worker serves a request is decided by letting only that one run."""

    def start(self, workers, **settings):
        self.app = Inferonce(self, WORKERS=workers, **settings)
        self.workers = self.app.workers()
        self.addCleanup(let_run, None, self.workers)

    def stats(self):
        return stats(self.app)

    def let_run(self, pid):
        let_run(pid, self.workers)

    def kill(self, pid):
        self.workers.remove(pid)
        os.kill(pid, signal.SIGKILL)

    def send(self, pid, text=TEXT):
        """A request that this worker has accepted, read and looked up; only it runs afterwards. The connection brings the answer."""
        self.let_run(pid)
        parked = self.stats()["parked"]
        connection = self.app.connect()
        self.addCleanup(connection.close)
        connection.send(prediction(text))
        wait_until(lambda: self.stats()["parked"] == parked + 1, "the request waits for an inference")
        return connection

    def assertAnswered(self, answer):
        self.assertEqual((answer.status, answer.headers["x-cache"]), (200, "MISS"))
        self.assertEqual(json.loads(answer.body)["result"]["sentiment"], "neutral")

    def test_who_follows_a_leader_that_dies(self):
        delay_s = 1.5
        self.start(4, INFERENCE_DELAY_MS=int(delay_s * 1000))
        leader, *others = self.workers
        self.send(leader)
        followers = [self.send(pid) for pid in others]
        self.assertEqual(self.stats()["inferences"], 1)
        self.let_run(None)
        self.kill(leader)
        killed = time.monotonic()
        answers = [follower.answer() for follower in followers]
        self.assertLess(time.monotonic() - killed, delay_s + 1)
        for answer in answers:
            self.assertAnswered(answer)
        self.assertEqual(sum("collapsed" not in answer.headers["cache-status"] for answer in answers), 1)
        found = self.stats()
        self.assertEqual((found["inferences"], found["stores"], found["parked"], found["in_flight"]), (2, 1, 0, 0), found)

    def test_one_leader_after_the_other_dies(self):
        self.start(4, INFERENCE_DELAY_MS=2500)
        leader, *others = self.workers
        self.send(leader)
        followers = {pid: self.send(pid) for pid in others}
        for number, heir in enumerate(others[:2]):
            self.let_run(heir)
            self.kill(leader)
            wait_until(lambda: self.stats()["inferences"] == number + 2, "the next one leads")
            leader = heir
        self.let_run(None)
        self.kill(leader)
        self.assertAnswered(followers[others[2]].answer())
        found = self.stats()
        self.assertEqual((found["inferences"], found["stores"]), (4, 1), found)

    def test_the_client_of_the_leader_leaves(self):
        self.start(2, INFERENCE_DELAY_MS=1500)
        first, second = self.workers
        leading = self.send(first)
        following = self.send(second)
        leading.close()
        self.let_run(None)
        self.assertAnswered(following.answer())
        found = self.stats()
        self.assertEqual((found["inferences"], found["stores"]), (1, 1), found)

    def test_all_clients_leave(self):
        self.start(2, INFERENCE_DELAY_MS=1000)
        first, second = self.workers
        for pid in (first, second):
            self.send(pid).close()
        self.let_run(None)
        wait_until(lambda: self.stats()["stores"] == 1, "the answer is stored")
        found = self.stats()
        self.assertEqual((found["inferences"], found["parked"]), (1, 0), found)

    def test_a_leader_that_gives_up_before_it_infers(self):
        """Its inference is queued when its only client leaves: then it is not worth one. It is to who follows elsewhere."""
        self.start(2, INFERENCE_DELAY_MS=1500, INFERENCE_CONCURRENCY=1)
        first, second = self.workers
        self.send(first, "takes the only place")
        queued = self.send(first)
        self.assertEqual(self.stats()["queue"], 1)
        following = self.send(second)
        self.assertEqual(self.stats()["inferences"], 1)
        queued.close()
        self.let_run(None)
        self.assertAnswered(following.answer())
        self.assertEqual(self.stats()["inferences"], 2)

    def test_a_purge_parts_those_before_it_from_those_after_it(self):
        self.start(3, INFERENCE_DELAY_MS=2000)
        before = self.send(self.workers[0])
        self.let_run(self.workers[1])
        self.assertEqual(ask(self.app, "DELETE", "/cache").status, 200)
        after = self.send(self.workers[2])
        self.assertEqual(self.stats()["inferences"], 2)
        self.let_run(None)
        for connection in (before, after):
            answer = connection.answer()
            self.assertAnswered(answer)
            self.assertNotIn("collapsed", answer.headers["cache-status"])
        found = self.stats()
        self.assertEqual((found["inferences"], found["size"]), (2, 1), found)


class Pools(Case):
    """Two masters, started one after the other, that know nothing of each other but the file of the memory store. The statistics
    are in it, too."""

    DELAY_S = 1.5

    def setUp(self):
        super().setUp()
        self.settings = {"WORKERS": 1, "CACHE_PATH": os.path.join(self.directory, "entries"), "INFERENCE_QUEUE": 0,
                         "INFERENCE_DELAY_MS": int(self.DELAY_S * 1000)}
        self.first, self.second = [Inferonce(self, name=name, **self.settings) for name in ("first", "second")]

    def send(self, app, n):
        parked = stats(app)["parked"]
        connections = [app.connect() for _ in range(n)]
        for connection in connections:
            self.addCleanup(connection.close)
            connection.send(prediction())
        wait_until(lambda: stats(app)["parked"] == parked + n, "the requests wait for an inference")
        return connections

    def assertAnswered(self, connections):
        answers = [connection.answer() for connection in connections]
        self.assertEqual({(answer.status, answer.headers["x-cache"]) for answer in answers}, {(200, "MISS")})
        self.assertEqual(len({json.dumps(json.loads(answer.body)["result"]) for answer in answers}), 1)

    def assertStatistics(self, **expected):
        found = stats(self.second)
        self.assertEqual({name: found[name] for name in expected}, expected)

    def test_one_inference_for_both(self):
        self.assertAnswered(self.send(self.first, 10) + self.send(self.second, 10))
        self.assertStatistics(inferences=1, stores=1, misses=20, coalesced=19, size=1)

    def test_the_leading_worker_of_the_other_pool_dies(self):
        self.send(self.first, 1)
        following = self.send(self.second, 10)
        os.kill(*self.first.workers(), signal.SIGKILL)
        killed = time.monotonic()
        self.assertAnswered(following)
        self.assertLess(time.monotonic() - killed, self.DELAY_S + 1)
        self.assertStatistics(inferences=2, stores=1)

    def test_all_of_the_other_pool_dies(self):
        """Nobody is left to tell; but its lease runs out."""
        self.send(self.first, 1)
        following = self.send(self.second, 10)
        orphans = self.first.workers()
        self.first.stop(signal.SIGKILL)
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: reap(pid), "the worker has ended")
        self.assertAnswered(following)
        self.assertStatistics(inferences=2, stores=1)

    def test_a_purge_in_one_holds_in_the_other(self):
        before = self.send(self.first, 1)
        self.assertEqual(ask(self.second, "DELETE", "/cache").status, 200)
        self.assertAnswered(before + self.send(self.second, 1))
        self.assertStatistics(inferences=2, size=1)
