"""A cache server that stops, dies or lies costs hits, never answers; what was purged meanwhile stays purged."""

import os
import time

from cache_servers import Memcached, Redis
from case import Case
from liar import Liar, cut_short, garbage, other_key, other_value, out_of_memory, trickle
from load import Load
from processes import free_port, wait_until


class Away(Case):
    def serve_over(self, *servers, **settings):
        client = self.serve(**{"STORE_TIMEOUT_MS": 100, **self.server_class.settings(*servers), **settings})
        wait_until(lambda: self.state(client) == "ok", "the cache is used")
        return client

    def state(self, client):
        return client.stats()["backend"]["state"]

    def everywhere(self, client, state):
        """Every worker says so: they find out each by itself, and are asked in turns."""
        return all(client.get("/readyz").json()["status"] == state for _ in range(30))

    def await_degraded(self, client):
        def degraded():
            client.predict("somebody asks")
            return client.get("/readyz").json() == {"status": "degraded"}

        wait_until(degraded, "it is degraded")

    def under_load(self, leave, come_back):
        server = self.server_class(self)
        client = self.serve_over(server)
        load = Load(client)
        wait_until(lambda: len(load.answers) > 200, "the load is on")
        leave(server)
        wait_until(lambda: self.everywhere(client, "degraded"), "every worker has noticed")
        before = client.stats()["hits"]
        wait_until(lambda: client.stats()["hits"] > before + 100, "hits come from the host's memory")
        come_back(server)
        wait_until(lambda: self.everywhere(client, "ok"), "it is used again", timeout_s=40)
        answered = len(load.answers)
        wait_until(lambda: len(load.answers) > answered + 200, "the load goes on")
        answers = load.stop()
        self.assertEqual([answer for answer in answers if answer[0] != 200 or not answer[1]], [])
        log = client.app.log()
        self.assertTrue(1 <= log.count("event=cache_server_down") <= 2, log)  # each worker once
        self.assertEqual(log.count("event=cache_server_up"), log.count("event=cache_server_down"), log)
        return client, answers

    def test_it_stands_still(self):
        _, answers = self.under_load(lambda server: server.halt(), lambda server: server.resume())
        slow = [seconds for _, _, seconds in answers if seconds > 0.09]
        # Of two workers each waits once, and once for each probe; whoever asks just then waits with it.
        self.assertLess(len(slow), 60)

    def test_it_dies_and_is_started_again(self):
        self.under_load(lambda server: server.kill(), lambda server: server.restart())

    def test_it_is_not_there_from_the_start(self):
        server = self.server_class(self)
        server.kill()
        client = self.serve(STORE_TIMEOUT_MS=100, **self.server_class.settings(server))
        self.assertEqual([client.predict("text").status for _ in range(3)], [200] * 3)
        self.assertEqual(client.predict("text").cache, "HIT")
        self.assertEqual(self.state(client), "degraded")
        ready = client.get("/readyz")
        self.assertEqual((ready.status, ready.json()), (200, {"status": "degraded"}))
        self.assertEqual(client.stats()["inferences"], 1)
        server.restart()
        wait_until(lambda: self.everywhere(client, "ok"), "it is used", timeout_s=40)
        self.assertEqual([client.predict("text").cache for _ in range(2)], ["MISS", "HIT"])

    def test_a_purge_waits_for_its_return(self):
        server = self.server_class(self)
        client = self.serve_over(server)
        client.predict("in the server")
        server.halt()
        self.await_degraded(client)
        client.predict("in the memory")
        self.assertEqual(client.predict("in the memory").cache, "HIT")
        purged = client.delete("/cache")
        self.assertEqual((purged.status, purged.json()), (202, {"message": "Cache cleared", "entries": None, "pending": True}))
        self.assertEqual(client.predict("in the memory").cache, "MISS")
        self.assertEqual(client.stats()["backend"]["servers"][0]["pending"], 1)
        server.resume()
        wait_until(lambda: self.everywhere(client, "ok"), "it is used again", timeout_s=40)
        self.assertEqual(client.stats()["backend"]["servers"][0]["pending"], 0)
        self.assertEqual(client.predict("in the server").cache, "MISS")
        self.assertEqual(client.delete("/cache").status, 200)

    def test_a_removal_waits_for_its_return(self):
        server = self.server_class(self)
        client = self.serve_over(server)
        key = client.predict("removed").header("X-Cache-Key")
        client.predict("kept")
        server.halt()
        self.await_degraded(client)
        deleted = client.delete(f"/cache/{key}")
        self.assertEqual((deleted.status, deleted.json()), (202, {"deleted": False, "pending": True}))
        purged = client.request("POST", "/cache/purge", {"texts": ["removed", "never seen"]})
        self.assertEqual((purged.status, purged.json()), (202, {"deleted": 0, "pending": True}))
        server.resume()
        wait_until(lambda: self.everywhere(client, "ok"), "it is used again", timeout_s=40)
        self.assertEqual([client.predict(text).cache for text in ("removed", "kept")], ["MISS", "HIT"])

    def test_more_purges_than_can_be_remembered(self):
        server = self.server_class(self)
        server.kill()
        client = self.serve(STORE_TIMEOUT_MS=100, **self.server_class.settings(server))
        statuses = [client.delete(f"/cache/{number:064x}").status for number in range(600)]
        self.assertEqual(set(statuses[:512]), {202})
        refused = client.delete(f"/cache/{1000:064x}")
        self.assertProblem(refused, 503)
        self.assertGreaterEqual(int(refused.header("Retry-After")), 1)


