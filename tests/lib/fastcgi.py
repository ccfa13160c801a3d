"""A FastCGI client that can also misbehave: records are made one by one and any bytes can be sent (FastCGI 1.0)."""

import socket
import struct

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT, UNKNOWN = range(1, 12)
RESPONDER = 1
KEEP_CONNECTION = 1
TIMEOUT_S = 60


def record(kind, content=b"", request_id=1, padding=0, version=1):
    return struct.pack(">BBHHBx", version, kind, request_id, len(content), padding) + content + bytes(padding)


def stream(kind, content, request_id=1, chunk=65535):
    """The records of a stream, with the empty one that ends it."""
    pieces = [content[at:at + chunk] for at in range(0, len(content), chunk)]
    return b"".join(record(kind, piece, request_id) for piece in pieces) + record(kind, b"", request_id)


def begin(request_id=1, role=RESPONDER, flags=KEEP_CONNECTION):
    return record(BEGIN_REQUEST, struct.pack(">HB5x", role, flags), request_id)


def length(n):
    return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)


def pair(name, value):
    name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
    return length(len(name)) + length(len(value)) + name + value


def parameters(method="GET", path="/", body=b"", content_type="application/json", remote="127.0.0.1", **others):
    given = {"REQUEST_METHOD": method, "DOCUMENT_URI": path, "QUERY_STRING": "", "REMOTE_ADDR": remote, "HTTP_HOST": "127.0.0.1",
             "CONTENT_TYPE": content_type if body else "", "CONTENT_LENGTH": str(len(body)) if body else "", **others}
    return b"".join(pair(name, value) for name, value in given.items())


def request(method="GET", path="/", body=b"", request_id=1, flags=KEEP_CONNECTION, **others):
    return (begin(request_id, flags=flags) + stream(PARAMS, parameters(method, path, body, **others), request_id)
            + stream(STDIN, body, request_id))


class Answer:
    def __init__(self, stdout, end):
        head, _, self.body = stdout.partition(b"\r\n\r\n")
        lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")]
        self.headers = {name.lower(): value.strip() for name, _, value in lines}
        self.status = int(self.headers.get("status", "200").split()[0])
        self.application_status, self.protocol_status = struct.unpack(">IB3x", end)


class Connection:
    def __init__(self, address):
        """address: the path of a Unix socket, or (host, port)."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_exactly(self, n):
        data = bytearray()
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError(f"closed after {len(data)} of {n} bytes")
            data += piece
        return bytes(data)

    def read_record(self):
        """(type, request id, content)"""
        _, kind, request_id, size, padding = struct.unpack(">BBHHBx", self.read_exactly(8))
        return kind, request_id, self.read_exactly(size + padding)[:size]

    def answer(self):
        stdout = bytearray()
        while True:
            kind, _, content = self.read_record()
            if kind == STDOUT:
                stdout += content
            elif kind == END_REQUEST:
                return Answer(bytes(stdout), content)

    def is_closed(self):
        """Waits until the other side closes; anything it sends before is passed over."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def ask(self, method="GET", path="/", body=b"", **others):
        self.send(request(method, path, body, **others))
        return self.answer()
