"""A cache server that forgot purges brings nothing back: an older snapshot, a replica that lagged; and what servers keep has an end."""

import os
import re
import shutil
import threading

from cache_servers import Memcached, Redis
from case import Case
from processes import wait_until
from servers import Inferonce

HOUR_MS = 3600 * 1000

# Twice what the longest entry lasts, and an hour's margin (CACHE_TTL_MAX is a day).
GENERATION_MS = 2 * (24 * HOUR_MS + HOUR_MS)


class Forgetting(Case):
    def serve_over(self, *servers, **settings):
        client = self.serve(STORE_TIMEOUT_MS=2000, **servers[0].settings(*servers), **settings)
        self.await_use(client)
        return client

    def await_use(self, client):
        wait_until(lambda: all(client.get("/readyz").json()["status"] == "ok" for _ in range(20)), "every worker uses the servers", timeout_s=40)

    def started_from(self, redis, snapshot, client):
        """Redis starts anew with what it once saved."""
        redis.kill()
        shutil.copy(snapshot, os.path.join(redis.directory, "dump.rdb"))
        redis.restart()
        client.predict("somebody asks")
        self.await_use(client)

    def save(self, redis):
        self.assertEqual(redis.ask("SAVE"), "+OK\r\n")
        return shutil.copy(os.path.join(redis.directory, "dump.rdb"), os.path.join(redis.directory, "older.rdb"))

    def test_a_purge_that_the_snapshot_has_not(self):
        redis = Redis(self)
        client = self.serve_over(redis)
        client.predict("text")
        snapshot = self.save(redis)
        self.assertEqual(client.delete("/cache").status, 200)
        self.started_from(redis, snapshot, client)
        self.assertEqual([client.predict("text").cache for _ in range(2)], ["MISS", "HIT"])
        self.assertRegex(client.app.log(), "level=warn event=cache_server_forgot_purges .*server=\"?unix:")

    def test_a_later_purge_that_the_snapshot_has_not(self):
        redis = Redis(self)
        client = self.serve_over(redis)
        client.delete("/cache", headers=[("X-Cache-Namespace", "other")])
        key = client.predict("text").header("X-Cache-Key")
        snapshot = self.save(redis)
        self.assertEqual(client.delete(f"/cache/{key}").status, 200)
        self.started_from(redis, snapshot, client)
        self.assertEqual([client.predict("text").cache for _ in range(2)], ["MISS", "HIT"])

    def test_a_snapshot_that_has_every_purge(self):
        redis = Redis(self)
        client = self.serve_over(redis)
        client.delete("/cache")
        client.predict("text")
        self.started_from(redis, self.save(redis), client)
        self.assertEqual(client.predict("text").cache, "HIT")
        self.assertNotIn("cache_server_forgot_purges", client.app.log())

    def test_a_replica_that_lagged_takes_over(self):
        redis = Redis(self)
        client = self.serve_over(redis)
        client.predict("text")
        shutil.copy(self.save(redis), os.path.join(redis.directory, "dump.rdb"))
        self.assertEqual(client.delete("/cache").status, 200)
        successor = Redis(self, name="successor")  # begins with the older snapshot, as a replica that had not been told
        redis.kill()
        os.rename(successor.path, redis.path)
        client.predict("somebody asks")
        self.await_use(client)
        self.assertEqual(client.predict("text").cache, "MISS")

    def test_many_removals_at_once(self):
        """Each has its time noted, or a later one's: that is no reason for a server to be told anything later."""
        for server in (Memcached(self), Redis(self)):
            with self.subTest(server=server.name):
                app = Inferonce(self, name=f"over-{server.name}", STORE_TIMEOUT_MS=2000, WORKERS=1, **server.settings(server))
                client = self.front(app.socket_path, name=f"nginx-{server.name}")
                texts = [f"text {number}" for number in range(256)]
                client.predict_batch(texts)
                purged = client.request("POST", "/cache/purge", {"texts": texts})
                self.assertEqual((purged.status, purged.json()), (200, {"deleted": 256}))
                self.assertEqual(client.predict_batch(texts).json()["cached"], 0)
                stats = client.stats()
                self.assertEqual(stats["backend"]["state"], "ok", stats)
                self.assertEqual(stats["store_errors"], 0, stats)
                self.assertNotIn("cache_server_down", app.log())

    def test_one_of_two_memcached_starts_anew(self):
        """It has nothing that could come back: the other one's entries stay."""
        servers = [Memcached(self, name) for name in ("one", "two")]
        client = self.serve_over(*servers)
        for text in range(20):
            client.predict(f"before {text}")
        self.assertEqual(client.delete("/cache").status, 200)
        after = [f"after {text}" for text in range(20)]
        for text in after:
            client.predict(text)
        servers[0].restart()
        wait_until(lambda: client.predict("somebody asks").cache == "HIT", "it is used")
        self.await_use(client)
        found = [client.predict(text).cache for text in after]
        self.assertGreater(found.count("HIT"), 0, found)
        self.assertEqual({client.predict(f"before {text}").cache for text in range(20)}, {"MISS"})
        self.assertNotIn("cache_server_forgot_purges", client.app.log())


