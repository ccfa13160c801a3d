"""A service manager's side of sd_notify(3)."""

import os
import socket

from processes import wait_until


class Manager:
    """In systemd's place: what a service sends to NOTIFY_SOCKET."""

    def __init__(self, case, abstract=False):
        self.path = os.path.join(case.directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.path if abstract else self.path)
        self.socket.setblocking(False)
        case.addCleanup(self.socket.close)
        self.name = "@" + self.path if abstract else self.path
        self.heard = []

    def hear(self):
        try:
            while message := self.socket.recv(4096).decode():
                self.heard.append(dict(line.split("=", 1) for line in message.split("\n")))
        except BlockingIOError:
            pass
        return self.heard

    def await_message(self, name, value="1", after=0):
        wait_until(lambda: any(message.get(name) == value for message in self.hear()[after:]), f"{name}={value} is told", timeout_s=40)
