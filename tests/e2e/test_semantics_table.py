"""The table "Cases" of HTTP.md, row by row: (what is stored, the request's directives, what must come of it)."""

import os

from case import Case, through_both
from processes import wait_until
from semantics import (ALONE, BYPASS, EXPIRED, GONE, HIT, LIFETIME_S, MISS, NOTHING, OVERLOAD, OVERLOAD_BYPASS, REFRESHED, STALE, UNCACHED,
                       UNCACHED_BYPASS, State, Table)
from servers import Inferonce

FRESH = State(LIFETIME_S, 1)  # at least a second old
FRESH_2 = State(LIFETIME_S, 2)
STALE_1 = State(1, 2)  # stale by at least a second, so no longer by "at most 1"
HUGE = "99999999999999999999999999"

NOTHING_STORED = [
    (NOTHING, (), MISS),
    (NOTHING, "no-cache", BYPASS),
    (NOTHING, "no-store", ALONE),
    (NOTHING, "max-age=5", MISS),
    (NOTHING, "max-age=0", MISS),
    (NOTHING, "min-fresh=10", MISS),
    (NOTHING, "max-stale", MISS),
    (NOTHING, "stale-if-error=600", MISS),
    (NOTHING, "private, s-maxage=0, must-revalidate", MISS),
    (NOTHING, "only-if-cached", UNCACHED),
    (NOTHING, "only-if-cached, max-stale", UNCACHED),
    (NOTHING, "only-if-cached, no-store", UNCACHED),
    (NOTHING, "only-if-cached, no-cache", UNCACHED_BYPASS),
    (NOTHING, [("Pragma", "no-cache")], BYPASS),
]

