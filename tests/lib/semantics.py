"""Rows of the table "Cases": what is stored, what is asked, what must come of it; and how a row is tried.

All entries of a table are made first and grow old together, so that a table takes as long as its oldest entry, not as long as all.
"""

import re
import time
from collections import namedtuple

import structured
from processes import wait_until

LIFETIME_S = 60  # CACHE_TTL of all tables

# What a row finds: an entry made with this lifetime, of at least this age; an entry whose time is over for good; or nothing.
State = namedtuple("State", "lifetime_s age_s")
NOTHING = State(None, None)
GONE = State(1, None)

# What a row must get. `cache_status`: without ttl. `counters`: all that change. `leaves` is what is stored afterwards: NEW an entry
# made by this request, KEPT what was there before, which may be nothing.
Outcome = namedtuple("Outcome", "status cache cache_status counters leaves")
NEW, KEPT = "new", "kept"

COUNTERS = ("hits", "misses", "bypasses", "stale_hits", "coalesced", "stores", "store_errors", "rejected_entries", "purges",
            "inferences", "inference_errors")

INFERRED = {"inferences": 1, "stores": 1}
HIT = Outcome(200, "HIT", {"hit": True}, {"hits": 1}, KEPT)
STALE = Outcome(200, "STALE", {"hit": True}, {"hits": 1, "stale_hits": 1}, KEPT)
REFRESHED = Outcome(200, "STALE", {"hit": True}, {"hits": 1, "stale_hits": 1, **INFERRED}, NEW)
MISS = Outcome(200, "MISS", {"fwd": "miss", "stored": True}, {"misses": 1, **INFERRED}, NEW)
EXPIRED = Outcome(200, "MISS", {"fwd": "stale", "stored": True}, {"misses": 1, **INFERRED}, NEW)
BYPASS = Outcome(200, "BYPASS", {"fwd": "request", "stored": True}, {"bypasses": 1, **INFERRED}, NEW)
ALONE = Outcome(200, "BYPASS", {"fwd": "request"}, {"bypasses": 1, "inferences": 1}, KEPT)
UNCACHED = Outcome(504, "MISS", None, {"misses": 1}, KEPT)
UNCACHED_BYPASS = Outcome(504, "BYPASS", None, {"bypasses": 1}, KEPT)
OVERLOAD = Outcome(503, "MISS", None, {"misses": 1}, KEPT)
OVERLOAD_BYPASS = Outcome(503, "BYPASS", None, {"bypasses": 1}, KEPT)


def headers_of(request):
    """A row's request: a Cache-Control value, or header fields as pairs."""
    return [("Cache-Control", request)] if isinstance(request, str) else list(request)


def timings(response):
    """Server-Timing as {metric: milliseconds}; its grammar for these metrics is that of a structured list."""
    return {str(name): parameters["dur"] for (name, parameters) in structured.parse_list(response.header("Server-Timing"))}


class Entry:
    """The entry that a row starts with, or its absence."""

    def __init__(self, client, state, text):
        self.client = client
        self.state = state
        self.text = text
        self.key = None
        if state is not NOTHING:
            made = client.predict(text, {"X-Cache-TTL": str(state.lifetime_s)})
            assert (made.status, made.cache) == (200, "MISS"), made
            self.key = made.header("X-Cache-Key")

    def look(self):
        """What GET /cache/{key} tells; None when there is no entry."""
        response = self.client.get(f"/cache/{self.key}")
        assert response.status in (200, 404), response
        return response.json() if response.status == 200 else None

    def is_old_enough(self):
        return self.look()["age"] >= self.state.age_s


