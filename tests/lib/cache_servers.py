"""Real memcached and Redis servers on Unix sockets in the case's directory or on TCP ports, and the cases of another file run over them."""

import importlib.util
import os
import signal
import socket
import sys
from urllib.parse import quote

from processes import Child, free_port, wait_until
from servers import environment, find


class CacheServer(Child):
    """`path` is its Unix socket, or `port` its TCP port; `address` is where it is as settings say it."""

    def __init__(self, case, name, tcp=False):
        self.case = case
        self.path = os.path.join(case.directory, f"{name}.sock")
        self.port = free_port() if tcp else 0
        self.address = f"127.0.0.1:{self.port}" if tcp else f"unix:{self.path}"
        self.arguments = self.command()
        self.start(name)

    def start(self, name):
        if os.path.exists(self.path):
            os.unlink(self.path)
        super().__init__(name, self.arguments, os.path.join(self.case.directory, f"{name}.log"), environment({}))
        self.case.add_child(self)
        wait_until(lambda: self.ask(self.hello), f"{name} answers")

    def connect(self):
        if self.port:
            return socket.create_connection(("127.0.0.1", self.port), 5)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(self.path)
        return connection

    def ask(self, line):
        """The beginning of the answer to one line; None without one."""
        try:
            with self.connect() as connection:
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

    def __init__(self, case, name="memcached", tcp=False):
        super().__init__(case, name, tcp)

    def command(self):
        where = ["-l", "127.0.0.1", "-p", str(self.port)] if self.port else ["-s", self.path]
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [find("memcached"), *where, "-t", "1", *user]

    @staticmethod
    def settings(*servers):
        return {"CACHE_BACKEND": "memcached", "MEMCACHED_SERVERS": ",".join(server.address for server in servers)}

    def flush(self):
        assert self.ask("flush_all") == "OK\r\n"


class Redis(CacheServer):
    """On TCP it wants a password, and inferonce has a database of its own there."""

    hello = "PING"
    password = "open sesame"

    def __init__(self, case, name="redis", tcp=False):
        self.directory = case.directory
        super().__init__(case, name, tcp)

    def command(self):
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", self.password]
        if not self.port:
            where = ["--port", "0", "--unixsocket", self.path]
        return [find("redis-server"), *where, "--save", "", "--appendonly", "no", "--dir", self.directory]

    @staticmethod
    def settings(server):
        url = f"redis://default:{quote(server.password)}@{server.address}/5" if server.port else f"unix://{server.path}"
        return {"CACHE_BACKEND": "redis", "REDIS_URL": url}

    def flush(self):
        assert self.ask("FLUSHALL") == "+OK\r\n"


class Remote:
    """Mixed into a case: every inferonce that it starts has its entries on a server, which is `self.server`.

    The time that a server gets is generous: that a busy machine is late is not what these cases are about."""

    server_class = None
    tcp = False

    def setUp(self):
        super().setUp()
        self.server = self.server_class(self, tcp=self.tcp)
        self.store_settings = {**self.server_class.settings(self.server), "STORE_TIMEOUT_MS": 2000}


class OverMemcached(Remote):
    backend = "memcached"
    server_class = Memcached


class OverRedis(Remote):
    backend = "redis"
    server_class = Redis


class OverMemcachedOnTcp(OverMemcached):
    tcp = True


class OverRedisOnTcp(OverRedis):
    tcp = True


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
