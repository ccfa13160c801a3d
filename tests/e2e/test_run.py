"""`make run`: what it starts, what it says, and that nothing is left."""

import http.client
import os
import shlex
import signal
import socket
import threading
import time

from case import Case, through_both
from client import Client
from processes import Child, children_of, free_port, reap, wait_until
from servers import PROGRAM, ROOT, environment


@through_both
class MakeRun(Case):
    runs = 0

    def run_script(self, port, **settings):
        temporary = os.path.join(self.directory, "tmp")
        os.makedirs(temporary, exist_ok=True)
        self.runs += 1
        log_path = os.path.join(self.directory, f"run-{self.runs}.log")
        child = Child("run", [os.path.join(ROOT, "deploy", "run"), self.web.program, str(port)], log_path,
                      environment({"TMPDIR": temporary, "BUILD": os.path.dirname(PROGRAM), **settings}))
        self.add_child(child)
        return child

    def start(self, **settings):
        port = free_port()
        child = self.run_script(port, **settings)

        def greeted():
            self.assertTrue(child.alive, child.log())
            return "Ctrl-C" in child.log()

        wait_until(greeted, "it is ready")
        self.assertIn(f"http://localhost:{port}", child.log())
        return child, Client(port)

    def assertNothingLeft(self):
        self.assertEqual(os.listdir(os.path.join(self.directory, "tmp")), [])
        self.assertEqual(children_of(os.getpid()), [])

    def test_serves_and_stops(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                child, client = self.start(INFERENCE_DELAY_MS=100, WORKERS=1)
                self.assertGreaterEqual(client.predict("good").json()["inference_time_ms"], 100)
                self.assertEqual(client.stats()["workers"], 1)
                child.stop(number)
                self.assertNothingLeft()

    def test_stops_at_once_with_a_request_pending(self):
        child, client = self.start(INFERENCE_DELAY_MS=60000, WORKERS=1)
        pending = threading.Thread(target=self.ask_in_vain, args=(client,))
        pending.start()
        wait_until(lambda: client.stats()["parked"] == 1, "the request waits")
        before = time.monotonic()
        child.stop(signal.SIGINT)
        self.assertLess(time.monotonic() - before, 9)
        pending.join()
        self.assertIn("make run: stopping\n", child.log())
        self.assertIn("make run: requests that wait for the model are given up\n", child.log())
        self.assertNotIn("killed\n", child.log())
        self.assertNothingLeft()

    def ask_in_vain(self, client):
        try:
            client.predict("pending")
        except (OSError, http.client.HTTPException):
            pass

    def test_a_second_interrupt_is_not_ignored(self):
        """The program is one that no signal but SIGKILL ends."""
        build = os.path.join(self.directory, "build")
        os.mkdir(build)
        with open(os.path.join(build, "inferonce"), "w", encoding="ascii") as program:
            program.write(f'#!/bin/sh\ntrap "" TERM INT\n{shlex.quote(PROGRAM)} "$@" &\nexec sleep infinity\n')
        os.chmod(os.path.join(build, "inferonce"), 0o755)
        child, _ = self.start(BUILD=build, WORKERS=1)
        child.send_signal(signal.SIGINT)
        wait_until(lambda: "make run: stopping\n" in child.log(), "it stops")
        child.send_signal(signal.SIGINT)
        child.wait()
        self.assertIn("make run: killed\n", child.log())
        wait_until(lambda: not self.leftovers(), "its workers have ended")
        self.assertNothingLeft()

    def test_a_directory_with_a_space(self):
        for name in ("a b", "(c) & d"):
            with self.subTest(name=name):
                temporary = os.path.join(self.directory, name)
                os.mkdir(temporary)
                child, client = self.start(TMPDIR=temporary, INFERENCE_DELAY_MS=0, WORKERS=1)
                self.assertEqual(client.predict("good").status, 200)
                child.stop(signal.SIGINT)
                self.assertEqual(os.listdir(temporary), [])

    def test_the_model_takes_five_seconds_unless_told_otherwise(self):
        child, client = self.start()
        self.assertGreaterEqual(client.predict("good").json()["inference_time_ms"], 5000)
        self.assertEqual(client.predict("good").cache, "HIT")
        child.stop()

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            child = self.run_script(port)
            self.assertEqual(child.wait(), 1)
        self.assertIn(f"port {port} is in use", child.log())
        self.assertIn("PORT=", child.log())
        self.assertNothingLeft()

    def test_a_wrong_setting_is_reported(self):
        child = self.run_script(free_port(), CACHE_TTL="abc")
        self.assertEqual(child.wait(), 1)
        self.assertIn("CACHE_TTL", child.log())
        self.assertIn("inferonce has stopped", child.log())
        self.assertNothingLeft()

    def test_a_program_that_dies_ends_it(self):
        for name in ("inferonce", self.web.program):
            with self.subTest(program=name):
                child, _ = self.start(WORKERS=1)
                os.kill(next(pid for pid in children_of(child.pid) if self.is_program(pid, name)), signal.SIGKILL)
                self.assertEqual(child.wait(), 1)
                self.assertIn(f"{name} has stopped", child.log())
                wait_until(lambda: not self.leftovers(), "its workers have ended")
                self.assertNothingLeft()

    def is_program(self, pid, name):
        with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
            return comm.read().strip() == name

    def leftovers(self):
        return [pid for pid in children_of(os.getpid()) if not reap(pid)]
