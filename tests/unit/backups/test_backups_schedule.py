"""When backups are made, and how old the newest may get, from lines of cron."""

from __future__ import annotations

import pytest

from components.backups.config import job_schedule, longest_gap_s, most_age_s

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("cron", "gap"),
    [
        ("5 * * * *", HOUR),
        ("*/15 * * * *", 15 * 60),
        ("0,10,40 * * * *", 30 * 60),
        ("20 3 * * *", DAY),
        ("0 8-18 * * *", 14 * HOUR),
        ("0 2/6 * * *", 6 * HOUR),
        ("0 3 * * 1", 7 * DAY),
        ("0 3 * * 1-5", 3 * DAY),
        ("0 3 * * 0", 7 * DAY),
        ("0 3 * * 7", 7 * DAY),
        ("0 3 1 * *", 31 * DAY),
        # Either kind of day is enough where both are limited.
        ("0 3 1 * 1", 7 * DAY),
        ("0 3 31 * *", 61 * DAY),
        ("0 3 29 2 *", 4 * 365 * DAY + DAY),
    ],
)
def test_the_longest_time_between_two_runs(cron: str, gap: int) -> None:
    assert longest_gap_s(cron) == gap


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("5 * * *", "it has 4 fields; it must be minute, hour, day of the month, month and day of the week"),
        ("60 * * * *", "'60' is not within 0 to 59"),
        ("5-2 * * * *", "'5-2' is not within 0 to 59"),
        ("5 * * jan *", "'jan' is none of a number"),
        ("@hourly * * * *", "'@hourly' is none of"),
        ("0 0 30 2 *", "it never comes true"),
        ("*/0 * * * *", "'*/0' is none of a number"),
    ],
)
def test_a_line_that_is_none_says_what_it_must_be(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^schedule '.*': {message.replace('*', '.')}"):
        longest_gap_s(cron)


@pytest.mark.parametrize("cron", ["5 * * * *", "*/15 * * * *", "20 3 * * *", "0 3 * * 1"])
def test_a_run_never_reaches_into_the_time_of_the_next_one(cron: str) -> None:
    schedule = job_schedule(cron)
    assert schedule.start_within_s + schedule.limit_s <= longest_gap_s(cron)


@pytest.mark.parametrize(("cron", "age"), [("5 * * * *", 2 * HOUR), ("20 3 * * *", 32 * HOUR)])
def test_people_are_told_once_a_run_is_missing_with_all_its_tries(cron: str, age: int) -> None:
    assert most_age_s(cron) == age


def test_a_run_needs_some_minutes() -> None:
    with pytest.raises(ValueError, match="it comes true every 60 s; allowed are 600 s or more"):
        job_schedule("* * * * *")
