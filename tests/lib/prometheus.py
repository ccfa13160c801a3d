"""Prometheus itself, on a free port."""

import json
import os
import re
import shutil
import urllib.request
from urllib.parse import quote

from processes import Child, free_port, wait_until
from servers import ROOT, environment, find

SHIPPED = os.path.join(ROOT, "deploy", "prometheus")


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

    def series(self, query):
        return self.get(f"query?query={quote(query)}")["result"]

    def value(self, query):
        result = self.series(query)
        return float(result[0]["value"][1]) if result else None
