"""UPSTREAM_REUSE: an answer is never taken for another request's, whatever else the model's server writes on a connection."""

import json
import os
import re
import socket
from urllib.parse import quote

import crowd
import model_server
from processes import Child, free_port, wait_until
from servers import environment, find
from upstream_case import UpstreamCase

REQUESTS = int(os.environ.get("REUSE_REQUESTS", "160"))  # of each kind; without the protection all but a few get a wrong answer
AT_ONCE = 32
DIALECTS = ("plain", "tei", "kserve", "openai", "kserve1", "tei-embed", "tei-rerank")

# What follows each answer: after so many seconds (0: in the same write) a complete answer of so many bytes (0: as short as it can be).
STRAYS = [(0, 0), (0.001, 0), (0.05, 0), (0.001, 20 * 1024), (0, 4096), (0.001, 4096), (0, 16384), (0.001, 16384)]


class ReuseCase(UpstreamCase):
    def start_model_on(self, transport):
        """A model whose server is reached in that way; returns the settings."""
        if transport == "unix":
            path = os.path.join(self.directory, f"model{len(os.listdir(self.directory))}.sock")
            self.start_model(path)
            return {"UPSTREAM_URL": f"http+unix://{quote(path)}:/predict"}
        if transport == "tls":
            certificate, key = self.make_certificate("model")
            self.start_model(certificate=certificate, key=key)
            return {"UPSTREAM_URL": self.model.url(), "UPSTREAM_CA_FILE": certificate}
        self.start_model()
        return {"UPSTREAM_URL": self.model.url()}

    def expected(self, dialect, text):
        """What the model says of the text, in the form in which the dialect hands it on."""
        if dialect in ("plain", "kserve1"):
            return json.loads(model_server.sentiment(text))
        scores = [float(number) for number in model_server.score(text)]
        if dialect == "tei-embed":
            return scores
        if dialect == "tei-rerank":
            return {"score": scores[0]}
        if dialect == "openai":
            return {"embedding": scores}
        if dialect == "tei":
            return [{"label": "positive", "score": scores[0]}, {"label": "negative", "score": scores[1]}]
        return {"outputs": [{"name": "scores", "datatype": "FP64", "shape": [1, 3], "data": scores},
                            {"name": "label", "datatype": "BYTES", "shape": [1], "data": [f"label {len(text)}"]}]}

    def ask_all(self, client, texts, **parameters):
        """Asks for them over kept connections, so many at once; the results, None for each that failed."""
        requests = {text: crowd.kept(client.encode("POST", "/predict", {"text": text, **parameters})) for text in texts}
        results = {}

        async def ask_some(some):
            connection = await crowd.Connection.open(client.address)
            for text in some:
                response = (await connection.ask(requests[text])).response
                results[text] = response.json()["result"] if response.status == 200 else None
            connection.close()

        crowd.run([ask_some(texts[first::AT_ONCE]) for first in range(AT_ONCE)])
        return results

    def check(self, client, dialect, name):
        texts = [f"{name} {number} " + "x" * (number * 7 % 31) for number in range(REQUESTS)]
        parameters = {"query": "what?"} if dialect == "tei-rerank" else {}
        results = self.ask_all(client, texts, **parameters)
        wrong = [text for text in texts if results[text] is not None and results[text] != self.expected(dialect, text)]
        failed = [text for text in texts if results[text] is None]
        self.assertEqual((len(wrong), len(failed)), (0, 0), f"of {REQUESTS}: {wrong[:3]} {failed[:3]}")
        kept = self.ask_all(client, texts, **parameters)
        self.assertEqual(kept, results, "what is kept is another answer")


