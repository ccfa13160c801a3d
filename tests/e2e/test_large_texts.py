"""Texts and bodies that are worked on in slices: the same answers as small ones get, whoever leaves or stops meanwhile."""

import json
import signal
import unicodedata

from case import Case, through_both
from processes import wait_until

SENTENCE = "Größe  und \u00c4rger: \u039f\u0394\u03a3 na\u00efve caf\u00e9 \u4e2d\u6587 \U0001F600. "
LARGE = SENTENCE * (900_000 // len(SENTENCE.encode()))
JSON = {"Content-Type": "application/json"}


def utf8(body):
    return json.dumps(body, ensure_ascii=False).encode()


@through_both
class LargeTexts(Case):
    def setUp(self):
        super().setUp()
        self.client = self.serve(WORKERS=1, MAX_BODY_KB=8192)

    def send(self, body, path="/predict"):
        response = self.client.request("POST", path, body, JSON)
        self.assertEqual(response.status, 200, response)
        return response

    def test_spellings_of_one_text_are_one_entry(self):
        first = self.send(utf8({"text": LARGE}))
        self.assertEqual(first.cache, "MISS")
        for body in (utf8({"text": unicodedata.normalize("NFD", LARGE)}), json.dumps({"text": LARGE}).encode(),
                     utf8({"text": "\u3000 " + LARGE.upper().replace("GRÖSSE", "GRÖßE") + "\n"})):
            again = self.send(body)
            self.assertEqual((again.cache, again.header("X-Cache-Key")), ("HIT", first.header("X-Cache-Key")))
        self.assertEqual(self.send(utf8({"text": LARGE}), "/cache/purge").json(), {"deleted": 1})
        self.assertEqual(self.send(utf8({"text": LARGE})).cache, "MISS")

    def test_many_texts_with_large_parameters(self):
        texts = [f"{number} {SENTENCE * 20}" for number in range(256)]
        parameters = {f"{number:x}": LARGE[number:number + 20] for number in range(10000, 0, -1)}
        batch = self.send(utf8({"texts": texts, **parameters}))
        self.assertEqual(len(batch.json()["results"]), 256)
        alone = self.send(utf8({**parameters, "text": texts[17]}))
        self.assertEqual((alone.cache, alone.json()["result"]), ("HIT", batch.json()["results"][17]["result"]))

    def test_what_is_wrong_at_the_end(self):
        for body, status in ((utf8({"text": LARGE})[:-1], 400), (utf8({"text": LARGE})[:-2] + b"\xff\"}", 400),
                             (utf8({"texts": [LARGE, 5]}), 422), (utf8({"text": " \u3000" * 200_000}), 422)):
            self.assertProblem(self.client.request("POST", "/predict", body, JSON), status)

    def test_clients_that_leave(self):
        data = self.client.encode("POST", "/predict", utf8({"text": LARGE}), JSON)
        pids = self.client.app.workers()
        for _ in range(20):
            self.client.start(data).close()
        self.assertEqual(self.client.predict("small").status, 200)
        wait_until(lambda: self.client.stats()["in_flight"] == 0, "nothing is left behind")
        self.assertEqual(self.client.app.workers(), pids)


class Draining(Case):
    def test_what_is_worked_on_is_answered(self):
        client = self.serve(WORKERS=1, MAX_BODY_KB=8192)
        texts = [f"{number} {LARGE}" for number in range(6)]
        waiting = [client.start(client.encode("POST", "/predict", utf8({"text": text}), JSON)) for text in texts]
        wait_until(lambda: client.stats()["requests"] > 3, "some have arrived")
        client.app.send_signal(signal.SIGTERM)
        self.assertEqual([client.finish(connection).status for connection in waiting], [200] * len(texts))
