"""Replicas of the fake: the files that Grafana would get, and processes started by Grafana's command line."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.config.grafana_fake import postgres_server, prometheus_server
from tests.config.grafana_fake.directory_server import BASE, SERVICE, SERVICE_PASSWORD, DirectoryServer, password_of
from tests.config.grafana_fake.postgres_server import PostgresServer
from tests.config.grafana_fake.prometheus_server import PrometheusServer
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port

CHECKOUT = Path(__file__).parents[3]
ADMIN, ADMIN_PASSWORD = "administrator", "password-of-the-administrator"
SECRET_KEY = "key-of-the-sessions-0123456789"
METRICS = ("scraper", "password-of-the-scraper")
SECRETS = (
    *(ADMIN_PASSWORD, SECRET_KEY, METRICS[1], SERVICE_PASSWORD, postgres_server.PASSWORD, prometheus_server.PASSWORD),
    *(password_of(name) for name in ("viewer", "editor", "admin-person", "outsider")),
)
START_S = 120


@dataclass
class Replica:
    """One replica with files and a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}"

    @property
    def log(self) -> str:
        """Everything it said."""
        return (self.folder / "output.log").read_text()

    def lines(self, **wanted: object) -> list[dict[str, Any]]:
        """Lines of its log that hold these values."""
        documents = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [document for document in documents if all(document.get(key) == value for key, value in wanted.items())]

    def begin(self) -> None:
        """Start the process without waiting."""
        command = [sys.executable, "-m", "tests.config.grafana_fake.program", "server", f"--homepath={self.folder}"]
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                [*command, f"--config={self.folder / 'grafana.ini'}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            )

    def await_health(self) -> None:
        """Wait until it serves."""
        eventually(self._healthy, START_S, f"the replica serves; it said:\n{self.log[-2000:]}")

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.begin()
        self.await_health()

    def end(self, *, kill: bool = False) -> int:
        """End it, gently or not; returns its exit code."""
        assert self.process is not None
        (self.process.kill if kill else self.process.terminate)()
        code = self.process.wait(timeout=60)
        self.process = None
        return code

    def person(self, name: str = "", password: str = "") -> Client:
        """Somebody who talks to this replica; with a name, somebody who logged in with the form."""
        client = Client(self)
        if name:
            answer = client.log_in(name, password or password_of(name))
            assert answer.status_code == 200, (name, answer.text)
        return client

    def administrator(self) -> Client:
        """The local administrator, with Basic auth."""
        client = Client(self)
        client.session.auth = (ADMIN, ADMIN_PASSWORD)
        return client

    def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log[-3000:]}"
        try:
            return requests.get(f"{self.url}/api/health", verify=str(self.ca_file), timeout=60).status_code == 200
        except requests.RequestException:
            return False

    @property
    def ca_file(self) -> Path:
        """Authority of its certificate."""
        return self.folder / "ca.crt"


class Client:
    """Somebody with a browser's habits: cookies and connections are kept."""

    def __init__(self, replica: Replica) -> None:
        """Talk to that replica."""
        self.session = requests.Session()
        self.session.trust_env = False
        self.use(replica)

    def use(self, replica: Replica) -> None:
        """Talk to another replica, with the same cookies."""
        self.replica = replica
        self.session.verify = str(replica.ca_file)

    def log_in(self, name: str, password: str) -> requests.Response:
        """Log in with the form."""
        return self.post("/login", {"user": name, "password": password})

    def get(self, path: str, **more: Any) -> requests.Response:
        """GET."""
        return self.send("GET", path, **more)

    def post(self, path: str, content: object = None, **more: Any) -> requests.Response:
        """POST of JSON."""
        return self.send("POST", path, json=content, **more)

    def put(self, path: str, content: object = None) -> requests.Response:
        """PUT of JSON."""
        return self.send("PUT", path, json=content)

    def delete(self, path: str) -> requests.Response:
        """DELETE."""
        return self.send("DELETE", path)

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        """Any request."""
        more.setdefault("timeout", 60)
        return self.session.request(method, self.replica.url + path, allow_redirects=False, **more)


