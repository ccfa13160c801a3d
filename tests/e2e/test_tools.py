"""The tools that judge are judged first: the structured field parser, tests/run, tests/lib/layers, deploy/install-deps, make."""

import glob
import os
import shutil
import signal
import subprocess

import structured
from case import Case
from processes import Child, is_alive, wait_until
from servers import BUILD, ROOT, environment
from structured import Malformed, Token, cache_status, parse_dictionary, parse_item, parse_list


class StructuredFields(Case):
    def test_examples_of_the_rfc(self):
        self.assertEqual(parse_list('"foo", "bar", "It was the best of times."'),
                         [("foo", {}), ("bar", {}), ("It was the best of times.", {})])
        self.assertEqual(parse_list("sugar, tea, rum"), [(Token("sugar"), {}), (Token("tea"), {}), (Token("rum"), {})])
        self.assertEqual(parse_list('("foo" "bar"), ("baz"), ("bat" "one"), ()'),
                         [([("foo", {}), ("bar", {})], {}), ([("baz", {})], {}), ([("bat", {}), ("one", {})], {}), ([], {})])
        self.assertEqual(parse_list("abc;a=1;b=2; cde_456, (ghi;jk=4 l);q=\"9\";r=w"),
                         [("abc", {"a": 1, "b": 2, "cde_456": True}), ([("ghi", {"jk": 4}), ("l", {})], {"q": "9", "r": "w"})])
        self.assertEqual(parse_dictionary('en="Applepie", da=:w4ZibGV0w6ZydGU=:'),
                         {"en": ("Applepie", {}), "da": ("\u00c6blet\u00e6rte".encode(), {})})
        self.assertEqual(parse_dictionary("a=?0, b, c; foo=bar"), {"a": (False, {}), "b": (True, {}), "c": (True, {"foo": "bar"})})
        self.assertEqual(parse_item("5; foo=bar"), (5, {"foo": "bar"}))
        self.assertEqual(parse_item("-4.5"), (-4.5, {}))
        self.assertEqual(parse_list(""), [])

    def test_what_is_malformed(self):
        for text in ("a,", "a b", "a;;b", "a; =1", "a;A=1", '"open', '"bad \\n"', "1.", "1.2345", "1234567890123456", "-", "?2", ":=:x", "(a", "a\u00e4", "=a", ","):
            with self.subTest(text=text), self.assertRaises(Malformed):
                parse_list(text)

    def test_cache_status(self):
        self.assertEqual(cache_status("inferonce; hit; ttl=-3"), {"hit": True, "ttl": -3})
        self.assertEqual(cache_status("inferonce; fwd=miss; stored"), {"fwd": "miss", "stored": True})
        for text in ("inferonce", "inferonce; hit; fwd=miss", "inferonce; fwd=nonsense", 'inferonce; fwd="miss"', "inferonce; hit=1",
                     "inferonce; hit; ttl=1.5", "inferonce; hit; stored", "other; hit", "inferonce; hit, other; hit", "inferonce; hit; more"):
            with self.subTest(text=text), self.assertRaises(Malformed):
                cache_status(text)

    def test_tokens_are_not_strings(self):
        self.assertIsInstance(parse_item("abc")[0], structured.Token)
        self.assertNotIsInstance(parse_item('"abc"')[0], structured.Token)


class Scratch(Case):
    """A tree of its own with the scripts in question."""

    def setUp(self):
        super().setUp()
        for script in ("tests/run", "tests/lib/layers", "tests/lib/case.py", "tests/lib/processes.py", "tests/lib/servers.py",
                       "tests/lib/client.py", "tests/lib/fastcgi.py", "tests/lib/structured.py"):
            target = os.path.join(self.directory, script)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.join(ROOT, script), target)

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def execute(self, *command):
        return subprocess.run([os.path.join(self.directory, command[0]), *command[1:]], env=environment({}), cwd=self.directory,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)


