"""Workers and hosts drain under load, one after the other, and no request is lost: hits and misses of 200 ms."""

import http.client
import json
import os
import select
import signal
import threading
import time

import model_server
from case import Case, through_both
from client import TIMEOUT_S
from processes import is_alive, let_run, wait_until
from servers import Inferonce, Nginx

INFERENCE_S = 0.2
ASKERS = 16  # of each kind


def encoded(text):
    return json.dumps({"text": text}).encode()


class OverHttp:
    """A client of the web server, on a connection that is kept."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)

    def ask(self, text):
        self.connection.request("POST", "/predict", encoded(text), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        response.read()
        return response.status

    def close(self):
        self.connection.close()


class Direct:
    """In a web server's place, with a connection that is kept. A connection with something to read while nothing was asked is not
    used again."""

    def __init__(self, app):
        self.app = app
        self.connection = app.connect()

    def ask(self, text):
        if select.select([self.connection.socket], [], [], 0)[0]:
            self.close()
            self.connection = self.app.connect()
        return self.connection.ask("POST", "/predict", encoded(text)).status

    def close(self):
        self.connection.close()


class Load:
    """Askers that ask, one request after the other, until told to stop: one half for what is kept, the other for what is new."""

    def __init__(self, askers):
        self.askers = askers
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.answered = [0, 0]  # hits, misses
        self.failures = []
        self.longest_s = 0.0
        self.threads = [threading.Thread(target=self.run, args=pair) for pair in enumerate(askers)]
        for thread in self.threads:
            thread.start()

    def run(self, number, asker):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            new = number % 2
            began = time.monotonic()
            try:
                status = asker.ask(f"new {number} {turn}" if new else f"kept {turn % 5}")
                failure = None if status == 200 else status
            except Exception as error:  # whatever a broken connection turns into
                failure = repr(error)
            with self.lock:
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                if failure:
                    self.failures.append(failure)
                else:
                    self.answered[new] += 1
            if failure:
                return

    def go_on(self):
        """Waits until every kind of asker was answered some more."""
        before = list(self.answered)
        wait_until(lambda: self.answered[0] >= before[0] + 2 * ASKERS and self.answered[1] >= before[1] + ASKERS // 2,
                   f"there is load ({self.failures[:3]})")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        for asker in self.askers:
            asker.close()


class Draining(Case):
    def host(self, name="inferonce", **settings):
        return Inferonce(self, name=name, INFERENCE_DELAY_MS=round(INFERENCE_S * 1000), **{"WORKERS": 1, **settings})

    def load(self, make_asker):
        with open(os.path.join(self.directory, "load.log"), "w", encoding="utf-8"):
            pass
        load = Load([make_asker() for _ in range(2 * ASKERS)])
        self.addCleanup(load.stop)
        return load

    def check(self, load, drains_s):
        load.stop()
        self.assertEqual(load.failures, [], f"{len(load.failures)} of {sum(load.answered)} were lost")
        # The longest inference as its client saw it, so that a busy machine counts on both sides.
        self.assertLess(max(drains_s), 2 + load.longest_s)

    def drain_workers(self, app, load, times):
        """Tells the one worker to end; another one is there before it does."""
        drains_s = []
        for _ in range(times):
            load.go_on()
            (worker,) = app.workers()
            began = time.monotonic()
            os.kill(worker, signal.SIGTERM)
            wait_until(lambda: not is_alive(worker), "the worker has drained")
            drains_s.append(time.monotonic() - began)
            self.assertEqual(len(app.workers()), 1)
        self.check(load, drains_s)
        self.assertNotRegex(app.log(), "drain_timeout|worker_killed")
        self.assertEqual(app.stop(), 0)


@through_both
class OneWorker(Draining):
    def test_a_worker_drains(self):
        app = self.host()
        client = self.front(app.socket_path)
        self.drain_workers(app, self.load(lambda: OverHttp(client.address)), 12)


class Directly(Draining):
    def test_a_worker_drains(self):
        app = self.host()
        self.drain_workers(app, self.load(lambda: Direct(app)), 12)

    def test_all_is_answered_that_was_taken(self):
        """Of a whole program that stops: who connects afterwards is refused, and nothing that was sent is lost."""

        class Refused(Direct):
            def ask(self, text):
                try:
                    return super().ask(text)
                except (ConnectionRefusedError, FileNotFoundError):
                    load.stopping.set()
                    return 200

        app = self.host(WORKERS=2)
        load = self.load(lambda: Refused(app))
        load.go_on()
        began = time.monotonic()
        self.assertEqual(app.stop(), 0)
        self.check(load, [time.monotonic() - began])

    def test_a_client_that_does_not_know_the_record(self):
        """It asks on and on. Its connection ends right behind an answer, and the drain with it."""

        class Heedless(Direct):
            def ask(self, text):
                try:
                    return self.connection.ask("POST", "/predict", encoded(text)).status
                except (EOFError, ConnectionError):
                    self.close()
                    self.connection = self.app.connect()
                    return self.connection.ask("POST", "/predict", encoded(text)).status

        app = self.host()
        self.drain_workers(app, self.load(lambda: Heedless(app)), 2)


class TwoHosts(Draining):
    def test_hosts_drain_in_turn(self):
        hosts = [self.host("one"), self.host("two")]

        class Both(Nginx):
            def fill_in(self, text, socket_path):
                return super().fill_in(text, socket_path).replace(f"server unix:{socket_path}", f"server unix:{hosts[1].socket_path}", 1)

        self.web = Both
        client = self.front(hosts[0].socket_path)
        load = self.load(lambda: OverHttp(client.address))
        drains_s = []
        for turn in range(14):
            load.go_on()
            began = time.monotonic()
            self.assertEqual(hosts[turn % 2].stop(), 0)
            drains_s.append(time.monotonic() - began)
            hosts[turn % 2] = self.host(("one", "two")[turn % 2])
        self.check(load, drains_s)


class CaughtInAWorker(Case):
    """Of a worker that is stopped, and killed when the requests in it are older than nginx would wait for a server by default."""

    AGE_S = 11

    def test_nginx_asks_another_worker(self):
        """One request on a kept connection, one on a new one; POST; one server in the block."""
        model = model_server.Model()
        self.addCleanup(model.close)
        client = self.serve(WORKERS=2, ENGINE="http", UPSTREAM_URL=model.url(), UPSTREAM_TIMEOUT=60)
        caught, other = workers = client.app.workers()
        self.addCleanup(let_run, None, workers)
        let_run(caught, workers)
        client.predict("its connection is kept")
        model.behaviour = ["hang"]
        began = time.monotonic()
        waiting = [client.start(client.encode("POST", "/predict", {"text": text})) for text in ("one", "two")]
        wait_until(lambda: len(model.calls) == 3, "both are inferred")
        model.behaviour = None
        let_run(other, workers)
        wait_until(lambda: time.monotonic() > began + self.AGE_S, "they are old")
        os.kill(caught, signal.SIGKILL)
        self.assertEqual([client.finish(connection).status for connection in waiting], [200, 200])
