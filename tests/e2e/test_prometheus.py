"""Prometheus itself: it scrapes what is served, and the shipped alerts fire for what they are about."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request

from cache_servers import OverMemcached
from case import Case
from processes import Child, free_port, wait_until
from servers import ROOT, environment, find

SHIPPED = os.path.join(ROOT, "deploy", "prometheus")


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

    def test_metrics_are_clean_and_rules_use_them(self):
        client = self.serve()
        client.predict("one")
        text = client.get("/metrics").body.decode()
        self.promtool("check", "metrics", input=text)
        with open(os.path.join(SHIPPED, "inferonce.rules.yml"), encoding="utf-8") as file:
            used = set(re.findall(r"\binferonce_\w+", file.read()))
        self.assertLessEqual(used, set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)))


class Prometheus(Child):
    """With the shipped configuration, but for the address it scrapes and that it does not wait: it scrapes and judges each second, and
    alerts at once."""

    def __init__(self, case, target):
        directory = os.path.join(case.directory, "prometheus")
        shutil.copytree(SHIPPED, directory)
        self.change(os.path.join(directory, "prometheus.yml"), (r"localhost:80", f"localhost:{target}"), (r": 15s", ": 1s"))
        self.change(os.path.join(directory, "inferonce.rules.yml"), (r"for: \d+m", "for: 0s"))
        self.port = free_port()
        command = [find("prometheus"), f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                   f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        super().__init__("prometheus", command, os.path.join(case.directory, "prometheus.log"), environment({}))
        case.add_child(self)
        wait_until(self.answers, "Prometheus answers", timeout_s=60)

    @staticmethod
    def change(path, *changes):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for pattern, replacement in changes:
            assert re.search(pattern, text), pattern
            text = re.sub(pattern, replacement, text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as response:
            return json.load(response)["data"]

    def answers(self):
        try:
            return self.get("alerts") is not None
        except OSError:
            assert self.alive, self.log()
            return False

    def firing(self):
        return {alert["labels"]["alertname"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"}

    def value(self, query):
        result = self.get(f"query?query={query}")["result"]
        return float(result[0]["value"][1]) if result else None


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
