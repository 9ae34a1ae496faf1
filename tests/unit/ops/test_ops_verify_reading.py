"""The checks of what people read, against doubles of the platform: each promise broken once."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from kubernetes.client.exceptions import ApiException

from components.dashboards.boards import DASHBOARDS
from components.dashboards.model import Dashboard, Row
from components.reports.schedule import SCHEDULES
from ops import evidence
from ops.context import Context
from ops.errors import OpsError
from ops.people import PEOPLE_FILE
from ops.people_crowd import Crowd, Opening
from ops.platform import Login
from ops.report.access import ReportAccess
from ops.verify import access, mounted, reading
from tests.unit.ops.dashboard_doubles import asker
from tests.unit.ops.reading_doubles import ADMINISTRATOR, READER, State, accounts, replica

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
SHELF = ReportAccess.model_validate(
    {"time_zone": "Asia/Tokyo", "languages": ["ja", "en"], "reader": READER[0], "password": READER[1]}
)
LDAP = f'[[servers]]\nhost = "directory.example.com"\nport = 636\nuse_ssl = true\nssl_skip_verify = false\n{GROUPS}'


@dataclass
class Platform:
    """A platform that keeps its promises, unless told otherwise."""

    folder: Path
    urls: list[str]
    ready: int = 2
    files: Mapping[str, str] = field(default_factory=lambda: {"grafana.ini": INI, "ldap.toml": LDAP})
    variables: Mapping[str, str] = field(default_factory=dict)
    standbys: tuple[float | None, float | None] = (1.0, 1.0)
    due: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(map(str, SCHEDULES), time.time() + 3600))
    failed: Mapping[str, float] = field(default_factory=dict)
    stored: Any = field(default_factory=lambda: shelf(*(report(kind) for kind in SCHEDULES)))
    answered: int = 200
    newest: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(map(str, SCHEDULES), time.time() - 60))

    @property
    def context(self) -> Context:
        pods = [SimpleNamespace(name=f"grafana-{number}", ready=number < self.ready) for number in range(2)]
        core = SimpleNamespace(
            read_namespaced_pod=self._pod,
            read_namespaced_config_map=lambda *_, **__: SimpleNamespace(data=None),
            read_namespaced_secret=lambda *_, **__: SimpleNamespace(
                data={name: base64.b64encode(text.encode()).decode() for name, text in self.files.items()}
            ),
        )
        made = SimpleNamespace(
            ca_file=str(self.folder / "ca.crt"),
            platform=SimpleNamespace(
                grafana_url=self.urls[0],
                grafana_admin=login(*ADMINISTRATOR),
                query_url=self.urls[0],
                query_reader=login(*READER),
                reports=SHELF,
            ),
            kube=SimpleNamespace(core=core, namespace="obs", pods=lambda _: pods, ready_pod=lambda _: pods[0]),
            tunnels=SimpleNamespace(url=lambda pod, port: self.urls[int(pod[-1])] if port == 3000 else "https://shelf"),
            thanos=SimpleNamespace(instant=self._instant, number=self._number),
            web=SimpleNamespace(call=self._shelf),
        )
        return cast(Context, made)

    def _number(self, expression: str) -> float | None:
        return self.standbys["wanted" in expression]

    def _instant(self, expression: str) -> list[Any]:
        names = {"failed": self.failed, "newest": self.newest, "due": self.due}
        [found] = [values for name, values in names.items() if name in expression]
        return [SimpleNamespace(labels={"kind": kind}, value=value) for kind, value in found.items()]

    def _shelf(self, method: str, url: str, auth: tuple[str, str]) -> requests.Response:
        assert (method, url, auth) == ("GET", "https://shelf/reports", READER)
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


def report(kind: str, *forms: str, end: str = "2026-11-01T00:00:00Z") -> dict[str, Any]:
    """An entry of the shelf's list."""
    files = [{"path": f"/files/{kind}/x{form}", "bytes": 9} for form in forms or (".html", ".pdf")]
    return {"kind": kind, "period": "a period", "period_end": end, "written_at": end, "files": files}


def shelf(*reports: dict[str, Any]) -> dict[str, Any]:
    """The shelf's list."""
    return {"read_at": "2026-11-25T00:00:00Z", "reports": list(reports), "runs": {}}


def login(user: str, password: str) -> Login:
    return Login.model_validate({"username": user, "password": password})


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Any]:
    """Makes a platform with two replicas: what the platform, and what Grafana, has of its own."""

    @contextmanager
    def make(state: State | None = None, **differs: Any) -> Iterator[tuple[Platform, State]]:
        shared = state or State()
        with replica(tmp_path, shared) as one, replica(tmp_path, shared) as two:
            yield Platform(folder=tmp_path, urls=[one, two], **differs), shared

    return make


