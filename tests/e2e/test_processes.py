"""The daemon: where it listens, how it stops, what happens when something dies."""

import json
import os
import signal
import socket
import threading
import time

import fastcgi
from case import Case, through_both
from processes import free_port, is_alive, let_run, reap, wait_until
from servers import PROGRAM, Inferonce, run_program


def prediction(text):
    """The bytes of a request for it."""
    return fastcgi.request("POST", "/predict", b'{"text": "%s"}' % text.encode())


def stats(app):
    with app.connect() as connection:
        return json.loads(connection.ask("GET", "/cache/stats").body)


def is_refused(app):
    try:
        app.connect().close()
    except OSError:
        return True
    return False


def title(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read().rstrip(b"\0").decode()


class Titles(Case):
    def test_who_is_who(self):
        app = Inferonce(self, "--model-name=secret", INFERENCE_DELAY_MS=60000, UPSTREAM_TIMEOUT=60, DRAIN_TIMEOUT=2)
        self.assertEqual(title(app.pid), "inferonce: master")
        self.assertEqual(sorted(map(title, app.workers())), ["inferonce: worker 0", "inferonce: worker 1"])
        with app.connect() as connection:
            connection.send(prediction("slow"))
            wait_until(lambda: stats(app)["in_flight"] == 1, "it is being inferred")
            app.send_signal(signal.SIGTERM)
            workers = app.workers()
            wait_until(lambda: any(is_alive(pid) and title(pid).endswith(", draining") for pid in workers), "it drains")

    def test_after_a_reload(self):
        """The arguments are those that it was given."""
        app = Inferonce(self, "--cache-ttl=77", "--workers=1", WORKERS=None)
        (before,) = app.workers()
        app.send_signal(signal.SIGHUP)
        wait_until(lambda: (workers := app.workers()) != [before] and len(workers) == 1, "a new worker serves alone", timeout_s=40)
        self.assertEqual((title(app.pid), title(*app.workers())), ("inferonce: master", "inferonce: worker 0"))
        self.assertEqual(stats(app)["ttl_seconds"], 77)


class Load:
    """Threads that ask, one request after the other, until told to stop."""

    def __init__(self, client, threads=8):
        self.client = client
        self.stopping = threading.Event()
        self.answered = 0
        self.failures = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            text = f"kept {turn % 200}" if turn % 2 else f"new {number} {turn}"
            try:
                response = self.client.predict(text)
                failure = None if response.status == 200 else f"{response.status}"
            except Exception as error:  # whatever a broken connection turns into
                failure = repr(error)
            with self.lock:
                self.answered += 1
                if failure:
                    self.failures.append(failure)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


@through_both
class Deaths(Case):
    def test_workers_killed_under_load(self):
        client = self.serve(WORKERS=4, INFERENCE_DELAY_MS=5)
        app = client.app
        for i in range(200):
            client.predict(f"kept {i}")
        load = Load(client)
        self.addCleanup(load.stop)
        for _ in range(3):
            answered = load.answered
            wait_until(lambda: load.answered > answered + 100, "there is load")
            victim = app.workers()[0]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: victim not in app.workers() and len(app.workers()) == 4, "the worker was replaced")
        load.stop()
        # Each thread has one request at a time: a dead worker takes no more than that with it.
        self.assertLessEqual(len(load.failures), 3 * len(load.threads), load.failures)
        found = client.stats()
        self.assertGreaterEqual(found["misses"], 200)
        self.assertGreaterEqual(found["hits"] + found["misses"], load.answered - len(load.failures))
        # A worker killed inside a shard costs that shard, nothing else.
        kept = sum(client.predict(f"kept {i}").cache == "HIT" for i in range(200))
        self.assertGreaterEqual(kept, 180)

    def test_statistics_and_entries_stay(self):
        client = self.serve(WORKERS=2)
        client.predict("stays")
        client.predict("stays")
        for pid in client.app.workers():
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: pid not in client.app.workers() and len(client.app.workers()) == 2, "the worker was replaced")
        wait_until(client.app.answers, "it answers")
        found = client.stats()
        self.assertEqual((found["hits"], found["misses"], found["inferences"]), (1, 1, 1))
        self.assertEqual(client.predict("stays").cache, "HIT")


