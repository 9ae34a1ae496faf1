"""``ops audit``: what the report says of records, what is unusual, and the pages that it writes."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import yaml
from typer.testing import CliRunner

from ops.audit import command as audit_command
from ops.audit.log import AuditLog, Findings, Reading, Reason, findings, network_of, unusual
from ops.audit.report import _SOURCES, content, document
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from services.audit import Source
from services.audit.cluster import MOST_BODY_BYTES
from services.audit.records import GAP, Access, AuditRecord, Entry, Outcome, link_of, linked, note
from services.reports import LANGUAGES
from services.reports.model import Table
from services.reports.render import html
from tests.support import engine

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
ZONE = ZoneInfo("Asia/Tokyo")


def access(
    who: str = "carol",
    at: datetime = NOW - timedelta(days=1),
    *,
    origin: str = "10.0.0.1",
    action: str = "read trace",
    outcome: Outcome = Outcome.ALLOWED,
    **detail: str,
) -> Entry:
    told = Access(time=at, who=who, origin=origin, action=action, target="trace:00ff", outcome=outcome, detail=detail)
    return Entry(access=told, source=Source.TRACES, part="jaeger-query-confidential-0")


def chained(*entries: Entry) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for entry in entries:
        records.append(linked(entry, "region-a", link_of(records[-1]) if records else None, entry.access.time))
    return records


def log(*entries: Entry, without: int | None = None, complete: bool = True) -> AuditLog:
    records = [(record, True) for number, record in enumerate(chained(*entries)) if number != without]
    return AuditLog(records=tuple(records), complete=complete)


def seen(*entries: Entry, without: int | None = None, complete: bool = True) -> Findings:
    return findings(log(*entries, without=without, complete=complete), SINCE, NOW, ZONE)


def gap() -> Entry:
    told = note(GAP, "source:kafka", NOW - timedelta(hours=1), reason="the log was rotated while nobody read it")
    return Entry(access=told, source=Source.AUDIT, part="kafka-0")


def test_refusals_confidential_reads_and_gaps_are_told_apart() -> None:
    found_in = seen(
        access(clearance="confidential"),
        access("dave", clearance="public"),
        access("mallory", outcome=Outcome.REFUSED, clearance="confidential", repeated="7"),
        gap(),
    )
    assert [record.who for record in found_in.refused] == ["mallory"]
    assert [record.who for record in found_in.confidential] == ["carol"]
    assert [record.detail["reason"] for record in found_in.gaps] == ["the log was rotated while nobody read it"]
    told = content(found_in)
    assert {row["last"] for row in told["who"]} == {(NOW - timedelta(days=1)).isoformat()}
    assert {(row["who"], row["outcome"]): row["count"] for row in told["who"]} == {
        ("carol", "allowed"): 1,
        ("dave", "allowed"): 1,
        ("mallory", "refused"): 7,
    }
    assert told["broken"] == []
    json.dumps(told)


def test_records_before_the_period_are_what_is_known_and_not_told() -> None:
    before = [access(at=SINCE - timedelta(days=day)) for day in (3, 2, 1)]
    found_in = seen(*before, access(origin="192.0.2.9"))
    assert len(found_in.people) == 1
    assert [strange.reason for strange in found_in.unusual] == [Reason.NETWORK]


def test_a_new_network_is_unusual_once_and_a_new_user_is_not() -> None:
    start = NOW - timedelta(days=2)
    records = chained(
        access(at=start),
        access(at=start + timedelta(minutes=1), origin="10.0.0.200"),
        access(at=start + timedelta(minutes=2), origin="192.0.2.9"),
        access(at=start + timedelta(minutes=3), origin="192.0.2.10"),
        access("dave", at=start + timedelta(minutes=4), origin="198.51.100.1"),
        access("-", at=start + timedelta(minutes=5), origin="203.0.113.1"),
    )
    assert [(strange.record.origin, strange.reason) for strange in unusual(records, SINCE, ZONE)] == [
        ("192.0.2.9", Reason.NETWORK)
    ]


def test_an_hour_is_unusual_once_enough_is_known() -> None:
    noon = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)  # 12 in Tokyo
    usual = [access(at=noon + timedelta(days=day % 5, minutes=day)) for day in range(20)]
    night = access(at=datetime(2026, 11, 20, 17, 0, tzinfo=UTC))
    near = access(at=datetime(2026, 11, 21, 2, 0, tzinfo=UTC))
    ordered = sorted([*usual, night, near], key=lambda entry: entry.access.time)
    assert [(strange.record.time, strange.reason) for strange in unusual(chained(*ordered), SINCE, ZONE)] == [
        (night.access.time, Reason.HOUR)
    ]
    assert unusual(chained(*usual[:5], night), SINCE, ZONE) == []


def visits(days: int, daily: int, last: int) -> list[Entry]:
    """Accesses on so many days before the period, then on one day of it, all at the same hour."""
    begin = SINCE - timedelta(days=days)
    before = [access(at=begin + timedelta(days=day, seconds=number)) for day in range(days) for number in range(daily)]
    return [*before, *(access(at=SINCE + timedelta(days=2, seconds=number)) for number in range(last))]


def test_a_day_with_far_more_accesses_than_any_before_is_unusual_once() -> None:
    strange = unusual(chained(*visits(days=5, daily=30, last=200)), SINCE, ZONE)
    assert [(one.record.time, one.reason) for one in strange] == [
        (SINCE + timedelta(days=2, seconds=150), Reason.VOLUME)
    ]


@pytest.mark.parametrize(
    ("days", "daily", "last", "why"),
    [
        (4, 30, 200, "too few days are known"),
        (5, 30, 150, "no more than five times as many"),
        (5, 1, 99, "too few to mean anything"),
    ],
)
def test_a_day_with_more_accesses_is_not_unusual(days: int, daily: int, last: int, why: str) -> None:
    assert unusual(chained(*visits(days, daily, last)), SINCE, ZONE) == [], why


def test_an_access_that_stands_for_many_counts_as_many() -> None:
    entries = [*visits(days=5, daily=2, last=1), access(at=SINCE + timedelta(days=2, minutes=1), repeated="100")]
    assert [one.reason for one in unusual(chained(*entries), SINCE, ZONE)] == [Reason.VOLUME]


@pytest.mark.parametrize(
    ("source", "who", "action", "detail", "is_one"),
    [
        (Source.DATABASE, "postgres", "log in", {}, True),
        (Source.DATABASE, "grafana", "log in", {}, False),
        (Source.GRAFANA, "platform-administrator", "change", {}, True),
        (Source.GRAFANA, "carol", "change", {}, False),
        (Source.GRAFANA, "postgres", "query", {}, False),
        (Source.SEARCH, "search-admin", "delete", {}, True),
        (Source.SEARCH, "operator", "read", {}, False),
        (Source.CLUSTER, "admin", "delete", {"group": "system:masters"}, True),
        (Source.CLUSTER, "carol", "delete", {}, False),
        (Source.CLUSTER, "carol", "exec", {}, True),
        (Source.CLUSTER, "carol", "read log", {}, False),
        (Source.OPS, "carol", "ops open metrics", {"arguments": "--direct"}, True),
        (Source.OPS, "carol", "ops open metrics", {"arguments": ""}, False),
        (Source.OPS, "carol", "ops alerts", {"arguments": "--direct"}, False),
        (Source.KAFKA, "postgres", "alter", {}, False),
    ],
)
@pytest.mark.parametrize("outcome", [Outcome.ALLOWED, Outcome.REFUSED])
def test_what_goes_past_the_rights_of_people_is_break_glass_access(
    source: Source, who: str, action: str, detail: dict[str, str], is_one: bool, outcome: Outcome
) -> None:
    entry = replace(access(who, action=action, outcome=outcome, **detail), source=source)
    found_in = seen(entry)
    assert [record.who for record in found_in.break_glass] == ([who] if is_one else [])
    assert len(content(found_in)["break_glass"]) == is_one


def test_the_page_has_a_row_for_equal_break_glass_accesses() -> None:
    entries = [
        replace(access("admin", action="patch", group="system:masters", repeated=times), source=Source.CLUSTER)
        for times in ("3", "4")
    ]
    [section] = [
        section
        for section in document(seen(*entries), "obs", ZONE).sections
        if section.title.en == "Break-glass access"
    ]
    [table] = section.blocks
    assert isinstance(table, Table)
    assert [[cell.text.en for cell in row][:6] for row in table.rows] == [
        ["admin", "10.0.0.1", "Kubernetes API", "patch", "allowed", "7"]
    ]


@pytest.mark.parametrize(
    ("origin", "network"),
    [("10.1.2.3", "10.1.2.0/24"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("desk", "desk"), ("-", "-")],
)
def test_networks_of_addresses_and_machines(origin: str, network: str) -> None:
    assert network_of(origin) == network


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_names_who_what_and_a_broken_chain_and_loads_nothing(language: str) -> None:
    found_in = seen(
        access("<b>mallory</b>", outcome=Outcome.REFUSED),
        access(),
        access(clearance="confidential"),
        gap(),
        without=1,
        complete=False,
    )
    [broken] = found_in.broken
    page = html(document(found_in, "obs (region-a)", ZONE), "ja" if language == "ja" else "en")
    assert "&lt;b&gt;mallory" in page
    assert "<b>mallory" not in page
    assert str(broken.sequence) in page
    assert ("The chain does not hold" if language == "en" else "ハッシュチェーンの異常") in page
    assert "://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize("source", Source)
def test_the_page_names_each_source_in_both_languages(source: Source) -> None:
    name = _SOURCES[source]
    for language, text in (("en", name.en), ("ja", name.ja)):
        entry = replace(access(outcome=Outcome.REFUSED), source=source)
        page = html(document(seen(entry, gap()), "obs (region-a)", ZONE), language)
        assert (text in page) is (source is not Source.AUDIT)


def test_a_whole_chain_is_said_to_be_whole() -> None:
    page = html(document(seen(access(), access()), "obs (region-a)", ZONE), "en")
    assert "every chain holds" in page


@pytest.mark.parametrize(("without", "code"), [(None, 0), (1, 1)])
def test_check_ends_with_1_where_a_record_is_missing(
    monkeypatch: pytest.MonkeyPatch, without: int | None, code: int
) -> None:
    monkeypatch.setattr(platform_module, "load", lambda: None)
    monkeypatch.setattr(audit_command, "read", lambda _, start: log(access(), access(), access(), without=without))
    done = CliRunner().invoke(audit_command.audit_app, ["check", "--since", "40d"])
    assert done.exit_code == code, done.output
    assert ("is missing" in done.output) == bool(code)


def read_by(records: list[AuditRecord], *, whole: bool = True, now: datetime = NOW) -> AuditLog:
    how = Reading(region="region-a", start=NOW - timedelta(days=400), now=now, whole=whole)
    return AuditLog(records=tuple((record, True) for record in records), reading=how)


def test_oldest_records_that_were_removed_before_their_time_are_a_break() -> None:
    records = chained(*(access(at=NOW - timedelta(minutes=minutes)) for minutes in (50, 35, 20, 5)))
    assert read_by(records).broken == []
    [broken] = read_by(records[2:]).broken
    assert (broken.sequence, broken.problem) == (3, "the records before it were removed before their time")
    assert read_by(records[2:], whole=False).broken == [], "older ones are there and were not asked for"
    old = chained(*(access(at=NOW - timedelta(days=400, minutes=minutes)) for minutes in (15, 0)))
    rest = linked(access(at=NOW), "region-a", link_of(old[-1]), NOW)
    assert read_by([old[-1], rest]).broken == [], "past retention"


def test_a_chain_whose_newest_record_is_old_lacks_its_end() -> None:
    records = chained(access(at=NOW - timedelta(hours=2)))
    other = linked(access(at=NOW), "region-b", None, NOW)
    [broken] = read_by([*records, other]).broken
    assert (broken.region, broken.problem) == ("region-a", "nothing follows it since 2026-11-28 10:00 UTC")
    assert read_by([*records, other], now=NOW - timedelta(hours=1, minutes=5)).broken == []


def test_a_report_of_records_that_cannot_be_read_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform_module, "load", lambda: SimpleNamespace(platform="obs", region="region-a"))
    monkeypatch.setattr(audit_command, "read", lambda _, start: replace(log(access()), unreadable=1))
    done = CliRunner().invoke(audit_command.audit_app, ["report", "--html", str(tmp_path / "audit.html")])
    assert done.exit_code == 1, done.output


def test_a_report_needs_a_place_to_go_to(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(audit_command.audit_app, ["report"])
    assert str(done.exception) == (
        "nothing to write: name a file with --html or --pdf, or print for machines with --json"
    )


def test_the_files_of_an_api_server_agree_with_each_other_and_with_the_stacks_secret(tmp_path: Path) -> None:
    arguments = ["cluster", str(tmp_path / "files"), "--namespace", "obs", "--address"]
    result = CliRunner().invoke(audit_command.audit_app, [*arguments, "10.96.0.30"])
    assert result.exit_code == 0
    flags = dict(line.split("=", 1) for line in result.stdout.splitlines())
    policy, webhook = (
        yaml.safe_load((tmp_path / "files" / Path(flags[flag]).name).read_text())
        for flag in ("--audit-policy-file", "--audit-webhook-config-file")
    )
    secret = json.loads((tmp_path / "files" / "secrets.json").read_text())
    [server], [user] = webhook["clusters"], webhook["users"]
    assert server["cluster"]["server"] == "https://10.96.0.30:8444/cluster"
    assert base64.b64decode(server["cluster"]["certificate-authority-data"]).decode() == secret["certificate"]
    assert user["user"]["token"] == secret["token"]
    assert {rule["level"] for rule in policy["rules"]} == {"None", "Metadata"}, "content is never posted"
    assert int(flags["--audit-webhook-truncate-max-batch-size"]) < MOST_BODY_BYTES
    text = (engine.CHECKOUT / "docs" / "audit.md").read_text()
    assert [flag for flag in result.stdout.splitlines() if flag not in text] == []
    refused = CliRunner().invoke(audit_command.audit_app, [*arguments, "audit.obs.svc"])
    assert isinstance(refused.exception, OpsError)
