"""What a request's headers do to an entry: the table of cases in HTTP.md."""

from case import Case, through_both
from processes import wait_until

TEXT = "The battery is fine"

# Against an entry with a lifetime of 3600 s that is some milliseconds old.
# (headers, X-Cache, Cache-Status without ttl, inferences)
FORWARDED = {"fwd": "request", "stored": True}
HIT = {"hit": True}
FRESH_ENTRY = [
    ([("Cache-Control", "no-cache")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "NO-CACHE")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", ",, no-cache ,")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "no-store")], "BYPASS", {"fwd": "request"}, 1),
    ([("Cache-Control", "max-age=0")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "Max-Age=0")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", 'max-age="0"')], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-age=abc")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-age=-1")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-age=1.5")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-age=")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-age=600, max-age=0")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-age=600")], "HIT", HIT, 0),
    ([("Cache-Control", "max-age=99999999999999999999999999")], "HIT", HIT, 0),
    ([("Cache-Control", "min-fresh=10")], "HIT", HIT, 0),
    ([("Cache-Control", "min-fresh=7200")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "max-stale=nonsense")], "HIT", HIT, 0),
    ([("Cache-Control", "only-if-cached")], "HIT", HIT, 0),
    ([("Cache-Control", "only-if-cached, no-store")], "HIT", HIT, 0),
    ([("Cache-Control", "xno-cache")], "HIT", HIT, 0),
    ([("Cache-Control", "no-cache-foo")], "HIT", HIT, 0),
    ([("Cache-Control", 'foo, bar="a, no-store"')], "HIT", HIT, 0),
    ([("Cache-Control", "private, s-maxage=0, must-revalidate")], "HIT", HIT, 0),
    ([("Cache-Control", "max-age=600"), ("Cache-Control", "no-cache")], "BYPASS", FORWARDED, 1),
    ([("Cache-Control", "no-cache"), ("Cache-Control", "max-age=600")], "BYPASS", FORWARDED, 1),
    ([("Pragma", "no-cache")], "BYPASS", FORWARDED, 1),
    ([("Pragma", "no-cache"), ("Cache-Control", "max-age=600")], "HIT", HIT, 0),
]


@through_both
class Rules(Case):
    def test_directives_against_a_fresh_entry(self):
        client = self.serve()
        client.predict(TEXT)
        for headers, cache, status, inferences in FRESH_ENTRY:
            with self.subTest(headers=headers):
                before = client.stats()["inferences"]
                response = client.predict(TEXT, headers)
                self.assertEqual((response.status, response.cache), (200, cache), response)
                found = response.cache_status
                found.pop("ttl", None)
                self.assertEqual(found, status)
                self.assertEqual(client.stats()["inferences"] - before, inferences)

    def test_only_if_cached_without_an_entry_costs_no_inference(self):
        client = self.serve()
        for directive in ("only-if-cached", "only-if-cached, no-store"):
            self.assertProblem(client.predict(TEXT, {"Cache-Control": directive}), 504)
        client.predict(TEXT)
        self.assertProblem(client.predict(TEXT, {"Cache-Control": "only-if-cached, no-cache"}), 504)
        self.assertEqual(client.stats()["inferences"], 1)

    def test_no_store_leaves_no_entry_and_keeps_the_one_there_is(self):
        client = self.serve()
        self.assertEqual(client.predict(TEXT, {"Cache-Control": "no-store"}).cache, "BYPASS")
        self.assertEqual(client.stats()["size"], 0)
        self.assertEqual(client.predict(TEXT).cache, "MISS")
        client.predict(TEXT, {"Cache-Control": "no-store"})
        self.assertEqual(client.predict(TEXT).cache, "HIT")

    def test_lifetime_asked_for(self):
        client = self.serve(CACHE_TTL=10, CACHE_TTL_MAX=100)
        client.predict(TEXT, {"X-Cache-TTL": "50"})
        self.assertTrue(40 <= client.predict(TEXT).cache_status["ttl"] <= 50)
        client.predict("capped", {"X-Cache-TTL": "5000"})
        self.assertTrue(90 <= client.predict("capped").cache_status["ttl"] <= 100)

    def test_credentials_do_not_matter_to_the_built_in_model(self):
        client = self.serve()
        client.predict(TEXT, {"Authorization": "Bearer one"})
        self.assertEqual(client.predict(TEXT, {"Authorization": "Bearer two"}).cache, "HIT")


class Stale(Case):
    def test_stale_while_revalidate_serves_at_once_and_refreshes_once(self):
        client = self.serve(CACHE_TTL="0.2", CACHE_STALE_WHILE_REVALIDATE=600, INFERENCE_DELAY_MS=500, WORKERS=1)
        client.predict(TEXT)
        stale = self.until_not_fresh(client)
        self.assertEqual(stale.cache, "STALE")
        self.assertTrue(stale.cache_status["hit"])
        self.assertLessEqual(stale.cache_status["ttl"], 0)
        self.assertEqual(client.predict(TEXT).cache, "STALE")
        self.assertEqual(client.stats()["inferences"], 2)

    def test_max_stale_allows_what_is_still_stored(self):
        client = self.serve(CACHE_TTL="0.2", CACHE_STALE_IF_ERROR=600)
        client.predict(TEXT)
        self.until_not_fresh(client, {"Cache-Control": "max-stale"})
        self.assertEqual(client.predict(TEXT, {"Cache-Control": "max-stale=600, only-if-cached"}).cache, "STALE")
        self.assertEqual(client.stats()["inferences"], 1)
        self.assertEqual(client.predict(TEXT).cache_status["fwd"], "stale")

    def until_not_fresh(self, client, headers=()):
        def not_fresh():
            response = client.predict(TEXT, headers)
            return response if response.cache != "HIT" else None

        return wait_until(not_fresh, "the entry's lifetime is over")
