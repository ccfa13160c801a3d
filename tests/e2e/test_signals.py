"""Signals that nobody meant for it, a standard error that nobody reads, descriptors that are closed."""

import fcntl
import json
import os
import signal
import socket

from case import Case
from processes import reap, wait_until
from servers import PROGRAM, Inferonce

# What other daemons take for a command, and what else would end a process by default.
LOGGED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM]
SILENT = [signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGSTKFLT, signal.SIGRTMIN, signal.SIGRTMAX]


def block_all():
    """As a careless parent leaves them: blocked, and children that vanish without being counted."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def kill_and_see_replaced(app, number=signal.SIGKILL):
    victim = app.workers()[0]
    count = len(app.workers())
    os.kill(victim, number)
    wait_until(lambda: victim not in app.workers() and len(app.workers()) == count, "the worker was replaced")
    wait_until(app.answers, "it answers")


# A sanitizer would take these signals for its own.
OWN_HANDLERS = "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_abort=0:handle_sigill=0"


class Signals(Case):
    def test_what_ends_nobody(self):
        app = Inferonce(self)
        workers = app.workers()
        for number in LOGGED:
            app.send_signal(number)
            wait_until(lambda: f"event=signal_ignored role=master pid={app.pid} signal={int(number)} " in app.log(), f"{number} is logged")
        for number in SILENT:
            app.send_signal(number)
        for number in LOGGED + SILENT + [signal.SIGINT, signal.SIGQUIT]:
            for pid in workers:
                os.kill(pid, number)
        self.assertTrue(app.answers())
        self.assertEqual(app.workers(), workers)
        self.assertEqual(app.stop(), 0)
        self.assertNotIn("event=worker_killed", app.log())
        self.assertFalse(os.path.exists(app.socket_path))

    def test_quit_drains(self):
        client = self.serve(INFERENCE_DELAY_MS=1500)
        waiting = client.start(client.encode("POST", "/predict", {"text": "in flight"}))
        wait_until(lambda: client.stats()["in_flight"] == 1, "the inference has begun")
        client.app.send_signal(signal.SIGQUIT)
        self.assertEqual(client.finish(waiting).status, 200)
        self.assertEqual(client.app.wait(), 0)
        self.assertFalse(os.path.exists(client.app.socket_path))

    def test_inherited_signals(self):
        app = Inferonce(self, prepare=block_all, ASAN_OPTIONS=OWN_HANDLERS)
        kill_and_see_replaced(app)
        kill_and_see_replaced(app, signal.SIGSEGV)
        self.assertEqual(app.stop(), 0)

    def test_nobody_dies_without_a_word(self):
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGXCPU):
            with self.subTest(number=number):
                app = Inferonce(self, name=f"inferonce-{number.name}", WORKERS=1, ASAN_OPTIONS=OWN_HANDLERS)
                worker = app.workers()[0]
                kill_and_see_replaced(app, number)
                self.assertIn(f"event=crashed role=worker slot=0 pid={worker} signal={int(number)}\n", app.log())
                workers = app.workers()
                self.assertEqual(app.stop(number), -number)
                wait_until(lambda: all([reap(pid) for pid in workers]), "the workers have ended")
                self.assertIn(f"event=crashed role=master pid={app.pid} signal={int(number)}\n", app.log())


class StandardError(Case):
    def start(self, descriptor, **settings):
        """Its standard error is this descriptor, whose flags are a shell's, too."""
        return Inferonce(self, command=["sh", "-c", f'exec "$0" "$@" 2>&{descriptor}', PROGRAM], pass_fds=[descriptor],
                         LOG_LEVEL="debug", **settings)

    def fill(self, descriptor):
        os.set_blocking(descriptor, False)
        for piece in (b"." * 4096, b"."):
            try:
                while True:
                    os.write(descriptor, piece)
            except BlockingIOError:
                pass
        os.set_blocking(descriptor, True)

    def read_all(self, descriptor):
        os.set_blocking(descriptor, False)
        text = b""
        try:
            while piece := os.read(descriptor, 65536):
                text += piece
        except BlockingIOError:
            pass
        return text

    def check(self, reading, writing):
        self.fill(writing)
        flags = fcntl.fcntl(writing, fcntl.F_GETFL)
        app = self.start(writing)
        for _ in range(3):
            kill_and_see_replaced(app)
        with app.connect() as connection:
            self.assertGreater(json.loads(connection.ask("GET", "/cache/stats").body)["log_lines_lost"], 0)
        self.assertEqual(fcntl.fcntl(writing, fcntl.F_GETFL), flags, "others share the description")
        self.read_all(reading)
        app.send_signal(signal.SIGUSR1)
        heard = []
        wait_until(lambda: heard.append(self.read_all(reading)) or b"event=signal_ignored" in b"".join(heard), "it logs again")
        line = b"".join(heard).decode()
        self.assertRegex(line, r"event=signal_ignored role=master pid=\d+ lost=\d+ signal=10 ")
        self.assertEqual(app.stop(), 0)

    def test_a_pipe_that_nobody_reads(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.check(reading, writing)

    def test_a_socket_that_nobody_reads(self):
        """As systemd's journal is given."""
        reading, writing = socket.socketpair()
        with reading, writing:
            self.check(reading.fileno(), writing.fileno())

    def test_closed_descriptors(self):
        """What is opened first must not get the log's number: it would be the file of entries."""
        path = os.path.join(self.directory, "entries")
        app = Inferonce(self, command=["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', PROGRAM], CACHE_PATH=path)
        kill_and_see_replaced(app)
        with app.connect() as connection:
            connection.ask("POST", "/predict", b'{"text": "kept"}')
        for pid in [app.pid, *app.workers()]:
            for descriptor in range(3):
                self.assertEqual(os.readlink(f"/proc/{pid}/fd/{descriptor}"), "/dev/null")
        self.assertEqual(app.stop(), 0)
        app = Inferonce(self, CACHE_PATH=path)
        with app.connect() as connection:
            self.assertEqual(connection.ask("POST", "/predict", b'{"text": "kept"}').headers["x-cache"], "HIT")
        self.assertNotIn("cache_file", app.log())
