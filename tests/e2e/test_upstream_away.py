"""An inference server that cannot be reached: whose fault it is said to be, to the client and in the log."""

import json
import os
import re
import resource
from urllib.parse import quote

from case import Case
from processes import free_port, wait_until
from servers import Inferonce, run_program
from upstream_case import UpstreamCase


class Away(UpstreamCase):
    def ask_in_vain(self, client, log, times=1):
        for number in range(times):
            problem = self.assertProblem(client.predict(f"text {number}"), 502)
            self.assertEqual(problem["title"], "The model failed")
        self.assertRegex(client.app.log(), log)
        return problem

    def test_a_refused_connection(self):
        port = free_port()
        client = self.serve(ENGINE="http", UPSTREAM_URL=f"http://127.0.0.1:{port}/predict?key=secret", WORKERS=1)
        problem = self.ask_in_vain(client, f'event=upstream_failed .*server=http://127.0.0.1:{port} error="Connection refused"')
        self.assertEqual(problem["detail"], "the model's server refuses connections")
        self.assertNotIn("secret", client.app.log())

    def test_a_unix_socket_that_is_missing(self):
        path = os.path.join(self.directory, "nobody.sock")
        client = self.serve(ENGINE="http", UPSTREAM_URL=f"http+unix://{quote(path)}:/predict", WORKERS=1)
        problem = self.ask_in_vain(client, f'event=upstream_failed .*server=unix:{re.escape(quote(path))} error="No such file or directory"')
        self.assertEqual(problem["detail"], "the model's server could not be reached")
        self.assertNotIn("localhost", client.app.log())

    def test_a_name_that_is_not_known(self):
        client = self.serve(ENGINE="http", UPSTREAM_URL="http://nobody.invalid:81/predict", WORKERS=1)
        self.ask_in_vain(client, 'event=upstream_failed .*server=http://nobody.invalid:81 error="Could not resolve host')

    def test_one_that_was_not_asked(self):
        """What is wrong is the model, not that too much is waiting."""
        port = free_port()
        client = self.serve(ENGINE="http", UPSTREAM_URL=f"http://127.0.0.1:{port}/", WORKERS=1)
        self.ask_in_vain(client, f"event=upstream_down .*server=http://127.0.0.1:{port} ", times=5)
        response = client.predict("one more")
        problem = self.assertProblem(response, 503)
        self.assertEqual((problem["type"], problem["title"]), ("urn:inferonce:problem:model-down", "The model cannot be reached"))
        self.assertEqual(response.header("Retry-After"), "1")
        self.assertNotIn("inference;dur", response.header("Server-Timing"))  # none was begun
        self.assertEqual(client.stats()["model_unreachable"], 1)
        self.assertEqual(client.get("/readyz").json(), {"status": "degraded"})
        self.start_model(("127.0.0.1", port))
        wait_until(lambda: client.predict("it is back").status == 200, "it is asked again")
        self.assertEqual(client.stats()["model_unreachable"], 0)
        self.assertEqual(client.get("/readyz").json(), {"status": "ok"})

    def test_errors_name_the_server(self):
        client = self.serve_model()
        self.assertProblem(client.predict("!status 500"), 502)
        self.assertProblem(client.predict("!close"), 502)
        for event in ("upstream_error", "upstream_failed"):
            self.assertRegex(client.app.log(), f"event={event} .*server=http://127.0.0.1:{self.model.port} ")


class Descriptors(UpstreamCase):
    def test_too_few_for_a_connection(self):
        """That is no fault of the model's: nobody is told so, and it is asked again as soon as there are some."""
        client = self.serve_model()
        worker = client.app.workers()[0]
        limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        with client.app.connect() as connection:
            connection.ask("GET", "/healthz")
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, limit[1]))
            for number in range(12):
                answer = connection.ask("POST", "/predict", json.dumps({"text": f"text {number}"}).encode())
                self.assertEqual(answer.status, 503, answer.body)
                self.assertEqual(json.loads(answer.body)["type"], "urn:inferonce:problem:short-of-resources")
                self.assertEqual(answer.headers.get("retry-after"), "1")
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
            self.assertEqual(connection.ask("POST", "/predict", b'{"text": "text 0"}').status, 200)
        stats = client.stats()
        self.assertEqual((stats["inferences_without_connection"], stats["inference_errors"]), (12, 12))
        self.assertIn("event=upstream_no_connection", client.app.log())
        self.assertNotIn("event=upstream_down", client.app.log())
        self.assertNotIn("event=upstream_failed", client.app.log())

    def test_too_few_for_a_name(self):
        client = self.serve_model(UPSTREAM_URL="http://localhost:1/")
        worker = client.app.workers()[0]
        limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        with client.app.connect() as connection:
            connection.ask("GET", "/healthz")
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, limit[1]))
            answer = connection.ask("POST", "/predict", b'{"text": "a text"}')
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
        self.assertEqual((answer.status, client.stats()["inferences_without_connection"]), (503, 1), answer.body)


class Limits(Case):
    def start(self, limit, **settings):
        return run_program(LISTEN=f"unix:{self.directory}/not.sock", WORKERS=1, timeout_s=10, **settings,
                           prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))

    def test_too_low_for_the_settings(self):
        for limit, settings, names in ((300, {"ENGINE": "http", "UPSTREAM_URL": "http://127.0.0.1:1/", "INFERENCE_CONCURRENCY": 300}, True),
                                       (24, {}, False)):
            with self.subTest(limit=limit):
                ended = self.start(limit, **settings)
                self.assertEqual(ended.returncode, 1)
                self.assertRegex(ended.stderr, rf"event=cannot_start .*file descriptors .*limit is {limit}: raise it")
                self.assertEqual("INFERENCE_CONCURRENCY" in ended.stderr, names)
                self.assertNotIn("event=started", ended.stderr)

    def test_as_many_as_are_needed(self):
        app = Inferonce(self, WORKERS=1, ENGINE="http", UPSTREAM_URL="http://127.0.0.1:1/", INFERENCE_CONCURRENCY=300,
                        prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)))
        self.assertTrue(app.answers())
