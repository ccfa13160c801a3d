"""An inference server for tests: speaks all dialects, counts what it is asked, and misbehaves when told to.

A text that begins with "!" names a behaviour of its call: "!hang", "!status 429 7 anything". Behaviours may be set for all calls too
(`Model.behaviour`). Texts that are none of that get an answer that depends on nothing but the text.

It counts when a request has come in whole, before it misbehaves. Standard library only; a thread for each connection, which is
enough for what the tests ask, and for 5,000 sleeping ones.
"""

import asyncio
import fcntl
import gzip
import json
import re
import resource
import socket
import socketserver
import ssl
import struct
import sys
import termios
import threading
import time

BIG = 24 * 1024 * 1024
RECEIVE_BYTES = 65536  # what a listener's connections buffer, where it is to be little
STALLED_S = 0.2  # without a new byte
PATIENCE_S = 30


def score(text):
    """Three numbers that only this text has, written as a parse and a print would not leave them."""
    total = sum(text.encode()) % 997
    return [f"{total / 1000:.3f}0", f"{len(text)}e-1", "-0.0"]


def sentiment(text):
    """As far as the tests of the built-in model look, it would say the same."""
    words = text.lower().split()
    mood = "positive" if {"good", "great"} & {*words} else "negative" if "bad" in words else "neutral"
    return f'{{ "sentiment":"{mood}",  "length":{len(text)}, "confidence":{score(text)[0]} }}'


