"""The dashboard in headless Chromium: what it shows of a server's answers, and how it looks with a real server behind it.

SCREENSHOTS=DIRECTORY keeps the pictures.
"""

import copy
import json
import os
import signal

from browser import Browser, colours_of
from cache_servers import Memcached
from case import Case
from processes import wait_until
from servers import ROOT


def script(name):
    with open(os.path.join(ROOT, "tests", "lib", name), encoding="utf-8") as file:
        return file.read()


class DashboardCase(Case):
    def open(self, client, **options):
        page = Browser(self).open(f"http://127.0.0.1:{client.web.port}/dashboard", **options)
        page.evaluate(script("dashboard_look.js"))
        return page

    def text(self, page, selector):
        return page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def chart(self, page, title):
        """What a screen reader says of it: {label: value}, with "when"."""
        said = page.evaluate(f"document.querySelector('svg[aria-label=\"{title}\"]').getAttribute('aria-valuetext')")
        when, _, values = said.partition(": ")
        return {"when": when, **dict(value.split(": ") for value in values.split(", "))}

    def choose(self, page, name):
        at = page.evaluate(f"[...document.querySelectorAll('#choice label')].find(label => label.textContent === '{name}')"
                           ".getBoundingClientRect().toJSON()")
        page.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)

    def point_at(self, page, title, part):
        """At a part of the width of a chart's drawing."""
        page.evaluate(f"document.querySelector('svg[aria-label=\"{title}\"]').scrollIntoView({{block: 'center'}})")
        line = page.evaluate(f"document.querySelector('svg[aria-label=\"{title}\"] .grid').getBoundingClientRect().toJSON()")
        page.point(line["x"] + part * line["width"], line["y"] - 30)


