"""The session and the tables of the other files once more, with an inference server in place of the built-in model: what a request gets
does not depend on where answers come from, and every inference is one call."""

import importlib.util
import os
import sys
import unittest

import model_server
import servers
from processes import wait_until

FOLDER = os.path.dirname(os.path.abspath(__file__))
FILES = ("test_session", "test_semantics_table", "test_coalescing", "test_rules", "test_entries")


class WithModel:
    """Mixed into a case: whatever inferonce it starts is in front of a model server."""

    def setUp(self):
        super().setUp()
        self.model = model_server.Model()
        self.addCleanup(self.model.close)
        self.started = 0

    def with_model(self, settings):
        self.started += 1
        self.model.delay_s = int(settings.get("INFERENCE_DELAY_MS", 0)) / 1000
        # As the built-in model has it: that text's normal form, and no credentials.
        return {"ENGINE": "http", "UPSTREAM_URL": self.model.url(), "UPSTREAM_TIMEOUT": 3600, "CACHE_NORMALIZE": "lower",
                "CACHE_SHARE_AUTHORIZED": "on", **settings}

    def serve(self, *flags, **settings):
        client = super().serve(*flags, **self.with_model(settings))
        self.addCleanup(self.check_calls, client)
        return client

    def check_calls(self, client):
        if self.started == 1 and client.app.alive:
            wait_until(lambda: len(self.model.calls) == client.stats()["inferences"], "every inference is one call")


def load(name):
    spec = importlib.util.spec_from_file_location(f"{name}_upstream", os.path.join(FOLDER, f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if hasattr(module, "Inferonce"):
        module.Inferonce = lambda case, *flags, **settings: servers.Inferonce(case, *flags, **case.with_model(settings))
    return module


def made_of(module):
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == module.__name__:
            yield f"{name}Upstream", type(f"{name}Upstream", (WithModel, value), {"__module__": __name__})


for file in FILES:
    globals().update(made_of(load(file)))
