"""GET /cache/export and POST /cache/import: a cache moves to another instance."""

import hashlib
import json
import threading
import time

from cache_servers import Memcached
from case import Case, through_both
from client import Client
from processes import wait_until
from servers import Inferonce

LINES = {"Content-Type": "application/x-ndjson"}
MEMBERS = ("key", "namespace", "model", "created_us", "fresh_until_us", "stale_while_revalidate_until_us", "stale_if_error_until_us",
           "inference_us", "body")


def dump(lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


def entry(number, now_us, **members):
    """A line as an export has it."""
    return {"key": hashlib.sha256(str(number).encode()).hexdigest(), "namespace": "default", "model": {"name": "vader", "version": "1"}, "created_us": now_us,
            "fresh_until_us": now_us + 3000_000_000, "inference_us": 5_000_000,
            "body": {"number": number, "text": "für \U0001F600 \"x\""}, **members}


def kept(lines):
    """What has to be equal after a move, by key."""
    return {line["key"]: {name: line[name] for name in MEMBERS} for line in lines}


class Moving(Case):
    def now_us(self):
        return int(time.time() * 1e6)

    def export(self, client, **headers):
        response = client.get("/cache/export", headers)
        self.assertEqual(response.status, 200, response)
        self.assertEqual(response.header("content-type"), "application/x-ndjson")
        self.assertEqual(response.header("cache-control"), "no-store")
        lines = [json.loads(line) for line in response.body.splitlines()]
        self.assertEqual(lines[-1], {"end": True, "entries": len(lines) - 1})
        return lines[:-1]

    def take(self, client, body, **expected):
        response = client.request("POST", "/cache/import", body, LINES)
        self.assertEqual(response.status, 200, response)
        result = response.json()
        for name, number in expected.items():
            self.assertEqual(result[name], number, (name, result))
        return result


@through_both
class Both(Moving):
    def test_a_session(self):
        """What one instance was asked is a hit of the other, with its age, and what it saved."""
        source = self.serve(WORKERS=2, INFERENCE_DELAY_MS=30)
        for number in range(20):
            source.predict(f"text {number}")
        source.predict("of another", {"X-Cache-Namespace": "tenant-7"})
        lines = self.export(source)
        self.assertEqual(len(lines), 21)
        self.assertEqual({line["namespace"] for line in lines}, {"default", "tenant-7"})
        target = self.serve_another()
        self.take(target, source.get("/cache/export").body, lines=21, stored=21, complete=True)
        for number in range(20):
            self.assertEqual(target.predict(f"text {number}").cache, "HIT")
        self.assertEqual(target.predict("of another", {"X-Cache-Namespace": "tenant-7"}).cache, "HIT")
        self.assertEqual(target.predict("of another").cache, "MISS")
        self.assertGreaterEqual(target.stats()["inference_seconds_saved"], 21 * 0.03)
        self.assertEqual(kept(line for line in self.export(target) if line["body"] and line["key"] in kept(lines)), kept(lines))
        self.assertEqual([line["namespace"] for line in self.export(source, **{"X-Cache-Namespace": "tenant-7"})], ["tenant-7"])
        self.assertIn("event=exported", source.app.log())
        self.assertIn("event=imported", target.app.log())

    def serve_another(self, **settings):
        app = Inferonce(self, name="another", WORKERS=2, **settings)
        client = self.front(app.socket_path, name=f"{self.web.program}-2")
        client.app = app
        return client

    def test_a_large_cache(self):
        """100,000 entries there and back: what is exported is what was imported, and the workers' memory stays what it was."""
        client = self.serve(WORKERS=2, CACHE_MEMORY_MB=256, CACHE_MAX_SIZE=200000)
        now_us = self.now_us()
        lines = [entry(number, now_us - number, namespace=f"ns-{number % 7}") for number in range(100000)]
        body = dump([*lines, {"end": True, "entries": 100000}])
        self.take(client, body, lines=100000, stored=100000, complete=True, invalid=0)
        self.assertEqual(client.stats()["size"], 100000)
        self.assertEqual(client.stats()["imported_entries"], 100000)
        exported = self.export(client)
        self.assertEqual(kept(exported), kept({"stale_while_revalidate_until_us": line["fresh_until_us"],
                                               "stale_if_error_until_us": line["fresh_until_us"], **line} for line in lines))
        self.assertEqual(client.stats()["exported_entries"], 100000)
        self.take(client, body, lines=100000, kept=100000, complete=True)
        self.assertEqual(client.stats()["stores"], 100000)

    def test_large_bodies(self):
        client = self.serve(CACHE_MEMORY_MB=256)
        now_us = self.now_us()
        lines = [entry(number, now_us, body=[number, "x" * 900_000]) for number in range(30)]
        self.take(client, dump([*lines, {"end": True, "entries": 30}]), stored=30, complete=True)
        exported = self.export(client)
        self.assertEqual(len(exported), client.stats()["size"])
        self.assertGreater(len(exported), 20)  # some may have fallen on one shard
        for line in exported:
            self.assertEqual(line["body"], [line["body"][0], "x" * 900_000])


class Rules(Moving):
    def test_what_was_purged_stays_away(self):
        client = self.serve()
        for text in ("removed", "untouched"):
            client.predict(text)
        removed = client.predict("removed").header("X-Cache-Key")
        dumped = client.get("/cache/export").body
        client.delete(f"/cache/{removed}")
        result = self.take(client, dumped, lines=2, complete=True, invalid=0)
        self.assertEqual((result["purged"], result["kept"]), (1, 1))
        self.assertEqual(client.predict("removed").cache, "MISS")
        dumped = client.get("/cache/export").body
        client.delete("/cache")
        self.take(client, dumped, lines=2, purged=2, stored=0)
        self.assertEqual(client.predict("untouched").cache, "MISS")
        self.take(client, client.get("/cache/export").body, lines=1, kept=1)

    def test_a_removal_is_remembered_when_its_tombstone_is_gone(self):
        """An instance that begins anew on the same file: tombstones last for an inference, the rule for imports does not."""
        client = self.serve(CACHE_PATH=f"{self.directory}/entries")
        key = client.predict("removed").header("X-Cache-Key")
        client.predict("of the purged", {"X-Cache-Namespace": "ns"})
        dumped = client.get("/cache/export").body
        client.delete(f"/cache/{key}")
        client.delete("/cache", {"X-Cache-Namespace": "ns"})
        client.app.close()
        client.app = Inferonce(self, name="again", listen=f"unix:{client.app.socket_path}", CACHE_PATH=f"{self.directory}/entries")
        self.take(client, dumped, lines=2, purged=2)

    def test_the_newer_one_is_kept(self):
        client = self.serve()
        now_us = self.now_us()
        self.take(client, dump([entry(1, now_us, body="new")]), stored=1)
        self.take(client, dump([entry(1, now_us - 1, body="old")]), kept=1, stored=0)
        self.take(client, dump([entry(1, now_us + 1, body="newer")]), stored=1)
        self.assertEqual([line["body"] for line in self.export(client)], ["newer"])

    def test_times(self):
        """An entry lasts as long as it would have where it was, and no longer than this instance keeps its own."""
        client = self.serve(CACHE_TTL=60, CACHE_TTL_MAX=100)
        now_us = self.now_us()
        self.take(client, dump([entry(1, now_us - 50_000_000, fresh_until_us=now_us + 10_000_000),
                                entry(2, now_us - 50_000_000, fresh_until_us=now_us + 4000_000_000),
                                entry(3, now_us - 50_000_000, fresh_until_us=now_us - 1),
                                entry(4, now_us - 101_000_000, fresh_until_us=now_us + 4000_000_000)]), stored=2, expired=2)
        ttl = {line["body"]["number"]: line["ttl"] for line in self.export(client)}
        self.assertTrue(8 <= ttl[1] <= 10 and 48 <= ttl[2] <= 50, ttl)

    def test_wrong_lines(self):
        client = self.serve(CACHE_MAX_ENTRY_KB=16)
        now_us = self.now_us()
        wrong = ["not JSON", '{"key":', "[1]", "7", '{"key":"abc"}', json.dumps(entry(1, now_us, key="g" * 64)),
                 json.dumps(entry(1, now_us, namespace="a b")), json.dumps(entry(1, now_us, created_us=-1)),
                 json.dumps(entry(1, now_us, created_us=now_us + 120_000_000)), json.dumps(entry(1, now_us, fresh_until_us=1)),
                 json.dumps(entry(1, now_us, inference_us=now_us + 1)), json.dumps(entry(1, now_us, body="x" * 17000)),
                 json.dumps(entry(1, now_us, model="vader")), json.dumps(entry(1, now_us, body="x" * 100_000)),
                 '{"key":"1","key":"2"}', json.dumps(entry(1, now_us, model={"name": "n" * 4000, "version": "1"})),
                 json.dumps({name: value for name, value in entry(1, now_us).items() if name != "body"})]
        for line in wrong:
            with self.subTest(line=line[:60]):
                result = self.take(client, f"{line}\n{json.dumps(entry(2, now_us))}\n", lines=2, invalid=1, complete=False)
                self.assertEqual(result["first_invalid"]["line"], 1)
                self.assertTrue(result["first_invalid"]["detail"])
                self.assertEqual(result["stored"] + result["kept"], 1)
        self.take(client, "\n \r\n\n", lines=0, invalid=0)
        self.take(client, json.dumps(entry(3, now_us)), lines=1, stored=1, complete=False)
        self.assertEqual(client.stats()["size"], 2)
        self.assertProblem(client.request("POST", "/cache/import", "{}", {"Content-Type": "application/json"}), 415)
        self.assertEqual(client.get("/cache/import").status, 405)

    def test_an_export_that_was_cut(self):
        client = self.serve()
        now_us = self.now_us()
        whole = dump([*[entry(number, now_us) for number in range(100)], {"end": True, "entries": 100}])
        self.take(client, whole[:len(whole) // 2], complete=False)
        self.take(client, whole[len(whole) // 2:], complete=False)
        self.take(client, whole, complete=True, lines=100)

    def test_line_breaks_within_a_result(self):
        client = self.serve()
        self.take(client, dump([entry(1, self.now_us())]).replace('"body": {', '"body":\t{'), stored=1)
        self.assertEqual(self.export(client)[0]["body"]["number"], 1)

    def test_who_may(self):
        client = self.serve(ADMIN_TOKEN="secret-token-1234")
        body = dump([entry(number, self.now_us()) for number in range(20000)])
        anybody = self.client_without_token(client)
        self.assertProblem(anybody.get("/cache/export"), 401)
        self.assertProblem(anybody.request("POST", "/cache/import", body[:1000], LINES), 401)
        self.assertProblem(anybody.request("POST", "/cache/import", body, LINES), 401)
        self.assertEqual(client.stats()["size"], 0)
        self.take(client, body, lines=20000)

    @staticmethod
    def client_without_token(client):
        return Client(client.web.port)

    def test_only_the_memory_can(self):
        server = Memcached(self)
        client = self.serve(CACHE_BACKEND="memcached", MEMCACHED_SERVERS=server.address)
        self.assertProblem(client.get("/cache/export"), 501)
        self.assertProblem(client.request("POST", "/cache/import", dump([entry(1, self.now_us())]), LINES), 501)

    def test_head(self):
        client = self.serve()
        client.predict("text")
        response = client.request("HEAD", "/cache/export")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(client.stats()["exported_entries"], 0)


class UnderLoad(Moving):
    def test_hits_go_on(self):
        """While both run, hits are hits, and none fails."""
        client = self.serve(WORKERS=2, CACHE_MEMORY_MB=256, CACHE_MAX_SIZE=200000)
        now_us = self.now_us()
        body = dump([*[entry(number, now_us) for number in range(100000)], {"end": True, "entries": 100000}])
        client.predict("hot")
        over, wrong, hits = threading.Event(), [], [0]

        def ask():
            while not over.is_set():
                response = client.predict("hot")
                hits[0] += response.cache == "HIT"
                if response.cache != "HIT":
                    wrong.append(response)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            self.take(client, body, stored=100000, complete=True)
            self.assertEqual(len(self.export(client)), 100001)
        finally:
            over.set()
            thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(hits[0], 10)

    def test_a_reader_that_leaves(self):
        client = self.serve(WORKERS=1, CACHE_MEMORY_MB=256, CACHE_MAX_SIZE=200000)
        now_us = self.now_us()
        self.take(client, dump([entry(number, now_us) for number in range(100000)]), stored=100000)
        connection = client.start(client.encode("GET", "/cache/export"))
        self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 200"))
        connection.close()
        wait_until(lambda: "event=export_cut" in client.app.log(), "the export is given up")
        self.assertEqual(client.predict("text").cache, "MISS")

    def test_a_sender_that_leaves(self):
        client = self.serve(WORKERS=1)
        now_us = self.now_us()
        data = client.encode("POST", "/cache/import", dump([entry(number, now_us) for number in range(20000)]), LINES)
        connection = client.start(data[:len(data) // 2])
        wait_until(lambda: client.stats()["imported_entries"] > 1000, "the beginning is stored")
        connection.close()
        wait_until(lambda: "event=import_cut" in client.app.log(), "the import is given up")
        self.assertLess(client.stats()["imported_entries"], 20000)
