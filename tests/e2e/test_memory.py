"""What a worker holds: an answer's bytes once, a text that waits once, and nothing of a burst afterwards."""

import json
import re
import socket

import fastcgi
import model_server
from case import Case
from processes import wait_until
from servers import Inferonce

MB = 1024 * 1024


class Memory(Case):
    def setUp(self):
        super().setUp()
        self.model = model_server.Model()
        self.addCleanup(self.model.close)

    def serve_alone(self, **settings):
        """inferonce with one worker, asked without a web server, which would hold bytes of its own."""
        settings = {"WORKERS": 1, "ENGINE": "http", "UPSTREAM_URL": self.model.url(), "UPSTREAM_TIMEOUT": 60, "CACHE_TTL": 3600,
                    "DRAIN_TIMEOUT": 2, **settings}
        # A sanitizer keeps what was freed, unless told to give it back.
        self.app = Inferonce(self, ASAN_OPTIONS="quarantine_size_mb=0:thread_local_quarantine_size_kb=0:allocator_release_to_os_interval_ms=0",
                             **settings)
        [self.worker] = self.app.workers()
        self.admin = self.connect()

    def connect(self):
        connection = self.app.connect()
        self.addCleanup(connection.close)
        return connection

    def resident(self):
        """Bytes that only the worker has: not the shared mapping."""
        with open(f"/proc/{self.worker}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read()).group(1)) * 1024

    def stats(self):
        return json.loads(self.admin.ask("GET", "/cache/stats").body)

    def parked(self, n):
        return lambda: self.stats()["parked"] == n

    def test_answers_that_nobody_reads(self):
        """256 times a result of 240 KB is 61 MB, for each of eight clients."""
        self.serve_alone()
        text = "!sized 240000"
        self.assertEqual(self.admin.ask("POST", "/predict", json.dumps({"text": text}).encode()).status, 200)
        many = json.dumps({"texts": [text] * 256}).encode()
        before = self.resident()
        clients = [self.connect() for _ in range(8)]
        for client in clients:
            client.send(fastcgi.request("POST", "/predict", many))
        wait_until(lambda: self.stats()["hits"] == 8, "all have their answer")
        self.assertLess(self.resident() - before, 100 * MB)
        self.assertLess(self.stats()["held_bytes"], MB)
        answer = clients[3].answer()
        self.assertEqual((answer.status, answer.headers["x-cache"]), (200, "HIT"))
        results = json.loads(answer.body)["results"]
        self.assertEqual(len(results), 256)
        self.assertEqual({(len(item["result"]), item["cached"]) for item in results}, {(239998, True)})
        for client in clients:
            client.close()
        wait_until(lambda: self.stats()["held_bytes"] == 0, "nothing is held for those who left")
        wait_until(lambda: self.resident() - before < 16 * MB, "their memory is given back")

    def test_texts_that_wait(self):
        """200 texts of 1 MB are held once; what they took is given back."""
        self.serve_alone(MAX_BODY_KB=1100, INFERENCE_CONCURRENCY=8, CACHE_MEMORY_MB=16)
        before = self.resident()
        self.model.gate.clear()
        clients = [self.connect() for _ in range(200)]
        for number, client in enumerate(clients):
            text = f"{number} " + "word " * (MB // 5)
            client.send(fastcgi.request("POST", "/predict", json.dumps({"text": text}).encode()))
        wait_until(self.parked(200), "all are parked")
        self.assertGreater(self.stats()["parked_bytes"], 200 * MB)
        self.assertLess(self.resident() - before, 300 * MB)
        self.model.gate.set()
        for client in clients:
            self.assertEqual(client.answer().status, 200)
        self.assertEqual(self.stats()["parked_bytes"], 0)
        wait_until(lambda: self.resident() - before < 64 * MB, "their memory is given back")

    def test_who_follows_holds_no_text(self):
        self.serve_alone(MAX_BODY_KB=1100)
        before = self.resident()
        self.model.gate.clear()
        body = json.dumps({"text": "word " * (MB // 5)}).encode()
        clients = [self.connect() for _ in range(100)]
        for client in clients:
            client.send(fastcgi.request("POST", "/predict", body))
        wait_until(self.parked(100), "all are parked")
        self.assertLess(self.stats()["parked_bytes"], 2 * MB)
        self.assertLess(self.resident() - before, 40 * MB)
        self.model.gate.set()
        for client in clients:
            self.assertEqual(client.answer().status, 200)
        self.assertEqual(len(self.model.calls), 1)

    def test_more_texts_than_may_wait(self):
        """Who comes then is told to come again, and others are served."""
        self.serve_alone(MAX_BODY_KB=4200, INFERENCE_CONCURRENCY=1, CACHE_MEMORY_MB=16)
        self.admin.ask("POST", "/predict", b'{"text": "known"}')
        self.model.gate.clear()
        clients = [self.connect() for _ in range(66)]
        for number, client in enumerate(clients):
            text = f"{number} " + "word " * (4 * MB // 5)
            client.send(fastcgi.request("POST", "/predict", json.dumps({"text": text}).encode()))
        wait_until(lambda: self.stats()["refused_texts"] == 3, "three are refused")
        self.assertEqual(self.stats()["parked"], 63)
        self.assertEqual(self.admin.ask("POST", "/predict", b'{"text": "known"}').headers["x-cache"], "HIT")
        refused = [client for client in clients if self.has_answer(client)]
        self.assertEqual(len(refused), 3)
        for client in refused:
            answer = client.answer()
            self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))

    @staticmethod
    def has_answer(client):
        client.socket.setblocking(False)
        try:
            return bool(client.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            client.socket.settimeout(fastcgi.TIMEOUT_S)
