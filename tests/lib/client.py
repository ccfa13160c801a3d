"""HTTP as a test wants it: any method, any bytes, one request or a thousand at once."""

import http.client
import io
import json
import selectors
import socket
import time

import structured

TIMEOUT_S = 60


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # (name in lower case, value), in order
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name):
        """The value; None without one. A field that stands twice is a failure."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def cache(self):
        return self.header("X-Cache")

    @property
    def cache_status(self):
        return structured.cache_status(self.header("Cache-Status"))


def _read(stream, method):
    """The response that a socket, or bytes in place of one, brings."""
    response = http.client.HTTPResponse(stream, method=method)
    response.begin()
    body = response.read()
    return Response(response.status, [(name.lower(), value) for name, value in response.getheaders()], body)


class _Received:
    def __init__(self, data):
        self.data = data

    def makefile(self, _mode):
        return io.BytesIO(self.data)


class Client:
    def __init__(self, port, host="127.0.0.1", token=None, source=""):
        self.address = (host, port)
        self.token = token
        self.source = (source, 0)  # the address that it comes from

    def connect(self):
        return socket.create_connection(self.address, TIMEOUT_S, source_address=self.source)

    def encode(self, method, path, body=None, headers=()):
        """The bytes of a request. `headers` may be a mapping or pairs, of which one name may stand twice."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            if "content-type" not in [name.lower() for name, _ in pairs]:
                pairs.append(("Content-Type", "application/json"))
        elif isinstance(body, str):
            body = body.encode()
        elif body is None and method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            body = b""  # lighttpd wants to know that there is none
        if self.token and "authorization" not in [name.lower() for name, _ in pairs]:
            pairs.append(("Authorization", f"Bearer {self.token}"))
        if body is not None and "transfer-encoding" not in [name.lower() for name, _ in pairs]:
            pairs.append(("Content-Length", str(len(body))))
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address[0]}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in pairs]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")

    def raw(self, data, method="GET"):
        """Sends bytes, reads one response."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server may answer and close before it has read all of a body it refuses
            return _read(connection, method)

    def request(self, method, path, body=None, headers=()):
        return self.raw(self.encode(method, path, body, headers), method)

    def get(self, path, headers=()):
        return self.request("GET", path, headers=headers)

    def delete(self, path, headers=()):
        return self.request("DELETE", path, headers=headers)

    def predict(self, text, headers=(), method="POST", **parameters):
        return self.request(method, "/predict", {"text": text, **parameters}, headers)

    def predict_batch(self, texts, headers=(), **parameters):
        return self.request("POST", "/predict", {"texts": texts, **parameters}, headers)

    def stats(self):
        response = self.get("/cache/stats")
        assert response.status == 200, response
        return response.json()

    def start(self, data):
        """Sends a request and leaves; the answer is read from the socket returned, with finish."""
        connection = socket.create_connection(self.address, TIMEOUT_S)
        connection.sendall(data)
        return connection

    @staticmethod
    def finish(connection, method="POST"):
        with connection:
            return _read(connection, method)

    def at_once(self, requests, timeout_s=TIMEOUT_S):
        """Sends all (encoded) requests at the same time, each on a connection of its own. The responses in the order of the
        requests; None for one whose connection failed."""
        waiting = selectors.DefaultSelector()
        received = [b""] * len(requests)
        connections = []
        for index in range(len(requests)):
            connection = socket.create_connection(self.address, timeout_s)
            connections.append(connection)
            waiting.register(connection, selectors.EVENT_READ, index)
        for connection, data in zip(connections, requests):
            connection.sendall(data)
        deadline = time.monotonic() + timeout_s
        open_connections = len(requests)
        while open_connections and time.monotonic() < deadline:
            for key, _ in waiting.select(1):
                try:
                    piece = key.fileobj.recv(65536)
                except ConnectionError:
                    piece = b""
                received[key.data] += piece
                if not piece:
                    waiting.unregister(key.fileobj)
                    open_connections -= 1
        waiting.close()
        for connection in connections:
            connection.close()
        return [_complete(data) for data in received]


def _complete(data):
    try:
        return _read(_Received(data), "POST")
    except (http.client.HTTPException, ValueError):
        return None
