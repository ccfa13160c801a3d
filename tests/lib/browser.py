"""Chromium without a window, asked over the DevTools protocol through a pair of pipes, and the pictures that it takes."""

import base64
import collections
import fcntl
import json
import os
import select
import signal
import struct
import time
import zlib

from processes import PATIENCE_S, Child, wait_until
from servers import environment, find

COMMANDS, EVENTS = 3, 4  # descriptors that Chromium reads and writes with --remote-debugging-pipe
FLAGS = ("--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
         "--no-first-run", "--hide-scrollbars", "--log-level=3", "--force-color-profile=srgb")


def above_those(descriptor):
    """The same file under a number that is neither of the two."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Browser(Child):
    def __init__(self, case):
        (reads, self.commands), (self.answers, writes) = (map(above_those, os.pipe()) for _ in range(2))

        def prepare():
            os.dup2(reads, COMMANDS)
            os.dup2(writes, EVENTS)

        command = [find("chromium-headless-shell"), *FLAGS, f"--user-data-dir={case.directory}/.browser"]
        super().__init__("chromium", command, os.path.join(case.directory, "chromium.log"),
                         environment({"HOME": case.directory, "TZ": "UTC"}), pass_fds=(COMMANDS, EVENTS), prepare=prepare)
        os.close(reads)
        os.close(writes)
        case.add_child(self)
        self.buffer = b""
        self.replies = {}
        self.events = collections.deque()
        self.sent = 0

    def receive(self, deadline):
        """Takes one message off the pipe."""
        while b"\0" not in self.buffer:
            assert self.alive, f"Chromium ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"Chromium does not answer:\n{self.log()}"
            if select.select([self.answers], [], [], 1)[0]:
                self.buffer += os.read(self.answers, 1 << 20)
        message, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(message)
        if "id" in message:
            self.replies[message["id"]] = message
        else:
            self.events.append(message)

    def post(self, method, session, parameters):
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data):]

    def command_browser(self, method, session=None, **parameters):
        self.post(method, session, parameters)
        deadline = time.monotonic() + PATIENCE_S
        while self.sent not in self.replies:
            self.receive(deadline)
        reply = self.replies.pop(self.sent)
        assert "error" not in reply, (method, reply["error"])
        return reply["result"]

    def helpers_ended(self):
        """They are ours since their parent has ended."""
        try:
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
            return False
        except ChildProcessError:
            return True

    def open(self, url, width=1400, height=900, dark=False, script=None):
        return Page(self, url, width, height, dark, script)

    def close(self):
        if self.alive:
            self.post("Browser.close", None, {})
        try:
            self.wait()
        finally:
            if self.alive:
                os.killpg(self.pid, signal.SIGKILL)
        wait_until(self.helpers_ended, "Chromium's own processes have ended")
        os.close(self.commands)
        os.close(self.answers)


class Page:
    """A tab with storage of its own. `script` runs before those of each document."""

    def __init__(self, browser, url, width, height, dark, script):
        self.browser = browser
        context = browser.command_browser("Target.createBrowserContext")["browserContextId"]
        target = browser.command_browser("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.command_browser("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.complaints = []
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        if script:
            self.send("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.resize(width, height)
        self.colours(dark)
        self.go(url)

    def send(self, method, **parameters):
        return self.browser.command_browser(method, self.session, **parameters)

    def go(self, url):
        result = self.send("Page.navigate", url=url)
        assert "errorText" not in result, result
        wait_until(lambda: self.value("document.readyState === 'complete' && location.href !== 'about:blank'"), f"{url} is loaded")

    def reload(self):
        self.evaluate("window.isBefore = true")
        self.send("Page.reload")
        wait_until(lambda: self.value("!window.isBefore && document.readyState === 'complete'"), "it is loaded again")

    def resize(self, width, height=900):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, dark):
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def evaluate(self, expression):
        """The value of an expression, a promise's too, as JSON has it."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def value(self, expression):
        """As evaluate; None while a document gives way to another."""
        try:
            return self.evaluate(expression)
        except AssertionError:
            return None

    def point(self, x, y):
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=VIRTUAL_KEYS[key])

    def picture(self, box=None):
        """A PNG of a part of the page, or of all of it."""
        box = box or self.evaluate("({x: 0, y: 0, width: innerWidth, height: document.documentElement.scrollHeight})")
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", clip={**box, "scale": 1}, captureBeyondViewport=True)["data"])

    def window(self):
        """A PNG of what the window shows."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def problems(self):
        """What the console was told of errors, and uncaught exceptions, since the page was opened."""
        for event in list(self.browser.events):
            if event.get("sessionId") == self.session:
                self.browser.events.remove(event)
                self.complaints += complaint_of(event)
        return self.complaints


VIRTUAL_KEYS = {"Tab": 9, "Escape": 27, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
                "ArrowRight": 39, "ArrowDown": 40}


def complaint_of(event):
    parameters = event["params"]
    if event["method"] == "Runtime.exceptionThrown":
        return [parameters["exceptionDetails"].get("exception", {}).get("description", parameters["exceptionDetails"]["text"])]
    if event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
        return [f"console: {parameters['args']}"]
    if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
        return [f"log: {parameters['entry']['text']}"]
    return []


def colours_of(data):
    """How often each colour, (red, green, blue), is in a PNG as Chromium writes it: 8 bits, not interlaced."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and depth == 8 and colour in (2, 6) and not interlaced, data[:40]
    compressed, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] == b"IDAT":
            compressed += data[at + 8:at + 8 + length]
        at += 12 + length
    size = 3 if colour == 2 else 4
    raw, stride, counts = zlib.decompress(compressed), width * size, collections.Counter()
    before = bytearray(stride)
    for y in range(height):
        start = y * (stride + 1)
        before = unfilter(raw[start], bytearray(raw[start + 1:start + 1 + stride]), before, size)
        counts.update(zip(before[0::size], before[1::size], before[2::size]))
    return counts


def unfilter(kind, row, above, size):
    """Undoes a row's filter (PNG specification, clause 9)."""
    for i in range(len(row) if kind else 0):
        left = row[i - size] if i >= size else 0
        corner = above[i - size] if i >= size else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above[i]
        elif kind == 3:
            guess = (left + above[i]) // 2
        else:
            distances = (abs(above[i] - corner), abs(left - corner), abs(left + above[i] - 2 * corner))
            guess = (left, above[i], corner)[distances.index(min(distances))]
        row[i] = (row[i] + guess) & 255
    return row
