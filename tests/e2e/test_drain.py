"""Workers and hosts drain under load, one after the other, and no request is lost: hits and misses of 200 ms."""

import http.client
import json
import os
import resource
import select
import signal
import threading
import time

import fastcgi
import model_server
from case import Case, through_both
from client import TIMEOUT_S
from processes import is_alive, let_run, wait_until
from servers import Inferonce, Lighttpd, Nginx

INFERENCE_S = 0.2
ASKERS = 16  # of each kind


def drains(n):
    """How many drains a case has: DRAINS in the environment asks for more than is usual."""
    return int(os.environ.get("DRAINS", n))


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
        self.drain_workers(app, self.load(lambda: OverHttp(client.address)), drains(12))


class Directly(Draining):
    def test_a_worker_drains(self):
        app = self.host()
        self.drain_workers(app, self.load(lambda: Direct(app)), drains(12))

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


class NginxOfTwo(Nginx):
    def fill_in(self, text, socket_path):
        one = f'server "unix:{socket_path}"'
        return super().fill_in(text, socket_path).replace(one, one.replace("one.sock", "two.sock"), 1)


class LighttpdOfTwo(Lighttpd):
    def fill_in(self, text, socket_path):
        text = super().fill_in(text, socket_path)
        if "((" not in text:
            return text
        begin, end = text.index("(("), text.index("))\n") + 2
        block = text[begin + 1:end - 1]
        return f"{text[:begin]}({block}, {block.replace('one.sock', 'two.sock')}){text[end:]}"


class TwoHosts(Draining):
    def test_behind_nginx(self):
        self.drain_hosts(NginxOfTwo, drains(14))

    def test_behind_lighttpd(self):
        """It leaves a host that refused it out until its clock's next second."""

        def is_back(web, host):
            return web.log().rfind(f"re-enabled: unix:{host.socket_path}") >= web.log().rfind(f"failed: socket: unix:{host.socket_path}")

        self.drain_hosts(LighttpdOfTwo, drains(6), is_back)

    def drain_hosts(self, web, times, is_back=lambda web, host: True):
        hosts = [self.host("one"), self.host("two")]
        self.web = web
        client = self.front(hosts[0].socket_path)
        load = self.load(lambda: OverHttp(client.address))
        drains_s = []
        for turn in range(times):
            load.go_on()
            began = time.monotonic()
            self.assertEqual(hosts[turn % 2].stop(), 0)
            drains_s.append(time.monotonic() - began)
            host = hosts[turn % 2] = self.host(("one", "two")[turn % 2])
            wait_until(lambda h=host: is_back(client.web, h), "the web server uses it again")
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


class NoRoom(Case):
    """As many connections as the worker has descriptors for are open, and idle: a minute long, if nobody asked for room."""

    def setUp(self):
        super().setUp()
        self.app = Inferonce(self, WORKERS=1, INFERENCE_DELAY_MS=300,
                             prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))

    def test_kept_connections_make_room(self):
        keeping, other = [self.front(self.app.socket_path, name=name) for name in ("keeping", "other")]
        requests = [keeping.encode("POST", "/predict", {"text": f"new {number}"}) for number in range(150)]
        self.assertEqual([response.status for response in keeping.at_once(requests, 20)], [200] * len(requests))
        began = time.monotonic()
        self.assertEqual([other.predict(f"other {number}").status for number in range(5)], [200] * 5)
        self.assertLess(time.monotonic() - began, 20)

    def test_a_client_that_does_not_know_the_record(self):
        kept = []
        while "accept_put_off" not in self.app.log():
            kept.append(self.app.connect())
            kept[-1].send(fastcgi.request("GET", "/healthz"))
            self.assertLess(len(kept), 128)
            wait_until(lambda: select.select([kept[-1].socket], [], [], 0)[0] or "accept_put_off" in self.app.log(), "it is answered or waits")
        began = time.monotonic()
        with self.app.connect() as late:
            self.assertEqual(late.ask("GET", "/healthz").status, 200)
        self.assertLess(time.monotonic() - began, 20)
        for connection in kept:
            connection.close()
