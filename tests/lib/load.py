"""Requests while something else happens."""

import threading
import time


class Load:
    """Threads that ask for known and new texts until told to stop."""

    def __init__(self, client, threads=4):
        self.client = client
        self.stopping = threading.Event()
        self.answers = []
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            text = f"known {turn % 50}" if turn % 10 else f"new {number} {turn}"
            began = time.monotonic()
            try:
                response = self.client.predict(text)
                self.answers.append((response.status, response.json().get("result"), time.monotonic() - began))
            except OSError as error:
                self.answers.append((str(error), None, 0))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.answers
