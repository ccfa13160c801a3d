"""The description of the interface is true: what is served is what it says, all of it, and nothing else.

Every documented operation and status is provoked, but for those in NOT_PROVOKED, and every response is validated: status, header
fields, each member of the body.
"""

import json
import os
import re
import signal

import client
import fastcgi
import model_server
from case import Case
from processes import wait_until
from schema import Validator
from servers import ROOT, Inferonce, find, run_program

PATH = os.path.join(ROOT, "src", "api", "openapi.json")
METHODS = {"get": "GET", "post": "POST", "delete": "DELETE", "x-query": "QUERY"}

# What a client cannot bring about: the server must run out of memory, or the built-in model fail.
NOT_PROVOKED = {"500", "502"}

# Header fields that the web server adds, or that HTTP defines for every response with a body.
OF_EVERY_RESPONSE = {"server", "date", "connection", "content-type", "content-length", "transfer-encoding"}
OF_EVERY_REQUEST = {"content-type", "content-encoding", "authorization", "accept"}

JSON = {"Content-Type": "application/json"}
NO_KEY = "/cache/" + "0" * 64


class Description(Validator):
    def __init__(self):
        with open(PATH, "rb") as file:
            self.bytes = file.read()
        super().__init__(json.loads(self.bytes))

    def follow(self, value):
        while "$ref" in value:
            value = self.resolve(value["$ref"])
        return value

    def operations(self):
        """(path, method, operation)"""
        for path, item in self.document["paths"].items():
            for name, method in METHODS.items():
                if name in item:
                    yield path, method, item[name]

    def find(self, method, path):
        """(documented path, operation); an exact path wins over one with a parameter. None: not documented."""
        paths = self.document["paths"]
        matching = [its for its in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", its), path)]
        documented = path if path in paths else next(iter(matching), None)
        name = {method: name for name, method in METHODS.items()}.get("GET" if method == "HEAD" else method)
        return (documented, paths[documented][name]) if documented and name in paths[documented] else None

    def example(self, name):
        return self.document["components"]["examples"][name]["value"]

    def response_errors(self, documented, response, has_body):
        """What of a response is not as documented."""
        found = self.header_errors(documented.get("headers", {}), response)
        content = documented.get("content") if has_body else None
        if content is None:
            return found + ([f"there is a body: {response.body[:100]!r}"] if response.body else [])
        media = content.get(response.header("Content-Type"))
        if media is None:
            return found + [f"the content type is {response.header('Content-Type')}"]
        is_json = response.header("Content-Type").endswith(("/json", "+json"))
        return found + self.errors(response.json() if is_json else response.body.decode(), media["schema"])

    def header_errors(self, documented, response):
        headers = {name.lower(): self.follow(header) for name, header in documented.items()}
        present = {name for name, _ in response.headers}
        found = [f"{name} is not documented" for name in present - headers.keys() - OF_EVERY_RESPONSE]
        for name, header in headers.items():
            text = response.header(name)
            if text is None:
                found += [f"{name} is missing"] if header["required"] else []
            else:
                found += self.errors(self.field_value(text, header["schema"]), header["schema"], name)
        return found

    @staticmethod
    def field_value(text, schema):
        return int(text) if schema.get("type") == "integer" and re.fullmatch("-?[0-9]+", text) else text


class Judge(Case):
    """schema.py itself, on cases reasoned from the specification."""

    def test_verdicts(self):
        cases = [
            (1, {"const": True}, False), (1.0, {"const": 1}, True), (2.0, {"type": "integer"}, True), (True, {"type": "integer"}, False),
            (None, {"type": ["integer", "null"]}, True), ("ab\n", {"pattern": "^ab$"}, False), ("xaby", {"pattern": "ab"}, True),
            (5, {"pattern": "ab", "minLength": 3, "items": False, "required": ["a"]}, True),  # each applies to its own type only
            ({"a": 1, "b": 2}, {"properties": {"a": True}, "additionalProperties": False}, False),
            ({"a": 1}, {"properties": {"a": True}, "additionalProperties": False}, True),
            ({"a": 1}, {"dependentSchemas": {"a": {"required": ["b"]}}}, False), ({}, {"dependentSchemas": {"a": {"required": ["b"]}}}, True),
            (5, {"oneOf": [{"minimum": 1}, {"maximum": 9}]}, False), (5, {"anyOf": [{"minimum": 1}, {"maximum": 9}]}, True),
            (5, {"allOf": [{"minimum": 1}, {"maximum": 4}]}, False), (0, {"exclusiveMinimum": 0}, False), (5, {"not": {"type": "null"}}, True),
            ([1, "a"], {"items": {"$ref": "#/n~1a"}}, False), ([1, 2], {"items": {"$ref": "#/n~1a"}}, True), ([], {"minItems": 1}, False),
        ]
        judge = Validator({"n/a": {"type": "number"}})
        for value, schema, valid in cases:
            with self.subTest(value=value, schema=schema):
                self.assertEqual(judge.is_valid(value, schema), valid)

    def test_what_is_not_known_is_not_passed_over(self):
        with self.assertRaises(AssertionError):
            Validator({}).errors(5, {"multipleOf": 2})


class Document(Case):
    def test_served_as_it_is(self):
        response = self.serve().get("/openapi.json")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header("Content-Type"), "application/json")
        self.assertEqual(response.body, Description().bytes)

    def test_version_is_the_program_s(self):
        version = Description().document["info"]["version"]
        self.assertEqual(run_program("--version").stdout, f"inferonce {version}\n")