FRESH_ENTRY = [
    (FRESH, (), HIT),
    (FRESH, "no-cache", BYPASS),
    (FRESH, "no-store", ALONE),
    (FRESH, "no-cache, no-store", ALONE),
    # max-age
    (FRESH, "max-age=50", HIT),
    (FRESH_2, "max-age=1", BYPASS),
    (FRESH, "max-age=0", BYPASS),
    (FRESH, f"max-age={HUGE}", HIT),
    # min-fresh
    (FRESH, "min-fresh=10", HIT),
    (FRESH, "min-fresh=60", BYPASS),
    (FRESH, f"min-fresh={HUGE}", BYPASS),
    # what does not matter as long as it is fresh and the model well
    (FRESH, "max-stale", HIT),
    (FRESH, "max-stale=0", HIT),
    (FRESH, "stale-if-error=600", HIT),
    # only-if-cached
    (FRESH, "only-if-cached", HIT),
    (FRESH, "only-if-cached, no-store", HIT),
    (FRESH, "only-if-cached, no-cache", UNCACHED_BYPASS),
    (FRESH, "only-if-cached, max-stale", HIT),
    (FRESH, "only-if-cached, max-age=0", UNCACHED_BYPASS),
    (FRESH, "only-if-cached, min-fresh=60", UNCACHED_BYPASS),
    # several directives
    (FRESH, "max-age=50, min-fresh=10", HIT),
    (FRESH, "max-age=50, min-fresh=60", BYPASS),
    (FRESH, "max-age=50, max-age=0", BYPASS),
    (FRESH, "max-age=0, max-age=50", BYPASS),
    (FRESH, "min-fresh=10, min-fresh=60", BYPASS),
    (FRESH, "max-age=50, no-cache", BYPASS),
    (FRESH, "max-age=50, no-store", ALONE),
    # several lines
    (FRESH, [("Cache-Control", "max-age=50"), ("Cache-Control", "no-cache")], BYPASS),
    (FRESH, [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=50")], BYPASS),
    (FRESH, [("Cache-Control", "no-store"), ("Cache-Control", "only-if-cached")], HIT),
    (FRESH, [("Cache-Control", "max-age=50"), ("cache-control", "min-fresh=10")], HIT),
    # spellings
    (FRESH, "NO-CACHE", BYPASS),
    (FRESH, "No-Store", ALONE),
    (FRESH, "Max-Age=0", BYPASS),
    (FRESH, 'max-age="0"', BYPASS),
    (FRESH, 'max-age="50"', HIT),
    (FRESH, ",, no-cache ,", BYPASS),
    (FRESH, "max-age=50,no-cache", BYPASS),
    (FRESH, "max-age=50 \t,\tno-cache", BYPASS),
    # malformed
    (FRESH, "max-age=abc", BYPASS),
    (FRESH, "max-age=-1", BYPASS),
    (FRESH, "max-age=1.5", BYPASS),
    (FRESH, "max-age=", BYPASS),
    (FRESH, "max-age", BYPASS),
    (FRESH, 'max-age=""', BYPASS),
    (FRESH, "max-age=abc, max-age=50", BYPASS),
    (FRESH, "max-stale=abc", HIT),
    # unknown, or without a meaning in a request
    (FRESH, "xno-cache", HIT),
    (FRESH, "no-cache-foo", HIT),
    (FRESH, 'foo, bar="a, no-store"', HIT),
    (FRESH, 'foo="a\\", no-cache"', HIT),
    (FRESH, "private", HIT),
    (FRESH, "s-maxage=0", HIT),
    (FRESH, "must-revalidate", HIT),
    # Pragma
    (FRESH, [("Pragma", "no-cache")], BYPASS),
    (FRESH, [("Pragma", "NO-CACHE")], BYPASS),
    (FRESH, [("Pragma", "no-cache"), ("Cache-Control", "max-age=50")], HIT),
    (FRESH, [("Pragma", "no-store")], HIT),
    # what the built-in model and the key do not look at
    (FRESH, [("Authorization", "Bearer somebody")], HIT),
    (FRESH, [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", "a=b")], HIT),
    (FRESH, [("If-None-Match", "*")], HIT),
]

# Kept for the sake of CACHE_STALE_IF_ERROR, while the model is well.
STALE_ENTRY = [
    (STALE_1, (), EXPIRED),
    (STALE_1, "max-age=600", EXPIRED),
    (STALE_1, "max-age=0", EXPIRED),
    (STALE_1, "min-fresh=0", EXPIRED),
    (STALE_1, "stale-if-error=600", EXPIRED),
    (STALE_1, "no-cache", BYPASS),
    (STALE_1, "no-store", ALONE),
    (STALE_1, [("Pragma", "no-cache")], BYPASS),
    (STALE_1, "max-stale", STALE),
    (STALE_1, "max-stale=600", STALE),
    (STALE_1, f"max-stale={HUGE}", STALE),
    (STALE_1, "max-stale=1", EXPIRED),
    (STALE_1, "max-stale=0", EXPIRED),
    (STALE_1, "max-stale=abc", EXPIRED),
    (STALE_1, "max-stale=-1", EXPIRED),
    (STALE_1, "max-stale=600, max-stale=1", EXPIRED),
    (STALE_1, "max-stale, max-stale=1", EXPIRED),
    (STALE_1, "max-stale=1, max-stale", EXPIRED),
    (STALE_1, "max-stale, max-age=600", STALE),
    (STALE_1, "max-stale, max-age=1", EXPIRED),
    (STALE_1, "max-stale, min-fresh=10", EXPIRED),
    (STALE_1, "max-stale, no-cache", BYPASS),
    (STALE_1, "max-stale, no-store", ALONE),
    (STALE_1, "only-if-cached", UNCACHED),
    (STALE_1, "only-if-cached, max-stale", STALE),
    (STALE_1, "only-if-cached, max-stale, no-store", STALE),
    (STALE_1, "only-if-cached, max-stale=600", STALE),
    (STALE_1, "only-if-cached, max-stale=1", UNCACHED),
    (STALE_1, "only-if-cached, max-stale, no-cache", UNCACHED_BYPASS),
]

WHILE_REVALIDATING = [
    (STALE_1, (), REFRESHED),
    (STALE_1, "max-stale", REFRESHED),
    (STALE_1, "max-age=600", REFRESHED),
    (STALE_1, "max-age=1", EXPIRED),
    (STALE_1, "max-stale=1", EXPIRED),
    (STALE_1, "min-fresh=10", EXPIRED),
    (STALE_1, "no-cache", BYPASS),
    (STALE_1, "no-store", ALONE),
    (STALE_1, "only-if-cached", UNCACHED),
    (STALE_1, "only-if-cached, max-stale", STALE),
]

BEYOND_ALL_WINDOWS = [
    (GONE, (), EXPIRED),
    (GONE, "max-stale", EXPIRED),
    (GONE, "stale-if-error=600", EXPIRED),
    (GONE, "no-cache", BYPASS),
    (GONE, "only-if-cached, max-stale", UNCACHED),
]

MODEL_FAILS = [
    (NOTHING, (), OVERLOAD),
    (NOTHING, "stale-if-error=600", OVERLOAD),
    (NOTHING, "no-cache", OVERLOAD_BYPASS),
    (NOTHING, "no-store", OVERLOAD_BYPASS),
    (FRESH, (), HIT),
    (FRESH, "no-cache", OVERLOAD_BYPASS),
    (FRESH, "no-store", OVERLOAD_BYPASS),
    (FRESH, "min-fresh=60", OVERLOAD_BYPASS),
    (STALE_1, (), STALE),
    (STALE_1, "stale-if-error=600", STALE),
    (STALE_1, "max-stale", STALE),
    (STALE_1, "no-cache", OVERLOAD_BYPASS),
    (STALE_1, "no-store", OVERLOAD_BYPASS),
    (STALE_1, "only-if-cached", UNCACHED),
]

# Without CACHE_STALE_IF_ERROR; the entries are kept for the sake of CACHE_STALE_WHILE_REVALIDATE.
MODEL_FAILS_WHILE_REVALIDATING = [
    (STALE_1, (), STALE),
    (STALE_1, "max-age=1", OVERLOAD),
    (STALE_1, "max-age=1, stale-if-error=600", STALE),
    (STALE_1, "max-age=1, stale-if-error=1", OVERLOAD),
]

MODEL_FAILS_BEYOND_ALL_WINDOWS = [
    (GONE, (), OVERLOAD),
    (GONE, "stale-if-error=600", OVERLOAD),
]


@through_both
class Cases(Case):
    def walk(self, rows, **settings):
        client = self.serve(CACHE_TTL=LIFETIME_S, INFERENCE_DELAY_MS=1, **settings)
        Table(self, client, self.id(), rows).run()
        stats = client.stats()
        self.assertEqual((stats["parked"], stats["in_flight"], stats["queue"]), (0, 0, 0))

    def test_nothing_stored(self):
        self.walk(NOTHING_STORED)

    def test_fresh(self):
        self.walk(FRESH_ENTRY)

    def test_stale(self):
        self.walk(STALE_ENTRY, CACHE_STALE_IF_ERROR=600)

    def test_while_revalidating(self):
        self.walk(WHILE_REVALIDATING, CACHE_STALE_WHILE_REVALIDATE=600)

    def test_beyond_all_windows(self):
        self.walk(BEYOND_ALL_WINDOWS, CACHE_STALE_WHILE_REVALIDATE=1, CACHE_STALE_IF_ERROR=1)


@through_both
class Failures(Case):
    """The built-in model does not fail; but there is a place for one inference, and somebody else has it."""

    def walk(self, rows, **settings):
        settings = {"CACHE_TTL": LIFETIME_S, "CACHE_PATH": os.path.join(self.directory, "entries"), "WORKERS": 1,
                    "INFERENCE_CONCURRENCY": 1, "INFERENCE_QUEUE": 0, **settings}
        client = self.serve(**settings)
        table = Table(self, client, self.id(), rows)
        client.app.stop()
        client.app = Inferonce(self, INFERENCE_DELAY_MS=600000, DRAIN_TIMEOUT=0, **settings)
        with client.start(client.encode("POST", "/predict", {"text": "takes the only place"})):
            wait_until(lambda: client.stats()["in_flight"] == 1, "the only place is taken")
            table.run()
            self.assertEqual(client.stats()["inferences"], 1)

    def test_model_fails(self):
        self.walk(MODEL_FAILS, CACHE_STALE_IF_ERROR=600)

    def test_model_fails_while_revalidating(self):
        self.walk(MODEL_FAILS_WHILE_REVALIDATING, CACHE_STALE_WHILE_REVALIDATE=600)

    def test_model_fails_beyond_all_windows(self):
        self.walk(MODEL_FAILS_BEYOND_ALL_WINDOWS, CACHE_STALE_IF_ERROR=1)
