"""Prometheus itself: it scrapes what is served, and the shipped alerts fire for what they are about."""

import os
import re
import shutil
import signal
import subprocess

from cache_servers import OverMemcached
from case import Case
from processes import free_port, wait_until
from prometheus import SHIPPED, Prometheus
from servers import ROOT, find


class Files(Case):
    def promtool(self, *arguments, **options):
        run = subprocess.run([find("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False, **options)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_rules(self):
        for source in (os.path.join(SHIPPED, "inferonce.rules.yml"), os.path.join(ROOT, "tests", "data", "inferonce.rules.test.yml")):
            shutil.copy(source, self.directory)
        self.promtool("check", "config", os.path.join(SHIPPED, "prometheus.yml"))
        self.promtool("test", "rules", "inferonce.rules.test.yml", cwd=self.directory)

    def test_every_alert_is_tested(self):
        def names(word, *path):
            with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
                return set(re.findall(rf"\b{word}: (Inferonce\w+)", file.read()))

        alerts = names("alert", "deploy", "prometheus", "inferonce.rules.yml")
        self.assertEqual(alerts, names("alertname", "tests", "data", "inferonce.rules.test.yml"))
        self.assertGreater(len(alerts), 5)

    def test_metrics_are_clean(self):
        client = self.serve()
        client.predict("one")
        text = client.get("/metrics").body.decode()
        self.promtool("check", "metrics", input=text)


class Scraped(OverMemcached, Case):
    def test_alerts(self):
        """Nothing while all is well; then the model, the cache server and the workers go, one after the other."""
        port = free_port()
        client = self.serve(ENGINE="http", UPSTREAM_URL=f"http://127.0.0.1:{port}/", WORKERS=1, STORE_TIMEOUT_MS=100)
        prometheus = Prometheus(self, client.address[1])
        wait_until(lambda: prometheus.value("up") == 1, "it is scraped", timeout_s=30)
        self.assertEqual(prometheus.value("inferonce_workers"), 1)
        wait_until(lambda: (prometheus.value("inferonce_requests_total") or 0) > 3, "it is scraped again", timeout_s=30)
        self.assertEqual(prometheus.firing(), set())

        for number in range(6):
            client.predict(f"text {number}")
        wait_until(lambda: {"InferonceModelUnreachable", "InferonceInferencesFail", "InferonceFewHits"} <= prometheus.firing(),
                   "the model is missed", timeout_s=30)
        self.assertNotIn("InferonceCacheDegraded", prometheus.firing())
        self.assertNotIn("InferonceWorkersDie", prometheus.firing())

        self.server.kill()
        client.predict("another text")
        wait_until(lambda: "InferonceCacheDegraded" in prometheus.firing(), "the cache server is missed", timeout_s=30)

        for _ in range(4):
            workers = client.app.workers()
            os.kill(workers[0], signal.SIGKILL)
            wait_until(lambda gone=workers: client.app.workers() not in ([], gone) and client.app.answers(), "it was replaced", timeout_s=30)
        wait_until(lambda: "InferonceWorkersDie" in prometheus.firing(), "workers are missed", timeout_s=30)
        client.app.stop()
        wait_until(lambda: "InferonceDown" in prometheus.firing(), "it is missed", timeout_s=30)