class Runner(Scratch):
    def program(self, name, script):
        self.write(f"tests/unit/base/{name}_test.c", "")
        if script is not None:
            self.write(f"build/tests/unit/base/{name}_test", f"#!/bin/sh\n{script}\n", 0o755)

    def outcome(self, *suites):
        result = self.execute("tests/run", *(suites or ("unit",)))
        return result.stdout.rstrip().splitlines()[-1], result.returncode

    def test_sums(self):
        self.program("a", "echo 'a: 3 passed, 0 failed'")
        self.program("b", "echo noise; echo 'b: one, more: 1 passed, 0 failed'; echo 'b: two: 3 passed, 0 failed'")
        self.assertEqual(self.outcome(), ("7 passed, 0 failed", 0))

    def test_failures(self):
        self.program("a", "echo 'a: 3 passed, 2 failed'; exit 1")
        self.assertEqual(self.outcome(), ("3 passed, 2 failed", 1))

    def test_programs_that_fail_as_a_whole(self):
        self.program("fine", "echo 'fine: 1 passed, 0 failed'")
        for name, script in (("crash", "echo 'crash: 5 passed, 0 failed'; kill -SEGV $$"), ("silent", "exit 0"),
                             ("liar", "echo 'liar: 2 passed, 0 failed'; exit 3"), ("empty", "echo 'empty: 0 passed, 0 failed'"),
                             ("unbuilt", None), ("early", "echo 'early: 1 passed, 0 failed'; echo more")):
            with self.subTest(name=name):
                self.program(name, script)
                line, status = self.outcome()
                self.assertTrue(line.endswith(" passed, 1 failed"), line)
                self.assertEqual(status, 1)
                os.unlink(os.path.join(self.directory, f"tests/unit/base/{name}_test.c"))

    def test_nothing_is_a_failure(self):
        self.assertEqual(self.outcome(), ("0 passed, 0 failed", 1))

    def start(self, *suites):
        log = os.path.join(self.directory, "run.log")
        child = Child("tests/run", [os.path.join(self.directory, "tests/run"), *suites], log,
                      environment({"TMPDIR": os.path.join(self.directory, "tmp")}))
        self.add_child(child)
        return child

    def pid_of(self, name):
        """What a program of a run wrote into a file of its name, once it did."""
        path = os.path.join(self.directory, name)

        def read():
            if os.path.exists(path):
                with open(path, encoding="ascii") as file:
                    return int(file.read() or 0)
            return 0

        return wait_until(read, f"{name} has started")

    def test_one_interrupt_ends_everything(self):
        """Also what is in a session of its own, and the directory of the run; and a second one does no harm."""
        os.mkdir(os.path.join(self.directory, "tmp"))
        ended = "echo 'quick: 3 passed, 0 failed'"
        stubborn = (f"export HERE='{self.directory}'; trap '' INT TERM; mkdir \"$TMPDIR/left\"; setsid sh -c 'trap \"\" INT TERM HUP; echo $$ > \"$HERE/orphan\"; "
                    f"exec sleep infinity' & echo $$ > \"$HERE/stubborn\"; exec sleep infinity")
        self.program("a_quick", ended)
        self.program("b_stubborn", stubborn)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                child = self.start("unit")
                pids = [self.pid_of("stubborn"), self.pid_of("orphan")]
                wait_until(lambda: "a_quick_test: 3 passed" in child.log(), "one has ended")
                before = child.log()
                self.assertEqual(child.stop(number), 128 + number)
                self.assertFalse([pid for pid in pids if is_alive(pid)])
                self.assertEqual(os.listdir(os.path.join(self.directory, "tmp")), [])
                self.assertEqual(child.log()[len(before):], f"tests/run: stopped by {number.name} after 1 of 2 programs: 3 passed, 0 failed\n")
                for name in ("stubborn", "orphan", "run.log"):
                    os.unlink(os.path.join(self.directory, name))

    def test_tells_what_runs(self):
        os.mkdir(os.path.join(self.directory, "tmp"))
        os.mkfifo(os.path.join(self.directory, "go"))
        self.program("slow", f"read word < '{self.directory}/go'; echo 'slow: 1 passed, 0 failed'")
        child = self.start("unit")
        wait_until(lambda: "... running: tests/unit/base/slow_test (1" in child.log(), "it says what runs")
        self.write("go", "on\n")
        self.assertEqual(child.wait(), 0)
        self.assertRegex(child.log(), r"\ntests/unit/base/slow_test: 1 passed, 0 failed \(1\d\.\d s\)\n1 passed, 0 failed\n\Z")

    def test_end_to_end_files(self):
        self.write("tests/e2e/test_small.py", "import unittest\n"
                   "from case import Case, through_both\n"
                   "@through_both\nclass Small(Case):\n"
                   "    def test_passes(self): pass\n"
                   "    def test_fails(self): self.fail('on purpose')\n"
                   "    def test_is_skipped(self): self.skipTest('because')\n"
                   "    def test_leaves_a_process(self):\n"
                   "        import subprocess\n"
                   "        subprocess.Popen(['sleep', '1000'])\n")
        self.assertEqual(self.outcome("e2e"), ("2 passed, 6 failed", 1))


