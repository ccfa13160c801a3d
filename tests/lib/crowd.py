"""Many clients at once, each on a connection of its own that is kept; of every answer it is told when it was asked for and when it came."""

import asyncio
import time
from collections import namedtuple

from client import TIMEOUT_S, Response

Answer = namedtuple("Answer", "began ended response")  # times of time.monotonic()


def _response(head, body):
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Response(int(status.split()[1]), headers, body)


class Connection(asyncio.Protocol):
    """One request at a time. Answers must have a Content-Length."""

    def __init__(self):
        self.received = b""
        self.waiting = None

    @classmethod
    async def open(cls, address):
        _, connection = await asyncio.get_running_loop().create_connection(cls, *address)
        return connection

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(exc or EOFError("closed before the answer was complete"))

    def data_received(self, data):
        self.received += data
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        response = _response(head, b"")
        length = int(response.header("Content-Length"))
        if len(rest) >= length:
            response.body = rest[:length]
            self.received = rest[length:]
            self.waiting.set_result(response)

    async def ask(self, data):
        """Sends an encoded request; whether the connection is kept is its affair."""
        self.waiting = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        self.transport.write(data)
        response = await self.waiting
        return Answer(began, time.monotonic(), response)

    def close(self):
        self.transport.close()


def kept(data):
    """An encoded request (Client.encode) for a connection that is kept."""
    return data.replace(b"Connection: close\r\n", b"Connection: keep-alive\r\n", 1)


def run(tasks):
    """The results of coroutines that run together; the first that fails fails all."""

    async def together():
        return await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT_S)

    return asyncio.run(together())


def at_once(client, requests):
    """Connects for all (encoded) requests, then sends them at the same time. The answers, in the order of the requests."""

    async def ask_all():
        connections = await asyncio.gather(*[Connection.open(client.address) for _ in requests])
        try:
            return await asyncio.gather(*[connection.ask(data) for connection, data in zip(connections, requests)])
        finally:
            for connection in connections:
                connection.close()

    return run([ask_all()])[0]
