"""Checks of a maintenance as data: complete and documented; limits that judge values."""

from __future__ import annotations

import math
import re

import pytest

from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.core.web import Sample
from ops.maintenance.checks import OWN, checks, chosen
from ops.maintenance.model import Metric, Period, Unit

DOCUMENT = (PROJECT / "docs/operations/maintenance.md").read_text(encoding="utf-8")


def test_a_longer_period_holds_the_shorter_ones() -> None:
    daily, weekly, monthly = ([check.id for check in checks(period)] for period in Period)
    assert weekly[: len(daily)] == daily
    assert monthly[: len(weekly)] == weekly
    assert len(set(monthly)) == len(monthly), "an id names one check"


def test_every_check_says_what_it_asks_and_what_to_do() -> None:
    for check in checks(Period.MONTHLY):
        told = check.as_json()
        assert all(told.values()), check.id
        assert "\n" not in "".join(told.values())
        assert not check.remediation.endswith("."), check.id


def test_pages_that_advice_names_are_there() -> None:
    named = {page for check in checks(Period.MONTHLY) for page in re.findall(r"docs/[\w/-]+\.md", check.remediation)}
    assert len(named) > 10
    assert {page for page in named if not (PROJECT / page).is_file()} == set()


@pytest.mark.parametrize("period", list(Period))
def test_every_check_is_in_the_document_under_its_period(period: Period) -> None:
    section = DOCUMENT.partition(f"## {period.value.capitalize()}\n")[2].partition("\n## ")[0]
    for check in OWN[period]:
        assert f"| `{check.id}` |" in section, check.id


def test_what_the_requirements_list_is_looked_at() -> None:
    wanted = {
        Period.DAILY: {"pods", "alerts", "dashboards"},
        Period.WEEKLY: {"kafka-disk", "prometheus-retention"},
        Period.MONTHLY: {"backups-whole", "restore-drill", "dr-drill", "queries"},
    }
    for period, names in wanted.items():
        assert names <= {check.id for check in checks(period)}


def test_only_some_checks_can_be_chosen() -> None:
    assert [check.id for check in chosen(checks(Period.DAILY), " alerts, pods ")] == ["pods", "alerts"]
    with pytest.raises(OpsError, match="--only: no check alarm: use some of pods"):
        chosen(checks(Period.DAILY), "alarm")


def samples(**values: float) -> list[Sample]:
    return [Sample(labels={"job": name}, time=0.0, value=value) for name, value in values.items()]


def test_the_worst_value_is_shown_and_all_beyond_the_limit_are_named() -> None:
    query = Metric(expression="x", limit=0.75, unit=Unit.SHARE, labels=("job",))
    good = query.judge(samples(a=0.2, b=0.75))
    assert (good.figures, good.wrong) == (["b 75.0 %, worst of 2"], [])
    bad = query.judge(samples(a=0.2, b=0.8, c=0.9))
    assert bad.wrong == ["c 90.0 %, b 80.0 %: must be at most 75.0 %"]


def test_a_least_is_judged_from_below() -> None:
    query = Metric(expression="x", limit=86_400, unit=Unit.SECONDS, least=True, labels=("job",))
    assert query.judge(samples(a=86_400)).wrong == []
    assert (
        query.judge(samples(a=86_399, b=1e6)).wrong == ["a 1 d 0 h: must be at least 1 d 0 h"]
        or query.judge(samples(a=86_399)).wrong
    )


def test_what_is_no_number_is_never_good() -> None:
    query = Metric(expression="x", limit=1, labels=("job",))
    finding = query.judge(samples(a=0, b=math.nan))
    assert finding.wrong
    assert "b nan" in finding.wrong[0]


def test_no_answer_is_a_problem_unless_it_means_something() -> None:
    assert Metric(expression="x", limit=1).judge([]).wrong == ["no series answers: nobody measures it"]
    quiet = Metric(expression="x", limit=1, none="every target answers").judge([])
    assert (quiet.figures, quiet.wrong) == (["every target answers"], [])


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (Unit.NUMBER, 5000, "5,000"),
        (Unit.NUMBER, 0.5, "0.50"),
        (Unit.SHARE, 0.123, "12.3 %"),
        (Unit.SECONDS, 7200, "2 h"),
        (Unit.SECONDS, 5, "5 s"),
        (Unit.SECONDS, -90, "-2 min"),
    ],
)
def test_values_are_written_for_people(unit: Unit, value: float, text: str) -> None:
    assert unit.text(value) == text


def test_many_that_are_beyond_are_counted() -> None:
    query = Metric(expression="x", limit=0, labels=("job",))
    finding = query.judge(samples(**{f"job{number}": 1.0 for number in range(10)}))
    assert "and 4 more: must be at most 0" in finding.wrong[0]
