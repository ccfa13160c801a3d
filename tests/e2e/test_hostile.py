"""A FastCGI peer that is slow, silent, cuts off or lies costs its own connection only."""

import random

import fastcgi
from case import Case
from servers import Inferonce

BODY = b'{"text": "hostile"}'


class Hostile(Case):
    def setUp(self):
        super().setUp()
        self.app = Inferonce(self, WORKERS=1, MAX_BODY_KB=64)
        self.pids = self.app.workers()

    def assertUnharmed(self):
        with self.app.connect() as connection:
            self.assertEqual(connection.ask("POST", "/predict", BODY).status, 200)
        self.assertEqual(self.app.workers(), self.pids)

    def send_and_close(self, data):
        with self.app.connect() as connection:
            connection.send(data)
        self.assertUnharmed()

    def send_until_closed(self, data):
        with self.app.connect() as connection:
            try:
                connection.send(data)
            except ConnectionError:
                pass
            self.assertTrue(connection.is_closed())
        self.assertUnharmed()

    def test_http_instead_of_fastcgi(self):
        self.send_until_closed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_noise(self):
        noise = random.Random(7)
        for length in (1, 7, 8, 9, 100, 5000):
            self.send_and_close(noise.randbytes(length))

    def test_wrong_version(self):
        self.send_until_closed(fastcgi.record(fastcgi.BEGIN_REQUEST, bytes(8), version=2))

    def test_cut_off_anywhere(self):
        whole = fastcgi.request("POST", "/predict", BODY)
        for length in range(0, len(whole), 13):
            with self.app.connect() as connection:
                connection.send(whole[:length])
        self.assertUnharmed()

    def test_byte_by_byte(self):
        with self.app.connect() as connection:
            for byte in fastcgi.request("POST", "/predict", BODY):
                connection.send(bytes([byte]))
            self.assertEqual(connection.answer().status, 200)

    def test_several_requests_on_one_connection(self):
        with self.app.connect() as connection:
            for turn in range(50):
                answer = connection.ask("POST", "/predict", BODY)
                self.assertEqual((answer.status, answer.headers["x-cache"]), (200, "HIT" if turn else "MISS"))

    def test_pipelined(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.request("POST", "/predict", BODY) * 3)
            self.assertEqual([connection.answer().status for _ in range(3)], [200, 200, 200])

    def test_connection_that_is_not_kept(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.request("GET", "/healthz", flags=0))
            self.assertEqual(connection.answer().status, 200)
            self.assertTrue(connection.is_closed())

    def test_values_asked_for_again_and_again(self):
        asked = b"".join(fastcgi.pair("FCGI_MAX_CONNS", "") for _ in range(4))
        with self.app.connect() as connection:
            connection.send(fastcgi.record(fastcgi.GET_VALUES, asked, request_id=0))
            self.assertEqual(connection.read_record()[0], fastcgi.GET_VALUES_RESULT)
            self.assertEqual(connection.ask("POST", "/predict", BODY).status, 200)
        self.assertUnharmed()

    def test_unknown_management_record(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.record(77, b"", request_id=0))
            kind, request_id, content = connection.read_record()
            self.assertEqual((kind, request_id, content[0]), (fastcgi.UNKNOWN, 0, 77))

    def test_role_that_it_does_not_play(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.begin(role=2))
            kind, _, content = connection.read_record()
            self.assertEqual((kind, content[4]), (fastcgi.END_REQUEST, 3))  # FCGI_UNKNOWN_ROLE
            self.assertEqual(connection.ask("GET", "/healthz").status, 200)

    def test_records_of_another_request(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.begin() + fastcgi.stream(fastcgi.PARAMS, fastcgi.parameters("POST", "/predict", BODY))
                            + fastcgi.record(fastcgi.STDIN, b"somebody else's", request_id=9)
                            + fastcgi.stream(fastcgi.STDIN, BODY))
            self.assertEqual(connection.answer().status, 200)

    def test_aborted_while_it_waits(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.begin() + fastcgi.stream(fastcgi.PARAMS, fastcgi.parameters("POST", "/predict", BODY)))
            connection.send(fastcgi.record(fastcgi.ABORT_REQUEST))
            kind = None
            while kind != fastcgi.END_REQUEST:
                kind = connection.read_record()[0]
            self.assertEqual(connection.ask("GET", "/healthz").status, 200)

    def test_lengths_that_lie(self):
        huge = b"\xff\xff\xff\xff\xff\xff\xff\xff" + b"NAME"
        for content in (huge, b"\x7f\x7f", b"\xff", fastcgi.pair("REQUEST_METHOD", "GET")[:-1]):
            with self.subTest(content=content):
                self.send_until_closed(fastcgi.begin() + fastcgi.stream(fastcgi.PARAMS, content) + fastcgi.stream(fastcgi.STDIN, b""))

    def test_parameters_without_end(self):
        chunk = fastcgi.record(fastcgi.PARAMS, fastcgi.pair("HTTP_FILLER", "x" * 60000))
        self.send_until_closed(fastcgi.begin() + chunk * 50)

    def test_body_and_content_length_that_differ(self):
        for length in ("5", "1000", "-1", "abc", "99999999999999999999"):
            with self.subTest(length=length), self.app.connect() as connection:
                self.assertEqual(connection.ask("POST", "/predict", BODY, CONTENT_LENGTH=length).status, 400)
        self.assertUnharmed()

    def test_body_beyond_the_limit(self):
        with self.app.connect() as connection:
            self.assertEqual(connection.ask("POST", "/predict", b"x" * (64 * 1024 + 1)).status, 413)
            self.assertEqual(connection.ask("POST", "/predict", b"x" * (8 * 1024 * 1024)).status, 413)
            self.assertEqual(connection.ask("POST", "/predict", BODY).status, 200)

    def test_request_without_any_parameter(self):
        with self.app.connect() as connection:
            connection.send(fastcgi.begin() + fastcgi.stream(fastcgi.PARAMS, b"") + fastcgi.stream(fastcgi.STDIN, b""))
            self.assertGreaterEqual(connection.answer().status, 400)
        self.assertUnharmed()

    def test_header_that_becomes_a_variable(self):
        with self.app.connect() as connection:
            answer = connection.ask("POST", "/predict", BODY, HTTP_CONTENT_LENGTH="3", HTTP_CONTENT_TYPE="text/plain", HTTP_PROXY="http://evil/")
            self.assertEqual(answer.status, 200)

    def test_many_connections_that_say_nothing(self):
        idle = [self.app.connect() for _ in range(200)]
        self.assertUnharmed()
        for connection in idle:
            connection.close()
