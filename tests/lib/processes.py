"""Processes of a test: each is started here, ended by its pid and reaped.

A test program is a "child subreaper": whatever its processes leave behind becomes its own child, so that a leftover is seen.
"""

import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 30  # how long a condition may take to come true; never how long a test takes when all is well


def setup():
    """Once per test program."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))


def wait_until(condition, what, timeout_s=PATIENCE_S, interval_s=0.01):
    """Returns the first true value of condition(); fails, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain until {what}")
        time.sleep(interval_s)


def free_port():
    """A TCP port nobody listens on, outside the range that outgoing connections are given."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _stat(pid):
    """(state, parent) of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1])


def is_alive(pid):
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def children_of(parent):
    """Pids of the living children, ascending."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return sorted(pid for pid in pids if (stat := _stat(pid)) and stat[1] == parent and stat[0] not in "ZX")


def let_run(only, pids):
    """Of these processes one may run, the others are halted; with None for `only` all may. For who must serve a request."""
    for pid in pids:
        if pid != only and only is not None:
            os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        if pid == only or only is None:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


def reap(pid):
    """Collects an adopted process; True when it has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not is_alive(pid)


def end_leftovers():
    """Kills and reaps whatever is still a child of ours; returns their command lines."""
    found = []
    while pids := children_of(os.getpid()):
        for pid in pids:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                found.append(f"{pid} {line.read().replace(bytes(1), b' ').decode(errors='replace')}")
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: reap(pid), f"{pid} is reaped")
    return found


class Child:
    """A program in a session of its own, writing to a log."""

    def __init__(self, name, command, log_path, environment, stdin=subprocess.DEVNULL, pass_fds=(), prepare=None):
        self.name = name
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=stdin, stdout=log, stderr=log, pass_fds=pass_fds,
                start_new_session=True, preexec_fn=prepare,
            )
        self.pid = self.process.pid

    @property
    def alive(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def send_signal(self, number):
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, timeout_s=PATIENCE_S):
        """The exit status, negative for a signal."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout_s} s") from None

    def stop(self, number=signal.SIGTERM, timeout_s=PATIENCE_S):
        self.send_signal(number)
        return self.wait(timeout_s)

    def close(self):
        """For the end of a test: asks, then kills."""
        if self.alive:
            try:
                self.stop(timeout_s=10)
            except AssertionError:
                self.process.kill()
                self.process.wait()
                raise