class Shown(DashboardCase):
    """With answers that the test gives."""

    def setUp(self):
        super().setUp()
        client = self.serve()
        self.live = client.stats()
        self.page = self.open(client, script=script("dashboard_server.js"))

    def give(self, stats, after_ms=1000, status=200):
        answer = {"status": status, "stats": stats} if status else None
        self.page.evaluate(f"give({json.dumps(answer)}, {after_ms})")

    def give_many(self, stats, n, after_ms, by):
        return self.page.evaluate(f"giveMany({json.dumps(stats)}, {n}, {after_ms}, {json.dumps(by)})")

    def state(self):
        return self.page.evaluate("[document.getElementById('state').className, document.getElementById('state').textContent]")

    def tile(self, label):
        return self.page.evaluate(f"(tile => [tile.children[1].textContent, tile.children[2].textContent])("
                                  f"[...document.querySelectorAll('#tiles div')].find(tile => tile.children[0].textContent === '{label}'))")

    def events(self):
        return self.page.evaluate("[...document.querySelectorAll('#events li span')].map(node => node.textContent)")

    def test_figures_that_a_lost_cache_server_has_not_are_unknown(self):
        servers = [{"name": "cache-1:11211", "state": "up", "pending": 0, "size": 70, "memory_bytes": 2**21, "evictions": 0}]
        remote = {**self.live, "scope": "server", "backend": {"type": "memcached", "state": "ok", "servers": servers}}
        lost = copy.deepcopy({**remote, "size": None, "max_size": None, "memory_mb": None, "evictions": None})
        lost["backend"]["state"] = "degraded"
        lost["backend"]["servers"][0].update(state="down", pending=3)
        self.give(remote)
        self.assertEqual(self.state(), ["good", "live"])
        self.assertIn("memcached cache-1:1121170 items, 2.0 MB", self.text(self.page, "#states"))
        self.give(lost)
        kind, said = self.state()
        self.assertEqual(kind, "warn")
        self.assertIn("the cache server is lost", said)
        self.assertEqual(self.tile("Entries"), ["–", "memory not known"])
        self.assertEqual(self.text(self.page, "#states .warn"), "memcached cache-1:11211lost, 3 invalidations to tell")
        self.give(remote)
        self.assertEqual(self.state(), ["good", "live"])
        self.assertEqual(self.events(), ["cache-1:11211 is back", "cache-1:11211 is lost"])
        self.assertEqual(self.page.evaluate("document.querySelectorAll('.chart .event').length"), 2 * 12)
        self.assertEqual(self.page.problems(), [])

    def test_a_model_that_is_down_is_red(self):
        down = {**self.live, "model_unreachable": 2, "responses_5xx": self.live["responses_5xx"] + 30,
                "inference_errors": self.live["inference_errors"] + 10}
        self.give(self.live)
        self.assertEqual(self.state()[0], "good")
        self.give(down)
        self.assertEqual(self.state()[0], "bad")
        self.assertIn("the model cannot be reached", self.state()[1])
        self.assertEqual(self.text(self.page, "#states .bad"), "modelnot reached by 2 of 2 workers")
        for dark in (False, True):
            self.page.colours(dark)
            self.assertEqual(self.page.evaluate("look.pale().pale"), [])
        self.assertEqual(self.chart(self.page, "Errors per second"), {"when": "now", "answers 5xx": "30", "inferences": "10", "cache": "0"})
        self.give({**down, "model_unreachable": 0})
        self.assertEqual(self.state()[0], "good")
        self.assertEqual(self.events(), ["the model is back", "the model is lost"])
        self.assertRegex(self.page.evaluate("document.title"), r"^127\.0\.0\.1:\d+ – inferonce$")

    def test_figures_that_it_does_not_understand_do_not_stop_it(self):
        for missing in ("durations", "durations", "backend"):
            self.give({name: value for name, value in self.live.items() if name != missing})
            self.assertEqual(self.state()[0], "bad")
            self.assertIn("cannot be shown", self.state()[1])
        self.give(None, status=0)
        self.assertIn("does not answer", self.state()[1])
        self.give(None, status=500)
        self.assertIn("the server answers 500", self.state()[1])
        self.give(self.live)
        self.assertEqual(self.state(), ["good", "live"])
        self.assertEqual(self.page.problems(), [])

    def test_what_is_counted_is_an_event(self):
        self.give(self.live)
        self.give({**self.live, "purges": 1, "worker_restarts": 2})
        self.give({**self.live, "purges": 1, "worker_restarts": 3, "reloads_refused": 1})
        self.assertEqual(self.events(), ["1 reload was refused", "1 worker died", "2 workers died", "1 purge"])

    def test_percentiles_of_a_step(self):
        buckets = [0] * 19
        buckets[1], buckets[13] = 90, 10  # 0.1 to 0.25 ms, 1 to 2.5 s
        self.give(self.live)
        self.give_many(self.live, 2, 1000, {"requests": 100, "durations": {"hit": {"buckets": buckets}}})
        self.assertEqual(self.chart(self.page, "Time to a hit"), {"when": "now", "p50": "183 µs", "p95": "1.75 s", "p99": "2.35 s"})
        self.assertEqual(self.chart(self.page, "Time to a miss"), {"when": "now", "p50": "–", "p95": "–", "p99": "–"})

    def a_day(self):
        """24 hours with 1 request a second, but 5 in the minute before the last hour; 12:00 to 12:00."""
        stats = self.live
        for minutes, requests in ((23 * 60 - 1, 60), (1, 300), (60, 60)):
            stats = self.give_many(stats, minutes, 60000, {"requests": requests, "hits": 30, "misses": 10})
        return stats

    def test_ranges(self):
        self.a_day()
        for name, start in (("1 h", "11:00"), ("6 h", "06:00"), ("24 h", "12:00"), ("15 min", "11:45")):
            self.choose(self.page, name)
            self.assertEqual(self.text(self.page, ".chart .time"), start, name)
            self.assertTrue(self.page.evaluate("view.samples.length >= 14 && view.samples[0][0] - view.from < 2 * RANGES[range].stepMs"), name)
        self.assertEqual(self.chart(self.page, "Requests per second"), {"when": "now", "with this page's own": "1"})
        self.assertEqual(self.chart(self.page, "Hit ratio")["at the time"], "75.0 %")

    def test_what_is_pointed_at(self):
        self.a_day()
        self.choose(self.page, "6 h")
        self.point_at(self.page, "Requests per second", 5 / 6 - 0.001)  # 11:00, of 06:00 to 12:00
        at_peak = self.chart(self.page, "Requests per second")
        self.assertEqual(at_peak, {"when": "11:00:00", "with this page's own": "5"})  # 300 in the minute before
        self.assertEqual(self.chart(self.page, "Hit ratio")["when"], at_peak["when"])
        self.assertEqual(self.text(self.page, ".chart .cursor-time"), at_peak["when"])
        self.assertTrue(self.page.evaluate("document.querySelector('.chart .cursor').checkVisibility()"))
        self.page.point(1, 1)
        self.assertEqual(self.chart(self.page, "Requests per second")["when"], "now")
        self.assertFalse(self.page.evaluate("document.querySelector('.chart .cursor').checkVisibility()"))

    def test_the_keyboard(self):
        self.a_day()
        for _ in range(2):
            self.page.press("Tab")
        self.assertEqual(self.page.evaluate("document.activeElement.getAttribute('aria-label')"), "Hit ratio")
        for key, when in (("Home", "11:45:00"), ("ArrowRight", "11:46:00"), ("ArrowLeft", "11:45:00"), ("End", "12:00:00"),
                          ("ArrowLeft", "11:59:00"), ("PageDown", "11:49:00"), ("Escape", "now")):
            self.page.press(key)
            self.assertEqual(self.chart(self.page, "Hit ratio")["when"], when, key)
        self.page.evaluate("document.querySelector('#choice input').focus()")
        self.page.press("ArrowRight")
        self.assertEqual(self.text(self.page, ".chart .time"), "11:00")

    def test_the_course_outlives_the_page(self):
        stats = self.a_day()
        self.choose(self.page, "24 h")
        drawn = "document.querySelector('svg[aria-label=\"Requests per second\"] path.series').getAttribute('d')"
        before = self.page.evaluate(drawn)
        self.page.reload()
        self.assertFalse(self.page.evaluate(drawn))  # before the server lets it see anything
        self.give(None, status=401)
        self.assertFalse(self.page.evaluate(drawn))
        self.page.reload()
        self.give({**stats, "requests": stats["requests"] + 1})
        self.assertTrue(self.page.evaluate("document.querySelectorAll('#choice input')[3].checked"))
        after = self.page.evaluate(drawn)
        self.assertGreater(len(before.split("L")), 200)
        self.assertGreaterEqual(len(after.split("L")), len(before.split("L")) - 1)
        self.assertEqual(self.page.problems(), [])

    def test_a_master_that_started_anew_is_a_gap(self):
        stats = self.give_many(self.live, 20, 1000, {"requests": 10})
        self.give_many({**stats, "requests": 0, "hits": 0}, 20, 1000, {"requests": 10})
        path = self.page.evaluate("document.querySelector('svg[aria-label=\"Requests per second\"] path.series').getAttribute('d')")
        self.assertEqual(path.count("M"), 2, path)
        self.assertEqual(self.events(), ["the server started anew"])

    def test_a_token_is_asked_for(self):
        self.give(None, status=401)
        self.assertEqual(self.state(), ["warn", "a token is needed"])
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "token")


