"""inferonce-warm fills a cache through the web server; inferonce-top shows its figures."""

import os
import pty
import signal
import subprocess

from case import Case
from processes import Child, free_port, wait_until
from servers import ROOT, environment
from upstream_case import UpstreamCase


def tool(name):
    return os.path.join(ROOT, "deploy", name)


class Warm(UpstreamCase):
    def warm(self, client, *arguments, text=None):
        return subprocess.run([tool("inferonce-warm"), "--url", f"http://127.0.0.1:{client.address[1]}/predict", *arguments], input=text,
                              env=environment({}), capture_output=True, text=True, timeout=60, check=False)

    def write(self, *lines):
        path = os.path.join(self.directory, "texts")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        return path

    def test_texts_are_stored(self):
        client = self.serve(WORKERS=1)
        texts = [f"text {n}, größer" for n in range(200)]
        client.predict(texts[7])
        run = self.warm(client, self.write(*texts[:100], "", "   ", *texts[100:]))
        self.assertEqual((run.returncode, run.stdout), (0, ""), run.stderr)
        self.assertRegex(run.stderr, r"^inferonce-warm: 1 hits, 199 misses, 0 failures \(\d+\.\d s\)\n$")
        self.assertEqual({client.predict(text).cache for text in texts}, {"HIT"})
        self.assertEqual(client.stats()["inferences"], 200)

    def test_standard_input_bodies_and_fields(self):
        client = self.serve()
        run = self.warm(client, "--bodies", "--header", "X-Cache-Namespace: warmed", "-", text='{"text": "one"}\n{"texts": ["two", "three"]}\n')
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([client.predict(text, [("X-Cache-Namespace", "warmed")]).cache for text in ("one", "two", "three")], ["HIT"] * 3)
        self.assertEqual(client.predict("one").cache, "MISS")

    def test_failures_are_told_and_kept_for_another_run(self):
        client = self.serve_model()
        failed = os.path.join(self.directory, "failed")
        run = self.warm(client, "--failed", failed, self.write("good", "!status 500", "better", "!status 400"))
        self.assertEqual(run.returncode, 1)
        self.assertIn("0 hits, 2 misses, 2 failures", run.stderr)
        self.assertIn("inferonce-warm: 1 x status 502\n", run.stderr)
        with open(failed, encoding="utf-8") as file:
            self.assertEqual(sorted(file.read().splitlines()), ["!status 400", "!status 500"])

    def test_bytes_that_are_no_text(self):
        client = self.serve()
        bad = b'{"text": "\xff"}\n'
        path, failed = (os.path.join(self.directory, name) for name in ("bodies", "failed"))
        with open(path, "wb") as file:
            file.write(bad + b'{"text": "good"}\n')
        run = self.warm(client, "--bodies", "--failed", failed, path)
        self.assertEqual(run.returncode, 1)
        self.assertIn("1 misses, 1 failures", run.stderr)
        self.assertIn("1 x status 400", run.stderr)
        with open(failed, "rb") as file:
            self.assertEqual(file.read(), bad)

    def test_one_that_is_told_to_come_again_does(self):
        client = self.serve_model(INFERENCE_CONCURRENCY=1, INFERENCE_QUEUE=0)
        run = self.warm(client, "--concurrency", "3", self.write("one", "two", "three"))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("3 misses, 0 failures", run.stderr)

    def test_it_goes_on_where_it_was_stopped(self):
        client = self.serve_model()
        resume = os.path.join(self.directory, "resume")
        texts = self.write(*(f"text {n}" for n in range(20)))
        self.model.gate.clear()
        command = [tool("inferonce-warm"), "--url", f"http://127.0.0.1:{client.address[1]}/predict", "--concurrency", "2", "--resume", resume, texts]
        first = Child("warm", command, os.path.join(self.directory, "warm.log"), environment({}))
        self.add_child(first)
        wait_until(lambda: len(self.model.calls) == 2, "two are being inferred")
        first.send_signal(signal.SIGINT)
        self.model.gate.set()
        wait_until(lambda: not first.alive, "it has ended")
        self.assertEqual(first.process.returncode, 130)
        with open(resume, encoding="ascii") as file:
            self.assertEqual(file.read(), "2\n")
        run = self.warm(client, "--resume", resume, texts)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("0 hits, 18 misses", run.stderr)
        self.assertFalse(os.path.exists(resume))

    def test_mistakes(self):
        client = self.serve()
        for arguments in (["/no such file"], [], ["--concurrency", "0", "-"], ["--url", "localhost", "-"], ["--header", "nothing", "-"]):
            with self.subTest(arguments=arguments):
                run = self.warm(client, *arguments, text="")
                self.assertEqual((run.returncode, run.stdout), (2, ""))
                self.assertNotIn("Traceback", run.stderr)
        client.web.stop()
        run = self.warm(client, self.write("one"))
        self.assertEqual(run.returncode, 1)
        self.assertIn("Connection refused", run.stderr)


class Top(Case):
    def top(self, port, *arguments, **settings):
        return subprocess.run([tool("inferonce-top"), "--url", f"http://127.0.0.1:{port}", *arguments], env=environment(settings),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def test_once(self):
        client = self.serve()
        for _ in range(3):
            client.predict("one")
        run = self.top(client.address[1])
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        rows = {line[:16].strip(): line[16:].split() for line in run.stdout.splitlines()}
        self.assertEqual((rows["hits"], rows["misses"], rows["inferences"]), (["-", "2"], ["-", "1"], ["-", "1"]))
        self.assertIn("inferonce: live\n", run.stdout)
        self.assertIn("no inference needed 66.7 %", run.stdout)

    def test_a_token(self):
        client = self.serve(ADMIN_TOKEN="secret")
        refused = self.top(client.address[1])
        self.assertEqual(refused.returncode, 1)
        self.assertIn("401: ADMIN_TOKEN is missing or wrong", refused.stderr)
        self.assertEqual(self.top(client.address[1], ADMIN_TOKEN="secret").returncode, 0)

    def test_nobody_answers(self):
        run = self.top(free_port())
        self.assertEqual(run.returncode, 1)
        self.assertIn("Connection refused", run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def test_a_terminal(self):
        """It is drawn again and again, and the cursor comes back at the end."""
        client = self.serve()
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        top = subprocess.Popen([tool("inferonce-top"), "--url", f"http://127.0.0.1:{client.address[1]}", "--interval", "0.1"],
                               env=environment({}), stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
        self.addCleanup(lambda: top.poll() is None and top.kill())
        os.close(terminal)
        seen = ""

        def shows(text):
            nonlocal seen
            seen += os.read(controller, 65536).decode()
            return text in seen

        wait_until(lambda: seen.count("inferonce: live") >= 3 or shows("nothing"), "it is drawn three times")
        os.kill(top.pid, signal.SIGINT)
        wait_until(lambda: shows("\033[?25h"), "the cursor is back")
        self.assertEqual(top.wait(10), 0)
        self.assertNotIn("Traceback", seen)
