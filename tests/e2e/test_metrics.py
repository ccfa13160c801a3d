"""/metrics and /dashboard through the web servers: what scrapers and browsers rely on."""

import base64
import hashlib
import os
import re

import exposition
from case import Case, through_both
from exposition import OPENMETRICS, TEXT, Malformed, read_openmetrics, read_text
from processes import wait_until
from servers import BUILD, run_program
from upstream_case import UpstreamCase

# What Prometheus 2 and 3 send, and others.
ACCEPTS = [
    (None, TEXT),
    ("*/*", TEXT),
    ("text/plain", TEXT),
    ("application/json", TEXT),
    ("application/openmetrics-text", OPENMETRICS),
    ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     OPENMETRICS),
    ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
     "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", OPENMETRICS),
    ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8", TEXT),
    ("application/openmetrics-text;version=0.0.1", TEXT),
    ("application/openmetrics-text;q=0", TEXT),
    ("text/*;q=0.5, application/*;q=0.6", OPENMETRICS),
]

GOOD_TEXT = ('# HELP a_total Help with \\\\ and \\n.\n# TYPE a_total counter\na_total 1\n'
             '# TYPE b gauge\nb{c="d"} -1.5e3\nb{c="\\"\\\\\\n"} +Inf\n')
GOOD_HISTOGRAM = ('# TYPE a histogram\na_bucket{b="c",le="1"} 1\na_bucket{b="c",le="2.5"} 1\na_bucket{b="c",le="+Inf"} 2\n'
                  'a_sum{b="c"} 7.5\na_count{b="c"} 2\n')
BAD_TEXT = [
    "a 1",  # no line feed
    "a 1\n",  # no type
    "# TYPE a gauge\n# TYPE a gauge\na 1\n",
    "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na 2\n",
    "# TYPE a gauge\na 1\na 1\n",
    "# TYPE a gauge\na one\n",
    "# TYPE a gauge\na  1\n",
    "# TYPE a gauge\n\na 1\n",
    "# TYPE a gauge\na{} 1\n",
    "# TYPE a gauge\na{b=c} 1\n",
    '# TYPE a gauge\na{b="c} 1\n',
    '# TYPE a gauge\na{b="c",} 1\n',
    '# TYPE a gauge\na{b="c" d="e"} 1\n',
    '# TYPE a gauge\na{b="c",b="d"} 1\n',
    '# TYPE a gauge\na{b="\\t"} 1\n',
    "# TYPE a info\na_info 1\n",
    "# TYPE a counter\na 1\n",
    "# TYPE a_total counter\na_total -1\n",
    "# HELP a \\t\n# TYPE a gauge\na 1\n",
    "# UNIT a_b b\n# TYPE a_b gauge\na_b 1\n",
    "# TYPE 5a gauge\n5a 1\n",
    "# TYPE a histogram\na_sum 1\na_count 1\n",
    '# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n',
    '# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    '# TYPE a histogram\na_bucket{le="2"} 1\na_bucket{le="1"} 1\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    '# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n',
    '# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 1\n',
]
GOOD_OPENMETRICS = ('# HELP a Help with \\" and \\n.\n# TYPE a counter\na_total 1\n# TYPE b_seconds gauge\n# UNIT b_seconds seconds\n'
                    'b_seconds 0.5\n# TYPE c info\nc_info{d="e"} 1\n# EOF\n')
BAD_OPENMETRICS = [
    "# TYPE a gauge\na 1\n",  # no end
    "# TYPE a gauge\na 1\n# EOF\n\n",
    "# TYPE a gauge\na 1\n# EOF\n# EOF\n",
    "# TYPE a counter\na 1\n# EOF\n",
    "# TYPE a_total counter\na_total 1\n# EOF\n",
    "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
    "# TYPE a info\na_info 2\n# EOF\n",
    '# HELP a a "quote"\n# TYPE a gauge\na 1\n# EOF\n',
    "# TYPE a untyped\na 1\n# EOF\n",
    "# TYPE a counter\na_total 1\n# TYPE a_created gauge\na_created 1\n# EOF\n",
]


