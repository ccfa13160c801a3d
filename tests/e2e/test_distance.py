"""Cache servers that are some way off: a batch of new texts is kept whole, and a healthy server is not taken for a dead one."""

import asyncio
import os
import threading

from cache_servers import Memcached, Redis
from case import Case
from servers import Inferonce

BATCH = 256


class Relay(threading.Thread):
    """Hands bytes on to a Unix socket, each piece so much later, in both directions."""

    def __init__(self, path, target, delay_s):
        super().__init__(daemon=True)
        self.path, self.target, self.delay_s = path, target, delay_s
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.start()
        self.ready.wait()

    def run(self):
        self.loop.run_until_complete(self.serve())

    async def serve(self):
        self.over = asyncio.Event()
        server = await asyncio.start_unix_server(self.connect, self.path)
        self.ready.set()
        await self.over.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.join(10)

    async def connect(self, reader, writer):
        there_reader, there_writer = await asyncio.open_unix_connection(self.target)
        await asyncio.gather(self.pump(reader, there_writer), self.pump(there_reader, writer), return_exceptions=True)

    async def pump(self, reader, writer):
        while data := await reader.read(1 << 20):
            self.loop.call_later(self.delay_s, writer.write, data)
        self.loop.call_later(self.delay_s, writer.close)


class Distance(Case):
    def check(self, kind, delay_ms):
        server = kind(self)
        path = os.path.join(self.directory, f"relay-{server.name}-{delay_ms}.sock")
        relay = Relay(path, server.path, delay_ms / 1000)
        self.addCleanup(relay.close)
        place = {"MEMCACHED_SERVERS": f"unix:{path}"} if kind is Memcached else {"REDIS_URL": f"unix://{path}"}
        app = Inferonce(self, name=f"over-{server.name}-{delay_ms}", CACHE_BACKEND=server.name, STORE_TIMEOUT_MS=20, WORKERS=1, **place)
        client = self.front(app.socket_path, name=f"nginx-{server.name}-{delay_ms}")
        client.predict("somebody asks")
        for turn in range(4):
            texts = [f"new text {turn} {number}" for number in range(BATCH)]
            self.assertEqual(client.predict_batch(texts).json()["cached"], 0)
            self.assertEqual(client.predict_batch(texts).json()["cached"], BATCH)
        stats = client.stats()
        self.assertEqual((stats["store_errors"], stats["backend"]["state"]), (0, "ok"), stats)
        self.assertEqual(stats["stores"], 4 * BATCH + 1)
        self.assertNotIn("cache_server_down", app.log())

    def test_a_third_of_a_millisecond(self):
        for kind in (Memcached, Redis):
            with self.subTest(server=kind.__name__):
                self.check(kind, 0.3)

    def test_five_milliseconds(self):
        for kind in (Memcached, Redis):
            with self.subTest(server=kind.__name__):
                self.check(kind, 5)
