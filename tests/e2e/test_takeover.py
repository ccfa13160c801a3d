"""The listening socket: removed while it is in use, left behind by a master that was killed, somebody else's."""

import ctypes
import os
import signal
import socket
import stat

from case import Case
from processes import reap, wait_until
from servers import Inferonce


class Held:
    """A process that a debugger holds: no signal but SIGKILL has it go on (ptrace(2))."""

    ATTACH, DETACH = 16, 17

    def __init__(self, pid):
        self.pid = pid
        self.libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(self, request):
        if self.libc.ptrace(ctypes.c_long(request), ctypes.c_long(self.pid), None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ptrace(self.ATTACH)
        os.waitpid(self.pid, 0)
        return self

    def __exit__(self, *_exception):
        self.ptrace(self.DETACH)


class Takeover(Case):
    def check_made_anew(self, app):
        """With the mode it had; and somebody answers."""
        wait_until(lambda: "event=socket_made_anew" in app.log(), "the socket is made anew")
        client = self.front(app.socket_path, name="nginx-again")
        wait_until(lambda: client.get("/healthz").status == 200, "somebody answers")
        self.assertEqual(stat.S_IMODE(os.stat(app.socket_path).st_mode), 0o660)
        return client

    def test_it_is_removed(self):
        app = Inferonce(self, INFERENCE_DELAY_MS=3000)
        client = self.front(app.socket_path)
        workers = app.workers()
        begun = client.start(client.encode("POST", "/predict", {"text": "begun before"}))
        wait_until(lambda: client.stats()["parked"] == 1, "it waits")
        os.unlink(app.socket_path)
        again = self.check_made_anew(app)
        self.assertEqual(client.finish(begun).status, 200)
        wait_until(lambda: not set(workers) & set(app.workers()), "who had the old one has ended")
        self.assertEqual(again.predict("begun before").cache, "HIT")

    def test_the_lock_file_goes_with_it(self):
        app = Inferonce(self)
        os.unlink(app.socket_path)
        os.unlink(app.socket_path + ".lock")
        self.check_made_anew(app)
        second = Inferonce(self, name="second", listen=f"unix:{app.socket_path}", wait=False)
        second.wait()
        self.assertRegex(second.log(), "event=cannot_listen .*is in use by a running process")

    def test_its_directory_is_away_for_a_while(self):
        directory = os.path.join(self.directory, "run")
        os.mkdir(directory)
        app = Inferonce(self, listen=f"unix:{directory}/inferonce.sock")
        os.rename(directory, directory + ".away")
        wait_until(lambda: "event=socket_lost" in app.log(), "it is noticed")
        os.mkdir(directory)
        self.check_made_anew(app)
        self.assertEqual(app.log().count("event=socket_lost"), 1)

    def test_another_program_has_the_path(self):
        """It keeps it, and the socket comes back when that program has gone."""
        app = Inferonce(self)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(app.socket_path + ".other")
            other.listen()
            os.rename(app.socket_path + ".other", app.socket_path)
            others = os.stat(app.socket_path).st_ino
            wait_until(lambda: "event=socket_lost" in app.log(), "it is noticed")
            self.assertEqual(os.stat(app.socket_path).st_ino, others)
        self.check_made_anew(app)

    def test_a_worker_that_is_held_outlives_its_master(self):
        """By a debugger, say: it has the socket open, and nobody to tell it to end."""
        app = Inferonce(self, WORKERS=1)
        (worker,) = app.workers()
        with Held(worker):
            os.kill(app.pid, signal.SIGKILL)
            app.wait()
            successor = Inferonce(self, name="successor", listen=f"unix:{app.socket_path}")
            client = self.front(app.socket_path)
            for number in range(20):
                self.assertEqual(client.predict(f"text {number}").status, 200)
        wait_until(lambda: reap(worker), "the worker that was left has ended")
        self.assertEqual(client.predict("the path is still ours").status, 200)
        self.assertIn("event=socket_taken_over", successor.log())

    def test_forty_workers_are_killed_with_their_master(self):
        path = os.path.join(self.directory, "cache")
        app = Inferonce(self, WORKERS=40, CACHE_PATH=path)
        self.front(app.socket_path).predict("kept")
        processes = [app.pid, *app.workers()]
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        app.wait()
        successor = Inferonce(self, name="successor", listen=f"unix:{app.socket_path}", WORKERS=40, CACHE_PATH=path)
        for pid in processes[1:]:
            wait_until(lambda p=pid: reap(p), "the worker has ended")
        self.assertEqual(self.front(successor.socket_path, name="nginx-successor").predict("kept").cache, "HIT")