@pytest.fixture(autouse=True)
def _drills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PEOPLE_FILE, raising=False)
    fine = SimpleNamespace(
        passed=True,
        summary=lambda: "a drill: fine",
        figures={"points/s acknowledged": 100_000, "spans/s acknowledged": 10_000},
    )
    monkeypatch.setattr(evidence, "read", lambda _: fine)


def full(monkeypatch: pytest.MonkeyPatch, *boards: Dashboard, without: str = "") -> None:
    """Every query has an answer, but those in which ``without`` stands."""
    queries = [each.expr for board in boards for panel in board.panels for each in panel.queries]
    found, address = asker({})
    monkeypatch.setattr(
        address, "_found", lambda expression: [] if without and without in expression else [({"x": "1"}, 1.0)]
    )
    assert queries
    monkeypatch.setattr(reading, "asker", lambda _: found)


def boards(*names: str) -> list[Dashboard]:
    return [board for board in DASHBOARDS if board.name in names]


def test_two_replicas_that_share_sessions_pass(made: Any) -> None:
    with made() as (platform, state):
        finding = reading.g1(platform.context)
    assert finding.wrong == []
    assert finding.figures == ["1 of 1 standbys follow", "2 replicas, 2 sessions tried at the other replica"]
    assert state.sessions == {}, "the check leaves no session behind"


def test_a_session_that_is_good_at_its_own_replica_only_is_found(made: Any) -> None:
    with made(State(shared=False)) as (platform, _):
        wrong = reading.g1(platform.context).wrong
    assert wrong == [
        "answer of grafana-1 to a session of grafana-0 is 401, must be 200",
        "answer of grafana-0 to a session of grafana-1 is 401, must be 200",
    ]


def test_a_missing_replica_is_found(made: Any) -> None:
    with made(ready=1) as (platform, _):
        assert reading.g1(platform.context).wrong == ["number of ready Grafana is 1, must be 2"]


def test_a_standby_that_does_not_follow_is_found(made: Any) -> None:
    with made(standbys=(0.0, 1.0)) as (platform, _):
        assert reading.g1(platform.context).wrong == ["standbys that follow the database is 0.0, must be 1.0"]
    with made(standbys=(None, None)) as (platform, _):
        assert reading.g1(platform.context).wrong == ["nobody measures pg_standbys_wanted"]


@pytest.mark.parametrize(
    ("setting", "instead", "says"),
    [
        ("ssl_mode = verify-full", "ssl_mode = require", "[database] ssl_mode of Grafana is require"),
        ("ssl_mode = verify-full", "", "[database] ssl_mode of Grafana is disable, must be verify-full"),
        ("type = postgres", "type = sqlite3", "[database] type of Grafana is sqlite3"),
        ("ca_cert_path = /etc/trust/ca.crt", "", "no authority is named"),
        ("[unified_alerting]\nenabled = false", "", "[unified_alerting] enabled of Grafana is true"),
    ],
)
def test_a_setting_that_breaks_the_promise_is_found(made: Any, setting: str, instead: str, says: str) -> None:
    with made(files={"grafana.ini": INI.replace(setting, instead)}) as (platform, _):
        [wrong] = reading.g1(platform.context).wrong
    assert says in wrong


def test_a_variable_goes_before_the_file(made: Any) -> None:
    with made(variables={"GF_DATABASE_SSL_MODE": "require"}) as (platform, _):
        [wrong] = reading.g1(platform.context).wrong
    assert "ssl_mode of Grafana is require" in wrong
    assert (
        mounted.Settings(sections={}, variables={"GF_AUTH_LDAP_ENABLED": "true"}).of("auth.ldap", "enabled") == "true"
    )


def test_somebody_who_gets_in_without_a_login_is_found(made: Any) -> None:
    with made(State(anonymous=True)) as (platform, _):
        wrong = reading.g1(platform.context).wrong
    assert "answer to somebody without a login is 200, must be 401" in wrong


