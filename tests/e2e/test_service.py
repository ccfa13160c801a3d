"""Under a service manager: what systemd is told, by its protocol; the units by systemd's own tools; a socket that it keeps."""

import os
import re
import shutil
import signal
import subprocess

from case import Case
from processes import wait_until
from servers import PROGRAM, Inferonce, environment, find
from service_manager import Manager

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = os.path.join(ROOT, "deploy", "systemd")


class Notify(Case):
    def test_the_life_of_a_service(self):
        for abstract in (False, True):
            with self.subTest(abstract=abstract):
                manager = Manager(self, abstract)
                app = Inferonce(self, name=f"app{abstract}", NOTIFY_SOCKET=manager.name)
                manager.await_message("READY")
                self.assertEqual(manager.heard[-1]["STATUS"], "Serving with 2 workers")
                n = len(manager.heard)
                app.send_signal(signal.SIGHUP)
                manager.await_message("RELOADING", after=n)
                self.assertRegex(manager.heard[n]["MONOTONIC_USEC"], r"^\d+$")
                manager.await_message("READY", after=n)
                n = len(manager.heard)
                self.assertEqual(app.stop(), 0)
                manager.await_message("STOPPING", after=n)
                if not abstract:
                    os.unlink(manager.path)

    def test_a_refused_reload(self):
        manager = Manager(self)
        settings = os.path.join(self.directory, "settings")
        with open(settings, "w", encoding="ascii") as file:
            file.write("CACHE_TTL=60\n")
        app = Inferonce(self, "--config", settings, NOTIFY_SOCKET=manager.name)
        manager.await_message("READY")
        n = len(manager.heard)
        with open(settings, "w", encoding="ascii") as file:
            file.write("CACHE_TTL=often\n")
        app.send_signal(signal.SIGHUP)
        manager.await_message("READY", after=n)
        why = f"{settings}:1: CACHE_TTL=often: expected seconds from 0.001 to 31536000"
        self.assertEqual(manager.heard[n:], [{"READY": "1", "STATUS": f"Not reloaded: {why}"}])

    def test_the_watchdog(self):
        manager = Manager(self)
        app = Inferonce(self, NOTIFY_SOCKET=manager.name, WATCHDOG_USEC=200000)
        wait_until(lambda: sum("WATCHDOG" in message for message in manager.hear()) >= 5, "it beats")
        app.send_signal(signal.SIGHUP)
        manager.await_message("RELOADING")
        n = len(manager.heard)
        wait_until(lambda: sum("WATCHDOG" in message for message in manager.hear()[n:]) >= 5, "it beats on")

    def test_the_watchdog_of_another_process(self):
        manager = Manager(self)
        Inferonce(self, NOTIFY_SOCKET=manager.name, WATCHDOG_USEC=100000, WATCHDOG_PID=1)
        manager.await_message("READY")
        self.assertFalse([message for message in manager.hear() if "WATCHDOG" in message])

    def test_nobody_listens(self):
        app = Inferonce(self, NOTIFY_SOCKET=os.path.join(self.directory, "nobody"))
        self.assertEqual(app.stop(), 0)


class Units(Case):
    def analyze(self, *arguments):
        return subprocess.run([find("systemd-analyze"), *arguments], env={**environment({}), "SYSTEMD_LOG_LEVEL": "warning"}, capture_output=True, text=True,
                              timeout=60, check=False)

    def test_they_are_right(self):
        """With the program where the unit looks for it; its manual is another package's matter."""
        for unit in ("inferonce.service", "inferonce.socket"):
            with open(os.path.join(UNITS, unit), encoding="ascii") as file:
                text = re.sub(r"(?m)^Documentation=.*\n", "", file.read()).replace("/usr/bin/inferonce", PROGRAM)
            with open(os.path.join(self.directory, unit), "w", encoding="ascii") as file:
                file.write(text)
        for unit in ("inferonce.service", "inferonce.socket"):
            said = self.analyze("verify", os.path.join(self.directory, unit))
            self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_exposure(self):
        said = self.analyze("security", "--offline=yes", "--threshold=20", os.path.join(UNITS, "inferonce.service"))
        self.assertEqual(said.returncode, 0, said.stdout[-400:])

    def system_calls(self):
        """Those that the unit allows, as its lines say one after the other (systemd.exec(5))."""
        groups, allowed = {}, set()
        for line in self.analyze("syscall-filter", "--no-pager").stdout.splitlines():
            if line.startswith("@"):
                members = groups.setdefault(line.strip(), [])
            elif line.startswith("    ") and not line.strip().startswith("#"):
                members.append(line.strip())

        def expand(name):
            return set().union(*map(expand, groups[name])) if name in groups else {name}

        with open(os.path.join(UNITS, "inferonce.service"), encoding="ascii") as file:
            for names in re.findall(r"(?m)^SystemCallFilter=(.*)$", file.read()):
                calls = set().union(*map(expand, names.lstrip("~").split()))
                allowed = allowed - calls if names.startswith("~") else allowed | calls
        return allowed

    def test_the_socket_may_be_given_away(self):
        """To LISTEN_GROUP, which the package's configuration sets; more of its kind is not needed."""
        allowed = self.system_calls()
        self.assertLessEqual({"lchown", "fchownat", "chmod", "accept4", "execve", "memfd_create"}, allowed)
        self.assertFalse({"chown", "fchown", "setuid", "mount", "setpriority"} & allowed)

    def test_settings_of_the_unit(self):
        """What it sets of ours is a setting."""
        with open(os.path.join(UNITS, "inferonce.service"), encoding="ascii") as file:
            names = re.findall(r"(?m)^Environment=(\w+)=(.*)$", file.read())
        self.assertEqual([name for name, _ in names], ["STATE_DIR"])
        said = subprocess.run([PROGRAM, "-t"], env=environment(dict(names)), capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_a_socket_that_systemd_keeps(self):
        path = os.path.join(self.directory, "kept.sock")
        app = Inferonce(self, command=[shutil.which("systemd-socket-activate", path=environment({})["PATH"]), "--listen", path, PROGRAM], wait=False)
        app.socket_path = path
        wait_until(app.answers, "it answers")
        wait_until(lambda: 'listen="descriptor 3"' in app.log(), "it says what it listens on")
        pid = app.pid
        app.send_signal(signal.SIGHUP)
        wait_until(lambda: "event=reloaded" in app.log(), "it is reloaded", timeout_s=40)
        self.assertTrue(app.answers())
        self.assertEqual(app.pid, pid)
