"""The command line: flags, settings from everywhere, what is said about wrong ones."""

import json
import os

from case import Case
from servers import Inferonce, run_program


class CommandLine(Case):
    def test_help(self):
        result = run_program("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("--cache-ttl", "--listen", "--cache-max-size", "--config", "3600"):
            self.assertIn(word, result.stdout)

    def test_version(self):
        result = run_program("--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\Ainferonce \d+\.\d+\.\d+\n\Z")

    def test_printed_configuration_can_be_read(self):
        path = os.path.join(self.directory, "printed.conf")
        printed = run_program("--print-config", "--cache-ttl=0.25", CACHE_MAX_SIZE=77, ADMIN_TOKEN="not-to-be-seen")
        self.assertEqual(printed.returncode, 0, printed)
        self.assertIn("CACHE_TTL=0.25", printed.stdout)
        self.assertIn("CACHE_MAX_SIZE=77", printed.stdout)
        self.assertNotIn("not-to-be-seen", printed.stdout + printed.stderr)
        with open(path, "w", encoding="utf-8") as file:
            file.write(printed.stdout)
        again = run_program("--config", path, "--print-config")
        self.assertEqual(again.returncode, 0, again)
        self.assertIn("CACHE_TTL=0.25", again.stdout)
        self.assertIn("CACHE_MAX_SIZE=77", again.stdout)

    def test_flag_beats_environment_beats_file(self):
        path = os.path.join(self.directory, "inferonce.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("# a comment\n\nCACHE_TTL=1\nCACHE_MAX_SIZE=1\nWORKERS=1\n")
        result = run_program("--config", path, "--cache-ttl=3", "--print-config", CACHE_TTL=2, CACHE_MAX_SIZE=2)
        for line in ("CACHE_TTL=3", "CACHE_MAX_SIZE=2", "WORKERS=1"):
            self.assertIn(line, result.stdout.splitlines())

    def test_wrong_settings(self):
        path = os.path.join(self.directory, "wrong.conf")
        cases = [
            (["--cache-ttl=abc"], {}, None, ["cache-ttl"]),
            (["--cache-ttl=0"], {}, None, ["cache-ttl", "0.001"]),
            (["--no-such-flag=1"], {}, None, ["no-such-flag"]),
            (["stray"], {}, None, ["stray"]),
            ([], {"WORKERS": "65"}, None, ["WORKERS", "64"]),
            ([], {"WORKERS": "-1"}, None, ["WORKERS"]),
            ([], {"CACHE_MAX_SIZE": "12x"}, None, ["CACHE_MAX_SIZE"]),
            ([], {"CACHE_NORMALIZE": "upper"}, None, ["CACHE_NORMALIZE", "nfc"]),
            ([], {"LISTEN_MODE": "0999"}, None, ["LISTEN_MODE"]),
            (["--config", path], {}, "WORKERS=1\nCACHE_TTL=abc\n", [f"{path}:2", "CACHE_TTL"]),
            (["--config", path], {}, "NO_SUCH=1\n", [f"{path}:1", "NO_SUCH"]),
            (["--config", path], {}, "WORKERS\n", [f"{path}:1"]),
            (["--config", os.path.join(self.directory, "missing")], {}, None, ["missing"]),
        ]
        for flags, environment, text, expected in cases:
            with self.subTest(flags=flags, environment=environment, text=text):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text or "")
                result = run_program(*flags, **environment)
                self.assertTrue(0 < result.returncode < 128, result)
                self.assertEqual(result.stdout, "")
                for word in expected:
                    self.assertIn(word.lower(), result.stderr.lower())

    def test_settings_of_others_are_ignored(self):
        Inferonce(self, PATH_INFO="/", CACHE_UNKNOWN_TO_US="1", WORKERS=1)

    def test_the_life_of_every_worker_is_logged(self):
        app = Inferonce(self, WORKERS=24)
        app.stop()
        for event in ("worker_started", "worker_exited"):
            self.assertEqual(app.log().count(f"event={event} "), 24, app.log())
        self.assertNotIn("suppressed", app.log())

    def test_json_log(self):
        app = Inferonce(self, LOG_FORMAT="json", WORKERS=1)
        app.stop()
        lines = app.log().splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertIsInstance(json.loads(line), dict)