class Layers(Scratch):
    def setUp(self):
        super().setUp()
        self.write("src/main.c", '#include "inferonce/base/error.h"\n')
        self.write("include/inferonce/base/error.h", "#include <stddef.h>\nint error_text(void);\n")
        self.write("src/base/error.c", "int error_text(void) { return 1; }\n")

    def judge(self, text="", folder="http"):
        """The tool's verdict with this text in a source of that folder, and what it printed."""
        self.write(f"src/{folder}/module.c", text)
        shutil.rmtree(os.path.join(self.directory, "build"), ignore_errors=True)
        for source in sorted(glob.glob(f"{self.directory}/src/*/*.c")):
            target = os.path.join(self.directory, "build", os.path.relpath(source, self.directory)[:-2] + ".o")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if "#" in open(source, encoding="utf-8").read():
                source = os.devnull  # includes are read, not followed
            subprocess.run(["cc", "-x", "c", "-c", "-o", target, source], check=True)
        result = self.execute("tests/lib/layers", "build", "base", "http", "api")
        return result.returncode, result.stdout

    def test_downwards_is_allowed(self):
        self.write("src/http/private.h", "")
        self.assertEqual(self.judge('#include <stdio.h>\n#include <uv.h>\n#include "inferonce/base/error.h"\n#include "http/private.h"\n')[0], 0)

    def test_upwards_is_not(self):
        for line in ('#include "inferonce/api/body.h"\n', "#  include <inferonce/api/body.h>\n"):
            code, said = self.judge(line)
            self.assertEqual(code, 1)
            self.assertIn("http comes before api", said)

    def test_other_ways_around(self):
        self.write("src/base/private.h", "")
        for line in ('#include "../api/body.h"\n', '#include "inferonce/unlisted/body.h"\n', '#include "base/private.h"\n'):
            self.assertEqual(self.judge(line)[0], 1, line)
        self.assertEqual(self.judge("", folder="unlisted")[0], 1)

    def test_a_face_that_nobody_needs(self):
        self.write("include/inferonce/http/lonely.h", "")
        code, said = self.judge('#include "inferonce/http/lonely.h"\n')
        self.assertEqual(code, 1)
        self.assertIn("lonely.h: no other folder includes it", said)
        self.assertEqual(self.judge('#include "inferonce/http/lonely.h"\n', folder="api")[0], 0)

    def test_a_face_with_a_private_header(self):
        self.write("src/base/private.h", "")
        self.write("include/inferonce/base/error.h", '#include "base/private.h"\n')
        code, said = self.judge()
        self.assertEqual(code, 1)
        self.assertIn("a face includes a private header", said)

    def test_circles(self):
        self.write("src/http/other.c", "int module(void); int other(void) { return module(); }\n")
        self.assertEqual(self.judge("int module(void) { return 1; }\n")[0], 0)
        code, said = self.judge("int other(void); int module(void) { return other(); }\n")
        self.assertEqual(code, 1)
        self.assertIn("a circle: src/http/module.c, src/http/other.c", said)