class Judge(Case):
    """exposition.py itself, on cases reasoned from the specifications."""

    def test_good(self):
        families = read_text(GOOD_TEXT)
        self.assertEqual(families["a_total"].only(), 1)
        self.assertEqual(read_text(GOOD_HISTOGRAM)["a"].samples[("a_count", (("b", "c"),))], 2)
        self.assertEqual(families["b"].samples[("b", (("c", "d"),))], -1500)
        self.assertEqual(read_openmetrics(GOOD_OPENMETRICS)["b_seconds"].unit, "seconds")

    def test_bad(self):
        for read, texts in ((read_text, BAD_TEXT), (read_openmetrics, BAD_OPENMETRICS)):
            for text in texts:
                with self.subTest(text=text), self.assertRaises(Malformed):
                    read(text)


@through_both
class Metrics(Case):
    def scrape(self, client, accept=None):
        response = client.get("/metrics", {"Accept": accept} if accept else {})
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header("Cache-Control"), "no-store")
        return response.header("Content-Type"), exposition.read(response)

    def test_negotiation(self):
        client = self.serve()
        for accept, expected in ACCEPTS:
            with self.subTest(accept=accept):
                self.assertEqual(self.scrape(client, accept)[0], expected)

    def test_figures_are_those_of_the_statistics(self):
        client = self.serve(WORKERS=3, INFERENCE_DELAY_MS=20, CACHE_MAX_SIZE=500)
        for text, headers in (("one", {}), ("two", {}), ("one", {}), ("two", {"Cache-Control": "no-cache"})):
            client.predict(text, headers)
        for accept, total in ((TEXT, "_total"), (OPENMETRICS, "")):
            stats, families = client.stats(), self.scrape(client, accept)[1]
            left_out = {"hit_ratio", "answered_without_inference", "ttl_seconds", "memory_mb", "uptime_seconds", "backend", "requests", "responses_2xx",
                        "inference_seconds_saved", "scope", "durations", "duration_bounds_ms"}
            for name in stats.keys() - left_out:
                family = families.get(f"inferonce_{name}") or families[f"inferonce_{name}_total"]
                self.assertEqual(family.only(), stats[name], name)
            self.assertEqual(stats["hits"], 1)
            self.assertEqual((stats["answered_without_inference"], families["inferonce_answered_without_inference"].only()), (0.25, 0.25))
            saved = families[f"inferonce_inference_seconds_saved{total}"]
            self.assertEqual((saved.type, round(saved.only(), 3)), ("counter", stats["inference_seconds_saved"]))
            self.assertGreaterEqual(saved.only(), 0.02)
            self.assertGreater(families[f"inferonce_requests{total}"].only(), stats["requests"])
            self.assertAlmostEqual(families["inferonce_memory_bytes"].only() / 2**20, stats["memory_mb"], 4)
            self.assertGreaterEqual(families["inferonce_uptime_seconds"].only(), stats["uptime_seconds"])
            self.assertLess(families["inferonce_uptime_seconds"].only(), stats["uptime_seconds"] + 60)
            self.assertEqual(families["inferonce_backend_degraded"].samples,
                             {("inferonce_backend_degraded", (("type", "memory"),)): 0})

    def test_units_are_told(self):
        families = self.scrape(self.serve(), OPENMETRICS)[1]
        seconds = ("uptime", "clock_skew", "request_duration", "inference_duration", "upstream_first_byte")
        self.assertEqual({name: family.unit for name, family in families.items() if family.unit},
                         {"inferonce_memory_bytes": "bytes"} | {f"inferonce_{what}_seconds": "seconds" for what in seconds})
        self.assertTrue(all(family.help for family in families.values()))

    def test_which_program(self):
        client = self.serve()
        version = run_program("--version").stdout.split()[1]
        key = ("inferonce_build_info", (("version", version),))
        self.assertEqual(self.scrape(client, TEXT)[1]["inferonce_build_info"].samples, {key: 1})
        self.assertEqual(self.scrape(client, OPENMETRICS)[1]["inferonce_build"].samples, {key: 1})

    def test_workers(self):
        client = self.serve(WORKERS=2)

        def of_each(name):
            families = self.scrape(client)[1]
            return {dict(labels)["worker"]: value for (_, labels), value in families[f"inferonce_worker_{name}"].samples.items()}

        self.assertEqual(of_each("up"), {"0": 1, "1": 1})
        with client.app.connect() as connection:
            wait_until(lambda: sum(of_each("connections").values()) >= 2, "ours and the web server's are counted")
            self.assertEqual(connection.ask("GET", "/healthz").status, 200)

    def durations(self, client, what="request"):
        """Counts and sums of the histogram, by what X-Cache said."""
        name = f"inferonce_{what}_duration_seconds"
        samples = self.scrape(client)[1][name].samples
        return [{dict(labels).get("cache"): value for (sample, labels), value in samples.items() if sample == name + part}
                for part in ("_count", "_sum")]

    def test_durations(self):
        client = self.serve(INFERENCE_DELAY_MS=300)
        none = {"hit": 0, "stale": 0, "miss": 0, "partial": 0, "bypass": 0, "failed": 0}
        self.assertEqual(self.durations(client)[0], none)
        for _ in range(3):
            client.predict("one")
        client.predict("two", headers=[("Cache-Control", "no-cache")])
        client.predict_batch(["one", "three"])
        client.predict("four", headers=[("Cache-Control", "only-if-cached")])
        client.request("POST", "/predict", "not JSON")  # no text, and nothing that the cache was asked
        counts, sums = self.durations(client)
        self.assertEqual(counts, none | {"hit": 2, "miss": 1, "partial": 1, "bypass": 1, "failed": 1})
        self.assertLess(sums["hit"], 0.3)
        for slow in ("miss", "partial", "bypass"):
            self.assertTrue(0.3 <= sums[slow] < 10, sums)
        counts, sums = self.durations(client, "inference")
        self.assertEqual(counts, {None: 3})
        self.assertTrue(0.9 <= sums[None] < 30, sums)

    def test_responses_by_class(self):
        client = self.serve(WORKERS=1)
        client.predict("one")
        client.get("/nowhere")
        client.request("POST", "/predict", "not JSON")
        stats = client.stats()
        self.assertEqual([stats[f"responses_{n}xx"] for n in (3, 4, 5)], [0, 2, 0])
        self.assertEqual(sum(stats[f"responses_{n}xx"] for n in (2, 3, 4, 5)), stats["requests"] - 1)  # this one is not sent yet

    def test_requests_by_route(self):
        client = self.serve(WORKERS=1)  # an answer is counted when it was sent: another worker might not see it yet
        client.predict("one")
        client.predict("one", method="QUERY")
        client.request("POST", "/predict", "not JSON")
        client.request("PUT", "/predict", "{}")
        client.get("/nowhere")
        client.get("/cache/" + 64 * "0")
        client.request("HEAD", "/openapi.json")
        for accept in (TEXT, OPENMETRICS):
            families = self.scrape(client, accept)[1]
            family = families.get("inferonce_http_requests_total") or families["inferonce_http_requests"]
            counts = {tuple(dict(labels).values()): value for (_, labels), value in family.samples.items() if value}
            for path in ("/healthz", "/metrics"):  # asked by the web server's start, and here
                counts.pop((path, "2xx"), None)
            self.assertEqual(counts, {("/predict", "2xx"): 2, ("/predict", "4xx"): 2, ("other", "4xx"): 1, ("/cache/{key}", "4xx"): 1,
                                      ("/openapi.json", "2xx"): 1})
        paths = {dict(labels)["route"] for _, labels in family.samples} - {"other"}
        self.assertEqual(paths, set(client.get("/openapi.json").json()["paths"]))

    def test_slow_requests_are_logged(self):
        client = self.serve(INFERENCE_DELAY_MS=50, LOG_SLOW_MS=40, WORKERS=1)
        slow = client.predict("a secret text")
        client.predict("a secret text")
        client.get("/healthz")
        lines = [line for line in client.app.log().splitlines() if "event=slow_request" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], rf" level=warn .*ms=\d+ cache=MISS key={slow.header('X-Cache-Key')}$")
        self.assertNotIn("secret", client.app.log())

    def test_counters_outlive_a_worker(self):
        client = self.serve(WORKERS=1)
        client.predict("one")
        (worker,) = client.app.workers()
        os.kill(worker, 9)
        wait_until(lambda: client.app.workers() not in ([], [worker]) and client.app.answers(), "it was replaced")
        wait_until(lambda: client.get("/metrics").status == 200, "it answers through the web server")
        families = self.scrape(client)[1]
        self.assertEqual(families["inferonce_inferences_total"].only(), 1)
        self.assertEqual(families["inferonce_worker_restarts_total"].only(), 1)
        self.assertEqual(families["inferonce_workers_draining"].only(), 0)
        self.assertEqual(self.durations(client)[0]["miss"], 1)


