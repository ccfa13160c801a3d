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

        self.assertEqual(run_program("-h").stdout, result.stdout)

    def test_version(self):
        for flag in ("--version", "-V"):
            result = run_program(flag)
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
            ([], {"CACHE_TTL": "1h"}, None, ["CACHE_TTL", "3600"]),
            ([], {"CACHE_TTL": "61", "CACHE_TTL_MAX": "60"}, None, ["CACHE_TTL=61", "CACHE_TTL_MAX=60"]),
            ([], {"LISTEN": "tcp:model.example:9000"}, None, ["LISTEN", "tcp:ADDRESS:PORT"]),
            ([], {"LISTEN": "unix:/" + 107 * "a"}, None, ["LISTEN", "107 bytes"]),
            ([], {"ENGINE": "http", "UPSTREAM_URL": "http://model:80a/"}, None, ["UPSTREAM_URL", "http://HOST"]),
            ([], {"ENGINE": "http"}, None, ["ENGINE=http", "UPSTREAM_URL"]),
            ([], {"CACHE_BACKEND": "redis", "REDIS_URL": "rediss://host"}, None, ["TLS", "not supported"]),
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
                self.assertEqual(result.returncode, 2, result)
                self.assertEqual(result.stdout, "")
                for word in expected:
                    self.assertIn(word.lower(), result.stderr.lower())

    def test_settings_of_others_are_ignored(self):
        Inferonce(self, PATH_INFO="/", CACHE_UNKNOWN_TO_US="1", WORKERS=1)

    def test_what_is_probably_not_meant(self):
        app = Inferonce(self, "--cache-scope=worker", CACHE_TLL=5, UPSTREAM_URL="http://127.0.0.1:1/", REDIS_URL="nonsense", ADMIN_TOKEN="secret",
                        CACHE_PATH=os.path.join(self.directory, "entries"), CACHE_MEMORY_MB=1, CACHE_MAX_ENTRY_KB=2000, CACHE_TTL="")
        log = app.log()
        for words in (["CACHE_TLL", "did you mean CACHE_TTL?"], ["UPSTREAM_URL", "ENGINE=http"], ["REDIS_URL=***", "ignored"],
                      ["ADMIN_TOKEN", "6 characters"], ["CACHE_SCOPE=worker", "CACHE_PATH"], ["CACHE_MAX_ENTRY_KB=2000", "CACHE_MEMORY_MB=1"]):
            with self.subTest(words=words):
                self.assertTrue(any("level=warn event=settings" in line and all(word in line for word in words)
                                    for line in log.splitlines()), log)
        self.assertNotIn("secret", log)
        self.assertNotIn("nonsense", log)
        printed = run_program("--print-config", CACHE_TLL=5)
        self.assertEqual(printed.returncode, 0)
        self.assertIn("did you mean CACHE_TTL?", printed.stderr)

    def test_workers_are_given_up_before_the_master_when_memory_runs_out(self):
        app = Inferonce(self, WORKERS=2)
        scores = []
        for pid in (app.pid, *app.workers()):
            with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
                scores.append(int(file.read()))
        self.assertEqual(scores[1:], [min(scores[0] + 200, 1000)] * 2)

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
