"""Maintenance proves the audit log: the last two days daily, all of it monthly; a place that does not hold is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from ops.audit.log import DAYS, AuditLog
from ops.maintenance import check_functions
from ops.maintenance.check_functions import chain_holds
from ops.maintenance.checks import DAILY, MONTHLY
from tests.support import engine
from tests.unit.ops.test_maintain_check_functions import NOW, tools
from tests.unit.ops.test_ops_audit import access, log

PLATFORM = object()


def read_back(monkeypatch: pytest.MonkeyPatch, known: AuditLog) -> list[datetime]:
    """From when on the log was read."""
    starts: list[datetime] = []

    def read(platform: object, start: datetime) -> AuditLog:
        assert platform is PLATFORM
        starts.append(start)
        return known

    monkeypatch.setattr(check_functions, "read", read)
    return starts


def test_a_whole_chain_is_told_with_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = read_back(monkeypatch, log(access(), access()))
    finding = chain_holds(timedelta(days=2))(tools(SimpleNamespace(platform=PLATFORM)))
    assert (finding.wrong, finding.figures) == ([], ["2 records, 2026-11-27 12:00 to 2026-11-27 12:00 UTC"])
    assert starts == [NOW - timedelta(days=2)]


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        (log(access(), access(), access(), without=1), "chain of region-a, 2026-11-27 number 3: number 2 is missing"),
        (log(), "there is no record: does the audit log run?"),
        (log(access(), complete=False), "the audit log was not read to its end in time, so its chain is not proved"),
        (replace(log(access()), unreadable=2), "2 records have an unknown version"),
    ],
)
def test_what_is_no_proof_needs_somebody(monkeypatch: pytest.MonkeyPatch, known: AuditLog, problem: str) -> None:
    read_back(monkeypatch, known)
    assert chain_holds(timedelta(days=2))(tools(SimpleNamespace(platform=PLATFORM))).wrong == [problem]


def test_both_checks_name_the_command_and_a_section_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {check.id: check for check in (*DAILY, *MONTHLY)}
    page = (engine.CHECKOUT / "docs" / "audit.md").read_text()
    for name, days in (("audit", 2), ("audit-whole", DAYS)):
        starts = read_back(monkeypatch, log(access()))
        checks[name].run(tools(SimpleNamespace(platform=PLATFORM)))
        assert starts == [NOW - timedelta(days=days)]
        remedy = checks[name].remediation
        assert remedy.startswith("`ops audit check` names the places; docs/audit.md, ")
        assert f"## {remedy.split(chr(39))[1]}\n" in page
