"""Two hosts whose clocks differ, in front of one cache server: entries mean the same on both, and nothing that was purged comes back."""

import os
import re
import subprocess
import threading

from cache_servers import Memcached, Redis
from case import Case
from processes import wait_until
from servers import Inferonce

# A host's clock that is off: wall-clock time is shifted, durations are not.
SHIFT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*original)(clockid_t, struct timespec *);
    if (!original)
        original = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = original(id, time);
    const char *shift = getenv("SHIFT_SECONDS");
    if (id == CLOCK_REALTIME && shift)
        time->tv_sec += atol(shift);
    return result;
}
"""


class Clocks(Case):
    def setUp(self):
        super().setUp()
        self.library = os.path.join(self.directory, "shift.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", self.library, "-", "-ldl"], input=SHIFT, text=True, check=True)

    def host(self, server, name, shift_s, **settings):
        # A sanitizer would be the first library.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        preload = {"LD_PRELOAD": self.library, "SHIFT_SECONDS": shift_s, "ASAN_OPTIONS": options} if shift_s else {}
        app = Inferonce(self, name=f"{name}-{server.name}", STORE_TIMEOUT_MS=2000, WORKERS=1, **preload, **server.settings(server), **settings)
        client = self.front(app.socket_path, name=f"nginx-{name}-{server.name}")
        client.app = app
        wait_until(lambda: abs(self.skew(client) + shift_s) <= 2, "the host knows that its clock is off", timeout_s=40)
        return client

    def skew(self, client):
        return int(re.search(r"^inferonce_clock_skew_seconds (-?\d+)$", client.get("/metrics").body.decode(), re.MULTILINE)[1])

    def over_each(self, check):
        for kind in (Memcached, Redis):
            server = kind(self)
            with self.subTest(server=server.name):
                check(server)

    def test_entries_mean_the_same(self):
        """With a lifetime below what the clocks differ by."""
        def check(server):
            hosts = [self.host(server, name, shift_s, CACHE_TTL=20) for name, shift_s in (("right", 0), ("ahead", 50), ("behind", -50))]
            for number, writer in enumerate(hosts):
                self.assertEqual(writer.predict(f"text {number}").cache, "MISS")
                for reader in hosts:
                    answer = reader.predict(f"text {number}")
                    self.assertEqual(answer.cache, "HIT", (number, hosts.index(reader)))
                    self.assertLessEqual(int(answer.header("Age")), 4)
            for client in hosts:
                self.assertEqual(client.stats()["rejected_entries"], 0)
        self.over_each(check)

    def test_purges_hold(self):
        def check(server):
            ahead, behind = self.host(server, "ahead", 50), self.host(server, "behind", -50)
            for one, two in ((ahead, behind), (behind, ahead)):
                key = one.predict("text").header("X-Cache-Key")
                self.assertEqual(two.delete("/cache").status, 200)
                self.assertEqual([one.predict("text").cache for _ in range(2)], ["MISS", "HIT"])
                self.assertEqual(two.delete(f"/cache/{key}").status, 200)
                self.assertEqual([one.predict("text").cache for _ in range(2)], ["MISS", "HIT"])
                self.assertEqual(two.delete("/cache").status, 200)
        self.over_each(check)

    def test_removed_while_it_is_inferred(self):
        def check(server):
            for number, (leads_s, removes_s) in enumerate(((50, -50), (-50, 50))):
                leads = self.host(server, f"leads{number}", leads_s, INFERENCE_DELAY_MS=1000)
                removes = self.host(server, f"removes{number}", removes_s)
                text = f"slow {number}"
                key = leads.predict(text).header("X-Cache-Key")
                answers = []
                asker = threading.Thread(target=lambda: answers.append(leads.predict(text, headers=[("Cache-Control", "no-cache")])), daemon=True)
                asker.start()
                wait_until(lambda: leads.stats()["in_flight"] == 1, "it is inferred")
                self.assertEqual(removes.delete(f"/cache/{key}").status, 200)
                asker.join(20)
                self.assertEqual(answers[0].status, 200)
                self.assertEqual(removes.predict(text, headers=[("Cache-Control", "only-if-cached")]).status, 504)
        self.over_each(check)

    def test_far_off(self):
        """It is told, once, and corrected all the same."""
        redis = Redis(self)
        right, far = self.host(redis, "right", 0), self.host(redis, "far", 300)
        self.assertEqual(far.predict("text").cache, "MISS")
        self.assertEqual(right.predict("text").cache, "HIT")
        self.assertEqual(len(re.findall("level=warn event=clock_skew .*seconds_behind=-(?:29|30)", far.app.log())), 1)
        self.assertNotIn("clock_skew", right.app.log())
