"""Structured field values, read strictly by the algorithms of RFC 8941, section 4.2; and Cache-Status (RFC 9211) on top.

Written from the RFC alone, so that it can judge what the program writes.
"""

import base64
import string

DIGITS = set(string.digits)
LOWER = set(string.ascii_lowercase)
ALPHA = set(string.ascii_letters)
TOKEN = ALPHA | DIGITS | set("!#$%&'*+-.^_`|~:/")
KEY = LOWER | DIGITS | set("_-.*")


class Malformed(ValueError):
    pass


class Token(str):
    pass


class Parser:
    def __init__(self, text):
        if not text.isascii():
            raise Malformed("not ASCII")
        self.text = text
        self.at = 0

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self):
        character = self.peek()
        if not character:
            raise Malformed("ends too early")
        self.at += 1
        return character

    def skip(self, characters):
        while self.peek() and self.peek() in characters:
            self.at += 1

    def take_all(self, characters):
        start = self.at
        self.skip(characters)
        return self.text[start:self.at]

    def whole(self, read):
        """Section 4.2: spaces may stand before and after, nothing else may."""
        self.skip(" ")
        value = read()
        self.skip(" ")
        if self.peek():
            raise Malformed(f"something follows at {self.at}: {self.text!r}")
        return value

    def list(self):
        members = []
        while self.peek():
            members.append(self.inner_list() if self.peek() == "(" else self.item())
            self.skip(" \t")
            if not self.peek():
                break
            if self.take() != ",":
                raise Malformed(f"no comma at {self.at - 1}: {self.text!r}")
            self.skip(" \t")
            if not self.peek():
                raise Malformed("comma at the end")
        return members

    def inner_list(self):
        self.take()
        items = []
        while True:
            self.skip(" ")
            if self.peek() == ")":
                self.take()
                return items, self.parameters()
            items.append(self.item())
            if self.peek() not in (" ", ")"):
                raise Malformed("items not apart")

    def dictionary(self):
        members = {}
        while self.peek():
            key = self.key()
            if self.peek() == "=":
                self.take()
                members[key] = self.inner_list() if self.peek() == "(" else self.item()
            else:
                members[key] = True, self.parameters()
            self.skip(" \t")
            if not self.peek():
                break
            if self.take() != ",":
                raise Malformed("no comma")
            self.skip(" \t")
            if not self.peek():
                raise Malformed("comma at the end")
        return members

    def item(self):
        return self.bare_item(), self.parameters()

    def parameters(self):
        parameters = {}
        while self.peek() == ";":
            self.take()
            self.skip(" ")
            key = self.key()
            value = True
            if self.peek() == "=":
                self.take()
                value = self.bare_item()
            parameters[key] = value
        return parameters

    def key(self):
        if self.peek() not in LOWER | {"*"} or not self.peek():
            raise Malformed(f"no key at {self.at}: {self.text!r}")
        return self.take_all(KEY)

    def bare_item(self):
        first = self.peek()
        if first == '"':
            return self.string()
        if first == "*" or first in ALPHA:
            return Token(self.take_all(TOKEN))
        if first == "-" or first in DIGITS:
            return self.number()
        if first == "?":
            return self.boolean()
        if first == ":":
            return self.bytes()
        raise Malformed(f"no item at {self.at}: {self.text!r}")

    def number(self):
        sign = -1 if self.peek() == "-" else 1
        if sign < 0:
            self.take()
        whole = self.take_all(DIGITS)
        if not whole:
            raise Malformed("no digit")
        if self.peek() != ".":
            if len(whole) > 15:
                raise Malformed("integer too long")
            return sign * int(whole)
        self.take()
        fraction = self.take_all(DIGITS)
        if len(whole) > 12 or not 1 <= len(fraction) <= 3:
            raise Malformed("decimal out of bounds")
        return sign * float(f"{whole}.{fraction}")

    def string(self):
        self.take()
        value = ""
        while True:
            character = self.take()
            if character == "\\":
                character = self.take()
                if character not in '"\\':
                    raise Malformed("escape")
            elif character == '"':
                return value
            elif not " " <= character <= "~":
                raise Malformed("control character")
            value += character

    def bytes(self):
        self.take()
        start = self.at
        while self.take() != ":":
            pass
        try:
            return base64.b64decode(self.text[start:self.at - 1], validate=True)
        except ValueError as error:
            raise Malformed(str(error)) from None

    def boolean(self):
        self.take()
        value = self.take()
        if value not in "01":
            raise Malformed("boolean")
        return value == "1"


def parse_list(text):
    parser = Parser(text)
    return parser.whole(parser.list)


def parse_dictionary(text):
    parser = Parser(text)
    return parser.whole(parser.dictionary)


def parse_item(text):
    parser = Parser(text)
    return parser.whole(parser.item)


FORWARD_REASONS = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}  # section 2.2
PARAMETERS = {
    "hit": lambda value: value is True,
    "fwd": lambda value: isinstance(value, Token) and value in FORWARD_REASONS,
    "fwd-status": lambda value: type(value) is int and 100 <= value <= 599,
    "ttl": lambda value: type(value) is int,
    "stored": lambda value: type(value) is bool,
    "collapsed": lambda value: type(value) is bool,
    "key": lambda value: type(value) is str,
    "detail": lambda value: isinstance(value, str),
}


def cache_status(text):
    """The parameters of the one cache, inferonce, that a Cache-Status names; Malformed when RFC 9211 does not allow it."""
    members = parse_list(text)
    if len(members) != 1 or not isinstance(members[0][0], Token) or members[0][0] != "inferonce":
        raise Malformed(f"not one member inferonce: {text!r}")
    parameters = members[0][1]
    for name, value in parameters.items():
        if name not in PARAMETERS or not PARAMETERS[name](value):
            raise Malformed(f"{name}={value!r} in {text!r}")
    if ("hit" in parameters) == ("fwd" in parameters):
        raise Malformed(f"one of hit and fwd must be there: {text!r}")  # section 2.2: exclusive of hit
    if "fwd" not in parameters and {"stored", "collapsed", "fwd-status"} & parameters.keys():
        raise Malformed(f"only something forwarded is stored or collapsed: {text!r}")
    return parameters