class Table:
    """A table's rows, tried against one program. `case` is the test case."""

    def __init__(self, case, client, name, rows):
        self.case = case
        self.client = client
        self.rows = [(Entry(client, state, f"{name} row {number}"), request, outcome)
                     for number, (state, request, outcome) in enumerate(rows)]
        # Made after all others, so gone after them. Looking for those themselves would remove what is left of them.
        self.last = Entry(client, GONE, f"{name} last") if any(state is GONE for state, *_ in rows) else None

    def wait(self):
        if self.last:
            wait_until(lambda: self.last.look() is None, "the entries are gone")
        for entry, *_ in self.rows:
            if entry.state not in (NOTHING, GONE):
                wait_until(entry.is_old_enough, f"the entry is {entry.state}")

    def run(self):
        self.wait()
        for entry, request, outcome in self.rows:
            with self.case.subTest(state=entry.state, request=request):
                self.row(entry, headers_of(request), outcome)

    def row(self, entry, headers, outcome):
        before = self.client.stats()
        began = time.monotonic()
        response = self.client.predict(entry.text, headers)
        self.case.assertEqual((response.status, response.cache), (outcome.status, outcome.cache), response)
        self.check_key(entry, response)
        self.check_counters(before, outcome, response)
        if outcome.status == 200:
            self.case.assertEqual(response.header("Content-Type"), "application/json")
            self.check_answer(entry, response, outcome)
        else:
            self.case.assertProblem(response, outcome.status)
            self.case.assertIsNone(response.header("Age"), response)
            self.case.assertEqual(response.header("Retry-After") is not None, outcome.status == 503, response)
        self.check_what_is_left(entry, outcome, began)

    def check_key(self, entry, response):
        self.case.assertRegex(response.header("X-Cache-Key"), re.compile(r"\A[0-9a-f]{64}\Z"))
        if entry.key:
            self.case.assertEqual(response.header("X-Cache-Key"), entry.key)
        entry.key = response.header("X-Cache-Key")

    def check_counters(self, before, outcome, response):
        """The counters of the outcome have grown by that much, the others not at all."""
        expected = {name: outcome.counters.get(name, 0) for name in COUNTERS}

        def grown():
            after = self.client.stats()
            return {name: after[name] - before[name] for name in COUNTERS}

        if outcome is REFRESHED:  # the answer does not wait for the refresh
            wait_until(lambda: grown()["stores"] == 1, "the entry is refreshed")
        self.case.assertEqual(grown(), expected, response)

    def check_answer(self, entry, response, outcome):
        case, answer = self.case, response.json()
        from_cache = "hit" in outcome.cache_status
        case.assertEqual(answer["result"]["sentiment"], "neutral")
        case.assertIs(answer["cached"], from_cache, response)
        case.assertEqual("inference_time_ms" in answer, not from_cache, response)
        case.assertEqual(set(answer), {"result", "cached"} | (set() if from_cache else {"inference_time_ms"}))
        status = response.cache_status
        case.assertEqual("ttl" in status, from_cache, response)
        ttl_s = status.pop("ttl", None)
        case.assertEqual(status, outcome.cache_status)
        case.assertEqual(set(timings(response)), {"cache"} if from_cache else {"cache", "inference"}, response)
        age = response.header("Age")
        case.assertEqual(age is not None, from_cache, response)
        if not from_cache:
            return
        case.assertGreaterEqual(int(age), entry.state.age_s)
        # "hit; ttl=60-a", of which each is given in whole seconds.
        if outcome.cache == "HIT":
            case.assertEqual(int(age) + ttl_s, entry.state.lifetime_s, response)
        else:
            case.assertLess(ttl_s, 0, response)
            case.assertIn(int(age) + ttl_s, (entry.state.lifetime_s, entry.state.lifetime_s - 1), response)

    def check_what_is_left(self, entry, outcome, began):
        found = entry.look()
        if outcome.leaves == KEPT and entry.state in (NOTHING, GONE):
            self.case.assertIsNone(found)
            return
        self.case.assertIsNotNone(found)
        # An entry of this request is no older than the request; the one before it was at least a second older.
        is_new = found["age"] <= time.monotonic() - began
        self.case.assertEqual(NEW if is_new else KEPT, outcome.leaves, found)