class Respawn(Case):
    def test_one_death_leaves_the_others_alone(self):
        app = Inferonce(self, WORKERS=3)
        first, *others = app.workers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: first not in app.workers() and len(app.workers()) == 3, "the worker was replaced")
        self.assertLess(set(others), set(app.workers()))

    def test_a_worker_that_dies_at_once_is_not_respawned_in_a_hurry(self):
        app = Inferonce(self, WORKERS=1)
        seen = set()
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            for pid in app.workers():
                seen.add(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.assertLess(len(seen), 15)
        self.assertTrue(app.alive)
        wait_until(app.answers, "it has recovered")

    def test_a_dead_leader_does_not_hold_up_its_followers(self):
        app = Inferonce(self, WORKERS=2, INFERENCE_DELAY_MS=1500)
        leader, follower = workers = app.workers()
        self.addCleanup(let_run, None, workers)
        let_run(leader, workers)
        with app.connect() as leading:
            leading.send(prediction("shared"))
            wait_until(lambda: stats(app)["in_flight"] == 1, "the leader infers")
            let_run(follower, workers)
            with app.connect() as following:
                following.send(prediction("shared"))
                wait_until(lambda: stats(app)["parked"] == 2, "the follower waits")
                self.assertEqual(stats(app)["inferences"], 1)
                os.kill(leader, signal.SIGKILL)
                answer = following.answer()
        self.assertEqual((answer.status, answer.headers["x-cache"]), (200, "MISS"))
        self.assertEqual(stats(app)["inferences"], 2)


class Stopping(Case):
    def test_what_is_in_flight_is_answered(self):
        client = self.serve(INFERENCE_DELAY_MS=1500)
        waiting = client.start(client.encode("POST", "/predict", {"text": "in flight"}))
        wait_until(lambda: client.stats()["in_flight"] == 1, "the inference has begun")
        client.app.send_signal(signal.SIGTERM)
        self.assertEqual(client.finish(waiting).status, 200)
        self.assertEqual(client.app.wait(), 0)
        self.assertFalse(os.path.exists(client.app.socket_path))

    def test_draining_is_not_ready_but_alive(self):
        app = Inferonce(self, WORKERS=1, INFERENCE_DELAY_MS=2000)
        with app.connect() as kept, app.connect() as busy:
            self.assertEqual(kept.ask("GET", "/readyz").status, 200)
            self.begin(busy, app)
            app.send_signal(signal.SIGTERM)
            wait_until(lambda: kept.ask("GET", "/readyz").status == 503, "it says that it drains")
            self.assertEqual(kept.ask("GET", "/healthz").status, 200)
            self.assertEqual(busy.answer().status, 200)
        self.assertEqual(app.wait(), 0)

    def test_who_comes_during_a_drain_is_refused_at_once(self):
        """Waiting in a backlog that nobody empties any more, a web server could not go to another host."""
        port = free_port()
        for listen, address in ((None, None), (f"tcp:127.0.0.1:{port}", ("127.0.0.1", port))):
            with self.subTest(listen=listen):
                app = Inferonce(self, listen=listen, wait=False, WORKERS=2, INFERENCE_DELAY_MS=2000)
                app.socket_path = address or app.socket_path
                app.wait_ready(2)
                with app.connect() as busy:
                    self.begin(busy, app)
                    app.send_signal(signal.SIGTERM)
                    wait_until(lambda: is_refused(app), "the listener is closed", timeout_s=1)
                    self.assertEqual(busy.answer().status, 200)
                self.assertEqual(app.wait(), 0)

    def begin(self, connection, app):
        connection.send(prediction("in flight"))
        wait_until(lambda: stats(app)["in_flight"] == 1, "the inference has begun")

    def test_a_second_signal_stops_at_once(self):
        app = Inferonce(self, WORKERS=1, INFERENCE_DELAY_MS=60000)
        with app.connect() as kept, app.connect() as busy:
            kept.ask("GET", "/readyz")
            self.begin(busy, app)
            workers = app.workers()
            app.send_signal(signal.SIGTERM)
            wait_until(lambda: kept.ask("GET", "/readyz").status == 503, "it drains")
            self.assertTrue(app.alive)
            started = time.monotonic()
            self.assertEqual(app.stop(signal.SIGTERM), 1, "a request was lost")
            self.assertLess(time.monotonic() - started, 10)
            self.assertRegex(app.log(), "event=stopped .*unfinished=1")
        self.assertFalse([pid for pid in workers if is_alive(pid)])

    def test_draining_has_an_end(self):
        app = Inferonce(self, INFERENCE_DELAY_MS=60000, DRAIN_TIMEOUT="0.5")
        with app.connect() as busy:
            self.begin(busy, app)
            started = time.monotonic()
            self.assertEqual(app.stop(), 1, "a request was lost")
            self.assertTrue(0.5 <= time.monotonic() - started < 15)
            self.assertRegex(app.log(), "event=drain_timeout .*unfinished=1 inferences=1")
            self.assertRegex(app.log(), "event=stopped .*unfinished=1")

    def test_interrupt_is_a_stop_too(self):
        self.assertEqual(Inferonce(self).stop(signal.SIGINT), 0)

    def test_workers_do_not_outlive_their_master(self):
        app = Inferonce(self, WORKERS=3)
        workers = app.workers()
        app.stop(signal.SIGKILL)
        wait_until(lambda: all([reap(pid) for pid in workers]), "the workers have ended")


class Listening(Case):
    def test_tcp(self):
        port = free_port()
        app = Inferonce(self, listen=f"tcp:127.0.0.1:{port}", wait=False)
        app.socket_path = ("127.0.0.1", port)
        app.wait_ready(2)

    def test_mode_of_the_socket(self):
        app = Inferonce(self, LISTEN_MODE="0600")
        self.assertEqual(os.stat(app.socket_path).st_mode & 0o777, 0o600)

    def test_inherited_as_descriptor_0(self):
        path = os.path.join(self.directory, "inherited.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(64)
            app = Inferonce(self, listen="tcp:192.0.2.1:1", stdin=listener, wait=False)
        app.socket_path = path
        app.wait_ready(2)
        app.stop()
        self.assertTrue(os.path.exists(path), "whoever made it removes it")

    def test_inherited_from_systemd(self):
        path = os.path.join(self.directory, "inherited.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(64)
            # LISTEN_PID names the process that is meant; the shell knows its pid and becomes the program. Descriptors begin at 3.
            script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&{listener.fileno()}'
            app = Inferonce(self, command=["sh", "-c", script, PROGRAM], listen="tcp:192.0.2.1:1",
                            pass_fds=[listener.fileno()], wait=False)
        app.socket_path = path
        app.wait_ready(2)

    def test_a_socket_in_use_is_left_alone(self):
        app = Inferonce(self)
        second = run_program(LISTEN=f"unix:{app.socket_path}", WORKERS=1)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(app.socket_path, second.stderr)
        self.assertTrue(app.answers())

    def test_a_socket_left_behind_is_replaced(self):
        app = Inferonce(self, WORKERS=1)
        workers = app.workers()
        app.stop(signal.SIGKILL)
        wait_until(lambda: all([reap(pid) for pid in workers]), "the workers have ended")
        self.assertTrue(os.path.exists(app.socket_path))
        self.assertTrue(Inferonce(self, WORKERS=1).answers())

    def test_a_file_that_is_no_socket_is_left_alone(self):
        path = os.path.join(self.directory, "precious")
        with open(path, "w", encoding="utf-8") as file:
            file.write("data")
        result = run_program(LISTEN=f"unix:{path}")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(path, result.stderr)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "data")

    def test_places_where_it_cannot_listen(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for listen in (f"tcp:127.0.0.1:{port}", "unix:/nonexistent/dir/s", "unix:/" + "x" * 200, "tcp:127.0.0.1:99999", "nonsense", "unix:"):
                with self.subTest(listen=listen):
                    result = run_program(LISTEN=listen, WORKERS=1)
                    self.assertTrue(0 < result.returncode < 128, result)
                    self.assertRegex(result.stderr, "cannot_listen.*error=|LISTEN=.*expected")
