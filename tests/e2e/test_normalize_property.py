"""Normal forms against Python's own unicodedata and str.lower, over random texts and over every code point.

Only code points that the older of the two Unicode versions knows are used, so that both must agree."""

import os
import random
import re
import subprocess
import unicodedata
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, os.environ.get("BUILD", "build"), "tests/unit/cache/normalize_test")

# The property White_Space, which is not what str.split() takes (that has U+001C to U+001F, too).
WHITE_SPACE = "\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
WHITE_SPACE_RUN = re.compile("[" + WHITE_SPACE + "]+")

ASSIGNED = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
MARKS = [c for c in ASSIGNED if unicodedata.combining(c)]
CASED = [c for c in ASSIGNED if c.lower() != c or c.upper() != c]
BLOCKS = ((0x20, 0x7F), (0xA0, 0x250), (0x370, 0x600), (0x900, 0xE00), (0x1100, 0x1200), (0x1E00, 0x2000),
          (0x3040, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0xF900, 0xFB50), (0x1D150, 0x1D170),
          (0x1F600, 0x1F640))
ALPHABETS = [[c for c in map(chr, range(*block)) if unicodedata.category(c) != "Cn"] for block in BLOCKS]
SPACES = list("\t\n\v\f\r \x1c\x1f\u0085\u00a0\u1680\u2003\u2028\u202f\u205f\u3000\u200b")
SPECIAL = list("\u03a3\u03c3\u03c2\u0130\u0131\u1e9e\u00df\u212a\u2126"
               "\u0345\u0307'.:\u00b7\u00ad\u2160\u24b6\u00aa")


def expected(text, level):
    if level == "none":
        return text
    text = unicodedata.normalize("NFC", text)
    if level in ("space", "lower"):
        text = WHITE_SPACE_RUN.sub(" ", text).strip(" ")
    if level == "lower":
        text = unicodedata.normalize("NFC", text.lower())
    return text


def random_text(rng):
    alphabet = rng.choice(ALPHABETS)
    kinds = [alphabet, alphabet, alphabet, rng.choice(ALPHABETS), MARKS, SPACES, SPECIAL, CASED, ASSIGNED]
    weights = [rng.random() for _ in kinds]
    return "".join(rng.choice(kind) for kind in rng.choices(kinds, weights, k=rng.randrange(24)))


def variant(text, rng):
    """Another spelling of what must become the same bytes at level lower."""
    text = unicodedata.normalize(rng.choice(("NFC", "NFD")), text)
    spaced = WHITE_SPACE_RUN.sub(lambda _: rng.choice((" ", "\n ", "\u00a0")), text)
    return rng.choice((" ", "\t", "\u3000", "")) + spaced


class NormalizeProperty(unittest.TestCase):
    def normalize(self, texts, level):
        sent = b"".join(b"%d\n%s" % (len(raw), raw) for raw in (text.encode() for text in texts))
        output = subprocess.run([PROGRAM, "--filter", level], input=sent, stdout=subprocess.PIPE, timeout=300,
                                check=True).stdout
        forms, at = [], 0
        while at < len(output):
            line_end = output.index(b"\n", at)
            end = line_end + 1 + int(output[at:line_end])
            forms.append(output[line_end + 1:end])
            at = end
        self.assertEqual(len(forms), len(texts))
        return forms

    def compare(self, texts, level):
        for text, form in zip(texts, self.normalize(texts, level)):
            if form != expected(text, level).encode():
                self.fail(f"{level}: {text!a} became {form.decode()!a}, not {expected(text, level)!a}")

    def test_random_texts(self):
        rng = random.Random(20240229)
        texts = [random_text(rng) for _ in range(40000)]
        for level in ("none", "nfc", "space", "lower"):
            with self.subTest(level=level):
                self.compare(texts, level)

    def test_every_code_point(self):
        for level in ("nfc", "space", "lower"):
            with self.subTest(level=level):
                self.compare([f"x{c}y" for c in ASSIGNED], level)

    def test_every_code_point_beside_a_sigma(self):
        for before, behind in (("a", ""), ("!", ""), ("a\u03a3", "b")):
            with self.subTest(before=before, behind=behind):
                last = "" if behind else "\u03a3"
                self.compare([before + c + behind + last for c in ASSIGNED], "lower")

    def test_equal_meaning_is_equal_bytes(self):
        rng = random.Random(7)
        texts = [random_text(rng) for _ in range(20000)]
        variants = [variant(text, rng) for text in texts]
        self.assertEqual(self.normalize(texts, "lower"), self.normalize(variants, "lower"))

    def test_other_meaning_is_other_bytes(self):
        rng = random.Random(11)
        texts = list({random_text(rng) for _ in range(20000)})
        forms = self.normalize(texts, "lower")
        self.assertEqual(len(set(forms)), len({expected(text, "lower") for text in texts}))


if __name__ == "__main__":
    unittest.main()
