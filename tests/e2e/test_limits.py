"""The fragments with which nginx limits what one client may ask: by address, by credential, at once."""

import json
import time

from case import Case
from client import Client
from processes import wait_until
from servers import Nginx

RATE, BURST, AT_ONCE = 20, 40, 32
CREDENTIAL_RATE, CREDENTIAL_BURST = 100, 200


class LimitedNginx(Nginx):
    """The shipped configuration, and the two fragments included as they say."""

    def fill_in(self, text, socket_path):
        text = super().fill_in(text, socket_path)
        text = text.replace("\n    include inferonce-upstream.conf;", "\n    include inferonce-upstream.conf;\n    include inferonce-limits.conf;")
        return text.replace("\n    server {\n", "\n    server {\n        include inferonce-limited.conf;\n")


class Limits(Case):
    web = LimitedNginx

    def other(self, client, source):
        return Client(client.address[1], source=source)

    def assertLimited(self, response):
        problem = json.loads(response.body)
        self.assertEqual((response.status, problem["status"], problem["type"]), (429, 429, "urn:inferonce:problem:too-many-requests"))
        self.assertEqual(response.header("Content-Type"), "application/problem+json")
        self.assertEqual((response.header("Retry-After"), response.header("Cache-Control")), ("1", "no-store"))

    def burst(self, ask, n, rate, burst):
        """As many are answered as the bucket has room for, and as leaked meanwhile; the others are told."""
        started = time.monotonic()
        responses = [ask(number) for number in range(n)]
        elapsed_s = time.monotonic() - started
        answered = [response for response in responses if response.status == 200]
        self.assertTrue(burst + 1 <= len(answered) <= burst + 2 + rate * elapsed_s, (len(answered), elapsed_s))
        limited = [response for response in responses if response.status != 200]
        self.assertTrue(limited, elapsed_s)
        for response in limited:
            self.assertLimited(response)

    def test_by_client(self):
        client = self.serve()
        self.burst(lambda _: client.predict("one"), 150, RATE, BURST)
        other = self.other(client, "127.0.0.2")
        for _ in range(BURST):
            self.assertEqual(other.predict("one").status, 200)

    def test_by_credential(self):
        client = self.serve()
        clients = [self.other(client, f"127.0.1.{n}") for n in range(1, 16)]

        def ask(number):
            return clients[number % len(clients)].predict("one", headers=[("Authorization", "Bearer shared")])

        self.burst(ask, 500, CREDENTIAL_RATE, CREDENTIAL_BURST)
        for other in ("another", None):
            headers = [("Authorization", f"Bearer {other}")] if other else []
            self.assertEqual(self.other(client, "127.0.2.1").predict("one", headers=headers).status, 200)

    def test_at_once(self):
        client = self.serve(INFERENCE_DELAY_MS=60000, UPSTREAM_TIMEOUT=60, DRAIN_TIMEOUT=0)
        waiting = [client.connect() for _ in range(AT_ONCE)]
        for number, connection in enumerate(waiting):
            connection.sendall(client.encode("POST", "/predict", {"text": f"slow {number}"}))
        others = (self.other(client, f"127.0.3.{n}") for n in range(1, 255))
        wait_until(lambda: next(others).stats()["in_flight"] == AT_ONCE, "all wait for the model")
        self.assertLimited(client.get("/healthz"))
        self.assertEqual(next(others).get("/healthz").status, 200)
        waiting.pop().close()
        wait_until(lambda: client.get("/healthz").status == 200, "one has gone")
        for connection in waiting:
            connection.close()
