"""The base of every end-to-end case, and what runs a file of them.

A case has a directory of its own and ends all that it started. If it fails, the logs of its programs are printed. Sanitizer
reports in a log and processes left behind are failures too.
"""

import glob
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import unittest

import processes
from client import Client
from servers import SANITIZER_REPORTS, Inferonce, Lighttpd, Nginx


class Case(unittest.TestCase):
    web = Nginx
    backend = "memory"
    store_settings = {}  # of every inferonce that the case starts
    longMessage = True
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="inferonce-test-")
        os.chmod(self.directory, 0o755)
        self.children = []
        self.saved_logs = None
        self.addCleanup(self._close)

    def add_child(self, child):
        self.children.append(child)

    def serve(self, *flags, **settings):
        """inferonce behind a web server; returns its client, with the programs as `app` and `web`."""
        app = Inferonce(self, *flags, **settings)
        client = self.front(app.socket_path, settings.get("ADMIN_TOKEN"))
        client.app = app
        return client

    def front(self, socket_path, token=None, name=None):
        web = self.web(self, socket_path, name=name)
        client = Client(web.port, token=token)
        client.web = web
        return client

    def logs(self):
        if self.saved_logs is not None:
            return self.saved_logs
        texts = []
        for path in sorted(glob.glob(os.path.join(self.directory, "**", "*.log"), recursive=True)):
            with open(path, encoding="utf-8", errors="replace") as log:
                if text := log.read():
                    texts.append(f"--- {os.path.relpath(path, self.directory)}\n{text[-20000:]}")
        return "\n".join(texts)

    def _close(self):
        problems = []
        for child in reversed(self.children):
            try:
                child.close()
            except AssertionError as error:
                problems.append(str(error))
        problems += [f"left behind: {line}" for line in processes.end_leftovers()]
        self.saved_logs = self.logs()
        problems += [f"a sanitizer reported: {word}" for word in SANITIZER_REPORTS if word in self.saved_logs]
        shutil.rmtree(self.directory)
        if problems:
            self.fail("; ".join(problems))

    def assertProblem(self, response, status, pointer=None):
        """An error as HTTP.md promises it: problem+json whose status member is the real one, and no word about the cache."""
        self.assertEqual(response.status, status, response)
        self.assertEqual(response.header("Content-Type"), "application/problem+json", response)
        problem = response.json()
        self.assertEqual(problem["status"], status, response)
        self.assertTrue(problem["type"].startswith("urn:inferonce:problem:"), response)
        self.assertTrue(problem["title"], response)
        self.assertNotEqual(problem.get("detail"), "", response)
        if pointer is not None:
            self.assertIn(pointer, [error["pointer"] for error in problem["errors"]], response)
        return problem

    def assertNoCacheHeaders(self, response):
        for name in ("X-Cache", "X-Cache-Key", "Cache-Status", "Age"):
            self.assertIsNone(response.header(name), response)


def through_both(cls):
    """Turns one class of cases into two, behind nginx and behind lighttpd."""
    module = sys.modules[cls.__module__]
    made = []
    for server in (Nginx, Lighttpd):
        name = f"{cls.__name__}Behind{server.__name__}"
        made.append(type(name, (cls,), {"web": server, "__module__": cls.__module__, "__qualname__": name}))
        setattr(module, name, made[-1])
    return tuple(made)


class Result(unittest.TestResult):
    """Prints a failure where it happens, with the logs. Skipping is a failure: a test never passes because something is missing."""

    def __init__(self):
        super().__init__()
        self.failed_ids = set()
        self.passed = 0
        self.started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def _failed(self, test, text):
        self.failed_ids.add(test.id())
        print(f"FAILED {test.id()}\n{text}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed_ids.add(test.id())
            print(f"FAILED {subtest.id()}\n{self._exc_info_to_string(err, test)}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._failed(test, f"skipped: {reason}")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._failed(test, "expected to fail")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._failed(test, "expected to fail, and did not")

    def stopTest(self, test):
        super().stopTest(test)
        if test.id() not in self.failed_ids:
            self.passed += 1
            if os.environ.get("V") == "1":
                print(f"passed {test.id()} ({time.monotonic() - self.started:.1f} s)", flush=True)
        elif isinstance(test, Case):
            print(test.logs(), flush=True)


def main(path, pattern=None):
    """Runs one file; the last line it prints is "name: N passed, N failed"."""
    processes.setup()
    name = os.path.splitext(os.path.basename(path))[0]
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [f"*{pattern}*"]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    result = Result()
    loader.loadTestsFromModule(module).run(result)
    failed = len(result.failed_ids)
    print(f"{name}: {result.passed} passed, {failed} failed", flush=True)
    return 0 if result.passed and not failed else 1