def test_files_that_cannot_be_read_are_one_line(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with made(files={}) as (platform, _), pytest.raises(OpsError, match=r"mounts no ConfigMap or Secret with a file"):
        reading.g1(platform.context)
    with made(files={"grafana.ini": "nonsense"}) as (platform, _), pytest.raises(OpsError, match="cannot be read"):
        reading.g1(platform.context)
    refused = ApiException(status=403, reason="Forbidden")

    def refuse(*_: object, **__: object) -> None:
        raise refused

    with made() as (platform, _):
        monkeypatch.setattr(platform, "_pod", refuse)
        with pytest.raises(OpsError, match="cannot read what grafana-0 runs with: HTTP 403 Forbidden"):
            reading.g1(platform.context)


@pytest.mark.parametrize("identifier", ["G2", "G3"])
def test_dashboards_with_data_in_every_panel_pass(made: Any, identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, *DASHBOARDS)
    with made() as (platform, _):
        finding = reading.CHECKS[identifier](platform.context)
    assert finding.wrong == []
    assert "panels with data" in finding.figures[0]


def test_every_dashboard_belongs_to_a_row() -> None:
    known = {*reading.OVERVIEW, *reading.DETAILS, *reading.OPERATIONS}
    assert {board.name for board in DASHBOARDS} <= known


def test_an_empty_panel_is_named(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [board] = boards("overview")
    panel = next(iter(board.panels))
    full(monkeypatch, board, without=panel.queries[0].expr.partition("{")[0][-20:])
    with made() as (platform, _):
        [wrong] = reading.CHECKS["G2"](platform.context).wrong
    assert wrong.startswith("overview: no data in ")
    assert panel.title in wrong


def test_a_dashboard_that_grafana_lacks_or_has_otherwise_is_named(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [board] = boards("overview")
    full(monkeypatch, board)
    less = Dashboard(
        name=board.name,
        title=board.title,
        description=board.description,
        rows=(Row(title="One", panels=board.rows[0].panels[:1]),),
        variables=board.variables,
    )
    with made(State(boards={board.uid: less})) as (platform, _):
        [other] = reading.CHECKS["G2"](platform.context).wrong
    with made(State(boards={})) as (platform, _):
        [missing] = reading.CHECKS["G2"](platform.context).wrong
    assert other.startswith("panels of Grafana's obs-overview is")
    assert "overview: Grafana answers 404" in missing


def test_what_operators_need_and_no_panel_shows_is_named(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, *DASHBOARDS)
    check = reading.boards_check(("operations",), {"CPU": "process_cpu", "the weather": "rain_"})
    with made() as (platform, _):
        assert check(platform.context).wrong == ["no panel shows the weather"]
    unknown = reading.boards_check(("nowhere",))
    with made() as (platform, _):
        assert unknown(platform.context).wrong == ["there is no dashboard nowhere"]


def test_panels_below_a_folded_row_count() -> None:
    folded = {"panels": [{"type": "row", "panels": [{"title": "a"}]}, {"type": "stat", "title": "b"}, {"type": "row"}]}
    assert [each["title"] for each in reading.panels_of(folded)] == ["a", "b"]


def test_a_directory_that_decides_everything_passes(made: Any) -> None:
    with made() as (platform, _):
        finding = access.g5(platform.context)
    assert finding.wrong == []
    assert finding.figures == ["1 folders"]
    assert any(PEOPLE_FILE in each for each in finding.seen)


def test_people_of_every_role_try_where_their_accounts_are_known(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path, monkeypatch)
    with made() as (platform, state):
        finding = access.g5(platform.context)
    assert finding.wrong == []
    assert state.logins == ["viewer", "editor", "admin-person"]
    assert state.sessions == {}
    assert finding.figures[-1] == "24 tries by people of 3 roles"


def known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "people.json"
    file.write_text(json.dumps(accounts()))
    monkeypatch.setenv(PEOPLE_FILE, str(file))


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"let_in": {"outsider"}}, "answer to somebody in no group is 200, must be 401"),
        ({"open_to": {"/api/datasources"}}, "Viewer: GET /api/datasources is 200, must be 403"),
        ({"open_to": {"/api/users"}}, "Admin: GET /api/users is 200, must be 403"),
        ({"roles": {"viewer": "Admin", "editor": "Editor", "admin-person": "Admin"}}, "role of viewer is Admin"),
        (
            {"roles": {"viewer": "Viewer", "editor": "Editor"}},
            "Admin: Grafana answers 401 to the login of admin-person",
        ),
        ({"hidden": {}}, "Viewer: GET /api/dashboards/uid/obs-operations is 200, must be 403"),
        ({"publishes": True}, "a snapshot is answered 200, must be refused"),
        ({"anonymous": True}, "answer to nobody is 200, must be 401"),
        ({"folders": {}}, "Grafana has no folder"),
        ({"folders": {"a": [{"role": "Viewer", "permission": 2}]}}, "viewers may change folder a"),
        ({"folders": {"a": [{"role": "Editor", "permission": 4}]}}, "editors may give permissions in folder a"),
    ],
)
def test_whoever_may_more_than_promised_is_found(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differs: dict[str, Any], says: str
) -> None:
    known(tmp_path, monkeypatch)
    state = State(**differs)
    state.roles = {**state.roles, "admin": "Admin"}
    with made(state) as (platform, _):
        assert any(says in each for each in access.g5(platform.context).wrong)


