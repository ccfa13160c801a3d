"""Started by spawn-fcgi, with the launcher that is shipped."""

import os
import signal
import subprocess

import fastcgi
from case import Case
from processes import Child, children_of, is_alive, let_run, reap, wait_until
from servers import PROGRAM, ROOT, environment

LAUNCHER = os.path.join(ROOT, "deploy", "inferonce-spawn")


class SpawnFcgi(Case):
    def setUp(self):
        super().setUp()
        self.socket_path = os.path.join(self.directory, "spawned.sock")
        self.pidfile = os.path.join(self.directory, "pids")
        self.settings = {"PROGRAM": PROGRAM, "SOCKET": self.socket_path, "PIDFILE": self.pidfile,
                         "LOG": os.path.join(self.directory, "spawned.log")}

    def answers(self):
        try:
            return self.ask("GET", "/healthz").status == 200
        except OSError:
            return False

    def ask(self, *request):
        with fastcgi.Connection(self.socket_path) as connection:
            return connection.ask(*request)

    def predict(self, text):
        answer = self.ask("POST", "/predict", b'{"text": "%s"}' % text.encode())
        self.assertEqual(answer.status, 200)
        return answer.headers["x-cache"]

    def test_foreground(self):
        child = Child("spawn-fcgi", [LAUNCHER, "-n", "--workers=2"], self.settings["LOG"], environment(self.settings))
        self.add_child(child)
        wait_until(lambda: child.alive and len(children_of(child.pid)) == 2 and self.answers(), "it answers")
        self.assertEqual(os.stat(self.socket_path).st_mode & 0o777, 0o660)
        self.assertEqual([self.predict("spawned"), self.predict("spawned")], ["MISS", "HIT"])
        self.assertEqual(child.stop(), 0)

    def test_reloads(self):
        """The socket on descriptor 0 outlives each of them."""
        child = Child("spawn-fcgi", [LAUNCHER, "-n", "--workers=2"], self.settings["LOG"], environment(self.settings))
        self.add_child(child)
        wait_until(lambda: child.alive and len(children_of(child.pid)) == 2 and self.answers(), "it answers")
        self.predict("kept")
        for turn in range(1, 4):
            child.send_signal(signal.SIGHUP)
            wait_until(lambda n=turn: child.log().count("event=reloaded ") == n, "it is reloaded")
            wait_until(lambda: len(children_of(child.pid)) == 2, "the old workers are gone")
            self.assertEqual(self.predict("kept"), "HIT")
        self.assertEqual(child.stop(), 0)

    def spawn_four(self):
        self.settings.update(CHILDREN=4, WORKERS=1, CACHE_PATH=os.path.join(self.directory, "entries"))
        result = subprocess.run([LAUNCHER], env=environment(self.settings), stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result)
        with open(self.pidfile, encoding="ascii") as file:
            masters = [int(line) for line in file]
        self.addCleanup(self.end, masters)
        wait_until(lambda: all(len(children_of(pid)) == 1 for pid in masters), "all four have a worker")
        return masters

    def end(self, masters):
        for pid in masters:
            if is_alive(pid):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: all([reap(pid) for pid in masters]), "all four have ended")

    def test_four_pools_share_a_file(self):
        workers = [children_of(pid)[0] for pid in self.spawn_four()]
        self.addCleanup(let_run, None, workers)
        let_run(workers[0], workers)
        for text in ("one", "two", "three"):
            self.assertEqual(self.predict(text), "MISS")
        for worker in workers[1:]:
            let_run(worker, workers)
            self.assertEqual(self.predict("one"), "HIT")
        let_run(workers[1], workers)
        self.assertEqual(self.ask("DELETE", "/cache").status, 200)
        for worker, text in ((workers[3], "one"), (workers[2], "two"), (workers[0], "three")):
            let_run(worker, workers)
            self.assertEqual(self.predict(text), "MISS")

    def test_one_of_four_pools_dies(self):
        masters = self.spawn_four()
        self.predict("shared")
        os.kill(masters[0], signal.SIGKILL)
        wait_until(lambda: not is_alive(masters[0]), "it is dead")
        for _ in range(20):
            self.assertEqual(self.predict("shared"), "HIT")

    def test_pools_that_would_not_share(self):
        result = subprocess.run([LAUNCHER], env=environment({**self.settings, "CHILDREN": 4}), stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("CACHE_PATH", result.stderr)

    def launch(self, *flags, **settings):
        return subprocess.run([LAUNCHER, *flags], env=environment({**self.settings, **settings}), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)

    def test_help(self):
        for flag in ("--help", "-h"):
            result = self.launch(flag)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for word in ("SOCKET_GROUP", "RUN_AS", "CHILDREN", "PIDFILE", "Exit status"):
                self.assertIn(word, result.stdout)

    def test_tells_why_it_does_not_start(self):
        """The program's own words, whether there is a log or not: a wrong setting, and one that shows only when it starts."""
        for log in ("", self.settings["LOG"]):
            with self.subTest(log=log):
                result = self.launch("--workers=65", LOG=log)
                self.assertEqual(result.returncode, 2, result)
                self.assertIn("--workers=65: expected a number", result.stderr)
                result = self.launch("--workers=1", LOG=log, CACHE_PATH=self.directory)
                self.assertEqual(result.returncode, 1, result)
                self.assertIn("inferonce did not start", result.stderr)
                self.assertIn(f"{self.directory}: ", result.stderr)
                self.assertEqual(children_of(os.getpid()), [])
                while self.reap_any():
                    pass

    def reap_any(self):
        try:
            return os.waitpid(-1, os.WNOHANG)[0]
        except ChildProcessError:
            return 0

    def test_without_a_log(self):
        """Nobody reads what it says after the first second, and that does not end it."""
        result = self.launch("--workers=1", LOG="", LOG_LEVEL="debug")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("spawned successfully", result.stdout)
        with open(self.pidfile, encoding="ascii") as file:
            masters = [int(file.read())]
        self.addCleanup(self.end, masters)
        wait_until(self.answers, "it answers")
        os.kill(children_of(masters[0])[0], signal.SIGKILL)  # which is logged
        wait_until(lambda: len(children_of(masters[0])) == 1 and self.answers(), "it goes on")
