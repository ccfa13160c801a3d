"""The base of the cases in which inferonce executes itself anew: at a path of its own, where another program can be put."""

import os
import re
import shutil
import signal
import sys
import time

from case import Case
from processes import wait_until
from servers import PROGRAM, Inferonce

WRAPPER = """#!{python} -IS
import os, sys
handover = int(os.environ.get("INFERONCE_HANDOVER", "-1"))
checks = "--check-config" in sys.argv

def read():
    return os.pread(handover, 1 << 20, 0).decode()

def write(text):
    os.ftruncate(handover, 0)
    os.pwrite(handover, text.encode(), 0)

{actions}
os.execv({program!r}, sys.argv)
"""


class Reloading(Case):
    def begin(self, notify=None, **settings):
        """The program at a path of its own, where another version can be put, with a file of settings."""
        self.program = os.path.join(self.directory, "program")
        self.settings = os.path.join(self.directory, "settings")
        shutil.copy(PROGRAM, self.program)
        self.configure(**{"INFERENCE_DELAY_MS": 300, "WORKERS": 2, **settings})
        self.app = Inferonce(self, "--config", self.settings, command=[self.program], WORKERS=None, NOTIFY_SOCKET=notify)
        return self.app

    def configure(self, text="", **settings):
        with open(self.settings, "w", encoding="ascii") as file:
            file.write(text + "".join(f"{name}={value}\n" for name, value in settings.items()))

    def done(self, event):
        return len(re.findall(f"event={event} ", self.app.log()))

    def reload(self):
        """Returns when the signal was sent and when the new image served, of time.monotonic(); the former workers have ended by then."""
        before, old = self.done("reloaded"), self.app.workers()
        began = time.monotonic()
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: self.done("reloaded") > before, "it is reloaded", timeout_s=40)
        ended = time.monotonic()
        wait_until(lambda: not set(old) & set(self.app.workers()), "the old workers are gone", timeout_s=40)
        return began, ended

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.app.pid}/fd"))

    def metric(self, client, name):
        return int(re.search(rf"^inferonce_{re.escape(name)} (\d+)$", client.get("/metrics").body.decode(), re.MULTILINE)[1])

    def wrap(self, actions):
        """Puts a program at the path that does this, and then becomes the real one."""
        with open(self.program + ".new", "w", encoding="utf-8") as file:
            file.write(WRAPPER.format(python=sys.executable, program=PROGRAM, actions=actions))
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)
