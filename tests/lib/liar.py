"""Cache servers that lie: one for each way to, of memcached and of Redis."""

import socket
import threading
import time


class Liar(threading.Thread):
    """A server on a Unix socket whose `answer(connection, request)` is given every piece that comes."""

    def __init__(self, path, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.asked = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection:
            try:
                while request := connection.recv(65536):
                    self.asked += 1
                    self.answer(connection, request)
            except OSError:
                pass


# ---- of either ----

def garbage(connection, _request):
    connection.sendall(b"\x00\xff garbage \r\n" * 20)


def silence(_connection, _request):
    pass


def closing(connection, _request):
    connection.close()


# ---- of memcached ----

def commands(request):
    """The words of each command of a pipeline; data blocks are passed over."""
    while request:
        line, _, request = request.partition(b"\r\n")
        words = line.split()
        if words and words[0] in (b"set", b"add", b"cas"):
            request = request[int(words[4]) + 2:]
        yield words


def trickle(connection, request):
    words = request.split()
    answer = b"VALUE %s 0 100000\r\n" % words[-1] if words[0] in (b"get", b"gets") else b"STORED"
    for byte in answer + b"x" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.005)


def other_key(connection, request):
    if request.startswith(b"get"):
        connection.sendall(b"VALUE e%s 0 5 1\r\nhello\r\nEND\r\n" % (b"0" * 64))
    else:
        connection.sendall(b"STORED\r\n")


def in_order(connection, request, get):
    """Answers as memcached does, but for what `get(name)` says of each key."""
    simple = {b"version": b"VERSION 1.6.18\r\n", b"stats": b"END\r\n", b"delete": b"DELETED\r\n", b"touch": b"TOUCHED\r\n"}
    for verb, *words in commands(request):
        if not verb.startswith(b"get"):
            connection.sendall(simple.get(verb, b"STORED\r\n"))
            continue
        for name in words:
            value = get(name)
            if value is not None:
                connection.sendall(b"VALUE %s 0 %d%s\r\n%s\r\n" % (name, len(value), b" 7" if verb == b"gets" else b"", value))
        connection.sendall(b"END\r\n")


def other_value(connection, request):
    """For every key an item that looks like ours, of which the entry is another's or none."""
    def get(name):
        value = (2**40).to_bytes(8, "little")
        return value + (2**63).to_bytes(8, "little") + b"E" + b"not an entry" * 20 if b":e" in name else value
    in_order(connection, request, get)


def out_of_memory(connection, _request):
    connection.sendall(b"SERVER_ERROR out of memory writing get response\r\n")


def cut_short(connection, request):
    connection.sendall(b"VALUE %s 0 50 1\r\nten bytes.\r\nEND\r\n" % request.split()[-1])
    connection.close()


def end_to_set(connection, _request):
    connection.sendall(b"END\r\n")


def version_without_a_number(connection, _request):
    connection.sendall(b"VERSION \r\n")


def huge_length(connection, request):
    connection.sendall(b"VALUE %s 0 18446744073709551615\r\n" % request.split()[1])


MEMCACHED_LIES = (garbage, silence, closing, trickle, other_key, other_value, out_of_memory, cut_short, end_to_set, version_without_a_number,
                  huge_length)


# ---- of Redis ----

def redis_commands(request):
    """The words of each command of a pipeline, which has come whole."""
    while request.startswith(b"*"):
        head, _, request = request.partition(b"\r\n")
        words = []
        for _ in range(int(head[1:])):
            size, _, request = request.partition(b"\r\n")
            words.append(request[:int(size[1:])])
            request = request[int(size[1:]) + 2:]
        yield words


def to_each(connection, request, reply):
    for words in redis_commands(request):
        connection.sendall(reply(words))


def ok_to_all(connection, request):
    to_each(connection, request, lambda words: b"+OK\r\n")


def redis_other_value(connection, request):
    def reply(words):
        if words[0].upper() != b"MGET":
            return b":1\r\n"
        value = (2**40).to_bytes(8, "little") + (2**63).to_bytes(8, "little") + b"E" + b"not an entry" * 20
        return b"*%d\r\n" % (len(words) - 1) + b"".join(b"$%d\r\n%s\r\n" % (len(value), value) for _ in words[1:])
    to_each(connection, request, reply)


def too_few_values(connection, request):
    to_each(connection, request, lambda words: b"*1\r\n$-1\r\n" if words[0].upper() == b"MGET" else b":1\r\n")


def nested_values(connection, request):
    to_each(connection, request, lambda words: b"*1\r\n" * 7 + b":1\r\n")


def redis_huge_length(connection, _request):
    connection.sendall(b"$18446744073709551615\r\n")


def redis_trickle(connection, request):
    for byte in b"*%d\r\n$100000\r\n" % request.count(b"$") + b"x" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.005)


def error_to_all(line):
    def answer(connection, request):
        to_each(connection, request, lambda words: b"-%s\r\n" % line)
    answer.__name__ = line.split()[0].decode().lower()
    return answer


REDIS_LIES = (garbage, silence, closing, redis_trickle, ok_to_all, redis_other_value, too_few_values, nested_values, redis_huge_length,
              error_to_all(b"READONLY You can't write against a read only replica."), error_to_all(b"LOADING Redis is loading the dataset in memory"),
              error_to_all(b"NOAUTH Authentication required."), error_to_all(b"OOM command not allowed when used memory > 'maxmemory'."))
