"""Prometheus text format 0.0.4 and OpenMetrics 1.0, read strictly, written from their specifications.

What a scraper might pass over is an error here. Both return the families in their order:
{name: Family(type, help, unit, {(sample name, ((label, value), ...)): value})}
"""

import re

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN")

HISTOGRAM = {"_bucket", "_sum", "_count"}
TEXT_TYPES = {"counter": {""}, "gauge": {""}, "histogram": HISTOGRAM, "untyped": {""}}
OPENMETRICS_TYPES = {"counter": {"_total", "_created"}, "gauge": {""}, "histogram": HISTOGRAM, "info": {"_info"}, "unknown": {""}}


class Malformed(ValueError):
    pass


class Family:
    def __init__(self):
        self.type = self.help = self.unit = None
        self.samples = {}

    def only(self):
        """The value of a family with one sample."""
        (value,) = self.samples.values()
        return value


def demand(condition, what, line):
    if not condition:
        raise Malformed(f"{what}: {line!r}")


def lines_of(text):
    demand(text.endswith("\n"), "the last line has no line feed", text[-80:])
    demand("\r" not in text, "a carriage return", "")
    return text[:-1].split("\n")


def labels_of(text, line):
    labels = []
    while text:
        match = LABEL.match(text)
        demand(match, "malformed label", line)
        labels.append((match[1], match[2]))
        text = text[match.end():]
        demand(not text or text[0] == "," and len(text) > 1, "malformed labels", line)
        text = text[1:]
    demand(len({name for name, _ in labels}) == len(labels), "a label stands twice", line)
    return tuple(labels)


def sample_of(line):
    match = SAMPLE.fullmatch(line)
    demand(match, "malformed sample", line)
    demand(match[2] != "", "braces around nothing", line)
    demand(NUMBER.fullmatch(match[3]), "malformed number", line)
    return match[1], labels_of(match[2] or "", line), float(match[3])


def demand_histogram(name, family):
    """Of each set of labels: buckets in the order of their bounds that never fall, the last of them the count, and a sum."""
    buckets = {}
    for (sample, labels), value in family.samples.items():
        if sample == name + "_bucket":
            bound = [value for label, value in labels if label == "le"]
            demand(len(bound) == 1, "a bucket without a bound", name)
            rest = tuple(label for label in labels if label[0] != "le")
            buckets.setdefault(rest, []).append((float(bound[0]), value))
    demand(buckets, "a histogram without buckets", name)
    for labels, counts in buckets.items():
        demand(counts == sorted(counts) and len(dict(counts)) == len(counts), "bounds out of order", name)
        demand([count for _, count in counts] == sorted(count for _, count in counts), "buckets are not cumulated", name)
        demand(counts[-1][0] == float("inf"), "the last bound is not infinite", name)
        demand(family.samples.get((name + "_count", labels)) == counts[-1][1], "the count is not the last bucket's", name)
        demand(family.samples.get((name + "_sum", labels), -1) >= 0, "no sum", name)


class Reader:
    """Lines of one family stand together: descriptions, each once, then samples."""

    def __init__(self, types, help_text, descriptions):
        self.types = types
        self.help = help_text
        self.descriptions = descriptions
        self.families = {}
        self.current = None

    def describe(self, line):
        match = re.fullmatch(rf"# ([A-Z]+) ({NAME}) (.*)", line)
        demand(match and match[1] in self.descriptions, "neither a description nor a sample", line)
        kind, name, text = match[1].lower(), match[2], match[3]
        if name != self.current:
            demand(name not in self.families, "a family in two places", line)
            self.families[name], self.current = Family(), name
        family = self.families[name]
        demand(not family.samples, "a description behind a sample", line)
        demand(getattr(family, kind) is None, "described twice", line)
        if kind == "help":
            demand(re.fullmatch(self.help, text), "a character that wants an escape", line)
        if kind == "type":
            demand(text in self.types, "unknown type", line)
        if kind == "unit":
            demand(text and name.endswith("_" + text), "the unit does not end the name", line)
        setattr(family, kind, text)

    def sample(self, line):
        name, labels, value = sample_of(line)
        demand(self.current, "a sample of no family", line)
        family = self.families[self.current]
        demand(family.type, "a sample without a type", line)
        demand(name.startswith(self.current) and name[len(self.current):] in self.types[family.type],
               "a name that its type does not have", line)
        key = name, tuple(sorted(labels))
        demand(key not in family.samples, "a sample twice", line)
        if family.type == "counter":
            demand(value >= 0, "a counter below zero", line)
        if family.type == "info":
            demand(value == 1, "an info that is not 1", line)
        family.samples[key] = value

    def read(self, lines):
        for line in lines:
            (self.describe if line.startswith("#") else self.sample)(line)
        for name, family in self.families.items():
            if family.type == "histogram":
                demand_histogram(name, family)
        return self.families


def read_text(text):
    families = Reader(TEXT_TYPES, r"(?:[^\\]|\\[\\n])*", {"HELP", "TYPE"}).read(lines_of(text))
    for name, family in families.items():  # a convention, which the other format makes a rule
        demand(family.type != "counter" or name.endswith("_total"), "a counter that is not called a total", name)
    return families


def read_openmetrics(text):
    lines = lines_of(text)
    demand(lines[-1] == "# EOF", "does not end with EOF", lines[-1])
    families = Reader(OPENMETRICS_TYPES, r'(?:[^\\"]|\\[\\n"])*', {"HELP", "TYPE", "UNIT"}).read(lines[:-1])
    names = {name for family in families.values() for name, _ in family.samples}
    for name, family in families.items():
        demand(not name.endswith(("_total", "_created", "_info", "_bucket", "_count", "_sum")), "a suffix in a family's name", name)
        clashing = {name + suffix for suffix in ("_total", "_created", "_info")} & names - {sample for sample, _ in family.samples}
        demand(not clashing, "a name that another family's sample has", name)
    return families


def read(response):
    """An answer of /metrics."""
    media_type, text = response.header("Content-Type"), response.body.decode()
    demand(media_type in (TEXT, OPENMETRICS), "content type", media_type)
    return read_openmetrics(text) if media_type == OPENMETRICS else read_text(text)
