"""The Grafana dashboard and the alerts ask for metrics, labels and values that a real /metrics has, in expressions that Prometheus reads."""

import json
import os
import re
import subprocess

from cache_servers import OverMemcached
from case import Case
from exposition import read_text
from processes import wait_until
from prometheus import SHIPPED, Prometheus
from servers import ROOT, Inferonce, find

DASHBOARD = os.path.join(ROOT, "deploy", "grafana", "inferonce.json")
RULES = os.path.join(SHIPPED, "inferonce.rules.yml")
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}
ADDED_BY_PROMETHEUS = {"job": {"inferonce"}, "instance": {"localhost:80"}}
SELECTOR = re.compile(r"\b(inferonce_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|ignoring)\s*\(([^)]*)\)")


class Unknown(Exception):
    pass


def series_of(families):
    """The values of each label, by the name of the sample; with what Prometheus adds."""
    series = {"up": dict(ADDED_BY_PROMETHEUS)}
    for family in families.values():
        for name, labels in family.samples:
            values = series.setdefault(name, dict(ADDED_BY_PROMETHEUS))
            for label, value in labels:
                values[label] = values.get(label, set()) | {value}
    return series


def known_series(client):
    return series_of(read_text(client.get("/metrics").body.decode()))


def demand_known(expression, series):
    """Returns the labels that its series have."""
    seen = set()
    for name, matchers in SELECTOR.findall(expression):
        if name not in series:
            raise Unknown(name)
        seen |= series[name].keys()
        if MATCHER.sub("", matchers).strip(", "):
            raise Unknown(f"{matchers} of {name}")
        for label, operator, value in MATCHER.findall(matchers):
            there = series[name].get(label, set())
            if not any(re.fullmatch(value, other) if operator == "=~" else value == other for other in there):
                raise Unknown(f"{label}{operator}{value} of {name}")
    if not seen:
        raise Unknown(f"no series in {expression}")
    for labels in GROUPING.findall(expression):
        if missing := {label.strip() for label in labels.split(",")} - seen:
            raise Unknown(f"{missing} in {expression}")
    return seen


def fill_in(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


class Judge(Case):
    def test_it_finds_what_there_is_not(self):
        series = series_of(read_text('# TYPE inferonce_a_total counter\ninferonce_a_total{b="c"} 1\n'))
        demand_known('sum by (b, instance) (rate(inferonce_a_total{b="c",job=~".*"}[5m]))', series)
        for wrong in ("inferonce_x_total", 'inferonce_a_total{b="d"}', 'inferonce_a_total{d="c"}', "sum by (d) (inferonce_a_total)",
                      "inferonce_a_total{b='c'}", "1"):
            with self.subTest(wrong=wrong), self.assertRaises(Unknown):
                demand_known(wrong, series)


class DashboardCase(OverMemcached, Case):
    def setUp(self):
        super().setUp()
        with open(DASHBOARD, encoding="utf-8") as file:
            self.dashboard = json.load(file)
        self.panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]

    def expressions(self):
        return [fill_in(target["expr"]) for panel in self.panels for target in panel["targets"]]


class Drawn(DashboardCase):
    def test_each_expression_has_a_value(self):
        client = self.serve()
        prometheus = Prometheus(self, client.address[1])
        wait_until(lambda: prometheus.value("inferonce_hits_total") is not None, "it is scraped")
        for text in ("one", "two", "one"):
            client.predict(text)
        wait_until(lambda: prometheus.value("rate(inferonce_hits_total[5m])"), "a hit is seen")
        empty = [expression for expression in self.expressions() if not prometheus.series(expression)]
        self.assertEqual(empty, [expression for expression in self.expressions() if "max_size" in expression])  # memcached has none


class Expressions(DashboardCase):
    def setUp(self):
        super().setUp()
        over_servers, in_memory = self.serve(), self.front(Inferonce(self, name="memory", CACHE_BACKEND="memory").socket_path, name="web")
        self.series = known_series(over_servers) | known_series(in_memory)

    def test_what_the_panels_ask_for_is_there(self):
        for panel in self.panels:
            for target in panel["targets"]:
                with self.subTest(panel=panel["title"], target=target["refId"]):
                    expression = fill_in(target["expr"])
                    self.assertNotIn("$", expression)
                    labels = demand_known(expression, self.series)
                    grouped = GROUPING.findall(expression)
                    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                    self.assertLessEqual(shown, {label.strip() for label in grouped[0].split(",")} if grouped else labels)

    def test_what_the_alerts_ask_for_is_there(self):
        with open(RULES, encoding="utf-8") as file:
            alerts = file.read().split("- alert: ")[1:]
        for alert in alerts:
            expression = re.search(r"expr: (?:>-)?(.*?)\n        (?:for|labels):", alert, re.DOTALL)[1]
            with self.subTest(alert=alert.split("\n")[0]):
                labels = demand_known(expression, self.series)
                self.assertLessEqual(set(re.findall(r"\$labels\.(\w+)", alert)), labels)
        self.assertGreater(len(alerts), 5)

    def test_prometheus_reads_them(self):
        expressions = self.expressions()
        rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(expressions)]
        path = os.path.join(self.directory, "panels.rules.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)  # which is YAML, too
        run = subprocess.run([find("promtool"), "check", "rules", path], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn(f"{len(expressions)} rules found", run.stdout)

    def test_panels_have_a_place_and_a_source(self):
        panels = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            taken |= cells
        variables = {variable["name"] for variable in self.dashboard["templating"]["list"]}
        self.assertEqual(variables, {"datasource", "instance"})
        for panel in self.panels:
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
