"""Durations as text: those of Prometheus, and those that options take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ops.alerts.silences import duration
from ops.core.errors import OpsError
from ops.core.prometheus_text import seconds, seconds_of_option


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("30d", 2_592_000.0), ("1h30m", 5400.0), ("15s", 15.0), ("400d", 34_560_000.0)),
        *(("250ms", 0.25), ("2w", 1_209_600.0), ("1y", 31_536_000.0), ("0", 0.0), ("0s", 0.0)),
    ],
)
def test_durations_are_read_as_prometheus_writes_them(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "30", "d30", "30days", "1.5h", "-1h", "1h 30m", "２h", f"{'9' * 13}d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(OpsError, match="is no duration: write for example 30s, 5m or 1h30m"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"), [("1s", 1), ("90s", 90), ("15m", 900), ("2h", 7200), ("168h", 604_800), ("7d", 604_800)]
)
def test_an_option_takes_one_number_with_a_unit(text: str, value: int) -> None:
    assert seconds_of_option("--since", text) == value


@pytest.mark.parametrize(
    "text", ["", "15", "m", "8d", "169h", "0m", "-1m", "1w", "1h30m", "250ms", "2 h", "1.5h", "２h", f"{'9' * 13}d"]
)
def test_an_option_out_of_bounds_is_refused_with_them(text: str) -> None:
    said = r"--since is .*, must be a number with s, m, h or d from 1s to 7d, for example 15m"
    with pytest.raises(OpsError, match=said):
        seconds_of_option("--since", text)


@pytest.mark.parametrize(
    ("text", "allowed"), [("59s", False), ("60s", True), ("1m", True), ("30d", True), ("31d", False)]
)
def test_bounds_belong_to_what_is_allowed(text: str, allowed: bool) -> None:
    if allowed:
        assert seconds_of_option("--range", text, shortest="60s", longest="30d") == seconds(text)
        return
    with pytest.raises(OpsError, match="from 60s to 30d"):
        seconds_of_option("--range", text, shortest="60s", longest="30d")


@pytest.mark.parametrize(
    ("text", "length"),
    [("90m", timedelta(minutes=90)), ("2h", timedelta(hours=2)), ("7d", timedelta(days=7))],
)
def test_a_silence_lasts_as_long_as_it_is_written(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "2", "0m", "59s", "169h", "9999999d"])
def test_a_silence_of_another_length_is_refused(text: str) -> None:
    with pytest.raises(OpsError, match=r"--for is .* from 1m to 7d, for example 2h"):
        duration(text)


def test_the_upper_limit_of_silences_is_an_option_with_a_limit_of_its_own() -> None:
    assert duration("169h", "8d") == timedelta(hours=169)
    for longest in ("soon", "366d"):
        with pytest.raises(OpsError, match=r"--longest is .* from 1m to 365d, for example 7d"):
            duration("2h", longest)