def mutants(value, optional):
    """(what was done, the value with one thing wrong): a member too many or too few, a value of another type."""
    if isinstance(value, dict):
        yield "a member too many", {**value, "unexpected": 1}
        for name in value:
            if name not in optional:
                yield f"no {name}", {other: value[other] for other in value if other != name}
            for done, wrong in mutants(value[name], optional):
                yield f"{name}: {done}", {**value, name: wrong}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for done, wrong in mutants(item, optional):
                yield f"{index}: {done}", value[:index] + [wrong] + value[index + 1:]
    yield "another type", 5 if isinstance(value, str) else "text"  # where null may stand, a number may


class Examples(Case):
    """The examples are what the program says, to the letter, and what is not is found out."""

    def setUp(self):
        super().setUp()
        self.description = Description()
        self.client = self.serve()

    def schema_of(self, method, path):
        response = self.description.find(method, path)[1]["responses"]["200"]
        return response["content"]["application/json"]["schema"]

    def assertSays(self, response, example, besides):
        """Besides what depends on the clock."""
        self.assertEqual(response.status, 200, response)

        def blank(members):
            return {name: None if name in besides else value for name, value in members.items()}

        self.assertEqual(json.loads(response.body, object_hook=blank), json.loads(json.dumps(example), object_hook=blank))

    def test_they_are_real(self):
        example = self.description.example
        one = self.client.request("POST", "/predict", example("OneText"))
        self.assertSays(one, example("OneAnswer"), {"inference_time_ms"})
        many = self.client.request("POST", "/predict", example("ManyTexts"))
        self.assertSays(many, example("ManyAnswers"), {"inference_time_ms"})
        key = one.header("X-Cache-Key")
        entry = self.client.get(f"/cache/{key}")
        self.assertSays(entry, example("Entry"), {"inference_time_ms", "age", "ttl"})
        parameters = self.description.document["components"]["parameters"]
        self.assertEqual(parameters["Key"]["example"], key)
        self.assertEqual(parameters["If-None-Match"]["example"], entry.header("ETag"))
        self.assertEqual(self.client.request("QUERY", "/predict", example("OneText")).header("ETag"), entry.header("ETag"))

    def test_whatever_is_wrong_in_an_answer_is_found(self):
        bodies = [("POST", "/predict", {"text": "A good one"}), ("POST", "/predict", {"texts": ["A good one", "A bad one"]}),
                  ("GET", "/cache/stats", None), ("GET", "/cache/{key}", None), ("GET", "/healthz", None), ("GET", "/readyz", None),
                  ("POST", "/cache/purge", {"text": "A good one"}), ("DELETE", "/cache/{key}", None), ("DELETE", "/cache", None)]
        for method, path, body in bodies:
            key = self.client.predict("looked at").header("X-Cache-Key")
            answer = self.client.request(method, path.replace("{key}", key), body).json()
            schema = self.schema_of(method, path.replace("{key}", key))
            self.assertEqual(self.description.errors(answer, schema), [], answer)
            for done, wrong in mutants(answer, {"inference_time_ms"}):
                with self.subTest(method=method, path=path, done=done):
                    self.assertFalse(self.description.is_valid(wrong, schema), wrong)

    def test_whatever_is_wrong_in_a_problem_is_found(self):
        problem = self.client.request("POST", "/predict", {"texts": ["a", 5]}).json()
        schema = self.description.document["components"]["schemas"]["Problem"]
        self.assertEqual(self.description.errors(problem, schema), [])
        for done, wrong in mutants(problem, {"detail", "errors"}):
            with self.subTest(done=done):
                self.assertEqual(self.description.is_valid(wrong, schema), done == "errors: 0: no detail", wrong)


