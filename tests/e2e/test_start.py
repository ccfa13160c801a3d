"""When it says that it has started, and when it cannot."""

import os
import resource

from case import Case
from servers import Inferonce, run_program


class Starting(Case):
    def open_directory(self):
        """Where any user may make a socket."""
        path = os.path.join(self.directory, "open")
        os.mkdir(path)
        os.chmod(path, 0o777)
        return path

    def check_fails(self, expected, prepare=None, **settings):
        path = os.path.join(self.open_directory(), "inferonce.sock")
        ended = run_program(LISTEN=f"unix:{path}", prepare=prepare, timeout_s=30, **settings)
        self.assertEqual(ended.returncode, 1, ended)
        self.assertRegex(ended.stderr, f"level=error event=cannot_start .*{expected}")
        self.assertNotIn("event=started", ended.stderr)
        self.assertFalse(os.path.exists(path), "nobody answers there")

    def test_started_is_said_when_somebody_serves(self):
        log = Inferonce(self, LOG_LEVEL="debug").log()
        self.assertLess(log.index("event=worker_ready"), log.index("event=started"))

    def test_too_few_descriptors(self):
        for limit in (8, 12, 60):
            with self.subTest(limit=limit):
                self.check_fails(f"the limit is {limit}", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)), WORKERS=2)
                os.rmdir(os.path.join(self.directory, "open"))

    def test_too_few_processes(self):
        def prepare():
            if os.geteuid() == 0:  # whom the limit does not bind
                os.setgid(65534)
                os.setuid(65534)
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

        self.check_fails("cannot fork: Resource temporarily unavailable", prepare, WORKERS=2)
