"""Two masters, as two hosts would have them, over one cache: one inference for all, a purge at one is seen by the other."""

import os
import signal
import time
import urllib.parse

import model_server
from cache_servers import Memcached, Redis
from case import Case
from processes import reap, wait_until
from servers import Inferonce, Nginx


def encoded(client, text):
    return client.encode("POST", "/predict", {"text": text})


class TwoHosts(Case):
    def hosts(self, **settings):
        """A client of nginx, which has both behind it, and one of each host."""
        self.store = self.server_class(self)
        settings = {"WORKERS": 2, "STORE_TIMEOUT_MS": 2000, **self.server_class.settings(self.store), **settings}
        hosts = [Inferonce(self, name=name, **settings) for name in ("one", "two")]
        clients = [self.front(host.socket_path, name=f"nginx-{host.name}") for host in hosts]
        for client, host in zip(clients, hosts):
            client.app = host
        self.both_sockets = [host.socket_path for host in hosts]
        return self.front_both(), clients

    def front_both(self):
        case = self

        class Both(Nginx):
            def fill_in(self, text, socket_path):
                servers = ";\n    server ".join(f'"unix:{path}"' for path in case.both_sockets)
                return super().fill_in(text, socket_path).replace(f'"unix:{socket_path}"', servers, 1)

        self.web = Both
        try:
            return self.front(self.both_sockets[0], name="nginx-both")
        finally:
            self.web = Nginx

    def inferences(self, clients):
        return sum(client.stats()["inferences"] for client in clients)

    def test_a_thousand_identical_requests_are_one_inference(self):
        both, clients = self.hosts(INFERENCE_DELAY_MS=1500)
        responses = both.at_once([encoded(both, "the same for all")] * 1000)
        self.assertEqual([response.status if response else None for response in responses], [200] * 1000)
        self.assertEqual(self.inferences(clients), 1)
        stats = [client.stats() for client in clients]
        for host in stats:
            self.assertGreater(host["misses"] + host["hits"], 100, stats)  # both took part
        self.assertEqual(sum(host["misses"] + host["hits"] for host in stats), 1000)

    def test_a_purge_is_seen_by_the_other_host_at_once(self):
        _, (one, two) = self.hosts()
        for turn in range(20):
            text = f"known {turn}"
            one.predict(text)
            self.assertEqual([one.predict(text).cache, two.predict(text).cache], ["HIT", "HIT"])
            purged = one.delete("/cache")
            self.assertEqual((purged.status, purged.json()), (200, {"message": "Cache cleared", "entries": None}))
            self.assertEqual(two.predict(text).cache, "MISS")

    def test_one_entry_removed_by_the_other_host(self):
        _, (one, two) = self.hosts()
        for turn in range(20):
            key = one.predict(f"known {turn}").header("X-Cache-Key")
            self.assertEqual(two.delete(f"/cache/{key}").status, 200)
            self.assertEqual(one.predict(f"known {turn}").cache, "MISS")

    def test_an_answer_from_before_a_purge_elsewhere_is_not_seen(self):
        _, (one, two) = self.hosts(INFERENCE_DELAY_MS=700)
        waiting = one.start(encoded(one, "in flight"))
        wait_until(lambda: one.stats()["in_flight"] == 1, "the inference has begun")
        self.assertEqual(two.delete("/cache").status, 200)
        self.assertEqual(one.finish(waiting).status, 200)
        self.assertEqual([one.predict("in flight").cache, two.predict("in flight").cache], ["MISS", "HIT"])

    def test_lost_items_never_bring_an_old_answer_back(self):
        """Purged, and then the cache forgets that it was: the generation is lost, and entries are not seen again."""
        _, (one, two) = self.hosts()
        for forget in (self.store.flush, self.store.restart):
            one.predict("old")
            self.assertEqual(two.predict("old").cache, "HIT")
            self.assertEqual(one.delete("/cache").status, 200)
            forget()
            for client in (one, two):
                wait_until(lambda c=client: c.get("/readyz").json() == {"status": "ok"}, "the cache is used")
            before = self.inferences([one, two])
            answer = two.predict("old")
            self.assertEqual((answer.status, answer.cache), (200, "MISS"))
            self.assertEqual(self.inferences([one, two]), before + 1)

    def test_the_generation_alone_is_lost(self):
        _, (one, two) = self.hosts()
        one.predict("old")
        self.forget_generation()
        self.assertEqual(two.predict("old").cache, "MISS")
        self.assertEqual(one.predict("old").cache, "HIT")

    def kill_host(self, client):
        """All of it at once, so that nobody is left to remove a lease or to tell anybody."""
        processes = [client.app.pid, *client.app.workers()]
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        client.app.wait()
        for pid in processes[1:]:
            wait_until(lambda p=pid: reap(p), "the worker has ended")

    def hanging(self, **settings):
        """A leader on the first host whose model hangs, and ten followers on the second; the model would answer now."""
        model = model_server.Model()
        self.addCleanup(model.close)
        model.behaviour = ["hang"]
        _, (one, two) = self.hosts(ENGINE="http", UPSTREAM_URL=model.url(), UPSTREAM_TIMEOUT=60, **settings)
        leading = one.start(encoded(one, "orphaned"))
        self.addCleanup(leading.close)
        wait_until(lambda: len(model.calls) == 1, "the inference has begun")
        followers = [two.start(encoded(two, "orphaned")) for _ in range(10)]
        wait_until(lambda: two.stats()["parked"] == len(followers), "the other host follows")
        model.behaviour = None
        return model, one, two, followers

    def check_taken_over(self, model, two, followers, since):
        """One of the followers infers, within three seconds, where the lease has more than a minute to go."""
        answers = [two.finish(follower) for follower in followers]
        self.assertEqual({(answer.status, answer.cache) for answer in answers}, {(200, "MISS")})
        self.assertLess(time.monotonic() - since, 3 + 5)  # five for a busy machine
        self.assertEqual(len({answer.body for answer in answers if "collapsed" not in answer.cache_status}), 1)
        self.assertEqual(len(model.calls), 2)
        stats = two.stats()
        self.assertEqual((stats["inferences"], stats["inference_errors"], stats["stores"], stats["store_errors"]), (1, 0, 1, 0), stats)
        self.assertEqual(two.predict("orphaned").cache, "HIT")

    def test_a_host_dies_as_it_leads(self):
        model, one, two, followers = self.hanging()
        since = time.monotonic()
        self.kill_host(one)
        self.check_taken_over(model, two, followers, since)

    def test_a_host_stops_as_it_leads(self):
        model, one, two, followers = self.hanging()
        since = time.monotonic()
        processes = [one.app.pid, *one.app.workers()]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(os.kill, pid, signal.SIGCONT)
        self.check_taken_over(model, two, followers, since)

    def test_a_host_is_replaced_as_it_leads(self):
        """Its leases are given back when its time is over."""
        model, one, two, followers = self.hanging(DRAIN_TIMEOUT=1)
        since = time.monotonic()
        one.app.send_signal(signal.SIGTERM)
        self.check_taken_over(model, two, followers, since)

    def test_the_same_host_after_its_death(self):
        model, one, two, followers = self.hanging()
        self.kill_host(one)
        since = time.monotonic()
        settings = {"ENGINE": "http", "UPSTREAM_URL": model.url(), "UPSTREAM_TIMEOUT": 60, "WORKERS": 2, "STORE_TIMEOUT_MS": 2000}
        successor = Inferonce(self, name="successor", **settings, **self.server_class.settings(self.store))
        again = self.front(successor.socket_path, name="nginx-successor")
        self.assertEqual(again.predict("orphaned").status, 200)
        self.assertLess(time.monotonic() - since, 3 + 5)
        self.assertEqual({two.finish(follower).status for follower in followers}, {200})
        self.assertEqual(len(model.calls), 2)

    def test_a_leader_that_takes_long_is_not_replaced(self):
        """Five times what its item lasts."""
        both, clients = self.hosts(INFERENCE_DELAY_MS=5000)
        responses = both.at_once([encoded(both, "slow")] * 20)
        self.assertEqual([response.status if response else None for response in responses], [200] * 20)
        self.assertEqual(self.inferences(clients), 1)


class OverMemcached(TwoHosts):
    server_class = Memcached

    def forget_generation(self):
        def names():  # the crawler may be busy, and then lists nothing
            dump = self.store.ask("lru_crawler metadump all")
            return {urllib.parse.unquote(word[4:]) for word in dump.split() if word.startswith("key=inferonce%3Ag")}
        for name in wait_until(names, "memcached lists its items"):
            self.assertEqual(self.store.ask(f"delete {name}"), "DELETED\r\n")


class OverRedis(TwoHosts):
    server_class = Redis

    def forget_generation(self):
        self.assertEqual(self.store.ask("EVAL \"return redis.call('DEL', unpack(redis.call('KEYS', 'inferonce:g*')))\" 0"), ":1\r\n")


del TwoHosts
