"""Does a purge hold? Judged from outside, by the history of what clients asked and got.

An answer from the cache has to have a source: an inference for the same text whose answer was stored. Of every purge that was
acknowledged before a request began, the request's source must be newer. When exactly an inference or a purge took effect no client
knows, but it was between its beginning and its end as the clients saw them; and an inference takes effect (which purges it has seen)
at least as long before its end as an inference lasts. So a source that ended less than that after the purge was even asked for had
not seen the purge.
"""

from bisect import bisect_left
from collections import defaultdict, namedtuple

# kind: LED its own inference ran, and was stored; LED_IN_VAIN it ran, and was not stored, because of a purge; JOINED somebody else's
# inference; HIT from the cache; PURGE of `text`, or of all when that is None.
Event = namedtuple("Event", "kind text began ended")
LED, LED_IN_VAIN, JOINED, HIT, PURGE = "led", "led in vain", "joined", "hit", "purge"


class _Purges:
    """Finds the last-begun of the purges that were acknowledged before some moment."""

    def __init__(self, events):
        self.acknowledged = []
        self.begun = []
        for event in sorted(events, key=lambda event: event.ended):
            self.acknowledged.append(event.ended)
            self.begun.append(max(event.began, self.begun[-1] if self.begun else event.began))

    def latest_before(self, moment):
        place = bisect_left(self.acknowledged, moment)
        return self.begun[place - 1] if place else None


def violations(events, inference_s=0.0):
    """The answers, as (event, why), that cannot be explained without a purge that did not hold or an answer from nowhere."""
    purges = {None: _Purges([event for event in events if event.kind == PURGE and event.text is None])}
    sources = defaultdict(list)
    by_text = defaultdict(list)
    for event in events:
        if event.kind in (LED, LED_IN_VAIN):
            sources[event.text].append(event)
        elif event.kind == PURGE and event.text is not None:
            by_text[event.text].append(event)
    purges.update({text: _Purges(found) for text, found in by_text.items()})

    found = []
    for event in events:
        if event.kind not in (HIT, JOINED):
            continue
        moments = [purges[scope].latest_before(event.began) for scope in (None, event.text) if scope in purges]
        since = max((moment for moment in moments if moment is not None), default=None)
        # Who waits for an inference gets its answer though a purge keeps it from being stored.
        possible = [source for source in sources[event.text]
                    if source.began < event.ended and (source.kind == LED or event.kind == JOINED)]
        if not possible:
            found.append((event, "nothing was inferred for it before"))
        elif since is None:
            continue
        elif event.kind == JOINED and event.ended < since + inference_s:
            found.append((event, f"joined an inference that had begun before the purge of {since:.6f}"))
        elif all(source.ended < since + inference_s for source in possible):
            found.append((event, f"no inference has seen the purge of {since:.6f}"))
    return found