class WholeInterface(Case):
    def setUp(self):
        super().setUp()
        self.description = Description()
        self.seen = set()
        self.client = None

    def serve_as(self, name, **settings):
        """One of several in this case."""
        app = Inferonce(self, name=name, **settings)
        return self.front(app.socket_path, settings.get("ADMIN_TOKEN"), name=f"nginx-{name}")

    # ---- asking, and judging the answer ----

    def ask(self, status, method, path, body=None, headers=()):
        """Sends a request, judges it and its answer by the description."""
        response = self.client.request(method, path, body, headers)
        self.judge(status, method, path, response)
        self.judge_request(status, method, path, body, dict(headers))
        return response

    def ask_directly(self, status, connection, method, path, **parameters):
        """The same without a web server between."""
        answer = connection.ask(method, path, **parameters)
        headers = [(name, value) for name, value in answer.headers.items() if name != "status"]
        self.judge(status, method, path, client.Response(answer.status, headers, answer.body))

    def judge(self, status, method, path, response):
        self.assertEqual(response.status, status, (method, path, response))
        found = self.description.find(method, path)
        elsewhere = self.description.document["x-everywhere"]["responses"]
        responses = found[1]["responses"] if found else elsewhere
        self.assertIn(str(status), responses, f"{method} {path}: this status is not documented: {response}")
        documented = self.description.follow(responses[str(status)])
        self.assertEqual(self.description.response_errors(documented, response, method != "HEAD"), [], (method, path, response))
        self.seen.add((found[1]["operationId"] if found else "x-everywhere", str(status)))

    def judge_request(self, status, method, path, body, headers):
        """Every field sent is documented; a body that was accepted is valid, one of the wrong shape is not."""
        found = self.description.find(method, path)
        if not found:
            return
        documented, operation = found
        parameters = operation.get("parameters", []) + self.description.document["paths"][documented].get("parameters", [])
        known = {self.description.follow(parameter)["name"].lower() for parameter in parameters}
        self.assertLessEqual({name.lower() for name in headers}, known | OF_EVERY_REQUEST, path)
        if "requestBody" in operation and isinstance(body, dict) and status in (200, 304, 422):
            schema = self.description.follow(operation["requestBody"])["content"]["application/json"]["schema"]
            self.assertEqual(self.description.is_valid(body, schema), status != 422, (path, body))

    # ---- provoking everything ----

    def test_every_operation_and_status(self):
        self.predictions("POST")
        self.predictions("QUERY")
        self.entries()
        self.purges()
        self.transfers()
        self.open_endpoints()
        self.everywhere()
        self.with_a_token()
        self.from_another_machine()
        self.overloaded()
        self.rejected()
        self.without_its_cache_server()
        self.draining()
        documented = {(operation["operationId"], status)
                      for _, _, operation in self.description.operations() for status in operation["responses"]}
        documented |= {("x-everywhere", status) for status in self.description.document["x-everywhere"]["responses"]}
        self.assertEqual({name for name in documented - self.seen if name[1] not in NOT_PROVOKED}, set())

    def without_its_cache_server(self):
        """As many invalidations as it remembers, and one more of each kind."""
        self.client = self.serve_as("away", CACHE_BACKEND="memcached", MEMCACHED_SERVERS=f"unix:{self.directory}/nobody")
        self.ask(200, "POST", "/predict", {"text": "A good one"})
        self.ask(200, "GET", "/readyz")
        self.ask(501, "GET", "/cache/export")
        self.ask(501, "POST", "/cache/import", b"{}", {"Content-Type": "application/x-ndjson"})
        self.ask(202, "DELETE", "/cache")
        self.ask(202, "POST", "/cache/purge", {"text": "A good one"})
        self.ask(202, "DELETE", f"/cache/{0:064x}")
        for number in range(1, 600):
            self.client.delete(f"/cache/{number:064x}")
        self.ask(200, "GET", "/cache/stats")
        self.ask(503, "DELETE", f"/cache/{700:064x}")
        self.ask(503, "DELETE", "/cache", headers={"X-Cache-Namespace": "another"})
        self.ask(503, "POST", "/cache/purge", {"text": "Another one"})

    def predictions(self, method):
        self.client = self.serve_as(method, MAX_BODY_KB=64, CACHE_TTL_MAX=100)
        one, many = {"text": "A good one"}, {"texts": ["A good one", "A bad one", "A bad one"]}
        self.ask(200, method, "/predict", one)
        self.ask(200, method, "/predict", many)
        self.ask(200, method, "/predict", {**one, "top_k": 3})
        for headers in ({"Cache-Control": "no-cache"}, {"Cache-Control": "no-store"}, {"Pragma": "no-cache"}, {"X-Cache-TTL": "50"},
                        {"X-Cache-Namespace": "tenant-a"}, {"Cache-Control": "only-if-cached"}):
            self.ask(200, method, "/predict", one, headers)
        for body in ({}, {"text": ""}, {"text": 5}, {"texts": []}, {"texts": ["a", ""]}, {"texts": "a"}, {"text": "a", "texts": ["b"]}):
            self.ask(422, method, "/predict", body)
        self.ask(422, method, "/predict", b"[]", JSON)
        self.ask(400, method, "/predict", b"{", JSON)
        self.ask(400, method, "/predict", one, {"X-Cache-TTL": "soon"})
        self.ask(400, method, "/predict", one, {"X-Cache-Namespace": "no spaces"})
        self.ask(413, method, "/predict", {"text": "a" * 65536})
        self.ask(415, method, "/predict", b"text", {"Content-Type": "text/plain"})
        self.ask(415, method, "/predict", b"text", {**JSON, "Content-Encoding": "gzip"})
        self.ask(504, method, "/predict", {"text": "unheard of"}, {"Cache-Control": "only-if-cached"})
        self.ask(504, method, "/predict", {"texts": ["unheard of", "unseen"]}, {"Cache-Control": "only-if-cached"})
        partly = self.ask(200, method, "/predict", {"texts": ["A good one", "unheard of"]}, {"Cache-Control": "only-if-cached"})
        self.assertEqual(partly.json()["results"][1]["error"]["status"], 504)
        if method == "QUERY":
            for body in (one, many):
                etag = self.ask(200, method, "/predict", body).header("ETag")
                self.ask(304, method, "/predict", body, {"If-None-Match": etag})

    def entries(self):
        self.ask(200, "GET", "/cache/stats")
        self.ask(200, "GET", "/metrics")
        self.ask(200, "GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        self.ask(200, "GET", "/dashboard")
        path = "/cache/" + self.ask(200, "POST", "/predict", {"text": "kept"}).header("X-Cache-Key")
        etag = self.ask(200, "GET", path).header("ETag")
        self.ask(304, "GET", path, headers={"If-None-Match": etag})
        for method in ("GET", "DELETE"):
            self.ask(404, method, path, headers={"X-Cache-Namespace": "tenant-b"})
            self.ask(400, method, "/cache/short")
            self.ask(400, method, path, headers={"X-Cache-Namespace": "a/b"})
            self.ask(404, method, NO_KEY)
        self.ask(200, "DELETE", path)
        self.ask(404, "GET", path)

    def purges(self):
        key = self.ask(200, "POST", "/predict", {"text": "kept"}).header("X-Cache-Key")
        for body in ({"text": "kept"}, {"text": "kept", "top_k": 3}, {"texts": ["kept", "unheard of"]}, {"keys": [key, key.upper()]},
                     {"namespace": "tenant-a"}, {"request": {"text": "kept", "keys": [1], "namespace": "b"}}, {"request": {"texts": ["kept"]}}):
            self.ask(200, "POST", "/cache/purge", body)
        for body in ({}, {"text": 5}, {"texts": []}, {"keys": ["short"]}, {"keys": [key], "text": "kept"}, {"keys": [key], "top_k": 3},
                     {"namespace": "a/b"}, {"namespace": "tenant-a", "top_k": 3}, {"text": "kept", "namespace": "tenant-a"},
                     {"text": "kept", "request": {"text": "kept"}}, {"request": {"keys": [key]}}, {"request": {"text": "a", "texts": ["b"]}},
                     {"request": {"text": "kept"}, "top_k": 3}):
            self.ask(422, "POST", "/cache/purge", body)
        self.ask(400, "POST", "/cache/purge", b"{", JSON)
        self.ask(400, "POST", "/cache/purge", {"text": "kept"}, {"X-Cache-Namespace": "a/b"})
        self.ask(413, "POST", "/cache/purge", {"text": "a" * 65536})
        self.ask(415, "POST", "/cache/purge", b"text", {"Content-Type": "text/plain"})
        self.ask(200, "DELETE", "/cache")
        self.ask(200, "DELETE", "/cache", headers={"X-Cache-Namespace": "tenant-a"})
        self.ask(400, "DELETE", "/cache", headers={"X-Cache-Namespace": "a/b"})

    def transfers(self):
        lines = {"Content-Type": "application/x-ndjson"}
        line = self.description.document["components"]["schemas"]["TransferLine"]
        self.ask(200, "POST", "/predict", {"text": "moved"})
        exported = self.ask(200, "GET", "/cache/export").body
        for entry in exported.splitlines()[:-1]:
            self.assertEqual(self.description.errors(json.loads(entry), line), [], entry)
        self.ask(200, "GET", "/cache/export", headers={"X-Cache-Namespace": "tenant-a"})
        self.ask(400, "GET", "/cache/export", headers={"X-Cache-Namespace": "a/b"})
        self.ask(200, "POST", "/cache/import", exported, lines)
        self.ask(200, "POST", "/cache/import", b"{", lines)
        with Inferonce(self, name="direct", WORKERS=1).connect() as connection:
            self.ask_directly(400, connection, "POST", "/cache/import", body=b"{}", CONTENT_TYPE="application/x-ndjson", CONTENT_LENGTH="9")
        self.ask(415, "POST", "/cache/import", b"{}", JSON)
        self.ask(415, "POST", "/cache/import", b"{}", {**lines, "Content-Encoding": "gzip"})

    def open_endpoints(self):
        for path in ("/healthz", "/readyz", "/openapi.json"):
            self.ask(200, "GET", path)

    def everywhere(self):
        """What belongs to no operation; and the methods in Allow are those that are documented."""
        for path in self.description.document["paths"]:
            path = path.replace("{key}", "0" * 64)
            allowed = {method for method in METHODS.values() if self.description.find(method, path)} | {"OPTIONS"}
            allowed |= {"HEAD"} if "GET" in allowed else set()
            for method, status in (("OPTIONS", 204), ("PUT", 405)):
                response = self.ask(status, method, path)
                self.assertEqual(set(response.header("Allow").split(", ")), allowed, path)
            self.ask(501, "BREW", path)
            if "GET" in allowed:
                self.ask(404 if "0" * 64 in path else 200, "HEAD", path)
        self.ask(404, "GET", "/nowhere")

    def with_a_token(self):
        self.client = self.serve_as("secured", ADMIN_TOKEN="open-sesame")
        self.ask(200, "GET", "/cache/stats")
        self.client.token = "something-else"
        for method, path, body in self.administration():
            self.ask(401, method, path, body)
        self.ask(401, "GET", "/dashboard", headers={"Accept": "text/html"})

    def administration(self):
        """A request for each operation that says it needs a credential."""
        secured = [(method, path.replace("{key}", "0" * 64), {"text": "kept"} if "requestBody" in operation else None)
                   for path, method, operation in self.description.operations() if operation.get("security")]
        self.assertEqual(len(secured), 9)
        return secured

    def from_another_machine(self):
        with Inferonce(self, name="remote", WORKERS=1).connect() as connection:
            for method, path, body in self.administration():
                data = json.dumps(body).encode() if body else b""
                self.ask_directly(403, connection, method, path, body=data, remote="192.0.2.7")
            self.ask_directly(403, connection, "GET", "/dashboard", remote="192.0.2.7", HTTP_ACCEPT="text/html")
            self.ask_directly(403, connection, "GET", "/cache/stats", HTTP_HOST="an.example")
            self.ask_directly(431, connection, "GET", "/nowhere", HTTP_COOKIE="a" * 70000)

    def overloaded(self):
        self.client = self.serve_as("busy", WORKERS=1, INFERENCE_DELAY_MS=60000, INFERENCE_CONCURRENCY=1, INFERENCE_QUEUE=0,
                                    DRAIN_TIMEOUT=0)
        with self.client.start(self.client.encode("POST", "/predict", {"text": "slow"})):
            wait_until(lambda: self.client.stats()["in_flight"] == 1, "the only place is taken")
            for method in ("POST", "QUERY"):
                self.ask(503, method, "/predict", {"text": "one too many"})
                failed = self.ask(200, method, "/predict", {"texts": ["one too many"]}).json()
                self.assertEqual(failed["results"][0]["error"]["status"], 503)

    def rejected(self):
        """What the model says about the client's input or credential is relayed."""
        model = model_server.Model()
        self.addCleanup(model.close)
        self.client = self.serve_as("rejecting", WORKERS=1, ENGINE="http", UPSTREAM_URL=model.url())
        for status in (400, 401, 402, 403, 413, 415, 422, 429):
            model.behaviour = ["status", str(status)]
            for method in ("POST", "QUERY"):
                refused = self.client.request(method, "/predict", {"text": "a text"}, {"Authorization": "Bearer mine"})
                self.judge(status, method, "/predict", refused)
                self.assertEqual(refused.json()["type"], f"urn:inferonce:problem:{'rate-limited' if status == 429 else 'rejected'}")

    def draining(self):
        app = Inferonce(self, name="draining", WORKERS=1, INFERENCE_DELAY_MS=2000)
        with app.connect() as kept, app.connect() as busy:
            self.ask_directly(200, kept, "GET", "/readyz")
            busy.send(fastcgi.request("POST", "/predict", b'{"text": "slow"}'))
            wait_until(lambda: json.loads(kept.ask("GET", "/cache/stats").body)["in_flight"] == 1, "the inference has begun")
            app.send_signal(signal.SIGTERM)
            wait_until(lambda: kept.ask("GET", "/readyz").status == 503, "it says that it drains")
            self.ask_directly(503, kept, "GET", "/readyz")
            self.assertEqual(busy.answer().status, 200)
