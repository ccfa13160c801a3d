"""Cache servers that lie, under load: no worker dies, no request fails, nothing wrong is served. LIES= says how many requests for each."""

import json
import os
import subprocess
import time

from case import Case
from liar import MEMCACHED_LIES, REDIS_LIES, Liar, in_order, silence
from processes import wait_until
from servers import Inferonce

BUILD = os.environ.get("BUILD", "build")
LOAD = os.path.join(BUILD, "tests", "bench", "load")
REQUESTS = int(os.environ.get("LIES", "1000"))


class Lies(Case):
    def over(self, name, answer, **settings):
        path = os.path.join(self.directory, f"{name}.liar")
        self.liar = Liar(path, answer)
        self.addCleanup(self.liar.listener.close)
        server = {"memcached": {"MEMCACHED_SERVERS": f"unix:{path}"}, "redis": {"REDIS_URL": f"unix://{path}"}}[name.split("-")[0]]
        self.app = Inferonce(self, name=name, CACHE_BACKEND=name.split("-")[0], STORE_TIMEOUT_MS=50, **server, **settings)
        return self.front(self.app.socket_path, name=f"nginx-{name}")

    def load(self, client, requests, prefix):
        result = subprocess.run([LOAD, f"--port={client.web.port}", "--connections=16", f"--requests={requests}", "--texts=50", f"--prefix={prefix}"],
                                stdout=subprocess.PIPE, check=True, timeout=300)
        return json.loads(result.stdout)

    def check(self, backend, lie):
        client = self.over(f"{backend}-{lie.__name__}", lie)
        told = self.load(client, REQUESTS, "a good text")
        self.assertEqual((told["answered"], told["unanswered"], told["status"]), (REQUESTS, 0, {"200": REQUESTS}), told)
        for text, sentiment in (("a good text", "positive"), ("a bad text", "negative")):
            self.assertEqual({client.predict(text).json()["result"]["sentiment"] for _ in range(5)}, {sentiment})
        self.assertGreater(self.liar.asked, 0)
        self.assertNotIn("worker_killed", self.app.log())
        self.assertEqual(client.stats()["workers"], 2)
        self.app.stop()

    def test_memcached(self):
        for lie in MEMCACHED_LIES:
            with self.subTest(lie=lie.__name__):
                self.check("memcached", lie)

    def test_redis(self):
        for lie in REDIS_LIES:
            with self.subTest(lie=lie.__name__):
                self.check("redis", lie)

    def test_answers_probes_and_fails_at_work(self):
        """It is away, and does not come and go every second."""
        def only_probes(connection, request):
            if request.startswith(b"get ") and b"0" * 64 not in request and b":e" in request:
                silence(connection, request)
            else:
                in_order(connection, request, lambda name: None)
        client = self.over("memcached-probes", only_probes, WORKERS=1)
        client.predict("text")
        wait_until(lambda: "event=cache_server_down" in self.app.log(), "it is seen to fail")
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            self.assertEqual(client.predict("text").status, 200)
            time.sleep(0.05)  # a client's own pace
        changes = self.app.log().count("event=cache_server_down") + self.app.log().count("event=cache_server_up")
        self.assertLessEqual(changes, 3)
