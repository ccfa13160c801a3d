"""After a purge was acknowledged nobody gets an answer from before it: under load, with purges at random moments."""

import random
import unittest

import crowd
from case import Case, through_both
from history import HIT, JOINED, LED, LED_IN_VAIN, PURGE, Event, violations

INFERENCE_MS = 20
CONNECTIONS = 32
TEXTS = [f"text {number}" for number in range(24)]


class Checker(unittest.TestCase):
    """The judge is right about histories made by hand. An inference lasts 1."""

    EXPLAINED = [
        [Event(LED, "a", 0, 2), Event(HIT, "a", 3, 4)],
        # A hit may be answered before the one who led has read its answer.
        [Event(LED, "a", 0, 9), Event(HIT, "a", 3, 4)],
        [Event(LED, "a", 0, 2), Event(JOINED, "a", 1, 2)],
        [Event(LED_IN_VAIN, "a", 0, 2), Event(JOINED, "a", 1, 2)],
        # The purge of another text, or not acknowledged yet when it was asked.
        [Event(LED, "a", 0, 2), Event(PURGE, "b", 3, 4), Event(HIT, "a", 5, 6)],
        [Event(LED, "a", 0, 2), Event(PURGE, None, 3, 6), Event(HIT, "a", 5, 7)],
        # Inferred anew.
        [Event(LED, "a", 0, 2), Event(PURGE, "a", 3, 4), Event(LED, "a", 4, 6), Event(HIT, "a", 7, 8)],
        [Event(LED, "a", 0, 2), Event(PURGE, None, 3, 4), Event(LED, "a", 4, 6), Event(JOINED, "a", 5, 6)],
        # The purge took effect long before its acknowledgement was read, and the inference has seen it.
        [Event(PURGE, None, 3, 6), Event(LED, "a", 3, 5), Event(HIT, "a", 7, 8)],
        # The inference was asked for before the purge and may have begun after it.
        [Event(LED, "a", 0, 5), Event(PURGE, None, 2, 3), Event(HIT, "a", 6, 7)],
    ]

    NOT_EXPLAINED = [
        # Nothing was inferred, or only afterwards, or only something else.
        ([Event(HIT, "a", 0, 1)], 0),
        ([Event(HIT, "a", 0, 1), Event(LED, "a", 2, 4)], 0),
        ([Event(LED, "b", 0, 2), Event(HIT, "a", 3, 4)], 1),
        ([Event(LED_IN_VAIN, "a", 0, 2), Event(HIT, "a", 3, 4)], 1),
        # The purge did not hold.
        ([Event(LED, "a", 0, 2), Event(PURGE, "a", 3, 4), Event(HIT, "a", 5, 6)], 2),
        ([Event(LED, "a", 0, 2), Event(PURGE, None, 3, 4), Event(HIT, "a", 5, 6)], 2),
        ([Event(LED, "a", 0, 2), Event(PURGE, "a", 3, 4), Event(HIT, "a", 5, 6), Event(LED, "a", 7, 9)], 2),
        # An acknowledged purge is not undone by one that is still on its way.
        ([Event(LED, "a", 0, 2), Event(PURGE, None, 3, 4), Event(PURGE, "a", 4, 9), Event(HIT, "a", 5, 6)], 3),
        # The answer was in flight during the purge.
        ([Event(LED, "a", 0, 3.5), Event(PURGE, None, 3, 4), Event(HIT, "a", 5, 6)], 2),
        ([Event(LED, "a", 0, 3.5), Event(PURGE, None, 2.8, 2.9), Event(JOINED, "a", 3, 3.5)], 2),
    ]

    def test_histories_that_can_be_explained(self):
        for events in self.EXPLAINED:
            with self.subTest(events=events):
                self.assertEqual(violations(events, 1), [])

    def test_histories_that_cannot(self):
        for events, culprit in self.NOT_EXPLAINED:
            with self.subTest(events=events):
                self.assertEqual([event for event, _ in violations(events, 1)], [events[culprit]])


def kind_of(response):
    status = response.cache_status
    if "hit" in status:
        return HIT
    if "collapsed" in status:
        return JOINED
    return LED if "stored" in status else LED_IN_VAIN


class Load:
    """What one client does: a fixed, random sequence of requests, one after the other. Most texts are asked for often."""

    def __init__(self, client, seed, n):
        self.client = client
        self.random = random.Random(seed)
        self.n = n
        self.events = []
        self.failures = []

    def choose(self):
        """(what, text, encoded request)"""
        text = self.random.choice(TEXTS)
        what = self.random.random()
        if what < 0.003:
            return PURGE, None, self.client.encode("DELETE", "/cache")
        if what < 0.02:
            return PURGE, text, self.client.encode("POST", "/cache/purge", {"text": text.upper()})
        headers = {"Cache-Control": "no-cache"} if what < 0.03 else {}
        return None, text, self.client.encode("POST", "/predict", {"text": text}, headers)

    def record(self, what, text, answer):
        if answer.response.status != 200:
            self.failures.append(answer.response)
        else:
            self.events.append(Event(what or kind_of(answer.response), text, answer.began, answer.ended))

    async def run(self):
        connection = await crowd.Connection.open(self.client.address)
        try:
            for _ in range(self.n):
                what, text, data = self.choose()
                self.record(what, text, await connection.ask(crowd.kept(data)))
        finally:
            connection.close()


@through_both
class History(Case):
    def history(self, client, requests, seed):
        loads = [Load(client, f"{seed} {number}", requests // CONNECTIONS) for number in range(CONNECTIONS)]
        crowd.run([load.run() for load in loads])
        self.assertEqual([response for load in loads for response in load.failures], [])
        return [event for load in loads for event in load.events]

    def test_purges_hold(self):
        client = self.serve(WORKERS=4, INFERENCE_DELAY_MS=INFERENCE_MS)
        events = self.history(client, 20000, "purge")
        self.assertEqual(len(events), 20000)
        counts = {kind: sum(event.kind == kind for event in events) for kind in (LED, LED_IN_VAIN, JOINED, HIT, PURGE)}
        # There was something to get wrong.
        self.assertGreater(sum(event.kind == PURGE and event.text is None for event in events), 30)
        self.assertGreater(counts[PURGE], 300)
        self.assertGreater(counts[JOINED], 300)
        self.assertGreater(counts[HIT], 5000)
        self.assertEqual(violations(events, INFERENCE_MS / 1000), [])
        stats = client.stats()
        self.assertEqual(stats["inferences"], counts[LED] + counts[LED_IN_VAIN], stats)
        self.assertEqual(stats["hits"], counts[HIT], stats)
        self.assertEqual(stats["purges"], counts[PURGE], stats)