class Call:
    """What one request asked."""

    def __init__(self, path, headers, body, connection):
        self.path = path
        self.headers = headers  # pairs, names in lower case
        self.body = body
        self.connection = connection  # a number: of the connection it came on
        self.json = json.loads(body)
        self.texts = self.read_texts()

    def header(self, name):
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None

    def read_texts(self):
        for name in ("text", "prompt"):
            if name in self.json:
                return [self.json[name]]
        if "instances" in self.json:
            return [next(iter(instance.values())) if isinstance(instance, dict) else instance for instance in self.json["instances"]]
        if "texts" in self.json:
            return self.json["texts"]
        if isinstance(self.json.get("inputs"), str):
            return [self.json["inputs"]]
        if "input" in self.json:
            given = self.json["input"]
            return given if isinstance(given, list) else [given]
        inputs = self.json["inputs"]
        if isinstance(inputs[0], dict):
            return inputs[0]["data"]
        return [text if isinstance(text, str) else text[0] for text in inputs]

    def behaviour(self):
        marked = [text for text in self.texts if text.startswith("!")]
        return marked[0][1:].split() if marked else []

    def answer(self, how=None):
        """The right answer, or one that is wrong in the way `how` says: "short", "reversed", "twice", "more"."""
        texts = list(self.texts)
        indexes = list(range(len(texts)))
        if how == "short":
            del texts[-1], indexes[-1]
        elif how == "reversed":
            texts.reverse()
            indexes.reverse()
        elif how == "twice":
            indexes[-1] = 0
        elif how == "more":
            texts.append("uninvited")
            indexes.append(len(indexes))
        if "text" in self.json or "prompt" in self.json:
            return sentiment(texts[0])
        if "input" in self.json:
            return self.embeddings([f'[{", ".join(score(text))}]' for text in texts], indexes)
        if "instances" in self.json:
            return f'{{"predictions": [{", ".join(sentiment(text) for text in texts)}]}}'
        if "texts" in self.json:  # the best first
            ranked = sorted(zip(texts, indexes), key=lambda pair: -float(score(pair[0])[0]))
            return "[" + ",".join(f'{{"index":{index},"score":{score(text)[0]}}}' for text, index in ranked) + "]"
        if isinstance(self.json["inputs"], str):
            return self.labels(texts[0]) if texts else "[]"
        if isinstance(self.json["inputs"][0], dict):
            return self.tensors(texts)
        if isinstance(self.json["inputs"][0], str):
            return "[" + ",".join(f'[{", ".join(score(text))}]' for text in texts) + "]"
        return "[" + ",".join(self.labels(text) for text in texts) + "]"

    def embeddings(self, embeddings, indexes):
        """openai's answer; an index of None is left out."""
        items = ", ".join(f'{{"object":"embedding","embedding":{embedding}{"" if index is None else f", {chr(34)}index{chr(34)}: {index}"}}}'
                          for embedding, index in zip(embeddings, indexes))
        return f'{{"object":"list","model":{json.dumps(self.json.get("model", "m"))},"data":[{items}]}}'

    @staticmethod
    def labels(text):
        return f'[{{"label":"positive","score":{score(text)[0]}}}, {{"label":"negative","score":{score(text)[1]}}}]'

    def tensors(self, texts):
        numbers = ", ".join(number for text in texts for number in score(text))
        labels = ", ".join(json.dumps(f"label {len(text)}") for text in texts)
        return (f'{{"model_name":"m","id":{json.dumps(self.json["id"])},"outputs":[{{"name":"scores","datatype":"FP64",'
                f'"shape":[{len(texts)}, 3],"data":[{numbers}]}},{{"name":"label","datatype":"BYTES","shape":[{len(texts)}],'
                f'"data":[{labels}]}}]}}')


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        if self.request.family != socket.AF_UNIX:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = self.server.model.next_connection()
        try:
            while (call := self.read(number)) is not None:
                if not self.serve(call):
                    return
        except (ConnectionError, ssl.SSLError, ValueError):
            return

    def read(self, number):
        line = self.rfile.readline(65536)
        if not line:
            return None
        path = line.split()[1].decode()
        headers = []
        while (line := self.rfile.readline(65536)) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name.strip().lower(), value.strip()))
        length = int(dict(headers)["content-length"])
        if path.startswith("/refuses/"):
            self.refuse(path.rpartition("/")[2])
            return None
        return Call(path, headers, self.rfile.read(length), number)

    def refuse(self, manner):
        """Answers before it has read the body."""
        if manner == "resets":  # because of what is left unread
            self.wait_until_stalled()
        self.send(413, "{}")
        if manner == "lingers":  # as RFC 9112 section 9.6 would have it
            self.request.shutdown(socket.SHUT_WR)
            while self.request.recv(65536):
                pass

    def wait_until_stalled(self):
        """Until nothing more comes: the buffers of both ends are full, and the client waits."""
        unread, since = self.unread(), time.monotonic()
        deadline = since + PATIENCE_S
        while time.monotonic() - since < STALLED_S:
            assert time.monotonic() < deadline, "it never stalled"
            time.sleep(0.01)
            if (now := self.unread()) != unread:
                unread, since = now, time.monotonic()

    def unread(self):
        """Bytes that the kernel has for us."""
        return struct.unpack("i", fcntl.ioctl(self.request, termios.FIONREAD, bytes(4)))[0]

    def write(self, data):
        self.wfile.write(data if isinstance(data, bytes) else data.encode())
        self.wfile.flush()

    def send(self, status, body, *lines):
        body = body if isinstance(body, bytes) else body.encode()
        head = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {len(body)}", *lines]
        self.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return True

    def send_chunked(self, pieces):
        self.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            self.write(f"{len(piece):x}\r\n{piece}\r\n")
        self.write("0\r\n\r\n")
        return True

    def serve(self, call):
        """Answers; False: the connection is to be closed."""
        model = self.server.model
        model.record(call)
        name, *arguments = model.behaviour or (model.behaviour_of_several if len(call.texts) > 1 else None) or call.behaviour() or ["well"]
        return getattr(self, "do_" + name)(call, *arguments)

    # Behaviours

    def do_well(self, call, *_):
        model = self.server.model
        model.gate.wait()
        if model.delay_s:
            model.released.wait(model.delay_s)
        if model.accepted is not None and call.header("Authorization") not in model.accepted:
            return self.send(model.refusal, '{"error":"who are you?"}')
        if model.stray is not None:
            return self.send_and_stray(call, *model.stray)
        return self.send(200, call.answer(), *model.fields)

    def send_and_stray(self, call, after_s, length):
        """The answer, and so much later, or in the same write, the same again, which nobody asked for, in so many bytes."""
        model = self.server.model
        answer = call.answer().encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %08d\r\n\r\n"
        padded = answer.ljust(length - len(head % 0))
        stray = head % len(padded) + padded
        try:
            self.write(head % len(answer) + answer + (b"" if after_s else stray))
            if after_s:
                model.released.wait(after_s)
                self.write(stray)
        finally:
            with model.lock:
                model.strays += 1
        return True

    def do_status(self, call, status, retry_after=None, *_):
        lines = [f"Retry-After: {retry_after}"] if retry_after and retry_after.isdigit() else []
        return self.send(int(status), '{"error":"no"}', "Location: /elsewhere", "X-Accel-Redirect: /secret", *lines)

    def do_status_until(self, call, status, retry_after, *_):
        """The words behind a Retry-After, with _ for each space."""
        return self.send(int(status), "{}", f"Retry-After: {retry_after.replace('_', ' ')}")

    def do_error(self, call, status, *words):
        return self.send(int(status), json.dumps({"error": {"message": " ".join(words), "type": "x"}}))

    def do_body(self, call, status, *words):
        return self.send(int(status), " ".join(words))

    def do_echo(self, call, status, *_):
        """Repeats what it was given, as some do."""
        return self.send(int(status), json.dumps({"error": f"cannot take {call.texts} of {call.header('Authorization')}"}))

    def do_late(self, call, delay_s, status, *_):
        self.server.model.released.wait(float(delay_s))
        return self.send(int(status), "{}")

    def do_later(self, call, delay_s, *_):
        self.server.model.released.wait(float(delay_s))
        return self.do_well(call)

    def do_at_most(self, call, most, status, *_):
        """As a server with a limit of texts in one request."""
        return self.do_well(call) if len(call.texts) <= int(most) else self.send(int(status), '{"error":"batch size"}')

    def do_nan(self, call, *_):
        """Python's json, Triton and others write it bare."""
        return self.send(200, re.sub(r"-?[0-9]+(\.[0-9]+)?(e-1)?", "NaN", call.answer()))

    def do_header(self, call, name, *values):
        return self.send(200, call.answer(), f"{name}: {' '.join(values)}")

    def do_hang(self, *_):
        self.server.model.released.wait()
        return False

    def do_drip(self, *_):
        self.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.server.model.released.wait(0.02):
            self.write(" ")
        return False

    def do_drip_head(self, *_):
        self.write("HTTP/1.1 200 OK\r\n")
        while not self.server.model.released.wait(0.02):
            self.write("X-Filler: 1\r\n")
        return False

    def do_cut_off(self, call, *_):
        answer = call.answer()
        self.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer) + 1}\r\n\r\n{answer}")
        return False

    def do_cut_off_chunked(self, call, *_):
        answer = call.answer()
        self.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len(answer):x}\r\n{answer}\r\n")
        return False

    def do_close(self, *_):
        return False

    def do_reset(self, *_):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def do_close_after(self, call, *_):
        """Answers well, and closes the kept connection without having said so."""
        self.do_well(call)
        return False

    def do_reset_after(self, call, *_):
        """Answers well, and resets the kept connection."""
        self.do_well(call)
        return self.do_reset()

    def do_garbage(self, *_):
        self.write("this is not HTTP\r\n\r\n")
        return False

    def do_html(self, *_):
        return self.send(200, "<html><body>It works!</body></html>")

    def do_text(self, call, *words):
        """The words as the answer's body."""
        return self.send(200, " ".join(words))

    def do_empty(self, *_):
        return self.send(200, "")

    def do_no_content(self, *_):
        self.write("HTTP/1.1 204 No Content\r\n\r\n")
        return True

    def do_gzip(self, call, *_):
        return self.send(200, gzip.compress(call.answer().encode()), "Content-Encoding: gzip")

    def do_nul(self, call, *_):
        return self.send(200, call.answer().encode() + b"\0")

    def do_huge(self, *_):
        return self.send(200, json.dumps("x" * BIG))

    def do_huge_chunked(self, *_):
        return self.send_chunked(['"'] + ["x" * 65536] * (BIG // 65536) + ['"'])

    def do_endless(self, *_):
        """More than any limit."""
        self.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"\r\n')
        while not self.server.model.released.is_set():
            self.write(f"{BIG:x}\r\n{'x' * BIG}\r\n")
        return False

    def do_huge_head(self, call, *_):
        return self.send(200, call.answer(), *[f"X-Filler-{i}: {'x' * 1000}" for i in range(1000)])

    def do_large(self, *_):
        """More than is stored, less than is refused."""
        return self.send(200, json.dumps("x" * (2200 * 1024)))

    def do_sized(self, _, length, *__):
        """A result of so many bytes."""
        return self.send(200, json.dumps("x" * (int(length) - 2)))

    def do_chunked(self, call, *_):
        return self.send_chunked(list(call.answer()))

    def do_interim(self, call, *_):
        self.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        return self.do_well(call)

    def do_wrong(self, call, how, *_):
        return self.send(200, call.answer(how))

    def do_embedding(self, call, *words):
        """The words as the embedding of each text."""
        return self.send(200, call.embeddings([" ".join(words)] * len(call.texts), range(len(call.texts))))

    def do_numbered_from(self, call, first, *_):
        """openai, its indexes beginning with another number; "nothing" leaves out the first."""
        indexes = list(range(len(call.texts)))
        indexes = [None, *indexes[1:]] if first == "nothing" else [index + int(first) for index in indexes]
        return self.send(200, call.embeddings([f'[{", ".join(score(text))}]' for text in call.texts], indexes))

    def do_wrong_id(self, call, *_):
        return self.send(200, call.answer().replace(call.json["id"], "somebody else's"))

    def do_cache_control(self, call, *values):
        return self.send(200, call.answer(), *[f"Cache-Control: {value.replace('_', ' ')}" for value in values])

    def do_age(self, call, age, *values):
        return self.send(200, call.answer(), f"Age: {age}", *[f"Cache-Control: {value}" for value in values])


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, model, address, buffers_little, queue):
        if isinstance(address, str):
            self.address_family = socket.AF_UNIX
        self.model = model
        self.request_queue_size = queue
        super().__init__(address, Connection, bind_and_activate=False)
        if buffers_little:  # before the connections are made, which inherit it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.server_bind()
        self.server_activate()

    def get_request(self):
        connection, address = super().get_request()
        if self.model.tls:
            connection = self.model.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        pass

    def shutdown_request(self, request):
        super().shutdown_request(request)
        with self.model.lock:
            self.model.ended += 1


class Model:
    """The server, in this process. `calls` are the requests that came in, in order."""

    def __init__(self, address=("127.0.0.1", 0), certificate=None, key=None, buffers_little=False, queue=8192):
        self.calls = []
        self.connections = 0
        self.ended = 0  # connections
        self.behaviour = None  # for all calls: ["hang"], ["status", "500"]
        self.behaviour_of_several = None  # for calls with more than one text
        self.fields = []  # header lines of good answers
        self.delay_s = 0
        self.stray = None  # (seconds, bytes): good answers are followed by another one
        self.strays = 0  # that were written, or could not be
        self.gate = threading.Event()  # while it is clear, no good answer is given
        self.gate.set()
        self.accepted = None  # the credentials that are good; None: all
        self.refusal = 401  # the status for others
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate, key)
        self.listener = Listener(self, address, buffers_little, queue)
        self.thread = threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.listener.server_address[1]

    @property
    def texts(self):
        return [text for call in self.calls for text in call.texts]

    def url(self, path="/predict"):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"

    def record(self, call):
        with self.lock:
            self.calls.append(call)

    def next_connection(self):
        with self.lock:
            self.connections += 1
            return self.connections

    def close(self):
        self.released.set()
        self.gate.set()
        self.listener.shutdown()
        self.listener.server_close()
        self.thread.join()


async def sleeping_model(path, delay_s, together):
    """For benchmarks: the plain dialect on a Unix socket. Answers come so many seconds after that many requests are there; a text that
    begins with "hit" is answered at once. Runs until it is ended."""
    arrived = []  # a future for each that is there

    async def wait_for_all():
        arrived.append(asyncio.get_running_loop().create_future())
        mine = arrived[-1]
        if len(arrived) == together:
            for future in arrived:
                future.set_result(None)
            arrived.clear()
        await mine
        await asyncio.sleep(delay_s)

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split()[0])
                body = await reader.readexactly(length)
                if not body.startswith(b'{"text":"hit'):
                    await wait_for_all()
                answer = sentiment(json.loads(body)["text"]).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_unix_server(serve, path, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(sleeping_model(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
