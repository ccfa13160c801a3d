"""Reloads and upgrades in turns under mixed load: no request fails, entries and counters are kept, nothing is left over and nothing grows."""

import os
import re
import shutil
import statistics

import model_server
from case import through_both
from mixed_load import MixedLoad
from processes import children_of, wait_until
from reloading import Reloading
from servers import PROGRAM

RELOADS = int(os.environ.get("RELOADS", "3"))
UPGRADES = int(os.environ.get("UPGRADES", "2"))
WORKERS = 2


def turns():
    """What each turn is, with the upgrades spread evenly."""
    n = RELOADS + UPGRADES
    return ["upgrade" if (turn + 1) * UPGRADES // n > turn * UPGRADES // n else "reload" for turn in range(n)]


@through_both
class UnderLoad(Reloading):
    def test_nothing_is_lost(self):
        model = model_server.Model()
        self.addCleanup(model.close)
        app = self.begin(WORKERS=WORKERS, INFERENCE_DELAY_MS=0, ENGINE="http", UPSTREAM_URL=model.url())
        client = self.front(app.socket_path)
        client.predict("kept")
        self.pid, load = app.pid, MixedLoad(client)
        self.addCleanup(load.close)
        self.held, self.reloads, self.rss_kb = None, [], []
        for turn, kind in enumerate(["reload", "reload", *turns()]):
            load.go_on()
            if kind == "upgrade":
                self.replace_program(turn)
            self.reloads.append(self.reload())
            self.check_master()
        load.go_on()
        report = load.stop()
        self.tell(report)
        self.check(report, client)
        self.assertEqual(app.stop(), 0)

    def replace_program(self, turn):
        """By another file, with other bytes."""
        shutil.copy(PROGRAM, self.program + ".new")
        with open(self.program + ".new", "ab") as file:
            file.write(b"version %d" % turn)
        os.rename(self.program + ".new", self.program)

    def check_master(self):
        """The same process, of the program that is at the path now, with as many descriptors and children as before."""
        wait_until(lambda: len(children_of(self.pid)) == WORKERS, "only the new workers are left")
        self.held = self.held or self.descriptors()
        for pid in (self.pid, *children_of(self.pid)):
            self.assertTrue(os.path.samefile(f"/proc/{pid}/exe", self.program))
        self.assertEqual((self.app.pid, self.descriptors()), (self.pid, self.held))
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            self.rss_kb.append(int(re.search(r"^VmRSS:\s+(\d+) kB$", status.read(), re.MULTILINE)[1]))

    def check(self, report, client):
        self.assertEqual((report["failed"], report["failures"]), (0, []))
        self.assertGreater(report["looks"], 0)
        under_way = sum(began < reload[0] and ended > reload[1] for began, ended in report["slow"] for reload in self.reloads)
        self.assertGreaterEqual(under_way, len(self.reloads))
        self.assertEqual(client.predict("kept").cache, "HIT")
        stats = client.stats()
        self.assertGreaterEqual(stats["hits"] + stats["misses"], sum(report["answered"].values()))
        self.assertEqual(self.metric(client, "reloads_total"), len(self.reloads))
        self.assertLessEqual(self.rss_kb[-1], self.rss_kb[1] * 1.05 + 256, self.rss_kb)
        self.assertNotRegex(self.app.log(), "worker_killed|drain_timeout|level=error")

    def tell(self, report):
        took_ms = [round((ended - began) * 1000) for began, ended in self.reloads]
        print(f"{self.web.program}: {turns().count('reload')} reloads and {turns().count('upgrade')} upgrades; answered {report['answered']}, "
              f"{report['failed']} failed; the longest took {report['longest_s']}; RSS after two {self.rss_kb[1]} KB, most {max(self.rss_kb)}, "
              f"last {self.rss_kb[-1]}; reloaded after {statistics.median(took_ms)} ms, at most {max(took_ms)}", flush=True)
