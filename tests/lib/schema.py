"""JSON Schema 2020-12, as far as src/api/openapi.json uses it, written from the specification.

A keyword that is not known here is an error, not something to pass over: what a schema says is checked or the test fails.
"""

import re

ANNOTATIONS = {"description", "title", "summary", "example", "examples", "default", "deprecated"}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": is_number,
    "integer": lambda value: is_number(value) and value == int(value),
}


def same(one, other):
    """Equality of JSON values: 1 is 1.0 but not true (section 4.2.2 of the core specification)."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


class Validator:
    """Validates values against schemas of one document, in which their references point."""

    def __init__(self, document):
        self.document = document

    def resolve(self, reference):
        """What a reference within the document points to (RFC 6901, as a URI fragment)."""
        assert reference.startswith("#/"), f"not within the document: {reference}"
        target = self.document
        for part in reference[2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        return target

    def errors(self, value, schema, at="#"):
        """What is wrong with the value, one line each; none when it is valid."""
        if schema is True:
            return []
        if schema is False:
            return [f"{at}: nothing is allowed here"]
        found = []
        for keyword, argument in schema.items():
            if keyword in ANNOTATIONS:
                continue
            check = getattr(self, "_" + keyword.lstrip("$"), None)
            assert check, f"schema.py does not know the keyword {keyword!r}"
            found += check(argument, value, at, schema)
        return found

    def is_valid(self, value, schema):
        return not self.errors(value, schema)

    # ---- any type ----

    def _ref(self, reference, value, at, _):
        return self.errors(value, self.resolve(reference), at)

    def _type(self, names, value, at, _):
        names = names if isinstance(names, list) else [names]
        return [] if any(TYPES[name](value) for name in names) else [f"{at}: {value!r} is no {' or '.join(names)}"]

    def _const(self, constant, value, at, _):
        return [] if same(constant, value) else [f"{at}: {value!r} is not {constant!r}"]

    def _enum(self, constants, value, at, _):
        return [] if any(same(constant, value) for constant in constants) else [f"{at}: {value!r} is none of {constants}"]

    def _allOf(self, schemas, value, at, _):
        return [error for schema in schemas for error in self.errors(value, schema, at)]

    def _anyOf(self, schemas, value, at, _):
        return [] if any(self.is_valid(value, schema) for schema in schemas) else [f"{at}: matches none of anyOf"]

    def _oneOf(self, schemas, value, at, _):
        results = [self.errors(value, schema, at) for schema in schemas]
        matching = results.count([])
        if matching == 1:
            return []
        return [f"{at}: matches {matching} of oneOf"] + [error for result in results for error in result]

    def _not(self, schema, value, at, _):
        return [f"{at}: matches what it must not"] if self.is_valid(value, schema) else []

    # ---- numbers ----

    def _minimum(self, limit, value, at, _):
        return [f"{at}: {value} < {limit}"] if is_number(value) and value < limit else []

    def _maximum(self, limit, value, at, _):
        return [f"{at}: {value} > {limit}"] if is_number(value) and value > limit else []

    def _exclusiveMinimum(self, limit, value, at, _):
        return [f"{at}: {value} <= {limit}"] if is_number(value) and value <= limit else []

    # ---- strings ----

    def _minLength(self, limit, value, at, _):
        return [f"{at}: shorter than {limit}"] if isinstance(value, str) and len(value) < limit else []

    def _pattern(self, pattern, value, at, _):
        # A "$" of JSON Schema is the end; Python's would allow a line break before it.
        wrong = isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value, re.ASCII)
        return [f"{at}: {value!r} does not match {pattern}"] if wrong else []

    # ---- arrays ----

    def _items(self, schema, value, at, _):
        items = enumerate(value) if isinstance(value, list) else ()
        return [error for index, item in items for error in self.errors(item, schema, f"{at}/{index}")]

    def _minItems(self, limit, value, at, _):
        return [f"{at}: fewer than {limit} items"] if isinstance(value, list) and len(value) < limit else []

    # ---- objects ----

    def _required(self, names, value, at, _):
        return [f"{at}: {name} is missing" for name in names if isinstance(value, dict) and name not in value]

    def _properties(self, schemas, value, at, _):
        present = [name for name in schemas if isinstance(value, dict) and name in value]
        return [error for name in present for error in self.errors(value[name], schemas[name], f"{at}/{name}")]

    def _additionalProperties(self, schema, value, at, whole):
        further = set(value) - set(whole.get("properties", ())) if isinstance(value, dict) else ()
        return [error for name in further for error in self.errors(value[name], schema, f"{at}/{name}")]

    def _dependentSchemas(self, schemas, value, at, _):
        present = [schema for name, schema in schemas.items() if isinstance(value, dict) and name in value]
        return [error for schema in present for error in self.errors(value, schema, at)]
