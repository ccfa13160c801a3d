"""The programs that a test starts: inferonce, and in front of it nginx or lighttpd with the very files that are shipped."""

import os
import shutil
import subprocess

import fastcgi
from processes import Child, children_of, free_port, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PROGRAM = os.path.join(BUILD, "inferonce")
SANITIZER_REPORTS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehaviorSanitizer")


def environment(settings):
    """No setting of whoever runs the tests is inherited."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
    kept["PATH"] = kept.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return {**kept, **{name: str(value) for name, value in settings.items()}}


def find(program):
    path = shutil.which(program, path=environment({})["PATH"])
    assert path, f"{program} is not installed; make deps installs it"
    return path


def run_program(*flags, timeout_s=60, prepare=None, **settings):
    """Runs inferonce to its end: for --help, wrong settings and the like. It is opened first: `prepare` may become a user who may not
    go where it lies."""
    program = os.open(PROGRAM, os.O_PATH)
    try:
        return subprocess.run([PROGRAM, *flags], executable=f"/proc/self/fd/{program}", pass_fds=(program,), env=environment(settings),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
                              preexec_fn=prepare)
    finally:
        os.close(program)


class Inferonce(Child):
    """The program on a Unix socket in the case's directory, or where `listen` says ("": where a file of settings does). Settings are
    given as environment variables; None leaves one out."""

    def __init__(self, case, *flags, listen=None, name="inferonce", wait=True, stdin=subprocess.DEVNULL, pass_fds=(),
                 prepare=None, command=None, **settings):
        self.socket_path = os.path.join(case.directory, f"{name}.sock")
        if listen and listen.startswith("unix:"):
            self.socket_path = listen.removeprefix("unix:")
        settings = {"WORKERS": 2, **case.store_settings, **settings}
        settings["LISTEN"] = f"unix:{self.socket_path}" if listen is None else listen or None
        settings = {name: value for name, value in settings.items() if value is not None}
        super().__init__(name, [*(command or [PROGRAM]), *flags], os.path.join(case.directory, f"{name}.log"),
                         environment(settings), stdin, pass_fds, prepare)
        case.add_child(self)
        if wait:
            self.wait_ready(int(settings.get("WORKERS", 1)))

    def wait_ready(self, workers):
        def ready():
            assert self.alive, f"{self.name} ended with {self.process.returncode}:\n{self.log()}"
            return len(self.workers()) >= workers and self.answers()

        wait_until(ready, f"{self.name} answers")

    def answers(self):
        try:
            with self.connect() as connection:
                return connection.ask("GET", "/healthz").status == 200
        except OSError:
            return False

    def connect(self):
        return fastcgi.Connection(self.socket_path)

    def workers(self):
        return children_of(self.pid)


class WebServer(Child):
    """A web server with its shipped configuration, in a directory of its own."""

    program = None
    folder = None

    def __init__(self, case, socket_path, name=None):
        self.port = free_port()
        self.directory = os.path.join(case.directory, name or self.program)
        os.mkdir(self.directory)
        source = os.path.join(ROOT, self.folder)
        for file in os.listdir(source):
            with open(os.path.join(source, file), encoding="utf-8") as shipped:
                text = self.fill_in(shipped.read(), socket_path)
            with open(os.path.join(self.directory, file), "w", encoding="utf-8") as copy:
                copy.write(text)
        super().__init__(name or self.program, self.command(), os.path.join(self.directory, "error.log"), environment({}))
        case.add_child(self)
        wait_until(self.listens, f"{self.program} listens")

    def listens(self):
        assert self.alive, f"{self.program} ended:\n{self.log()}"
        with open("/proc/net/tcp", encoding="ascii") as table:  # asking it would need inferonce
            return any(f":{self.port:04X} 00000000:0000 0A" in line for line in table)


class Nginx(WebServer):
    program = "nginx"
    folder = "nginx"

    def fill_in(self, text, socket_path):
        text = text.replace("unix:/run/inferonce/inferonce.sock", f'"unix:{socket_path}"')  # there may be a space in it
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def command(self):
        user = "user root root;" if os.geteuid() == 0 else ""
        return [find("nginx"), "-p", self.directory, "-c", os.path.join(self.directory, "nginx.conf"), "-g", user]


class Lighttpd(WebServer):
    program = "lighttpd"
    folder = "lighttpd"

    def fill_in(self, text, socket_path):
        text = text.replace("/run/inferonce/inferonce.sock", socket_path).replace("/run/inferonce", self.directory)
        return text.replace("= 8000\n", f"= {self.port}\n")

    def command(self):
        return [find("lighttpd"), "-D", "-f", os.path.join(self.directory, "lighttpd.conf")]