class MemcachedAway(Away):
    server_class = Memcached

    def test_one_of_three_dies(self):
        servers = [Memcached(self, f"memcached-{number}") for number in range(3)]
        client = self.serve_over(*servers)
        texts = [f"text {number}" for number in range(300)]
        for text in texts:
            client.predict(text)
        self.assertEqual({client.predict(text).cache for text in texts}, {"HIT"})
        servers[1].kill()
        caches = [client.predict(text).cache for text in texts]
        missed = caches.count("MISS")
        self.assertEqual(caches.count("HIT") + missed, 300)
        self.assertTrue(50 <= missed <= 150, missed)
        self.assertEqual({client.predict(text).cache for text in texts}, {"HIT"})
        states = {server["name"]: server["state"] for server in client.stats()["backend"]["servers"]}
        self.assertEqual(states, {f"unix:{server.path}": "up" if server.alive else "down" for server in servers})
        # A purge reaches the others at once, and the third before it is used again.
        self.assertEqual(client.delete("/cache").status, 202)
        self.assertEqual({client.predict(text).cache for text in texts}, {"MISS"})
        servers[1].restart()
        wait_until(lambda: self.everywhere(client, "ok"), "it is used again", timeout_s=40)
        self.assertEqual({client.predict(text).status for text in texts}, {200})
        self.assertEqual({client.predict(text).cache for text in texts}, {"HIT"})

    def test_statistics_are_the_servers_own(self):
        servers = [Memcached(self, f"memcached-{number}") for number in range(2)]
        client = self.serve_over(*servers)
        for number in range(100):
            client.predict(f"text {number}")
        stats = wait_until(lambda: (stats := client.stats())["size"] == 102 and stats, "all is counted")
        self.assertEqual((stats["scope"], stats["max_size"], stats["evictions"]), ("server", None, 0))
        self.assertGreater(stats["memory_mb"], 0)
        self.assertEqual(sum(server["size"] for server in stats["backend"]["servers"]), 102)


class RedisAway(Away):
    server_class = Redis


class Lies(Case):
    def answers(self, answer):
        path = os.path.join(self.directory, "liar.sock")
        liar = Liar(path, answer)
        self.addCleanup(liar.listener.close)
        client = self.serve(CACHE_BACKEND="memcached", MEMCACHED_SERVERS=f"unix:{path}", STORE_TIMEOUT_MS=50)
        results = {}
        slow = 0
        for turn in range(60):
            text = f"this is {'good' if turn % 2 else 'bad'}"
            began = time.monotonic()
            response = client.predict(text)
            slow += time.monotonic() - began > 0.3
            self.assertEqual(response.status, 200, response)
            results.setdefault(text, set()).add(response.json()["result"]["sentiment"])
        self.assertEqual(results, {"this is good": {"positive"}, "this is bad": {"negative"}})
        self.assertGreater(liar.asked, 0)
        self.assertEqual(slow, 0)
        return client.stats()

    def test_garbage(self):
        stats = self.answers(garbage)
        self.assertGreater(stats["store_errors"], 0)
        self.assertEqual(stats["backend"]["state"], "degraded")

    def test_a_byte_at_a_time(self):
        self.assertGreater(self.answers(trickle)["store_errors"], 0)

    def test_another_key(self):
        self.assertGreater(self.answers(other_key)["store_errors"], 0)

    def test_another_value(self):
        self.assertGreater(self.answers(other_value)["rejected_entries"], 0)

    def test_an_error(self):
        stats = self.answers(out_of_memory)
        self.assertGreater(stats["store_errors"], 0)
        self.assertEqual(stats["backend"]["state"], "degraded")

    def test_cut_short(self):
        self.assertGreater(self.answers(cut_short)["store_errors"], 0)

    def test_redis_that_talks_garbage(self):
        path = os.path.join(self.directory, "liar.sock")
        liar = Liar(path, garbage)
        self.addCleanup(liar.listener.close)
        client = self.serve(CACHE_BACKEND="redis", REDIS_URL=f"unix://{path}", STORE_TIMEOUT_MS=50)
        self.assertEqual({client.predict("text").status for _ in range(20)}, {200})
        self.assertEqual(client.stats()["backend"]["state"], "degraded")

    def test_redis_that_nobody_listens_for(self):
        """The log says so, and not that an answer was late."""
        client = self.serve(CACHE_BACKEND="redis", REDIS_URL=f"redis://127.0.0.1:{free_port()}", WORKERS=1)
        self.assertEqual(client.predict("text").status, 200)
        wait_until(lambda: "event=cache_server_down" in client.app.log(), "it is seen to be away")
        self.assertRegex(client.app.log(), 'event=cache_server_down .*error="Connection refused"')


del Away
