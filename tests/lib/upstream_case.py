"""The base of the cases in which inferonce stands in front of an inference server (model_server)."""

import os
import subprocess

import model_server
from case import Case
from servers import find

TIMEOUT_S = 1.0


class UpstreamCase(Case):
    def start_model(self, *arguments, **options):
        self.model = model_server.Model(*arguments, **options)
        self.addCleanup(self.model.close)
        return self.model

    def serve_model(self, **settings):
        """inferonce in front of self.model, with one worker, so that its connections are one pool."""
        if not hasattr(self, "model"):
            self.start_model()
        settings = {"ENGINE": "http", "UPSTREAM_URL": self.model.url(), "UPSTREAM_TIMEOUT": TIMEOUT_S, "WORKERS": 1,
                    "DRAIN_TIMEOUT": 2, **settings}
        return self.serve(**settings)

    def make_certificate(self, name):
        paths = [os.path.join(self.directory, f"{name}.{kind}") for kind in ("crt", "key")]
        subprocess.run([find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
                       check=True, capture_output=True)
        return paths

    def end(self, client):
        """Before another one is started in the same case."""
        client.web.stop()
        client.app.stop()
        os.rename(client.web.directory, f"{client.web.directory}-{client.web.pid}")

    def assertServes(self, client, text="all is well"):
        """A new text is answered with one call."""
        before = len(self.model.calls)
        response = client.predict(text)
        self.assertEqual((response.status, response.cache), (200, "MISS"), response)
        self.assertEqual(response.json()["result"]["sentiment"], "neutral")
        self.assertEqual(len(self.model.calls) - before, 1)
