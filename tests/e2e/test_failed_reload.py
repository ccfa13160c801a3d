"""A reload that goes wrong, when it is checked or after the program was executed: the old workers serve on, and the next one counts."""

import os
import signal

from processes import reap, wait_until
from reloading import Reloading
from service_manager import Manager

# What the image before listened on is put aside, and workers have /dev/null instead; the next image gets it back.
LISTENER_AWAY = """
ASIDE = 200
if handover >= 0:
    listener = int(next(line for line in read().split("\\n") if line.startswith("listener ")).split()[1])
    try:
        os.dup2(ASIDE, listener)
        os.close(ASIDE)
    except OSError:
        os.dup2(listener, ASIDE)
        os.dup2(os.open("/dev/null", os.O_RDWR), listener)
"""


class Checks(Reloading):
    def test_the_program_stops_during_a_check(self):
        """The check that then succeeds changes nothing."""
        gate = os.path.join(self.directory, "gate")
        os.mkfifo(gate)
        client = self.front(self.begin(INFERENCE_DELAY_MS=2000, WORKERS=1).socket_path)
        self.wrap(f"checks and open({gate!r}).read()")
        begun = client.start(client.encode("POST", "/predict", {"text": "begun before"}))
        wait_until(lambda: client.stats()["parked"] == 1, "it waits")
        self.app.send_signal(signal.SIGHUP)
        with self.opened_for_writing(gate):
            self.app.send_signal(signal.SIGTERM)
            wait_until(lambda: self.done("stopping") == 1, "it stops")
        self.assertEqual(client.finish(begun).status, 200)
        self.assertEqual(self.app.wait(), 0)
        self.assertEqual(self.done("reloading"), 0)

    def opened_for_writing(self, fifo):
        """As soon as somebody reads it."""

        def opened():
            try:
                return os.fdopen(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "w")
            except OSError:
                return None

        return wait_until(opened, "it is read")

    def test_a_worker_is_replaced_during_a_check(self):
        """Its end comes first, and then another check."""
        gate, checks = (os.path.join(self.directory, name) for name in ("gate", "checks"))
        os.mkfifo(gate)
        client = self.front(self.begin(INFERENCE_DELAY_MS=2000).socket_path)
        self.wrap(f"checks and print(end='.', file=open({checks!r}, 'a'))\n"
                  f"checks and os.path.exists({gate!r}) and (open({gate!r}).read(), os.unlink({gate!r}))")
        old = self.app.workers()
        begun = client.start(client.encode("POST", "/predict", {"text": "begun before"}))
        wait_until(lambda: client.stats()["parked"] == 1, "it waits")
        self.app.send_signal(signal.SIGHUP)
        with self.opened_for_writing(gate):
            for worker in old:
                os.kill(worker, signal.SIGTERM)
            wait_until(lambda: len(set(self.app.workers()) - set(old)) == 3, "there are a checker and two successors")
            between = self.app.workers()
        self.assertEqual(client.finish(begun).status, 200)
        wait_until(lambda: self.done("reloaded") == 1, "it is reloaded", timeout_s=40)
        wait_until(lambda: not set(between) & set(self.app.workers()) and len(self.app.workers()) == 2, "all have successors")
        self.assertEqual(os.path.getsize(checks), 2)


class Handover(Reloading):
    def test_it_cannot_be_read(self):
        """The program ends, and the workers that it had drain."""
        client = self.front(self.begin(INFERENCE_DELAY_MS=1000, WORKERS=1).socket_path)
        (worker,) = self.app.workers()
        self.wrap("handover >= 0 and write('')")
        begun = client.start(client.encode("POST", "/predict", {"text": "begun before"}))
        wait_until(lambda: client.stats()["parked"] == 1, "it waits")
        self.app.send_signal(signal.SIGHUP)
        self.assertEqual(self.app.wait(), 1)
        self.assertRegex(self.app.log(), "event=cannot_start .*handed over cannot be read")
        self.assertEqual(client.finish(begun).status, 200)
        wait_until(lambda: reap(worker), "the worker has ended")
        self.assertFalse(self.app.answers())

    def test_of_another_version(self):
        """Lines are understood, and those that are not are passed over."""
        client = self.front(self.begin().socket_path)
        client.predict("kept")
        self.wrap("handover >= 0 and write(read().replace('inferonce-handover 1', 'inferonce-handover 2\\nnews of 2'))")
        self.reload()
        self.assertEqual(client.predict("kept").cache, "HIT")


class Workers(Reloading):
    def reload_in_vain(self):
        before = self.done("reload_failed")
        self.app.send_signal(signal.SIGHUP)
        wait_until(lambda: self.done("reload_failed") > before, "no new worker can start")

    def check_next_one_counts(self, **change):
        manager = Manager(self)
        app = self.begin(notify=manager.name)
        client = self.front(app.socket_path)
        client.predict("kept")
        old = app.workers()
        self.wrap(LISTENER_AWAY)
        self.configure(WORKERS=2, **change)
        n = len(manager.hear())
        self.reload_in_vain()
        self.assertEqual(client.predict("kept").cache, "HIT")
        self.assertTrue(set(old) <= set(app.workers()))
        self.assertEqual(self.done("reloaded"), 0)
        manager.await_message("READY", after=n)
        self.assertRegex(manager.heard[-1]["STATUS"], "^Not reloaded: no worker can start: worker [01] exited with status 1$")
        self.reload()
        manager.hear()
        self.assertEqual(manager.heard[-1]["STATUS"], "Serving with 2 workers")
        self.assertEqual(client.predict("kept").cache, "HIT")
        self.assertEqual(client.stats()["workers"], 2)
        wait_until(lambda: len(app.workers()) == 2, "there are no others")
        self.assertEqual((self.metric(client, "reloads_total"), self.metric(client, "reloads_refused_total")), (1, 1))
        self.assertEqual(app.stop(), 0)

    def test_no_new_worker_can_start(self):
        self.check_next_one_counts()

    def test_no_new_worker_can_start_with_another_mapping(self):
        self.check_next_one_counts(CACHE_MEMORY_MB=16)