class Looks(DashboardCase):
    """With real cache servers, of which one is lost."""

    PLACES = [(width, dark) for width in (400, 1400) for dark in (False, True)]
    OTHER_WIDTHS = (320, 360, 700, 1920)

    def keep(self, png, name):
        directory = os.environ.get("SCREENSHOTS") or self.directory
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, name), "wb") as file:
            file.write(png)

    def demand_looks(self, page, name):
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), page.evaluate("innerWidth"), name)
        self.assertEqual(page.evaluate("look.unreadable()"), [], name)
        judged = page.evaluate("look.pale()")
        self.assertEqual(judged["pale"], [], name)
        self.assertGreater(judged["judged"], 100, name)

    def demand_drawn(self, page, name):
        """In the picture are the card, the line's colour, and letters."""
        self.keep(page.picture(), f"{name}.png")
        for title in ("Requests per second", "Hits per second"):
            selector = f"svg[aria-label=\"{title}\"]"
            colours = colours_of(page.picture(page.evaluate(f"look.box({json.dumps(selector)})")))
            line = page.evaluate(f"getComputedStyle(document.querySelector({json.dumps(selector + ' path.series')})).stroke")
            drawn = tuple(int(channel) for channel in line[4:-1].split(","))
            self.assertGreater(colours[drawn], 5, (name, title, colours.most_common(5)))
            self.assertGreater(len(colours), 10, (name, title))

    def look_everywhere(self, page, kind):
        for width, dark in self.PLACES:
            page.colours(dark)
            page.resize(width)
            name = f"dashboard-{width}-{'dark' if dark else 'light'}-{kind}"
            wait_until(lambda: page.evaluate("charts.every(chart => chart.width === chart.svg.clientWidth)"), "it is drawn at its size")
            self.demand_looks(page, name)
            self.demand_drawn(page, name)
        for width in self.OTHER_WIDTHS:
            page.resize(width)
            wait_until(lambda: page.evaluate("charts.every(chart => chart.width === chart.svg.clientWidth)"), "it is drawn at its size")
            self.demand_looks(page, f"{width} {kind}")

    def test_with_and_without_a_lost_cache_server(self):
        caches = [Memcached(self, "cache-1"), Memcached(self, "cache-2", tcp=True)]
        client = self.serve(INFERENCE_DELAY_MS=20, STORE_TIMEOUT_MS=2000, **Memcached.settings(*caches))
        page = self.open(client)
        samples = "tracks[0].samples.length"

        def ask_for_more():
            for text in range(8):
                client.predict(f"text {text} of {page.evaluate(samples)}")
                client.predict("again and again")
            return page.evaluate(samples) >= 3

        wait_until(ask_for_more, "there is a course", interval_s=0.2)
        self.assertEqual(self.text(page, "#state"), "live")
        self.assertEqual(page.evaluate("document.querySelectorAll('#states .good').length"), 3)
        self.look_everywhere(page, "live")
        page.resize(1920)
        right = page.evaluate("Math.max(...[...document.querySelectorAll('.chart')].map(chart => chart.getBoundingClientRect().right))")
        self.assertGreater(right, 1920 - 48)
        self.assertEqual(len(set(page.evaluate("[...document.querySelectorAll('.chart')].map(chart => chart.getBoundingClientRect().x)"))), 4)

        caches[1].kill()
        client.predict("another")
        wait_until(lambda: client.predict("another") and "is lost" in self.text(page, "#state"), "the page says so")
        self.assertEqual(page.evaluate("document.querySelectorAll('#states .warn').length"), 1)
        self.assertIn(caches[1].address, self.text(page, "#states .warn"))
        self.look_everywhere(page, "lost")
        page.resize(1400)
        self.point_at(page, "Requests per second", 0.95)
        self.demand_looks(page, "pointed at")
        self.keep(page.window(), "dashboard-pointed.png")
        self.assertNotEqual(self.chart(page, "Requests per second")["when"], "now")
        self.assertEqual(page.problems(), [])

    def test_a_reload_of_the_page_and_of_the_master_interrupts_nothing(self):
        client = self.serve()
        page = self.open(client)
        wait_until(lambda: page.evaluate("tracks[0].samples.length") >= 1, "there is a course")
        page.reload()
        wait_until(lambda: self.text(page, "#state") == "live", "the page goes on")
        workers = client.app.workers()
        client.app.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(workers) & set(client.app.workers()), "the old workers are gone")
        client.predict("one")
        wait_until(lambda: page.evaluate("tracks[0].samples.length") >= 3, "there is more of it")
        self.assertTrue(page.evaluate("tracks[0].samples.every(sample => sample.length > 1)"))
        self.assertEqual(page.evaluate("events.map(([, text]) => text)"), ["1 reload"])
        self.assertEqual(self.text(page, "#state"), "live")
        self.assertEqual(page.problems(), [])

    def test_the_form_for_the_token(self):
        client = self.serve(ADMIN_TOKEN="secret")
        page = self.open(client, width=400)
        wait_until(lambda: not page.evaluate("document.getElementById('login').hidden"), "it asks for the token")
        for dark in (False, True):
            page.colours(dark)
            self.assertEqual(page.evaluate("look.pale().pale"), [])
            self.keep(page.window(), f"dashboard-token-{'dark' if dark else 'light'}.png")
        page.send("Input.insertText", text="secret")
        page.evaluate("document.querySelector('#login button').click()")
        wait_until(lambda: self.text(page, "#state") == "live", "the token is taken")
