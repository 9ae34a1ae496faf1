"""When the first of something is due: the next time of a line of cron, and until when a young platform waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from components.backups.config import next_time
from ops.checks.grace_period import first_run
from ops.core.kube import CronJob
from ops.core.rows import Finding

TOKYO = ZoneInfo("Asia/Tokyo")
FRIDAY = datetime(2026, 11, 27, 17, 5, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("cron", "at"),
    [
        ("10 6 * * *", datetime(2026, 11, 28, 6, 10, tzinfo=TOKYO)),
        ("5 * * * *", datetime(2026, 11, 27, 18, 5, tzinfo=TOKYO)),
        ("*/10 17 * * *", datetime(2026, 11, 27, 17, 10, tzinfo=TOKYO)),
        ("30 6 * * 1", datetime(2026, 11, 30, 6, 30, tzinfo=TOKYO)),
        ("50 6 1 * *", datetime(2026, 12, 1, 6, 50, tzinfo=TOKYO)),
        ("0 0 13 * 5", datetime(2026, 12, 4, 0, 0, tzinfo=TOKYO)),
        ("0 0 29 2 *", datetime(2028, 2, 29, 0, 0, tzinfo=TOKYO)),
    ],
)
def test_the_next_time_of_a_line_of_cron_is_in_its_time_zone(cron: str, at: datetime) -> None:
    assert next_time(cron, FRIDAY) == at


@pytest.mark.parametrize("cron", ["0 0 31 2 *", "nonsense", "61 * * * *"])
def test_a_line_that_never_comes_true_is_one_line(cron: str) -> None:
    with pytest.raises(ValueError, match=r"^schedule "):
        next_time(cron, FRIDAY)


def job(created: datetime, cron: str = "* * * * *") -> CronJob:
    return CronJob(name="job", cron=cron, time_zone="UTC", created=created, suspended=False)


def test_a_first_run_is_waited_for_as_long_as_it_may_be_late() -> None:
    created = datetime.now(UTC) - timedelta(minutes=30)
    waiting, late = Finding(), Finding()
    first_run(waiting, job(created), timedelta(hours=1), "first backup", "no backup", "make it")
    first_run(late, job(created), timedelta(minutes=10), "first backup", "no backup", "make it")
    [wait] = waiting.waits
    assert (wait.what, wait.command, waiting.wrong) == ("first backup", "make it", [])
    assert created < wait.due <= created + timedelta(minutes=1)
    assert late.waits == []
    assert late.wrong[0].startswith("no backup: the first was due at ")


def test_a_job_that_is_not_there_or_suspended_is_no_reason_to_wait() -> None:
    none, suspended = Finding(), Finding()
    first_run(none, None, timedelta(hours=1), "first backup", "no backup")
    assert none.wrong == ["no backup, and no job creates one"]
    asleep = CronJob(name="job", cron="* * * * *", time_zone="UTC", created=FRIDAY, suspended=True)
    first_run(suspended, asleep, timedelta(hours=1), "first backup", "no backup")
    assert (suspended.wrong, suspended.waits) == ([], [])
    assert suspended.seen == ["first backup: created by the other region, since this one is standby"]