class Evicted(Case):
    """A server needs the room of a tombstone while what was removed is being inferred."""

    def forget(self, server, key):
        if isinstance(server, Redis):
            self.assertEqual(server.ask(f"DEL inferonce:e{key}"), ":1\r\n")
        else:
            self.assertEqual(server.ask(f"delete inferonce:e{key}"), "DELETED\r\n")

    def other_text(self, client, key):
        """One whose entry has nothing in common with that of `key`, removed and gone."""
        for number in range(100):
            other = client.predict(f"other {number}").header("X-Cache-Key")
            if other[:2] != key[:2]:
                return other
        self.fail("256 times the same two digits")

    def infer_and(self, meanwhile):
        """What a text that is inferred for a second is afterwards; `meanwhile` is done to its key."""
        for server in (Memcached(self), Redis(self)):
            with self.subTest(server=server.name):
                name = f"{meanwhile.__name__}-{server.name}"
                app = Inferonce(self, name=name, STORE_TIMEOUT_MS=2000, WORKERS=1, INFERENCE_DELAY_MS=1000, **server.settings(server))
                client = self.front(app.socket_path, name=f"nginx-{name}")
                key = client.predict("text").header("X-Cache-Key")
                other = self.other_text(client, key)
                answers = []
                asker = threading.Thread(target=lambda: answers.append(client.predict("text", headers=[("Cache-Control", "no-cache")])), daemon=True)
                asker.start()
                wait_until(lambda: client.stats()["in_flight"] == 1, "it is inferred")
                meanwhile(server, client, key, other)
                asker.join(20)
                yield answers[0], client.predict("text", headers=[("Cache-Control", "only-if-cached")])

    def test_a_tombstone(self):
        def removed_and_forgotten(server, client, key, other):
            self.assertEqual(client.delete(f"/cache/{key}").status, 200)
            self.forget(server, key)
        for answer, after in self.infer_and(removed_and_forgotten):
            self.assertEqual((answer.status, answer.cache), (200, "BYPASS"))
            self.assertNotIn("stored", answer.header("Cache-Status"))
            self.assertEqual(after.status, 504)

    def test_the_removal_of_another(self):
        def other_removed(server, client, key, other):
            self.assertEqual(client.delete(f"/cache/{other}").status, 200)
        for answer, after in self.infer_and(other_removed):
            self.assertIn("stored", answer.header("Cache-Status"))
            self.assertEqual((after.status, after.cache), (200, "HIT"))


class Ends(Case):
    """What a server is given to keep is given an end."""

    def fill(self, server):
        client = self.serve(STORE_TIMEOUT_MS=2000, WORKERS=1, **server.settings(server))
        for number in range(20):
            client.predict("text", headers=[("X-Cache-Namespace", f"n{number}")])
        client.delete("/cache", headers=[("X-Cache-Namespace", "n0")])
        client.delete("/cache", headers=[("X-Cache-Namespace", "never used")])
        client.delete("/cache/" + client.predict("removed").header("X-Cache-Key"))
        return client

    def another_host(self, server):
        app = Inferonce(self, name="other", STORE_TIMEOUT_MS=2000, WORKERS=1, **server.settings(server))
        return self.front(app.socket_path, name="nginx-other")

    def redis_keys(self, redis):
        return re.findall(r"inferonce:\w+", redis.ask("KEYS inferonce:*"))

    def pttl(self, redis, key):
        return int(redis.ask(f"PTTL {key}")[1:])

    def generations(self, redis):
        return [key for key in self.redis_keys(redis) if key.startswith("inferonce:g")]

    def test_redis(self):
        redis = Redis(self)
        self.fill(redis)
        keys = self.redis_keys(redis)
        self.assertGreater(len(keys), 40)
        for key in keys:
            self.assertTrue(0 < self.pttl(redis, key) <= GENERATION_MS, key)

    def test_a_question_writes_nothing(self):
        redis = Redis(self)
        client = self.fill(redis)
        before = sorted(self.redis_keys(redis))
        for number in range(20):
            answer = client.predict("text", headers=[("X-Cache-Namespace", f"only{number}"), ("Cache-Control", "only-if-cached")])
            self.assertEqual(answer.status, 504)
        self.assertEqual(sorted(self.redis_keys(redis)), before)

    def test_redis_generations_are_renewed(self):
        """By each host, when it first stores something there, so that no entry outlives its generation."""
        redis = Redis(self)
        self.fill(redis)
        for key in self.generations(redis):
            self.assertEqual(redis.ask(f"PEXPIRE {key} {HOUR_MS}"), ":1\r\n")
        other = self.another_host(redis)
        self.assertEqual(other.predict("text", headers=[("X-Cache-Namespace", "n1")]).cache, "HIT")
        self.assertEqual([key for key in self.generations(redis) if self.pttl(redis, key) > HOUR_MS], [])
        other.predict("another", headers=[("X-Cache-Namespace", "n1")])
        wait_until(lambda: [self.pttl(redis, key) > GENERATION_MS - HOUR_MS for key in self.generations(redis)].count(True) == 1,
                   "the generation of that namespace is renewed")

    def memcached_ends(self, memcached):
        """Seconds that each generation has left, by key; -1: for ever."""
        keys = re.findall(r"key=(inferonce%3Ag\w+)", memcached.ask("lru_crawler metadump all"))
        ends = {}
        for key in (key.replace("%3A", ":") for key in keys):
            ends[key] = int(re.match(r"HD t(-?\d+)", memcached.ask(f"mg {key} t"))[1])
        return ends

    def test_memcached(self):
        memcached = Memcached(self)
        self.fill(memcached)
        ends = self.memcached_ends(memcached)
        self.assertGreater(len(ends), 20)
        for key, seconds in ends.items():
            self.assertTrue(0 < seconds <= GENERATION_MS / 1000 + 1, (key, seconds))

    def test_memcached_generations_are_renewed(self):
        memcached = Memcached(self)
        self.fill(memcached)
        for key in self.memcached_ends(memcached):
            self.assertEqual(memcached.ask(f"touch {key} 3600"), "TOUCHED\r\n")
        other = self.another_host(memcached)
        other.predict("another", headers=[("X-Cache-Namespace", "n1")])
        wait_until(lambda: [seconds > 3600 for seconds in self.memcached_ends(memcached).values()].count(True) == 1,
                   "the generation of that namespace is renewed")
