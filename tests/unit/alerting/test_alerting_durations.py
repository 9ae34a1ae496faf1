"""Durations: read, written and divided."""

from __future__ import annotations

import pytest

from components.alerting.escalation import divided, duration, milliseconds, split


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1d", 86_400_000),
        ("1w", 604_800_000),
        ("1y1ms", 31_536_000_001),
    ],
)
def test_a_duration_is_read(text: str, length: int) -> None:
    assert milliseconds(text) == length


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "1.5h", "30m1h", "-5m", "5min", "5m "])
def test_what_is_no_duration_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration: write for example 30s, 5m or 1h30m") as caught:
        milliseconds(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0s", "250ms", "1m30s", "5m", "4h30s", "1d1h1ms"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert duration(milliseconds(text)) == text


def test_a_negative_length_is_no_duration() -> None:
    with pytest.raises(ValueError, match="not negative"):
        split(-1)


@pytest.mark.parametrize(
    ("text", "short"), [("5m", "5s"), ("30m", "30s"), ("4h", "4m"), ("10s", "167ms"), ("0s", "0s")]
)
def test_a_duration_is_divided(text: str, short: str) -> None:
    assert divided(text, 60) == short


@pytest.mark.parametrize("divisor", [0, -60])
def test_a_divisor_is_positive(divisor: int) -> None:
    with pytest.raises(ValueError, match="take 1 or more"):
        divided("5m", divisor)