class Strays(ReuseCase):
    """By default no HTTP/1.1 connection serves two exchanges."""

    def check_transport(self, transport, dialect, strays):
        client = self.serve_model(UPSTREAM_DIALECT=dialect, UPSTREAM_BATCH=1, UPSTREAM_TIMEOUT=30, **self.start_model_on(transport))
        for stray in strays:
            with self.subTest(transport=transport, dialect=dialect, stray=stray):
                self.model.stray = stray
                calls = len(self.model.calls)
                self.check(client, dialect, f"{stray}")
                connections = [call.connection for call in self.model.calls[calls:]]
                self.assertEqual((len(connections), len(set(connections))), (REQUESTS, REQUESTS))
        self.end(client)

    def test_plain_connections(self):
        self.check_transport("tcp", "plain", STRAYS)

    def test_unix_sockets(self):
        self.check_transport("unix", "plain", STRAYS)

    def test_tls(self):
        self.check_transport("tls", "plain", STRAYS)

    def test_every_dialect(self):
        for dialect, transport in zip(DIALECTS[1:], ("tcp", "unix", "tls") * 2):
            self.check_transport(transport, dialect, [(0, 0), (0.001, 20 * 1024)])

    def test_a_queue_of_connections_that_is_full(self):
        """One of TCP lets a client wait; a Unix socket's does not, and now there are many more connections."""
        path = os.path.join(self.directory, "model.sock")
        self.start_model(path, queue=1)
        client = self.serve_model(UPSTREAM_URL=f"http+unix://{quote(path)}:/predict", UPSTREAM_TIMEOUT=30)
        requests = [client.encode("POST", "/predict", {"text": f"text {number}"}) for number in range(256)]
        self.assertEqual([response.status for response in client.at_once(requests)], [200] * 256)
        self.assertEqual(len(self.model.calls), 256)

    def test_a_queue_of_connections_that_stays_full(self):
        path = os.path.join(self.directory, "model.sock")
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
            listener.bind(path)
            listener.listen(0)
            waiting.connect(path)
            client = self.serve(ENGINE="http", UPSTREAM_URL=f"http+unix://{quote(path)}:/predict", WORKERS=1, UPSTREAM_CONNECT_TIMEOUT=0.3)
            problem = self.assertProblem(client.predict("a text"), 504)
            self.assertEqual(problem["detail"], "the model's server could not be reached in time")
            self.assertRegex(client.app.log(), f'server=unix:{re.escape(quote(path))} error="its queue of connections stays full"')

    def waiting(self):
        """Pairs of addresses, of which one is the model's, in TIME_WAIT."""
        with open("/proc/net/tcp", encoding="ascii") as table:
            return {tuple(line.split()[1:3]) for line in table if f":{self.model.port:04X} " in line and line.split()[3] == "06"}

    def test_no_port_waits(self):
        """A connection that is closed by its client leaves a port in TIME_WAIT for a minute, and there are 28,000."""
        client = self.serve_model()
        before = self.waiting()  # of somebody else, who had that port in the last minute
        self.ask_all(client, [f"text {number}" for number in range(REQUESTS)])
        self.assertEqual(self.model.connections, REQUESTS)
        self.assertEqual(self.waiting() - before, set())


class All(ReuseCase):
    """UPSTREAM_REUSE=all: an HTTP/1.1 connection is used again unless there is something to read on it."""

    def test_connections_are_used_again(self):
        for transport in ("tcp", "unix", "tls"):
            with self.subTest(transport=transport):
                client = self.serve_model(UPSTREAM_REUSE="all", **self.start_model_on(transport))
                for number in range(20):
                    self.assertServes(client, f"text {number}")
                self.assertEqual(self.model.connections, 1)
                self.end(client)

    def test_strays_that_are_there_before_the_next_request(self):
        for transport in ("tcp", "unix", "tls"):
            client = self.serve_model(UPSTREAM_REUSE="all", **self.start_model_on(transport))
            for stray in STRAYS:
                with self.subTest(transport=transport, stray=stray):
                    self.model.stray = stray
                    for number in range(20):
                        text = f"{stray} {number} " + "x" * number
                        strays = self.model.strays
                        response = client.predict(text)
                        self.assertEqual((response.status, response.json().get("result")), (200, self.expected("plain", text)))
                        wait_until(lambda: self.model.strays > strays, "it is written", interval_s=0.0005)
            self.end(client)

    def test_a_server_that_resets_idle_connections(self):
        client = self.serve_model(UPSTREAM_REUSE="all")
        for behaviour in ("reset_after", "close_after"):
            self.model.behaviour = [behaviour]
            for number in range(40):
                ended = self.model.ended
                self.assertServes(client, f"{behaviour} {number}")
                wait_until(lambda: self.model.ended > ended, "it is closed", interval_s=0.0005)

    def test_an_error_ends_its_connection(self):
        client = self.serve_model(UPSTREAM_REUSE="all")
        self.assertServes(client, "one")
        self.assertProblem(client.predict("!status 500 x"), 502)
        self.assertServes(client, "two")
        self.assertEqual([call.connection for call in self.model.calls], [1, 1, 2])


