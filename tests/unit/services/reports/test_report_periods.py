"""Periods: which days they have, and which one a report is about."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from services.reports.model import DAY, Kind, ReportError, chosen, period
from tests.unit.services.reports.harness import TOKYO, at


def test_a_day_a_week_and_a_month_begin_at_midnight_of_the_zone() -> None:
    day, week, month = (period(kind, date(2026, 11, 25), TOKYO) for kind in Kind)
    assert (day.name, day.start, day.seconds) == ("2026-11-25", at("2026-11-25 00:00"), DAY)
    assert (week.name, week.start, week.end) == ("2026-W48", at("2026-11-23 00:00"), at("2026-11-30 00:00"))
    assert (month.name, month.start, month.end) == ("2026-11", at("2026-11-01 00:00"), at("2026-12-01 00:00"))
    assert (month.first, month.last) == (date(2026, 11, 1), date(2026, 11, 30))


def test_a_week_belongs_to_its_iso_year() -> None:
    week = period(Kind.WEEKLY, date(2027, 1, 1), TOKYO)
    assert (week.name, week.year) == ("2026-W53", "2026")


def test_a_day_on_which_clocks_change_has_its_own_length() -> None:
    assert period(Kind.DAILY, date(2026, 10, 25), ZoneInfo("Europe/Berlin")).seconds == 25 * 3600


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.DAILY, "2026-11-24"), (Kind.WEEKLY, "2026-W47"), (Kind.MONTHLY, "2026-10")]
)
def test_without_a_day_the_last_period_that_is_over_is_meant(kind: Kind, name: str) -> None:
    last_period = chosen(kind, None, at("2026-11-25 07:00"), TOKYO)
    assert last_period.name == name
    assert last_period.end <= at("2026-11-25 07:00")
    assert last_period.before.end == last_period.start


def test_a_period_that_is_under_way_may_be_asked_for_and_one_that_has_not_begun_may_not() -> None:
    now = at("2026-11-25 07:00")
    assert chosen(Kind.DAILY, date(2026, 11, 25), now, TOKYO).name == "2026-11-25"
    with pytest.raises(ReportError, match="begins in the future; name a day up to 2026-11-25, in Asia/Tokyo"):
        chosen(Kind.DAILY, date(2026, 11, 26), now, TOKYO)