@pytest.mark.parametrize(
    ("file", "text", "instead", "says"),
    [
        ("grafana.ini", "[auth.ldap]\nenabled = true", "", "[auth.ldap] enabled is false, must be true"),
        ("grafana.ini", "[snapshots]\nenabled = false", "", "[snapshots] enabled is true, must be false"),
        ("grafana.ini", "allow_sign_up = false", "allow_sign_up = true", "[users] allow_sign_up is true"),
        ("ldap.toml", "use_ssl = true", "use_ssl = false", "directory.example.com: LDAP without TLS"),
        ("ldap.toml", "ssl_skip_verify = false", "ssl_skip_verify = true", "certificate is not verified"),
        ("ldap.toml", 'org_role = "Editor"', 'org_role = "Admin"', "roles is Admin, Viewer, must be"),
        ("ldap.toml", '"cn=monitoring-viewers,ou=groups"', '"*"', "everybody in the directory gets a role"),
        ("ldap.toml", LDAP, "", "ldap.toml names no server"),
    ],
)
def test_a_configuration_that_lets_others_in_is_found(made: Any, file: str, text: str, instead: str, says: str) -> None:
    files = {"grafana.ini": INI, "ldap.toml": LDAP}
    assert text in files[file]
    with made(files={**files, file: files[file].replace(text, instead)}) as (platform, _):
        assert any(says in each for each in access.g5(platform.context).wrong)


def test_reports_that_are_there_in_time_pass(made: Any) -> None:
    with made() as (platform, _):
        finding = reading.r1(platform.context)
    assert finding.wrong == []
    assert finding.figures == [f"{kind} a period, 0.0 h old, 2 files" for kind in SCHEDULES]


def test_a_report_that_is_missing_or_late_is_named(made: Any) -> None:
    now = time.time()
    stored = shelf(report("daily"), report("monthly", end="2999-01-01T00:00:00Z"))
    with made(due={"daily": now - 7200}, newest={"daily": now, "monthly": now}, stored=stored) as (platform, _):
        wrong = reading.r1(platform.context).wrong
    assert wrong == [
        "the next daily report is missing since 2.0 h",
        "no weekly report of a period that is over is in the object storage",
        "no monthly report of a period that is over is in the object storage",
    ]


def test_a_report_whose_run_failed_or_that_is_not_whole_is_named(made: Any) -> None:
    stored = shelf(report("daily"), report("weekly", ".html"), report("monthly"))
    with made(failed={"daily": 1.0}, stored=stored) as (platform, _):
        assert reading.r1(platform.context).wrong == [
            "the last run of the daily report failed",
            "the newest weekly report has no .pdf",
        ]


def test_a_shelf_that_does_not_answer_is_one_line(made: Any) -> None:
    with made(answered=503) as (platform, _), pytest.raises(OpsError, match="the report shelf answered 503"):
        reading.r1(platform.context)


def visited(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """People whose dashboards take so long."""
    one = Opening(board="one", began=0.0, seconds=seconds, queries=1)
    monkeypatch.setattr(reading, "asker", lambda _: asker({})[0])
    monkeypatch.setattr(
        reading, "crowd", lambda ways, *_, **__: Crowd(count=len(ways), seconds=1.0, openings=(one, one))
    )


def test_dashboards_that_answer_in_time_pass(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visited(monkeypatch, 0.5)
    with made() as (platform, _):
        finding = reading.s2(platform.context)
    assert finding.wrong == []
    assert finding.figures[0] == "10 people, 2 dashboards: 0.50 s on average, P95 0.50 s"


def test_slow_dashboards_and_too_little_throughput_are_found(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visited(monkeypatch, 6.0)
    slow = SimpleNamespace(passed=True, summary=lambda: "fine", figures={"points/s acknowledged": 25_794})
    monkeypatch.setattr(evidence, "read", lambda _: slow)
    with made() as (platform, _):
        wrong = reading.s2(platform.context).wrong
    assert wrong == [
        "a dashboard takes 6.00 s on average, at most 3 s",
        "95 of 100 dashboards take 6.00 s, at most 5 s",
        "throughput-metrics: 25,794 points/s acknowledged, must be 100,000: run `make bench`",
        "throughput-traces: 0 spans/s acknowledged, must be 10,000: run `make bench`",
    ]


def test_a_short_visit_of_people_through_grafana_is_a_real_one(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path, monkeypatch)
    monkeypatch.setattr(reading, "asker", lambda _: asker({})[0])
    monkeypatch.setattr(reading, "SHORT_SECONDS", 0.2)
    monkeypatch.setattr(reading, "SHORT_PEOPLE", 3)
    with made() as (platform, state):
        finding = reading.s2(platform.context)
    assert finding.wrong == []
    assert sorted(state.logins) == ["admin-person", "editor", "viewer"]