class Front(Child):
    """nginx, which speaks HTTP/2 over TLS, in front of the model."""

    CONFIGURATION = """
daemon off; worker_processes 1; pid "{directory}/front.pid"; error_log "{directory}/front.log" warn;
events {{ worker_connections 1024; }}
http {{
    log_format connections "$server_protocol $connection";
    access_log "{directory}/front.access" connections;
    client_body_temp_path "{directory}/front-body"; proxy_temp_path "{directory}/front-proxy"; fastcgi_temp_path "{directory}/front-fastcgi";
    uwsgi_temp_path "{directory}/front-uwsgi"; scgi_temp_path "{directory}/front-scgi";
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate "{certificate}"; ssl_certificate_key "{key}";
        keepalive_requests {requests};
        location / {{ proxy_pass http://127.0.0.1:{model}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

    def __init__(self, case, certificate, key, requests=100000):
        self.port = free_port()
        self.directory = case.directory
        path = os.path.join(case.directory, "front.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.CONFIGURATION.format(directory=case.directory, port=self.port, certificate=certificate, key=key,
                                                 requests=requests, model=case.model.port))
        super().__init__("front", [find("nginx"), "-c", path], os.path.join(case.directory, "front.log"), environment({}))
        case.add_child(self)
        wait_until(self.listens, "it listens")

    def listens(self):
        assert self.alive, self.log()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def exchanges(self):
        """(protocol, connection) of each."""
        with open(os.path.join(self.directory, "front.access"), encoding="ascii") as file:
            return [tuple(line.split()) for line in file if line.startswith("HTTP")]


class Http2(ReuseCase):
    """Answers carry the number of their request, so that connections are used again."""

    def serve_front(self, reuse, **options):
        certificate, key = self.make_certificate("model")
        self.start_model()
        self.front_server = Front(self, certificate, key, **options)
        return self.serve_model(UPSTREAM_URL=f"https://127.0.0.1:{self.front_server.port}/predict", UPSTREAM_CA_FILE=certificate,
                                UPSTREAM_TIMEOUT=30, UPSTREAM_REUSE=reuse)

    def test_connections_are_used_again(self):
        client = self.serve_front("http2")
        for number in range(20):
            self.assertServes(client, f"text {number}")
        self.assertEqual(set(self.front_server.exchanges()), {self.front_server.exchanges()[0]})
        self.assertEqual(self.front_server.exchanges()[0][0], "HTTP/2.0")

    def test_with_all(self):
        client = self.serve_front("all")
        for number in range(20):
            self.assertServes(client, f"text {number}")
        self.assertEqual(len(set(self.front_server.exchanges())), 1)

    def test_many_at_once(self):
        client = self.serve_front("http2")
        self.check(client, "plain", "many")
        self.check(client, "plain", "more")
        self.assertLessEqual(len(set(self.front_server.exchanges())), AT_ONCE)

    def test_a_server_that_ends_connections(self):
        """It says so (GOAWAY), and which requests it has not looked at: those are sent again, the others are not."""
        client = self.serve_front("http2", requests=10)
        self.check(client, "plain", "ended")
        self.assertEqual(len(self.model.calls), REQUESTS)
