"""The file of CACHE_PATH: what happens to it while it is in use costs its entries and nothing else."""

import os

from case import Case
from load import Load
from processes import reap, wait_until
from servers import Inferonce


class CutShort(Case):
    def start(self, **settings):
        self.path = os.path.join(self.directory, "entries")
        return Inferonce(self, CACHE_PATH=self.path, **settings)

    def damage(self, app, cut, made_anew=True):
        """Under load: nobody notices."""
        client = self.front(app.socket_path)
        workers = app.workers()
        for number in range(50):
            client.predict(f"text {number}")
        before = client.stats()
        size = os.path.getsize(self.path)
        load = Load(client)
        cut(size)
        wait_until(lambda: "event=shared_memory_lost" in app.log(), "it is noticed")
        wait_until(lambda: not set(workers) & set(app.workers()) and len(app.workers()) == 2, "the workers have successors", timeout_s=40)
        self.assertEqual({status for status, _, _ in load.stop()}, {200})
        self.assertEqual([client.predict("afterwards").cache for _ in range(11)], ["MISS"] + ["HIT"] * 10)
        self.assertEqual(app.log().count("event=shared_memory_lost"), 1)
        self.assertNotIn("worker_killed", app.log())
        if made_anew:
            self.assertEqual(os.path.getsize(self.path), size)
            app.stop()
            again = self.start(listen=f"unix:{app.socket_path}", name="again")
            self.assertEqual(self.front(again.socket_path, name="nginx-again").predict("afterwards").cache, "HIT")
        return before, client

    def test_to_nothing(self):
        self.damage(self.start(), lambda _size: os.truncate(self.path, 0))

    def test_to_a_page(self):
        self.damage(self.start(), lambda _size: os.truncate(self.path, 4096))

    def test_to_a_half_and_counters_go_on(self):
        app = self.start()
        client = self.front(app.socket_path, name="nginx-counting")
        for number in range(20):
            client.predict(f"counted {number}")
        self.assertEqual(client.stats()["misses"], 20)
        os.truncate(self.path, os.path.getsize(self.path) // 2)
        wait_until(lambda: app.log().count("event=former_worker_exited") == 2, "new workers serve alone", timeout_s=40)
        self.assertEqual(client.stats()["misses"], 20)
        client.predict("one more")
        self.assertEqual(client.stats()["misses"], 21)

    def test_overwritten_by_somebody(self):
        """What is no file of ours is left alone: the program goes on without one."""

        def overwrite(_size):
            with open(self.path, "w", encoding="ascii") as file:
                file.write("somebody else's\n")

        app = self.start()
        self.damage(app, overwrite, made_anew=False)
        self.assertIn("event=cache_file_not_made_anew", app.log())
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "somebody else's\n")

    def test_two_pools(self):
        """Both notice, and meet again in the file that one of them has made."""
        one, two = self.start(name="one"), self.start(name="two")
        clients = [self.front(app.socket_path, name=f"nginx-{app.name}") for app in (one, two)]
        clients[0].predict("shared")
        self.assertEqual(clients[1].predict("shared").cache, "HIT")
        os.truncate(self.path, 0)
        for app in (one, two):
            wait_until(lambda a=app: "event=shared_memory_lost" in a.log(), "it is noticed")
        for client in clients:
            wait_until(lambda c=client: c.stats()["in_flight"] == 0, "it serves")

        def meet():
            text = f"met {len(tried)}"
            tried.append(text)
            return clients[0].predict(text).cache == "MISS" and clients[1].predict(text).cache == "HIT"

        tried = []
        wait_until(meet, "what one has stored the other finds")
        for app in (one, two):
            self.assertNotIn("cache_file_not_made_anew", app.log())

    def test_removed(self):
        """A file that is mapped lives on without a name; the next start begins with nothing."""
        app = self.start()
        client = self.front(app.socket_path)
        client.predict("text")
        os.unlink(self.path)
        self.assertEqual(client.predict("text").cache, "HIT")
        workers = app.workers()
        app.stop()
        wait_until(lambda: all([reap(pid) or True for pid in workers]), "the workers are gone")
        again = self.start(name="again")
        self.assertEqual(self.front(again.socket_path, name="nginx-again").predict("text").cache, "MISS")


class OtherSizes(Case):
    """A file that was made with other sizes: what fits is kept."""

    def start(self, name, **settings):
        path = os.path.join(self.directory, "entries")
        app = Inferonce(self, name=name, CACHE_PATH=path, CACHE_EVICTION="recency", **settings)
        return app, self.front(app.socket_path, name=f"nginx-{name}")

    def test_grown_and_shrunk(self):
        app, client = self.start("first", CACHE_MEMORY_MB=16, CACHE_MAX_SIZE=100)
        texts = [f"text {number}" for number in range(100)]
        for text in texts:
            client.predict(text)
        client.predict("of before a purge", headers=[("X-Cache-Namespace", "purged")])
        client.delete("/cache", headers=[("X-Cache-Namespace", "purged")])
        app.stop()
        app, client = self.start("grown", CACHE_MEMORY_MB=32, CACHE_MAX_SIZE=5000, WORKERS=3)
        self.assertRegex(app.log(), "event=cache_file_taken_over .*entries=(99|100)\n")
        self.assertEqual([client.predict(text).cache for text in texts[1:]], ["HIT"] * 99)
        self.assertEqual(client.predict("of before a purge", headers=[("X-Cache-Namespace", "purged")]).cache, "MISS")
        app.stop()
        app, client = self.start("shrunk", CACHE_MEMORY_MB=16, CACHE_MAX_SIZE=20)
        self.assertEqual(client.stats()["size"], 20)
        self.assertEqual(client.predict("of before a purge", headers=[("X-Cache-Namespace", "purged")]).cache, "HIT")
