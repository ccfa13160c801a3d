"""Real memcached and Redis servers on Unix sockets in the case's directory, and the cases of another file run over them."""

import importlib.util
import os
import signal
import socket
import sys

from processes import Child, wait_until
from servers import environment, find


class CacheServer(Child):
    def __init__(self, case, name, command):
        self.case = case
        self.path = os.path.join(case.directory, f"{name}.sock")
        self.arguments = command(self.path)
        self.start(name)

    def start(self, name):
        if os.path.exists(self.path):
            os.unlink(self.path)
        super().__init__(name, self.arguments, os.path.join(self.case.directory, f"{name}.log"), environment({}))
        self.case.add_child(self)
        wait_until(lambda: self.ask(self.hello), f"{name} answers")

    def ask(self, line):
        """The beginning of the answer to one line; None without one."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(self.path)
                connection.sendall(line.encode() + b"\r\n")
                return connection.recv(65536).decode(errors="replace")
        except OSError:
            return None

    def kill(self):
        """As a crash does: the socket's file stays and refuses."""
        self.process.kill()
        self.wait()

    def restart(self):
        if self.alive:
            self.kill()
        self.start(self.name)

    def halt(self):
        self.send_signal(signal.SIGSTOP)

    def resume(self):
        self.send_signal(signal.SIGCONT)

    def close(self):
        self.resume()
        super().close()


class Memcached(CacheServer):
    hello = "version"

    def __init__(self, case, name="memcached"):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        super().__init__(case, name, lambda path: [find("memcached"), "-s", path, "-t", "1", *user])

    @staticmethod
    def settings(*servers):
        return {"CACHE_BACKEND": "memcached", "MEMCACHED_SERVERS": ",".join(f"unix:{server.path}" for server in servers)}

    def flush(self):
        assert self.ask("flush_all") == "OK\r\n"


class Redis(CacheServer):
    hello = "PING"

    def __init__(self, case, name="redis"):
        super().__init__(case, name, lambda path: [find("redis-server"), "--port", "0", "--unixsocket", path, "--save", "",
                                                   "--appendonly", "no", "--dir", case.directory])

    @staticmethod
    def settings(server):
        return {"CACHE_BACKEND": "redis", "REDIS_URL": f"unix://{server.path}"}

    def flush(self):
        assert self.ask("FLUSHALL") == "+OK\r\n"


class Remote:
    """Mixed into a case: every inferonce that it starts has its entries on a server, which is `self.server`.

    The time that a server gets is generous: that a busy machine is late is not what these cases are about."""

    server_class = None

    def setUp(self):
        super().setUp()
        self.server = self.server_class(self)
        self.store_settings = {**self.server_class.settings(self.server), "STORE_TIMEOUT_MS": 2000}


class OverMemcached(Remote):
    backend = "memcached"
    server_class = Memcached


class OverRedis(Remote):
    backend = "redis"
    server_class = Redis


def repeat(module_name, file, over, *groups):
    """Makes, in `module_name`, the cases of another file's groups (that through_both has made) anew over `over`."""
    path = os.path.join(os.path.dirname(os.path.abspath(sys.modules[module_name].__file__)), file)
    spec = importlib.util.spec_from_file_location(os.path.splitext(file)[0], path)
    origin = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = origin
    spec.loader.exec_module(origin)
    module = sys.modules[module_name]
    for group in groups:
        for made in getattr(origin, group):
            name = f"{made.__name__}{over.__name__}"
            setattr(module, name, type(name, (over, made), {"__module__": module_name, "__qualname__": name}))
