"""``ops audit report``: changes of rights, clocks that are off, and the report as PDF."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.audit import command as audit_command
from ops.audit.log import _SECRETS_OF_RIGHTS, AuditLog, clocks_off, findings, is_about_rights
from ops.audit.report import content, document
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from services.audit import Source
from services.audit.records import START, Access, AuditRecord, Entry, Outcome, link_of, linked, note
from services.reports import LANGUAGES, Language
from services.reports.render import html
from tests.support import engine
from tests.unit.ops.test_ops_audit import NOW, SINCE, ZONE, access, chained, log, seen


def told(source: Source, action: str, target: str, who: str = "carol", **detail: str) -> AuditRecord:
    reached = Access(
        time=NOW, who=who, origin="10.0.0.1", action=action, target=target, outcome=Outcome.ALLOWED, detail=detail
    )
    return linked(Entry(access=reached, source=source), "region-a", None, NOW)


@pytest.mark.parametrize(
    ("source", "action", "target"),
    [
        (Source.CLUSTER, "create", "rolebindings.rbac.authorization.k8s.io/audit"),
        (Source.CLUSTER, "deletecollection", "roles.rbac.authorization.k8s.io"),
        (Source.CLUSTER, "create token", "serviceaccounts/audit"),
        (Source.CLUSTER, "patch", "networkpolicies.networking.k8s.io/kafka"),
        (Source.CLUSTER, "update", "secrets/search-security"),
        (Source.CLUSTER, "update", "secrets/postgres-access"),
        (Source.DATABASE, "alter role", "role:mallory"),
        (Source.DATABASE, "grant", "database:grafana"),
        (Source.DATABASE, "alter default", "database:grafana"),
        (Source.SEARCH, "change security", "security:rolesmapping/all_access"),
        (Source.SEARCH, "write", "index:.opendistro_security"),
        (Source.GRAFANA, "change", "grafana:admin"),
        (Source.KAFKA, "alter", "cluster:kafka-cluster"),
        (Source.OPS, "ops kafka rotate-logins", "platform:passwords"),
    ],
)
def test_changes_of_rights_are_known_at_each_source(source: Source, action: str, target: str) -> None:
    assert is_about_rights(told(source, action, target))


@pytest.mark.parametrize(
    ("source", "action", "target"),
    [
        (Source.CLUSTER, "get", "roles.rbac.authorization.k8s.io/audit"),
        (Source.CLUSTER, "update", "secrets/kafka-password"),
        (Source.CLUSTER, "create", "pods/kafka-0"),
        (Source.DATABASE, "create table", "database:grafana"),
        (Source.DATABASE, "use", "database:grafana"),
        (Source.SEARCH, "read security", "security:roles"),
        (Source.SEARCH, "read", "index:.opendistro_security"),
        (Source.GRAFANA, "change", "grafana:dashboards"),
        (Source.KAFKA, "alter", "topic:telemetry-logs"),
        (Source.OPS, "ops alerts", "platform:passwords"),
        (Source.TRACES, "grant", "trace:00ff"),
    ],
)
def test_other_changes_are_none_of_rights(source: Source, action: str, target: str) -> None:
    assert not is_about_rights(told(source, action, target))


def test_tokens_that_kubelets_renew_are_no_change_and_a_refused_change_of_a_role_is_one() -> None:
    assert not is_about_rights(told(Source.CLUSTER, "create token", "serviceaccounts/audit", "system:node:one"))
    reason = {"reason": "permission denied to create role"}
    assert is_about_rights(told(Source.DATABASE, "use", "database:grafana", **reason))
    assert not is_about_rights(told(Source.DATABASE, "use", "database:x", reason="permission denied for table roles"))


def test_secrets_that_hold_rights_are_those_of_the_stacks() -> None:
    page = (engine.CHECKOUT / "docs" / "secrets.md").read_text()
    assert len(_SECRETS_OF_RIGHTS) == 2
    assert [name for name in _SECRETS_OF_RIGHTS if f"| `{name.removeprefix('secrets/')}` |" not in page] == []


def binding(outcome: Outcome) -> Entry:
    target = "rolebindings.rbac.authorization.k8s.io/mallory"
    at = NOW - timedelta(hours=1)
    reached = Access(time=at, who="mallory", origin="10.0.0.9", action="create", target=target, outcome=outcome)
    return Entry(access=reached, source=Source.CLUSTER)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_lists_changes_of_rights_with_what_came_of_them(language: Language) -> None:
    found_in = seen(access(), binding(Outcome.REFUSED), binding(Outcome.ALLOWED))
    assert [row["outcome"] for row in content(found_in)["rights"]] == ["refused", "allowed"]
    page = html(document(found_in, "obs (region-a)", ZONE), language).replace("<wbr />", "")
    _, _, section = page.partition(f"<h2>{'Changes of rights' if language == 'en' else '権限の変更'}</h2>")
    section, _, _ = section.partition("</section>")
    assert section.count("rolebindings.rbac.authorization.k8s.io/mallory") == 2
    assert ("refused" if language == "en" else "拒否") in section
    assert "trace:00ff" not in section


def arriving(*entries: tuple[Entry, datetime]) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for entry, at in entries:
        records.append(linked(entry, "region-a", link_of(records[-1]) if records else None, at))
    return records


def off(minutes: float, **detail: str) -> tuple[Entry, datetime]:
    """A record whose time is so far from its arrival, a day ago."""
    at = NOW - timedelta(days=1)
    return access(at=at + timedelta(minutes=minutes), **detail), at


def test_a_time_far_from_its_arrival_is_told_on_both_sides_of_the_bound() -> None:
    records = arriving(off(5), off(-5), off(5.1), off(7), off(-6))
    ahead, behind = sorted(clocks_off(records, SINCE), key=lambda clock: -clock.offset)
    assert (ahead.offset, ahead.records, ahead.part) == (timedelta(minutes=7), 2, "jaeger-query-confidential-0")
    assert (behind.offset, behind.records, behind.source) == (timedelta(minutes=-6), 1, Source.TRACES)
    assert clocks_off(records, NOW) == [], "what arrived before is another report's"


def test_what_was_counted_or_came_while_the_audit_log_was_away_is_no_clock() -> None:
    day = NOW - timedelta(days=1)
    start = Entry(access=note(START, "audit:log", day), source=Source.AUDIT)
    late = access(at=day - timedelta(hours=2))
    assert clocks_off(arriving(off(-60, repeated="4")), SINCE) == []
    assert len(clocks_off(arriving(off(-90, repeated="4")), SINCE)) == 1, "equal ones are counted for an hour at most"
    assert clocks_off(arriving((start, day), (late, day + timedelta(minutes=1))), SINCE) == []
    assert len(clocks_off(arriving((start, day), (late, day + timedelta(minutes=20))), SINCE)) == 1
    assert len(clocks_off(arriving(off(30, repeated="4")), SINCE)) == 1, "nothing is counted before it happens"
    soon = access(at=day + timedelta(hours=1))
    assert len(clocks_off(arriving((start, day), (soon, day)), SINCE)) == 1


def test_of_a_command_the_machine_is_named() -> None:
    at = NOW - timedelta(hours=1)
    command = Access(
        time=at + timedelta(minutes=9), who="carol", origin="desk", action="ops open", target="x", outcome="allowed"
    )
    [clock] = clocks_off(arriving((Entry(access=command, source=Source.OPS), at)), SINCE)
    assert clock.part == "desk"


@pytest.mark.parametrize(
    ("language", "ahead", "behind"),
    [("en", "7 min ahead", "1 h behind, or read late"), ("ja", "7 分 進み", "1 時間 遅れ")],
)
def test_the_report_tells_of_clocks_and_refuses_nothing(language: Language, ahead: str, behind: str) -> None:
    records = arriving(off(7), off(-60))
    found_in = findings(AuditLog(records=tuple((record, True) for record in records)), SINCE, NOW, ZONE)
    assert len(found_in.people) == 2, "a record counts by the time that its source gave it"
    page = html(document(found_in, "obs (region-a)", ZONE), language).replace("<wbr />", "")
    assert ahead in page
    assert behind in page
    rows = content(found_in)["clocks"]
    assert sorted(row["offset_s"] for row in rows) == [-3600.0, 420.0]
    json.dumps(rows)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform_module, "load", lambda: SimpleNamespace(platform="obs", region="region-a"))
    monkeypatch.setattr(audit_command, "read", lambda _, start: log(access(), binding(Outcome.ALLOWED)))


def report(*arguments: str) -> Any:
    return CliRunner().invoke(audit_command.audit_app, ["report", *arguments])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("reading")
def test_the_report_is_written_as_page_and_as_pdf_in_both_languages(tmp_path: Path, language: Language) -> None:
    page, paper = tmp_path / "audit.html", tmp_path / "audit.pdf"
    done = report("--html", str(page), "--pdf", str(paper), "--lang", language)
    assert done.exit_code == 0, done.output
    assert f'<html lang="{language}">' in page.read_text()
    assert paper.read_bytes().startswith(b"%PDF-1.")
    assert paper.read_bytes().rstrip().endswith(b"%%EOF")
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [str(page), str(paper)]


def test_where_the_renderer_is_missing_one_line_says_so_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform_module, "load", lambda: pytest.fail("the outputs are read"))
    monkeypatch.delitem(sys.modules, "services.reports.pdf", raising=False)
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    done = report("--pdf", str(tmp_path / "audit.pdf"))
    assert isinstance(done.exception, OpsError)
    assert str(done.exception).startswith("--pdf needs WeasyPrint with Pango, as images/services/Dockerfile installs")
    assert "weasyprint" in str(done.exception)
    assert "\n" not in str(done.exception)
    assert done.output == ""


def test_a_library_of_the_system_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weasyprint.py").write_text("print('a page of text'); raise OSError('cannot load libpango-1.0-0')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "services.reports.pdf", raising=False)
    done = report("--pdf", str(tmp_path / "audit.pdf"))
    assert "missing: cannot load libpango-1.0-0: use --html" in str(done.exception)
    assert done.output == ""


@pytest.mark.usefixtures("reading")
def test_a_pdf_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = report("--pdf", str(tmp_path / "none" / "audit.pdf"))
    assert str(done.exception) == f"--pdf {tmp_path / 'none' / 'audit.pdf'}: No such file or directory"


def test_chained_records_of_one_time_have_no_clock_off() -> None:
    assert clocks_off(chained(access(), access()), SINCE) == []