@dataclass(frozen=True)
class Harness:
    """Everything a replica needs."""

    folder: Path
    postgres: PostgresServer
    directory: DirectoryServer
    prometheus: PrometheusServer

    def replica(
        self, name: str, *, database: str = postgres_server.NAME, change: Mapping[tuple[str, str], str] | None = None
    ) -> Replica:
        """The files of a replica.

        Args:
            name: Name of its folder.
            database: Name of its database.
            change: Values of the ini file that differ.
        """
        folder = self.folder / name
        (folder / "provisioning/datasources").mkdir(parents=True)
        (folder / "secrets").mkdir()
        write_certificates(folder)
        replica = Replica(folder)
        secrets = {
            "admin": ADMIN_PASSWORD,
            "database": postgres_server.PASSWORD,
            "secret-key": SECRET_KEY,
            "metrics": METRICS[1],
            "ldap-bind": SERVICE_PASSWORD,
            "prometheus": prometheus_server.PASSWORD,
        }
        for key, value in secrets.items():
            (folder / "secrets" / key).write_text(value + "\n")
        self._ini(replica, database, change or {})
        (folder / "ldap.toml").write_text(self._toml(folder))
        (folder / "provisioning/datasources/datasources.yaml").write_text(yaml.safe_dump(self._sources(folder)))
        return replica

    def _ini(self, replica: Replica, database: str, change: Mapping[tuple[str, str], str]) -> None:
        def secret(name: str) -> str:
            return f"$__file{{{replica.folder / 'secrets' / name}}}"

        sections: dict[str, dict[str, str]] = {
            "paths": {"provisioning": str(replica.folder / "provisioning")},
            "server": {
                "protocol": "https",
                "http_addr": "127.0.0.1",
                "http_port": str(replica.port),
                "cert_file": str(replica.folder / "tls.crt"),
                "cert_key": str(replica.folder / "tls.key"),
                "router_logging": "true",
            },
            "database": {
                "type": "postgres",
                "host": f"localhost:{self.postgres.port}",
                "name": database,
                "user": postgres_server.USER,
                "password": secret("database"),
                "ssl_mode": "verify-full",
                "ca_cert_path": str(self.postgres.ca_file),
                "max_open_conn": "10",
                "migration_locking": "true",
            },
            "security": {
                "admin_user": ADMIN,
                "admin_password": secret("admin"),
                "secret_key": secret("secret-key"),
                "cookie_secure": "true",
                "cookie_samesite": "strict",
                "strict_transport_security": "true",
            },
            "auth.ldap": {"enabled": "true", "config_file": str(replica.folder / "ldap.toml")},
            "unified_alerting": {"enabled": "false"},
            "snapshots": {"enabled": "false"},
            "public_dashboards": {"enabled": "false"},
            "metrics": {"basic_auth_username": METRICS[0], "basic_auth_password": secret("metrics")},
            "log.console": {"format": "json"},
        }
        for (section, key), value in change.items():
            sections.setdefault(section, {})[key] = value
        parser = configparser.RawConfigParser()
        parser.read_dict(sections)
        with (replica.folder / "grafana.ini").open("w") as file:
            parser.write(file)

    def _toml(self, folder: Path) -> str:
        roles = (("admins", "Admin"), ("editors", "Editor"), ("viewers", "Viewer"))
        mappings = "".join(
            f'[[servers.group_mappings]]\ngroup_dn = "cn=monitoring-{group},ou=groups,{BASE}"\norg_role = "{role}"\n'
            for group, role in roles
        )
        return (
            f'[[servers]]\nhost = "localhost"\nport = {self.directory.port}\nuse_ssl = true\nssl_skip_verify = false\n'
            f'root_ca_cert = "{self.directory.ca_file}"\nbind_dn = "{SERVICE}"\n'
            f'bind_password = "$__file{{{folder / "secrets/ldap-bind"}}}"\nsearch_filter = "(uid=%s)"\n'
            f'search_base_dns = ["ou=people,{BASE}"]\n'
            f'group_search_filter = "(&(objectClass=groupOfNames)(member=%s))"\n'
            f'group_search_filter_user_attribute = "dn"\ngroup_search_base_dns = ["ou=groups,{BASE}"]\ntimeout = 3\n'
            '[servers.attributes]\nusername = "uid"\nname = "givenName"\nsurname = "sn"\nemail = "mail"\n'
            f'member_of = "memberOf"\n{mappings}'
        )

    def _sources(self, folder: Path) -> dict[str, Any]:
        metrics = {
            "name": "Metrics",
            "uid": "metrics",
            "type": "prometheus",
            "access": "proxy",
            "url": self.prometheus.url,
            "isDefault": True,
            "basicAuth": True,
            "basicAuthUser": prometheus_server.USER,
            "jsonData": {"tlsAuthWithCACert": True, "timeInterval": "15s"},
            "secureJsonData": {
                "basicAuthPassword": f"$__file{{{folder / 'secrets/prometheus'}}}",
                "tlsCACert": f"$__file{{{self.prometheus.ca_file}}}",
            },
            "editable": False,
        }
        # The same Prometheus, by an authority that did not sign its certificate.
        other = {"tlsCACert": f"$__file{{{self.postgres.ca_file}}}", "basicAuthPassword": "x"}
        false = metrics | {"name": "False", "uid": "false", "isDefault": False, "secureJsonData": other}
        away = metrics | {"name": "Away", "uid": "away", "isDefault": False, "url": f"https://localhost:{free_port()}"}
        return {"apiVersion": 1, "datasources": [metrics, false, away]}