class InstallDeps(Case):
    def test_silent_when_nothing_is_missing(self):
        result = subprocess.run([os.path.join(ROOT, "deploy", "install-deps"), "test"], env=environment({}), stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_names_what_to_install_where_there_is_no_apt(self):
        tools = os.path.join(self.directory, "bin")
        os.mkdir(tools)
        for tool in ("sh", "id", "env"):
            os.symlink(shutil.which(tool), os.path.join(tools, tool))
        with open(os.path.join(ROOT, "deploy", "install-deps"), encoding="utf-8") as file:
            script = file.read().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", "")
        result = subprocess.run([os.path.join(tools, "sh"), "-s", "build"], input=script, env={"PATH": tools},
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        for name in ("cc", "fcgi", "libuv", "jansson", "libcrypto", "libutf8proc"):
            self.assertIn(name, result.stderr)

    def test_says_how_many_packages(self):
        """apt-get and what it is asked with are ours: nothing is installed."""
        tools = os.path.join(self.directory, "bin")
        os.mkdir(tools)
        for name, text in (("apt-get", 'case " $* " in *" -s "*) printf "Inst a\\nInst b\\nInst c\\nConf a\\n" ;; *) echo "apt-get $*" ;; esac'),
                           ("apt-cache", "printf '  Candidate: 1\\n'"), ("tee", "cat > /dev/null"), ("chmod", ":"), ("rm", ":"),
                           ("id", "echo 0"), ("dpkg-query", ":"), ("pkg-config", ':')):
            with open(os.path.join(tools, name), "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\n{text}\n")
            os.chmod(os.path.join(tools, name), 0o755)
        for tool in ("sh", "env", "grep", "wc", "cat", "cc", "make", "awk", "curl"):
            os.symlink(shutil.which(tool), os.path.join(tools, tool))
        with open(os.path.join(ROOT, "deploy", "install-deps"), encoding="utf-8") as file:
            script = file.read().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", "")
        for server in ("nginx", "lighttpd"):
            result = subprocess.run([os.path.join(tools, "sh"), "-s", "run", server], input=script, env={"PATH": tools},
                                    capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            lines = result.stdout.splitlines()
            self.assertRegex(lines[-2], f"^install-deps: installing 3 packages from .*: {server}$")
            self.assertEqual(lines[-1], f"apt-get install -y -q --no-install-recommends {server}")


class Make(Case):
    def make(self, *arguments):
        return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, env=environment({}), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=False)

    def test_names_make_deps_where_libraries_are_missing(self):
        result = self.make("BUILD=build/none", "PKG_CONFIG=false")  # make knows no path with a space
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, "\\ANot installed: fcgi libuv jansson .*`make deps' installs")
        self.assertEqual(len(result.stderr.splitlines()), 2, result.stderr)

    def test_installs_and_uninstalls(self):
        below = os.path.join(self.directory, "a place (of its own)")
        where = (f"BUILD={os.path.relpath(BUILD, ROOT)}", f"DESTDIR={below}", "PREFIX=/usr")

        def files():
            return sorted(os.path.relpath(os.path.join(folder, file), below) for folder, _, names in os.walk(below) for file in names)

        result = self.make("install-built", *where)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for name in ("bin/inferonce", "bin/inferonce-spawn", "share/inferonce/nginx/inferonce.conf", "share/inferonce/lighttpd/inferonce.conf",
                     "share/inferonce/inferonce.conf.sample", "share/inferonce/grafana/inferonce.json", "share/doc/inferonce/examples/tei.conf",
                     "share/doc/inferonce/examples/site.nginx.conf", "share/doc/inferonce/LICENSE", "share/doc/inferonce/vader_lexicon.LICENSE"):
            self.assertIn(f"usr/{name}", files())
        version = subprocess.run([f"{below}/usr/bin/inferonce", "--version"], capture_output=True, text=True, timeout=60, check=False)
        self.assertTrue(version.stdout.startswith("inferonce "), version)
        with open(f"{below}/usr/share/doc/inferonce/vader_lexicon.LICENSE", encoding="utf-8") as notice:
            self.assertIn("MIT License", notice.read())
        with open(f"{below}/usr/share/inferonce/mine.conf", "w", encoding="ascii") as file:
            file.write("# kept\n")
        self.assertEqual(self.make("uninstall", *where).returncode, 0)
        self.assertEqual(files(), ["usr/share/inferonce/mine.conf"])
        self.assertFalse(os.path.exists(f"{below}/usr/share/doc/inferonce"))
