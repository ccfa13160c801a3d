"""64 clients that ask and ask, each on a connection that is kept: for known texts, and for new ones whose inference takes 300 ms or 3 s.

They are a process of their own, so that they and the test do not wait for each other. Times are those of time.monotonic(), which both share.
"""

import asyncio
import functools
import itertools
import json
import subprocess
import sys
import time

import crowd
import exposition
from client import Client
from model_server import sentiment
from processes import wait_until

ASKERS = {"hit": 48, "miss": 12, "slow": 4}
INFERENCE_S = {"miss": 0.3, "slow": 3}
KNOWN = [f"known {'x' * length}" for length in range(20)]
LOOK_INTERVAL_S = 0.1
FAILURES_MAX = 10  # that are told; all are counted
PATIENCE_S = 40


def texts(kind, number):
    """The texts of one asker. The length of a new one, which the model's answer has, is that asker's alone."""
    for turn in itertools.count():
        yield KNOWN[turn % len(KNOWN)] if kind == "hit" else f"!later {INFERENCE_S[kind]} {turn:06} {kind} {'x' * number}"


@functools.lru_cache(1000)
def result(text):
    return json.loads(sentiment(text))


class Askers:
    def __init__(self, client):
        self.client = client
        self.stopping = False
        self.answered = dict.fromkeys(ASKERS, 0)
        self.longest_s = dict.fromkeys(ASKERS, 0)
        self.slow = []  # when each slow request began and ended
        self.looks = self.failed = 0
        self.failures = []

    def fail(self, what):
        self.failed += 1
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(f"{time.monotonic():.3f} {what}")

    def check(self, kind, text, response):
        expected = 200, "HIT" if kind == "hit" else "MISS", result(text)
        got = response.status, response.cache, response.json().get("result")
        if got != expected:
            self.fail(f"{text!r}: {response} instead of {expected}")

    def count(self, kind, answer):
        self.answered[kind] += 1
        self.longest_s[kind] = max(self.longest_s[kind], answer.ended - answer.began)
        if kind == "slow":
            self.slow.append((answer.began, answer.ended))

    async def ask(self, kind, number):
        connection = await crowd.Connection.open(self.client.address)
        for text in texts(kind, number):
            if self.stopping:
                break
            try:
                answer = await connection.ask(crowd.kept(self.client.encode("POST", "/predict", {"text": text})))
                self.count(kind, answer)
                self.check(kind, text, answer.response)
                if (answer.response.header("Connection") or "").lower() == "close":  # lighttpd, after server.max-keep-alive-requests
                    connection.close()
                    connection = await crowd.Connection.open(self.client.address)
            except (OSError, EOFError, ValueError) as error:
                self.fail(f"{text!r}: {error!r}")
                connection.close()
                connection = await crowd.Connection.open(self.client.address)
        connection.close()

    async def watch_counters(self):
        """No counter of /metrics is smaller than it was, or gone."""
        connection = await crowd.Connection.open(self.client.address)
        before = {}
        while not self.stopping:
            answer = await connection.ask(crowd.kept(self.client.encode("GET", "/metrics")))
            families = exposition.read(answer.response).values()
            now = {name: value for family in families if family.type != "gauge" for name, value in family.samples.items()}
            for name, value in before.items():
                if now.get(name, -1) < value:
                    self.fail(f"{name} was {value} and is {now.get(name)}")
            before = now
            self.looks += 1
            await asyncio.sleep(LOOK_INTERVAL_S)
        connection.close()

    def report(self):
        names = "answered", "longest_s", "slow", "looks", "failed", "failures"
        print(json.dumps({name: getattr(self, name) for name in names}), flush=True)

    async def run(self):
        """A line on standard input asks for a report; at its end the askers stop, and a last report tells what became of them."""
        kinds = [kind for kind, n in ASKERS.items() for _ in range(n)]
        tasks = [asyncio.create_task(self.ask(kind, number)) for number, kind in enumerate(kinds)]
        tasks.append(asyncio.create_task(self.watch_counters()))
        while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            self.report()
        self.stopping = True
        done, pending = await asyncio.wait(tasks, timeout=PATIENCE_S)
        for task in [task for task in done if task.exception()]:
            self.fail(f"{task.get_coro().__qualname__}: {task.exception()!r}")
        for _ in pending:
            self.fail("never answered")
        self.report()


class MixedLoad:
    """The process, from the test's side."""

    def __init__(self, client):
        for text in KNOWN:
            client.predict(text)
        self.process = subprocess.Popen([sys.executable, __file__, str(client.address[1])], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def report(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def go_on(self):
        """Waits until hits and misses were answered some more, by as many askers as there are."""
        before = self.report()["answered"]

        def went_on():
            now = self.report()["answered"]
            return all(now[kind] >= before[kind] + ASKERS[kind] for kind in ("hit", "miss"))

        wait_until(went_on, "there is load", interval_s=0.05)

    def stop(self):
        """The last report."""
        self.process.stdin.close()
        return json.loads(self.process.stdout.read())

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


if __name__ == "__main__":
    asyncio.run(Askers(Client(int(sys.argv[1]))).run())
