"""A reload: the master executes its program anew, in place; new settings count, and a wrong configuration changes nothing."""

import os
import resource
import shutil
import signal
import subprocess

from processes import children_of, is_alive, wait_until
from reloading import Reloading
from servers import PROGRAM, Inferonce, environment


class Settings(Reloading):
    def test_new_settings_count(self):
        client = self.front(self.begin(CACHE_TTL=60).socket_path)
        self.configure(CACHE_TTL=30, WORKERS=2)
        self.reload()
        self.assertEqual(client.stats()["ttl_seconds"], 30)

    def test_a_wrong_configuration_changes_nothing(self):
        client = self.front(self.begin(CACHE_TTL=60).socket_path)
        workers = self.app.workers()
        self.configure("CACHE_TTL=often\n")
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: self.done("reload_refused") == 1, "it is refused")
        said = [line for line in self.app.log().splitlines() if "CACHE_TTL=often" in line]
        self.assertEqual(len(said), 1, said)
        self.assertIn("event=reload_refused", said[0])
        self.assertEqual(self.app.log().splitlines()[-1], said[0])
        self.assertEqual(self.app.workers(), workers)
        self.assertEqual((client.stats()["ttl_seconds"], self.metric(client, "reloads_refused_total")), (60, 1))
        self.configure(CACHE_TTL=45, WORKERS=2)
        self.reload()
        self.assertEqual(client.stats()["ttl_seconds"], 45)

    def test_a_program_that_cannot_be_executed(self):
        client = self.front(self.begin().socket_path)
        for break_it in (os.unlink, lambda path: open(path, "wb").close(), lambda path: os.chmod(path, 0o755)):
            break_it(self.program)
            before = self.done("reload_refused")
            self.app.send_signal(signal.SIGHUP)
            wait_until(lambda: self.done("reload_refused") > before, "it is refused")
            self.assertEqual(client.predict("text").status, 200)
        shutil.copy(PROGRAM, self.program)
        self.reload()

    def test_more_and_fewer_workers(self):
        client = self.front(self.begin().socket_path)
        client.predict("kept")
        for workers in (4, 1, 3):
            self.configure(WORKERS=workers)
            self.reload()
            wait_until(lambda n=workers: len(self.app.workers()) == n, f"there are {workers}")
            self.assertEqual(client.predict("kept").cache, "HIT")
            self.assertEqual(client.stats()["workers"], workers)

    def test_another_socket(self):
        self.begin()
        other = os.path.join(self.directory, "other.sock")
        environment_of_app = self.app.socket_path
        self.app.stop()
        self.configure(LISTEN=f"unix:{environment_of_app}", WORKERS=1)
        app = self.app = Inferonce(self, "--config", self.settings, command=[self.program], listen="", wait=False, WORKERS=None, name="moves")
        app.socket_path = environment_of_app
        app.wait_ready(1)
        self.configure(LISTEN=f"unix:{other}", WORKERS=1)
        self.reload()
        app.socket_path = other
        self.assertTrue(app.answers())
        self.assertFalse(os.path.exists(environment_of_app))

    def test_a_socket_that_cannot_be_made_yet(self):
        """The one that there is stays, and each reload tries again."""
        self.begin()
        self.app.stop()
        first, directory = self.app.socket_path, os.path.join(self.directory, "later")
        self.configure(LISTEN=f"unix:{first}", WORKERS=1)
        self.app = Inferonce(self, "--config", self.settings, command=[self.program], listen="", wait=False, WORKERS=None, name="moves")
        self.app.socket_path = first
        self.app.wait_ready(1)
        self.configure(LISTEN=f"unix:{directory}/other.sock", WORKERS=1)
        self.reload()
        held = self.descriptors()
        os.mkdir(directory)
        in_the_way = os.path.join(directory, "other.sock")
        open(in_the_way, "wb").close()
        self.reload()
        self.assertEqual(self.done("cannot_listen"), 2)
        self.assertIn(f"kept=unix:{first}", self.app.log())
        self.assertTrue(self.app.answers())
        self.assertEqual((self.descriptors(), os.listdir(directory)), (held, ["other.sock"]))
        os.unlink(in_the_way)
        self.reload()
        self.assertFalse(os.path.exists(first))
        self.app.socket_path = os.path.join(directory, "other.sock")
        self.assertTrue(self.app.answers())

    def test_the_command(self):
        self.begin()
        before = self.done("reloaded")
        said = subprocess.run([PROGRAM, "--reload"], env=environment({"LISTEN": f"unix:{self.app.socket_path}"}), capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((said.returncode, said.stdout), (0, f"inferonce: told the process {self.app.pid} to reload\n"))
        wait_until(lambda: self.done("reloaded") > before, "it is reloaded")
        self.app.stop()
        said = subprocess.run([PROGRAM, "--reload"], env=environment({"LISTEN": f"unix:{self.app.socket_path}"}), capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(said.returncode, 1)
        self.assertIn("no program listens", said.stderr)

    def test_check_config(self):
        for settings, code, text in (({}, 0, ""), ({"CACHE_TTL": "often"}, 2, "CACHE_TTL=often"), ({"CACHE_PATH": self.directory}, 2, "Is a directory")):
            for flag in ("--check-config", "-t"):
                said = subprocess.run([PROGRAM, flag], env=environment(settings), capture_output=True, text=True, timeout=20, check=False)
                self.assertEqual((said.returncode, said.stdout), (code, ""))
                self.assertIn(text, said.stderr)

    def test_too_few_descriptors(self):
        """The program that would end without them is not executed."""
        client = self.front(self.begin().socket_path)
        resource.prlimit(self.app.pid, resource.RLIMIT_NOFILE, (60, 60))
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: self.done("reload_refused") == 1, "it is refused")
        self.assertIn("the limit is 60: raise it", self.app.log())
        self.assertEqual(client.get("/healthz").status, 200)

    def test_signals_meanwhile(self):
        """A second one waits; one that ends it does."""
        self.begin()
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: self.done("reloading") == 1, "it begins")
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: self.done("reloaded") == 2, "it is reloaded again", timeout_s=40)
        self.app.send_signal(signal.SIGHUP)
        self.assertEqual(self.app.stop(), 0)
        self.assertEqual([pid for pid in children_of(self.app.pid) if is_alive(pid)], [])
