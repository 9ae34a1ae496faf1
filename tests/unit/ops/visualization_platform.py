"""A platform for the checks of what people read: it works, unless a test says otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from components.agent import WORKLOAD as AGENT
from components.reports import SCHEDULES
from ops.checks import access, visualization
from ops.core.access import ReportAccess
from ops.core.context import Context
from ops.core.grafana import TEST_ACCOUNTS_FILE
from ops.core.kube import CronJob
from ops.core.platform import Login
from tests.unit.ops.visualization_fakes import ADMINISTRATOR, READER, State, accounts, replica

INI = """
app_mode = production
[database]
type = postgres
host = postgres.obs.svc:5432
ssl_mode = verify-full
ca_cert_path = /etc/trust/ca.crt
password = $__file{/etc/grafana-secrets/database}
[unified_alerting]
enabled = false
[auth.ldap]
enabled = true
[users]
allow_sign_up = false
[snapshots]
enabled = false
[public_dashboards]
enabled = false
"""
GROUPS = "".join(
    f'[[servers.group_mappings]]\ngroup_dn = "cn=monitoring-{role.lower()}s,ou=groups"\norg_role = "{role}"\n'
    for role in access.ROLES
)
REPORT_SERVER = ReportAccess.model_validate(
    {"time_zone": "Asia/Tokyo", "languages": ["ja", "en"], "reader": READER[0], "password": READER[1]}
)
LDAP = f'[[servers]]\nhost = "directory.example.com"\nport = 636\nuse_ssl = true\nssl_skip_verify = false\n{GROUPS}'


OLD = datetime(2026, 1, 1, tzinfo=UTC)
"""When a platform was created that is no longer young."""


@dataclass
class Platform:
    """A platform that works, unless a test says otherwise."""

    folder: Path
    urls: list[str]
    ready: int = 2
    files: Mapping[str, str] = field(default_factory=lambda: {"grafana.ini": INI, "ldap.toml": LDAP})
    variables: Mapping[str, str] = field(default_factory=dict)
    standbys: tuple[float | None, float | None] = (1.0, 1.0)
    due: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(map(str, SCHEDULES), time.time() + 3600))
    failed: Mapping[str, float] = field(default_factory=dict)
    stored: Any = field(default_factory=lambda: report_server(*(report(kind) for kind in SCHEDULES)))
    answered: int = 200
    jobs: Mapping[str, CronJob] = field(default_factory=dict)
    created: datetime = OLD
    newest: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(map(str, SCHEDULES), time.time() - 60))
    agents: Sequence[Any] = field(default_factory=lambda: (agent("node-a"), agent("node-b")))
    measured: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: measurements("node-a", "node-b"))

    @property
    def context(self) -> Context:
        pods = [SimpleNamespace(name=f"grafana-{number}", ready=number < self.ready) for number in range(2)]
        core = SimpleNamespace(
            read_namespaced_pod=self._pod,
            read_namespaced_config_map=lambda *_, **__: SimpleNamespace(data=None),
        )
        stub = SimpleNamespace(
            ca_file=str(self.folder / "ca.crt"),
            platform=SimpleNamespace(
                left_out=lambda _: (),
                grafana_url=self.urls[0],
                grafana_admin=login(*ADMINISTRATOR),
                query_url=self.urls[0],
                query_reader=login(*READER),
                reports=REPORT_SERVER,
            ),
            kube=SimpleNamespace(
                core=core,
                namespace="obs",
                secret=lambda _: {name: text.encode() for name, text in self.files.items()},
                pods=lambda workload: list(self.agents) if workload == AGENT else pods,
                ready_pod=lambda _: pods[0],
                cron_job=self.jobs.get,
                cron_jobs=lambda: list(self.jobs.values()),
                created=lambda: self.created,
            ),
            tunnels=SimpleNamespace(
                url=lambda pod, port: self.urls[int(pod[-1])] if port == 3000 else "https://report-server"
            ),
            thanos=SimpleNamespace(instant=self._instant, number=self._number),
            web=SimpleNamespace(call=self._report_server),
        )
        return cast(Context, stub)

    def _number(self, expression: str) -> float | None:
        return self.standbys["wanted" in expression]

    def _instant(self, expression: str) -> list[Any]:
        if expression in self.measured:
            return [
                SimpleNamespace(labels={"node": node}, value=value) for node, value in self.measured[expression].items()
            ]
        names = {"failed": self.failed, "newest": self.newest, "due": self.due}
        [samples] = [values for name, values in names.items() if name in expression]
        return [SimpleNamespace(labels={"kind": kind}, value=value) for kind, value in samples.items()]

    def _report_server(self, method: str, url: str, auth: tuple[str, str]) -> requests.Response:
        assert (method, url, auth) == ("GET", "https://report-server/reports", READER)
        response = requests.Response()
        response._content_consumed = True  # type: ignore[attr-defined]
        response.status_code, response._content = self.answered, json.dumps(self.stored).encode()
        return response

    def _pod(self, *_: object, **__: object) -> Any:
        nothing = {"config_map": None, "secret": None, "projected": None}
        source = SimpleNamespace(config_map=None, secret=SimpleNamespace(name="grafana"))
        volumes = [
            SimpleNamespace(**{**nothing, "config_map": SimpleNamespace(name="other")}),
            SimpleNamespace(**{**nothing, "projected": SimpleNamespace(sources=[source])}),
        ]
        given = [SimpleNamespace(name=name, value=value) for name, value in self.variables.items()]
        hidden = SimpleNamespace(name="GF_SECURITY_ADMIN_PASSWORD", value=None)
        containers = [SimpleNamespace(env=[*given, hidden]), SimpleNamespace(env=None)]
        return SimpleNamespace(spec=SimpleNamespace(volumes=volumes, containers=containers))


def agent(node: str | None, *, started: datetime | None = OLD, ends: bool = False) -> Any:
    """A pod of the node agents."""
    return SimpleNamespace(node=node or "", started=started.timestamp() if started else 0.0, ending=ends)


def measurements(*names: str) -> dict[str, dict[str, float]]:
    """Recording -> value of each node."""
    return {recording: dict.fromkeys(names, 0.5) for recording in visualization.NODE_RECORDINGS.values()}


def report(kind: str, *forms: str, end: str = "2026-11-01T00:00:00Z") -> dict[str, Any]:
    """An entry of the report server's list."""
    files = [{"path": f"/files/{kind}/x{form}", "bytes": 9} for form in forms or (".html", ".pdf")]
    return {"kind": kind, "period": "a period", "period_end": end, "written_at": end, "files": files}


def report_server(*reports: dict[str, Any]) -> dict[str, Any]:
    """The report server's list."""
    return {"read_at": "2026-11-25T00:00:00Z", "reports": list(reports), "runs": {}}


def login(user: str, password: str) -> Login:
    return Login.model_validate({"username": user, "password": password})


def platforms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes platforms of two replicas, from what each, and its Grafana, has of its own."""
    monkeypatch.delenv(TEST_ACCOUNTS_FILE, raising=False)

    @contextmanager
    def make(state: State | None = None, **differs: Any) -> Iterator[tuple[Platform, State]]:
        shared = state or State()
        with replica(folder, shared) as one, replica(folder, shared) as two:
            yield Platform(folder=folder, urls=[one, two], **differs), shared

    return make


def known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "people.json"
    file.write_text(json.dumps(accounts()))
    monkeypatch.setenv(TEST_ACCOUNTS_FILE, str(file))
