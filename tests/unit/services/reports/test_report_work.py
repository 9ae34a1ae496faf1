"""What the monthly report says of work that was done, and of backups that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import pytest

from services.reports import maintenance
from services.reports.metrics import QueryRunner, Sample, Series, make_runner
from services.reports.model import Kind, Paragraph, Table, period, translate
from services.reports.records import MOST, NoWork, StoredWork, Work, WorkLog, WorkRecord, read
from tests.unit.services.reports.events import Done
from tests.unit.services.reports.harness import DAY, HOUR, TOKYO, at

START, END = at("2026-11-01 00:00"), at("2026-12-01 00:00")


def record(day: int = 24, **changed: object) -> WorkRecord:
    content = {"work": "maintenance", "name": "daily", "started": datetime(2026, 11, day, 23, 30, tzinfo=UTC)}
    return WorkRecord.model_validate({**content, "recorded_by": "tanaka@desk", "checks": 17, **changed})


@dataclass
class Bucket:
    """Objects below the prefix of the reports."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def names(self, below: str = "") -> list[tuple[str, datetime]]:
        return [(name, datetime.now(UTC)) for name in reversed(self.objects) if name.startswith(below)]

    def get(self, name: str) -> bytes | None:
        return self.objects.get(name)


def bucket(*records: WorkRecord) -> Bucket:
    return Bucket({record.key: record.model_dump_json().encode() for record in records})


def test_records_of_the_period_are_read_oldest_first() -> None:
    # 23:30 UTC of the last of October is in November in Tokyo, and that of the last of November in December.
    first = record(started=datetime(2026, 10, 31, 23, 30, tzinfo=UTC))
    before = record(started=datetime(2026, 10, 31, 14, 59, tzinfo=UTC))
    drill = record(10, work="drill", name="two-brokers", checks=0, problems=("lost 3",))
    stored = bucket(record(30), drill, first, before, record(24))
    stored.objects["daily/2026/2026-11-24.ja.html"] = b"<p>"
    work = StoredWork(stored).work(START, END)
    assert work.records == [first, drill, record(24)]
    assert (work.of("drill"), work.of("maintenance")) == ([drill], [first, record(24)])
    assert (work.unreadable, work.beyond) == ([], 0)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", record(23).model_dump_json().encode(), b'{"work": "maintenance", "name": "daily"}']
)
def test_a_record_that_is_none_or_of_another_run_is_named(content: bytes) -> None:
    stored = bucket(record(20))
    stored.objects[record(24).key] = content
    work = read(stored, START, END)
    assert work.records == [record(20)]
    assert work.unreadable == [record(24).key]


def test_keys_that_are_no_time_are_passed_over() -> None:
    names = ("records/20261399T000000Z-drill-broker.json", "records/README", "records/20261124T000000Z-other-x.json")
    work = read(Bucket(dict.fromkeys(names, b"{}")), START, END)
    assert (work.records, work.unreadable, work.beyond) == ([], [], 0)


def test_more_records_than_are_read_are_counted() -> None:
    many = [record(work="drill", name=f"drill-{number:04}") for number in range(MOST + 2)]
    work = read(bucket(*many), START, END)
    assert (len(work.records), work.beyond) == (MOST, 2)


@dataclass
class Metrics:
    """Answers by expression; nothing to any other question."""

    answers: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def instant(self, expression: str, at: float) -> list[Sample]:
        return list(self.answers.get(expression, ()))

    def range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        return []


def runner(**values: Mapping[str, float]) -> QueryRunner:
    """Questions about November, to who knows some values by kind or family."""
    label = {"FAMILY_SIZE": "family"}
    answers = {
        getattr(maintenance, name).expr: [
            Sample(labels={label.get(name, "kind"): key}, value=value) for key, value in by.items()
        ]
        for name, by in values.items()
    }
    return make_runner(Metrics(answers), period(Kind.MONTHLY, date(2026, 11, 1), TOKYO), END + DAY)


def tables(questions: QueryRunner, work: WorkLog | None = None) -> dict[str, list[list[str]]]:
    """Title -> rows."""
    blocks = maintenance.section(questions, work or Done()).blocks
    return {
        block.title.en: [[cell.text.en for cell in row] for row in block.rows]
        for block in blocks
        if isinstance(block, Table)
    }


DUE = "backup_due_timestamp_seconds"
FAMILIES = {"logs": 4e9}


@pytest.mark.parametrize(
    ("due", "families", "tasks"),
    [
        ({"search": END + HOUR, "database": END + HOUR}, FAMILIES, []),
        (
            {"search": END - 3 * HOUR, "database": END + HOUR},
            FAMILIES,
            [["A backup of kind search is missing: look at the runbook BackupTooOld", DUE, "late by 3 h"]],
        ),
        (
            {"database": END + HOUR},
            FAMILIES,
            [["Traces and logs are in no backup: set `backups.search` to `export` in the stack file", DUE, "-"]],
        ),
        ({"database": END + HOUR}, {}, []),
        ({}, FAMILIES, [["Nothing is known of backups: look at the backup exporter", DUE, "-"]]),
    ],
)
def test_a_backup_that_is_missing_is_a_task_and_no_other(
    due: Mapping[str, float], families: Mapping[str, float], tasks: list[list[str]]
) -> None:
    newest = {kind: time - 26 * HOUR for kind, time in due.items()}
    questions = runner(BACKUP_DUE=due, BACKUP_NEWEST=newest, FAMILY_SIZE=families)
    assert tables(questions)[translate("maintenance.tasks").en] == tasks


def test_backups_that_nobody_makes_any_more_are_listed_and_no_backup_of_today() -> None:
    questions = runner(
        BACKUP_NEWEST={"search": END - 9 * DAY}, BACKUP_DUE={"database": END + HOUR}, FAMILY_SIZE=FAMILIES
    )
    shown = tables(questions)
    assert shown[translate("maintenance.backups").en] == [
        ["database", "-", "-", "-", "2026-12-01 01:00"],
        ["search", "2026-11-22 00:00", "9 d", "-", "-"],
    ]
    assert len(shown[translate("maintenance.tasks").en]) == 1


def test_what_was_not_recorded_is_said_so() -> None:
    blocks = maintenance.section(runner(), Done()).blocks
    by_title = {block.title.en: block for block in blocks if isinstance(block, Table)}
    runs = by_title[translate("maintenance.runs").en]
    assert (runs.rows, runs.empty) == ((), translate("maintenance.no-runs"))
    assert runs.note is not None
    assert "30 of 30" in runs.note.en


def test_records_that_cannot_be_read_are_a_problem_and_no_empty_list() -> None:
    questions = runner()
    blocks = maintenance.section(questions, NoWork("object storage: records: AccessDenied")).blocks
    assert [block.text for block in blocks if isinstance(block, Paragraph)] == [translate("maintenance.work-unread")]
    assert translate("maintenance.runs").en not in tables(questions, NoWork())
    assert questions.problems[0].en == "Maintenance and drills: object storage: records: AccessDenied"


def test_records_that_are_none_and_those_beyond_are_problems() -> None:
    questions = runner()
    tables(questions, Done(Work(unreadable=["records/x.json"], beyond=7)))
    assert [problem.en for problem in questions.problems] == [
        "records/x.json is no record of maintenance or a drill",
        "Maintenance and drills: 7 records beyond 500 were left out",
    ]
