"""How long entries live: lifetime, room, a file that survives restarts, files that are not what they should be."""

import os
import signal
import time

from case import Case
from processes import reap, wait_until
from servers import Inferonce, run_program


class Lifetime(Case):
    def test_an_entry_expires(self):
        client = self.serve(CACHE_TTL="0.3")
        started = time.monotonic()
        client.predict("short-lived")

        def expired():
            response = client.predict("short-lived")
            return response if response.cache != "HIT" else None

        response = wait_until(expired, "the entry has expired")
        self.assertGreaterEqual(time.monotonic() - started, 0.299)
        self.assertEqual(response.cache, "MISS")
        self.assertEqual(response.cache_status, {"fwd": "stale", "stored": True})
        stats = client.stats()
        self.assertEqual(stats["inferences"], 2)
        self.assertEqual(stats["misses"], 2)


class Room(Case):
    def test_the_size_is_kept(self):
        client = self.serve(CACHE_MAX_SIZE=50)
        for i in range(300):
            self.assertEqual(client.predict(f"text {i}").status, 200)
        self.assertEqual(client.predict("text 299").cache, "HIT")
        stats = client.stats()
        self.assertEqual(stats["max_size"], 50)
        self.assertTrue(25 <= stats["size"] <= 50, stats)
        self.assertEqual(stats["evictions"], 300 - stats["size"], stats)

    def test_what_is_asked_for_stays(self):
        client = self.serve(CACHE_MAX_SIZE=200)
        client.predict("popular")
        for i in range(1000):
            client.predict(f"text {i}")
            if i % 10 == 0:
                self.assertEqual(client.predict("popular").cache, "HIT", i)


class File(Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "entries")

    def start(self, **settings):
        return Inferonce(self, CACHE_PATH=self.path, **settings)

    def predict(self, app, text="kept"):
        with app.connect() as connection:
            answer = connection.ask("POST", "/predict", b'{"text": "%s"}' % text.encode())
        self.assertEqual(answer.status, 200)
        return answer.headers["x-cache"]

    def test_entries_survive_a_restart(self):
        app = self.start()
        self.assertEqual(self.predict(app), "MISS")
        self.assertEqual(app.stop(), 0)
        app = self.start()
        self.assertEqual(self.predict(app), "HIT")
        self.assertEqual(os.stat(self.path).st_mode & 0o077, 0)

    def test_entries_survive_a_kill(self):
        app = self.start()
        self.predict(app)
        workers = app.workers()
        app.stop(signal.SIGKILL)
        wait_until(lambda: all([reap(pid) for pid in workers]), "the workers are gone")
        self.assertEqual(self.predict(self.start()), "HIT")

    def test_a_purge_survives_a_restart(self):
        app = self.start()
        self.predict(app)
        with app.connect() as connection:
            self.assertEqual(connection.ask("DELETE", "/cache").status, 200)
        app.stop()
        self.assertEqual(self.predict(self.start()), "MISS")

    def spoil(self, change):
        """Starts on a file that was changed: it must say so in one line, start empty and work, and keep what it stores then."""
        app = self.start()
        self.predict(app)
        app.stop()
        os.unlink(app.log_path)
        change(self.path)
        app = self.start()
        self.assertEqual(self.predict(app), "MISS")
        self.assertEqual(self.predict(app), "HIT")
        app.stop()
        said = [line for line in app.log().splitlines() if self.path in line]
        self.assertEqual(len(said), 1, app.log())
        self.assertIn("level=warn", said[0])
        self.assertEqual(self.predict(self.start()), "HIT")

    def test_files_of_others_are_left_alone(self):
        link = os.path.join(self.directory, "link")
        fifo = os.path.join(self.directory, "fifo")
        with open(self.path, "wb") as file:
            file.write(b"root:x:0:0:root:/root:/bin/sh\n")
        os.symlink(self.path, link)
        os.mkfifo(fifo)
        for path in (self.path, link, fifo, self.directory, "/dev/zero"):
            with self.subTest(path=path):
                result = run_program(f"--listen=unix:{self.directory}/s", CACHE_PATH=path, WORKERS=1)
                self.assertEqual(result.returncode, 2)
                self.assertIn(f"CACHE_PATH: {path}", result.stderr)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), b"root:x:0:0:root:/root:/bin/sh\n")

    def test_cut_short(self):
        self.spoil(lambda path: os.truncate(path, os.path.getsize(path) // 2))

    def test_another_version(self):
        def change(path):
            with open(path, "r+b") as file:
                file.seek(8)  # behind the magic stands the version of the layout
                version = file.read(1)
                file.seek(8)
                file.write(bytes([version[0] ^ 0xFF]))

        self.spoil(change)

    def test_noise_inside(self):
        """A header that is right and content that is not: entries are checked one by one, nothing crashes."""
        app = self.start(WORKERS=1)
        for i in range(100):
            self.predict(app, f"text {i}")
        app.stop()
        size = os.path.getsize(self.path)
        with open(self.path, "r+b") as file:
            file.seek(size // 10)
            file.write(os.urandom(size - size // 10))
        app = self.start(WORKERS=1)
        pids = app.workers()
        for i in range(100):
            self.assertIn(self.predict(app, f"text {i}"), ("HIT", "MISS"))
        self.assertEqual(app.workers(), pids)

    def test_a_place_where_no_file_can_be(self):
        for path in (os.path.join(self.directory, "missing", "entries"), self.directory):
            with self.subTest(path=path):
                result = run_program(f"--listen=unix:{self.directory}/s", CACHE_PATH=path, WORKERS=1)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(path, result.stderr)
