"""What a cache server could not be told outlives a restart of this host: in the file of STATE_DIR, or, where there can be none, by
invalidating everything."""

import os
import signal

from cache_servers import Memcached, Redis
from case import Case
from processes import is_alive, wait_until
from servers import Inferonce

SERVERS = (Memcached, Redis)


class State(Case):
    def begin(self, server, **settings):
        """A pool over that server, and what speaks to it."""
        self.app = Inferonce(self, name=f"over-{server.name}", STORE_TIMEOUT_MS=200, **server.settings(server), **settings)
        return self.front(self.app.socket_path, name=f"nginx-{server.name}")

    def await_use(self, client):
        wait_until(lambda: all(client.get("/readyz").json()["status"] == "ok" for _ in range(20)), "every worker uses the server", timeout_s=40)

    def purge_while_away(self, server, client):
        """Text and other text are there; the first is removed, then all of one namespace, while the server stands still."""
        key = client.predict("text").header("X-Cache-Key")
        client.predict("in a namespace", headers=[("X-Cache-Namespace", "n")])
        client.predict("kept")
        server.halt()
        self.assertEqual(client.delete(f"/cache/{key}").status, 202)
        self.assertEqual(client.delete("/cache", headers=[("X-Cache-Namespace", "n")]).status, 202)

    def kill(self):
        """The whole pool at once: nobody can tell the server anything any more."""
        pids = [self.app.pid, *self.app.workers()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.app.wait()
        wait_until(lambda: not any(map(is_alive, pids)), "all of them are gone")

    def found(self, client):
        return [client.predict(text, headers=headers).cache for text, headers in
                (("text", []), ("in a namespace", [("X-Cache-Namespace", "n")]), ("kept", []))]

    def over_each(self, check):
        for kind in SERVERS:
            server = kind(self)
            with self.subTest(server=server.name):
                check(server)

    def test_killed(self):
        def check(server):
            client = self.begin(server)
            self.purge_while_away(server, client)
            self.kill()
            server.resume()
            again = self.begin_again(server)
            self.await_use(client)
            self.assertEqual(self.found(client), ["MISS", "MISS", "HIT"])
            self.assertIn(f"event=state_kept pid={again.pid} path={self.app.socket_path}.state", again.log())
            self.assertIn("event=invalidations_remembered", again.log())
        self.over_each(check)

    def begin_again(self, server, **settings):
        self.app = Inferonce(self, name=f"over-{server.name}", STORE_TIMEOUT_MS=200, **server.settings(server), **settings)
        return self.app

    def test_stopped_and_started_while_the_server_is_away(self):
        def check(server):
            client = self.begin(server)
            self.purge_while_away(server, client)
            self.app.stop()
            self.begin_again(server)
            self.assertEqual(client.predict("text").cache, "MISS")
            server.resume()
            self.await_use(client)
            self.assertEqual(self.found(client), ["MISS", "MISS", "HIT"])
        self.over_each(check)

    def test_a_directory_of_its_own(self):
        directory = os.path.join(self.directory, "state")
        os.mkdir(directory)
        redis = Redis(self)
        client = self.begin(redis, STATE_DIR=directory)
        self.purge_while_away(redis, client)
        self.assertEqual(os.listdir(directory), ["over-redis.sock.state"])
        self.assertEqual(os.stat(f"{directory}/over-redis.sock.state").st_mode & 0o777, 0o600)
        self.kill()
        redis.resume()
        self.begin_again(redis, STATE_DIR=directory)
        self.await_use(client)
        self.assertEqual(self.found(client), ["MISS", "MISS", "HIT"])

    def test_no_file_can_be_written(self):
        """Nobody can tell what was lost: all goes, and the log says why."""
        def check(server):
            nowhere = os.path.join(self.directory, "a file")
            with open(nowhere, "w", encoding="ascii"):
                pass
            client = self.begin(server, STATE_DIR=nowhere)
            self.purge_while_away(server, client)
            self.kill()
            server.resume()
            again = self.begin_again(server, STATE_DIR=nowhere)
            self.await_use(client)
            self.assertEqual(self.found(client), ["MISS", "MISS", "MISS"])
            self.assertEqual(self.found(client), ["HIT", "HIT", "HIT"])
            self.assertRegex(again.log(), "level=warn event=state_not_kept .*Not a directory.*invalidated at each start")
        self.over_each(check)

    def test_reloaded_to_where_there_can_be_no_file(self):
        """What the former program had in its file is not known to the next one."""
        settings = os.path.join(self.directory, "settings")

        def configure(directory):
            with open(settings, "w", encoding="ascii") as file:
                file.write(f"STATE_DIR={directory}\n")
        redis = Redis(self)
        configure(self.directory)
        self.app = Inferonce(self, "--config", settings, name="reloaded", STORE_TIMEOUT_MS=200, **redis.settings(redis))
        client = self.front(self.app.socket_path)
        self.purge_while_away(redis, client)
        old = self.app.workers()
        configure(settings)
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: "event=reloaded " in self.app.log() and not set(old) & set(self.app.workers()), "the old workers are gone", timeout_s=40)
        redis.resume()
        self.await_use(client)
        self.assertEqual(self.found(client), ["MISS", "MISS", "MISS"])
        self.assertEqual(self.found(client), ["HIT", "HIT", "HIT"])
        self.assertIn("event=state_not_kept", self.app.log())

    def test_a_file_of_somebody_else(self):
        redis = Redis(self)
        path = os.path.join(self.directory, "over-redis.sock.state")
        with open(path, "w", encoding="ascii") as file:
            file.write("a letter\n")
        client = self.begin(redis)
        self.assertEqual(client.predict("text").cache, "MISS")
        self.assertRegex(self.app.log(), "level=warn event=state_not_kept .*holds something else")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "a letter\n")

    def test_a_file_that_is_cut_short(self):
        """In use: no worker dies, and what it held is made up for."""
        redis = Redis(self)
        client = self.begin(redis)
        client.predict("text")
        before = self.app.workers()
        os.truncate(f"{self.app.socket_path}.state", 0)
        for number in range(50):
            self.assertEqual(client.predict(f"text {number}").status, 200)
        wait_until(lambda: self.app.log().count("event=former_worker_exited") >= len(before), "workers with a whole file take over", timeout_s=40)
        self.await_use(client)
        self.assertNotIn("worker_killed", self.app.log())
        self.assertEqual([client.predict("text").cache for _ in range(2)], ["MISS", "HIT"])

    def test_a_file_that_was_replaced_and_is_cut_short(self):
        """The name is somebody else's by then, whose file is left alone."""
        redis = Redis(self)
        client = self.begin(redis)
        path, ours = (os.path.join(self.directory, name) for name in ("over-redis.sock.state", "ours"))
        os.rename(path, ours)
        with open(path, "w", encoding="ascii") as file:
            file.write("a letter\n")
        before = self.app.workers()
        os.truncate(ours, 0)
        wait_until(lambda: self.app.log().count("event=former_worker_exited") >= len(before), "workers without a file take over", timeout_s=40)
        self.await_use(client)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "a letter\n")
        self.assertIn("event=state_not_kept", self.app.log())

    def test_memory_has_no_state(self):
        app = Inferonce(self, name="memory")
        self.assertFalse(os.path.exists(f"{app.socket_path}.state"))
        self.assertNotIn("event=state_", app.log())

