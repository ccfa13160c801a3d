"""The shared mapping across a reload: other sizes, another place, another version's layout, a file that cannot be made."""

import os

from reloading import Reloading

OTHER_VERSION = """
if handover >= 0:
    lines = [line.split() for line in read().splitlines()]
    for line in lines:
        if line[0] == "mapping":
            line[3] = str(int(line[3]) + 4096)
    write("".join(" ".join(line) + "\\n" for line in lines))
"""


class Mapping(Reloading):
    def in_each_place(self, check):
        """In memory, and in a file."""
        for name, place in (("memory", {}), ("file", {"CACHE_PATH": os.path.join(self.directory, "entries")})):
            with self.subTest(place=name):
                check(self.front(self.begin(CACHE_MEMORY_MB=8, **place).socket_path, name=f"nginx-{name}"), place)
                self.app.stop()

    def test_other_sizes_keep_the_entries(self):
        """And the counters; the file has been in use."""
        self.in_each_place(self.check_other_sizes)

    def check_other_sizes(self, client, place):
        self.assertEqual(client.predict("kept").cache, "MISS")
        for turn, size_mb in enumerate((16, 24), 1):
            before = client.stats()
            self.configure(CACHE_MEMORY_MB=size_mb, WORKERS=2, **place)
            self.reload()
            self.assertEqual(client.predict("kept").cache, "HIT")
            after = client.stats()
            self.assertEqual((after["misses"], after["hits"], after["requests"]), (1, turn, before["requests"] + 2))
            self.assertEqual(self.metric(client, "reloads_total"), turn)
            self.assertEqual([self.metric(client, f'request_duration_seconds_count{{cache="{cache}"}}') for cache in ("miss", "hit")], [1, turn])

    def test_another_version_s_layout(self):
        """Nothing of it can be taken over; nothing of it is left open, either."""
        self.in_each_place(self.check_another_version)

    def check_another_version(self, client, _place):
        client.predict("kept")
        self.reload()
        descriptors = self.descriptors()
        self.assertEqual(client.predict("kept").cache, "HIT")
        self.wrap(OTHER_VERSION)
        self.reload()
        self.assertEqual(client.predict("kept").cache, "MISS")
        self.assertEqual(client.stats()["workers"], 2)
        self.assertEqual(self.descriptors(), descriptors)
        self.assertNotIn("level=error", self.app.log())

    def test_a_file_that_cannot_be_made(self):
        """Memory has to do, until a reload can make it."""
        client = self.front(self.begin().socket_path)
        client.predict("kept")
        directory = os.path.join(self.directory, "later")
        path = os.path.join(directory, "entries")
        self.configure(CACHE_PATH=path, WORKERS=2)
        self.reload()
        self.assertEqual(self.done("cache_file_not_made_anew"), 1)
        self.assertEqual(client.predict("kept").cache, "HIT")
        os.mkdir(directory)
        self.reload()
        self.assertEqual(client.predict("kept").cache, "HIT")
        self.assertGreater(os.path.getsize(path), 0)
        self.assertEqual(self.done("cache_file_not_made_anew"), 1)

    def test_another_place(self):
        """A file that is left there comes back without its entries: some may have been removed since."""
        first, second = (os.path.join(self.directory, name) for name in ("first", "second"))
        client = self.front(self.begin(CACHE_PATH=first).socket_path)
        client.predict("kept")
        key = client.predict("removed").header("X-Cache-Key")
        for settings in ({"CACHE_PATH": second}, {}):
            self.configure(WORKERS=2, **settings)
            self.reload()
            self.check_place(settings)
            self.assertEqual([client.predict(text).cache for text in ("kept", "removed")], ["HIT", "HIT"])
        for settings in ({"CACHE_PATH": first}, {"CACHE_PATH": second, "CACHE_MEMORY_MB": 16}):
            client.delete(f"/cache/{key}")
            self.configure(WORKERS=2, **settings)
            self.reload()
            self.check_place(settings)
            self.assertEqual([client.predict(text).cache for text in ("kept", "removed")], ["HIT", "MISS"])
        self.assertEqual(client.stats()["misses"], 4)

    def check_place(self, settings):
        """The master has mapped that file, and none of the others."""
        with open(f"/proc/{self.app.pid}/maps", encoding="utf-8") as maps:
            mapped = {path for line in maps if (path := line.rstrip("\n").partition(self.directory)[2])}
        wanted = {settings["CACHE_PATH"].removeprefix(self.directory)} if settings else set()
        self.assertEqual(mapped & {"/first", "/second"}, wanted)
