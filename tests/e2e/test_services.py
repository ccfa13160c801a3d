"""What is kept belongs to one service: another engine, server or rule of sharing never finds it. And answers as wide as models give."""

import http.server
import json
import os
import threading

from case import Case
from servers import Inferonce
from upstream_case import UpstreamCase


class OneService(UpstreamCase):
    """Each asks for one text, restarts with other settings on the same CACHE_PATH, and asks for it again."""

    def kept(self):
        return os.path.join(self.directory, "entries")

    def ask(self, credential=None, **settings):
        """X-Cache of a program of its own, which has ended when this returns."""
        settings = {"ENGINE": "http", "UPSTREAM_URL": self.model.url(), "WORKERS": 1, "CACHE_NORMALIZE": "lower", **settings}
        app = Inferonce(self, CACHE_PATH=self.kept(), **settings)
        fields = {"HTTP_AUTHORIZATION": credential} if credential else {}
        with app.connect() as connection:
            answer = connection.ask("POST", "/predict", b'{"text": "this is great"}', CONTENT_TYPE="application/json", **fields)
        self.assertEqual(answer.status, 200, answer)
        app.stop()
        return answer.headers["x-cache"]

    def setUp(self):
        super().setUp()
        self.start_model()

    def test_the_same_service_finds_it(self):
        self.assertEqual(self.ask(), "MISS")
        self.assertEqual(self.ask(), "HIT")

    def test_another_engine(self):
        self.assertEqual(self.ask(ENGINE="builtin", MODEL_NAME="m"), "MISS")
        self.assertEqual(self.ask(MODEL_NAME="m"), "MISS")
        self.assertEqual(len(self.model.calls), 1)

    def test_another_server_without_a_name(self):
        self.assertEqual(self.ask(), "MISS")
        self.assertEqual(self.ask(UPSTREAM_URL=self.model.url("/other")), "MISS")
        self.assertEqual(len(self.model.calls), 2)

    def test_a_name_that_two_servers_share(self):
        self.assertEqual(self.ask(MODEL_NAME="m"), "MISS")
        self.assertEqual(self.ask(MODEL_NAME="m", UPSTREAM_URL=self.model.url("/other")), "HIT")

    def test_another_dialect(self):
        self.assertEqual(self.ask(MODEL_NAME="m", UPSTREAM_DIALECT="tei"), "MISS")
        self.assertEqual(self.ask(MODEL_NAME="m", UPSTREAM_DIALECT="openai"), "MISS")

    def test_sharing_that_was_switched_off(self):
        """What one credential paid for while all shared is not served to another one that does not."""
        self.assertEqual(self.ask("Bearer one", CACHE_SHARE_AUTHORIZED="on"), "MISS")
        self.assertEqual(self.ask("Bearer two", CACHE_SHARE_AUTHORIZED="on"), "HIT")
        self.assertEqual(self.ask("Bearer two", CACHE_SHARE_AUTHORIZED="off"), "MISS")
        self.assertEqual(self.ask(None, CACHE_SHARE_AUTHORIZED="off"), "MISS")


WIDTH = 4096


class WideModel(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        texts = texts if isinstance(texts, list) else [texts]
        numbers = ["[" + ",".join([f"0.{len(text):03}12345678901234"] * WIDTH) + "]" for text in texts]
        data = ",".join(f'{{"index":{index},"embedding":{vector}}}' for index, vector in enumerate(numbers))
        body = f'{{"data":[{data}]}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Wide(Case):
    def test_256_embeddings_of_4096_numbers(self):
        model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WideModel)
        threading.Thread(target=model.serve_forever, daemon=True).start()
        self.addCleanup(model.server_close)
        self.addCleanup(model.shutdown)
        client = self.serve(ENGINE="http", UPSTREAM_DIALECT="openai", MODEL_NAME="m", CACHE_MEMORY_MB=256,
                            UPSTREAM_URL=f"http://127.0.0.1:{model.server_address[1]}/v1/embeddings")
        texts = ["x" * (1 + i) for i in range(256)]
        for expected in ("MISS", "HIT"):
            response = client.predict_batch(texts)
            self.assertEqual((response.status, response.cache), (200, expected))
            results = response.json()["results"]
            self.assertEqual([len(result["result"]["embedding"]) for result in results], [WIDTH] * 256)
            self.assertEqual([round(result["result"]["embedding"][-1] * 1000) for result in results], [len(text) for text in texts])