class FirstByte(UpstreamCase):
    def test_of_each_answer(self):
        client = self.serve_model(UPSTREAM_TIMEOUT=10)
        self.model.delay_s = 0.2
        client.predict("slow")
        client.predict("!status 500")
        client.predict("!close")  # no answer
        families = read_text(client.get("/metrics").body.decode())
        self.assertEqual(families["inferonce_inference_duration_seconds"].samples[("inferonce_inference_duration_seconds_count", ())], 1)
        samples = families["inferonce_upstream_first_byte_seconds"].samples
        self.assertEqual(samples[("inferonce_upstream_first_byte_seconds_count", ())], 2)
        self.assertTrue(0.2 <= samples[("inferonce_upstream_first_byte_seconds_sum", ())] < 5, samples)


@through_both
class Dashboard(Case):
    def page(self, response):
        self.assertEqual(response.header("Content-Type"), "text/html; charset=utf-8")
        self.assertEqual(response.header("X-Content-Type-Options"), "nosniff")
        with open(os.path.join(BUILD, "generated", "dashboard.html"), "rb") as file:
            self.assertEqual(response.body, file.read())
        return response.body.decode()

    def test_it_may_run_what_it_holds_and_nothing_else(self):
        response = self.serve().get("/dashboard")
        page = self.page(response)
        policy = dict(part.split(" ", 1) for part in response.header("Content-Security-Policy").split("; "))
        for tag in ("style", "script"):
            (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
            self.assertEqual(policy.pop(f"{tag}-src"), f"'sha256-{digest}'")
        self.assertEqual(policy, {"default-src": "'none'", "connect-src": "'self'", "img-src": "data:", "base-uri": "'none'",
                                  "form-action": "'none'", "frame-ancestors": "'none'"})
        # What such a policy would forbid, and a page without outside resources has not.
        self.assertNotRegex(page, r"""(?i)<[^>]*\s(?:on\w+|style|src)\s*=|@import|url\(|<link(?![^>]*href="data:,")""")
        self.assertEqual(set(re.findall(r"https?://[^\"'\s<]+", page)), {"http://www.w3.org/2000/svg"})

    def test_it_asks_for_figures_that_there_are(self):
        client = self.serve()
        page, stats = self.page(client.get("/dashboard")), client.stats()
        used = set(re.findall(r"\b(?:s|stats|now|was)\.([a-z_]+)|\b(?:perSecond|most)\(\"(\w+)\"", page))
        used = {name for names in used for name in names if name} - {"ratio"}  # that of the page's own measures
        self.assertLessEqual(used, stats.keys())
        self.assertGreater(len(used), 25)

    def test_a_browser_without_the_token_gets_the_page_that_asks_for_it(self):
        client = self.serve(ADMIN_TOKEN="secret")
        browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Authorization": ""}
        refused = client.get("/dashboard", browser)
        self.assertEqual(refused.status, 401)
        self.assertEqual(refused.header("WWW-Authenticate"), 'Bearer realm="inferonce"')
        self.page(refused)
        self.assertEqual(client.request("HEAD", "/dashboard", headers=browser).status, 401)
        self.assertProblem(client.get("/dashboard", {"Authorization": "", "Accept": "*/*"}), 401)
        self.assertProblem(client.get("/cache/stats", browser), 401)
        self.assertProblem(client.get("/metrics", browser), 401)
        self.assertEqual(client.get("/dashboard").status, 200)

    def test_nor_is_one_on_another_machine_left_without_a_word(self):
        with self.serve().app.connect() as connection:
            answer = connection.ask("GET", "/dashboard", remote="192.0.2.1", HTTP_ACCEPT="text/html")
            self.assertEqual((answer.status, answer.headers["content-type"]), (403, "text/html; charset=utf-8"))
            problem = connection.ask("GET", "/dashboard", remote="192.0.2.1")
            self.assertEqual((problem.status, problem.headers["content-type"]), (403, "application/problem+json"))
