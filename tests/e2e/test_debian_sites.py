"""The examples beside the web servers' configuration as Debian's packages leave it: the default site is there, workers are www-data."""

import http.client
import os
import shutil
import subprocess

from case import Case
from processes import Child, free_port, wait_until
from servers import ROOT, Inferonce, environment, find

AS_ROOT = os.geteuid() == 0
GROUP = {"LISTEN_GROUP": "www-data"} if AS_ROOT else {}  # others are the web server's user themselves


class DebianSites(Case):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.folder = os.path.join(self.directory, "etc")
        os.mkdir(self.folder)
        self.app = Inferonce(self, LISTEN_MODE="0660", **GROUP)

    def install(self, source, name, *changes):
        """Copies a file with this case's places in it."""
        with open(source, encoding="utf-8") as file:
            text = file.read()
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def serve_web(self, name, *command):
        check = [*command, "-t"] if name == "nginx" else [command[0], "-tt", *command[2:]]
        checked = subprocess.run(check, env=environment({}), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(checked.returncode, 0, checked)
        child = Child(name, command, os.path.join(self.directory, f"{name}.log"), environment({}))
        self.add_child(child)

        def answers():
            self.assertTrue(child.alive, self.logs())
            try:
                return self.ask("GET", "/healthz")[0]
            except OSError:
                return None

        wait_until(answers, f"{name} answers")

    def ask(self, method, path, host="localhost", body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Host": host, "Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            return response.status, response.getheader("X-Cache")
        finally:
            connection.close()

    def check(self):
        self.assertEqual(os.stat(self.app.socket_path).st_mode & 0o777, 0o660)
        self.assertEqual([self.ask("POST", "/predict", body='{"text": "good"}') for _ in range(2)], [(200, "MISS"), (200, "HIT")])

    def test_nginx(self):
        here = ("/etc/nginx/", "")  # relative to the file
        port = ("listen 80", f"listen 127.0.0.1:{self.port}")
        self.install("/etc/nginx/nginx.conf", "nginx.conf", here, ("/var/log/nginx/access.log", f'"{self.directory}/access.log"'),
                     ("/var/log/nginx/error.log", f'"{self.directory}/error.log"'), ("/run/nginx.pid", f'"{self.directory}/pid"'))
        self.install("/etc/nginx/sites-available/default", "sites-enabled/default", port, ("listen [::]:80 default_server;", ""))
        shutil.copy("/etc/nginx/mime.types", self.folder)
        if not AS_ROOT:  # who has no /var/lib/nginx
            with open(self.install(os.devnull, "conf.d/temporary.conf"), "w", encoding="utf-8") as file:
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
                    file.write(f'{kind}_temp_path "{self.directory}/{kind}";\n')
        self.install(f"{ROOT}/nginx/inferonce.conf", "inferonce.conf")
        self.install(f"{ROOT}/nginx/inferonce-upstream.conf", "inferonce-upstream.conf",
                     ("unix:/run/inferonce/inferonce.sock", f'"unix:{self.app.socket_path}"'))
        self.install(f"{ROOT}/deploy/examples/site.nginx.conf", "sites-enabled/inferonce", port, ("    listen [::]:80;\n", ""))
        self.serve_web("nginx", find("nginx"), "-e", f"{self.directory}/error.log", "-p", self.folder, "-c", f"{self.folder}/nginx.conf",
                       "-g", "daemon off;")
        self.check()
        self.assertIsNone(self.ask("POST", "/predict", host="another.example", body='{"text": "good"}')[1])

    def test_lighttpd(self):
        os.mkdir(os.path.join(self.directory, "uploads"))
        os.chmod(os.path.join(self.directory, "uploads"), 0o777)
        conf = self.install("/etc/lighttpd/lighttpd.conf", "lighttpd.conf", ("/etc/lighttpd", self.folder), ("/var/log/lighttpd", f"{self.directory}/uploads"),
                            ("/run/lighttpd.pid", f"{self.directory}/pid"), ("/var/cache/lighttpd/uploads", f"{self.directory}/uploads"),
                            ("= 80\n", f"= {self.port}\nserver.bind = \"127.0.0.1\"\n"),
                            ('include_shell "/usr/share/lighttpd/use-ipv6.pl " + server.port', ""))
        self.install(f"{ROOT}/lighttpd/inferonce.conf", "conf-available/20-inferonce.conf",
                     ("/run/inferonce/inferonce.sock", self.app.socket_path))
        os.mkdir(os.path.join(self.folder, "conf-enabled"))
        os.symlink("../conf-available/20-inferonce.conf", os.path.join(self.folder, "conf-enabled", "20-inferonce.conf"))
        self.serve_web("lighttpd", find("lighttpd"), "-D", "-f", conf)
        self.check()
