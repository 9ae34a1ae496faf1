"""Which silences are made, renewed and ended, and which alerts a handed-over one is about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.failover_agent.alertmanager import (
    LENGTH,
    CreateSilence,
    ExpireSilence,
    StoredSilence,
    body,
    handed_over,
    matches,
    operator_silences,
    over,
    silenced,
    steps,
)
from services.regions import HANDOVER_AUTHOR
from tests.unit.services.failover_agent.contents import NOW, answered, held, matcher

ALERT = {"alertname": "CpuHigh", "alert_id": "CpuHigh/host=a", "layer": "business"}


def test_a_silence_is_made_once_lasts_thirty_days_and_counts_at_once() -> None:
    [step] = steps([], silent=True, now=NOW)
    assert isinstance(step, CreateSilence)
    assert step == CreateSilence(ends=NOW + LENGTH, id=None, starts=NOW - timedelta(minutes=10))
    silence = answered(body(step, "region-a"))
    assert silenced([silence])
    assert steps([silence], silent=True, now=NOW) == []


def test_it_is_renewed_in_place_when_less_than_29_days_are_left() -> None:
    there = held("mine", ends_at=NOW + timedelta(days=29))
    assert steps([there], silent=True, now=NOW) == []
    later = NOW + timedelta(seconds=1)
    assert steps([there], silent=True, now=later) == [CreateSilence(ends=later + LENGTH, id="mine", starts=NOW)]
    assert steps([there, held("other")], silent=True, now=later) == []
    assert body(CreateSilence(ends=later, id="mine", starts=NOW), "region-a")["id"] == "mine"


@pytest.mark.parametrize(
    "other",
    [
        held(state="expired"),
        held(state="pending"),
        held(created_by="anna"),
        held(matchers=(matcher("layer=~.*"),)),
        held(matchers=(matcher("layer=~.+"), matcher("severity=low"))),
    ],
)
def test_what_looks_alike_does_not_count(other: StoredSilence) -> None:
    assert not silenced([other])
    [step] = steps([other], silent=True, now=NOW)
    assert isinstance(step, CreateSilence)
    assert step.id is None


def test_every_silence_of_a_failover_agent_is_ended_and_nobody_elses() -> None:
    silences = [
        held("one"),
        held("two", state="pending"),
        held("old", matchers=(matcher("layer=device"),)),
        held("over", state="expired"),
        held("annas", created_by="anna"),
        held("told", created_by=HANDOVER_AUTHOR),
    ]
    assert steps(silences, silent=False, now=NOW) == [
        ExpireSilence(id="one"),
        ExpireSilence(id="two"),
        ExpireSilence(id="old"),
    ]


def test_people_are_those_who_are_no_program() -> None:
    silences = [
        held("guards"),
        held("told", created_by=HANDOVER_AUTHOR),
        held("annas", created_by="anna"),
        held("planned", created_by="anna", state="pending"),
        held("over", created_by="anna", state="expired"),
    ]
    assert [silence.id for silence in operator_silences(silences)] == ["annas", "planned"]
    assert list(handed_over(silences)) == ["told"]


@pytest.mark.parametrize(
    ("matchers", "labels", "expected"),
    [
        (("alert_id=CpuHigh/host=a", "escalation=", "layer=~.+"), {}, True),
        (("alert_id=CpuHigh/host=a", "escalation=", "layer=~.+"), {"escalation": "senior-manager"}, False),
        (("alert_id=CpuHigh/host=a", "escalation=senior-manager"), {"escalation": "senior-manager"}, True),
        (("alert_id=CpuHigh/host=b", "escalation="), {}, False),
        (("layer=~bus",), {}, False),
        (("layer=~(",), {}, True),
    ],
)
def test_an_alert_meets_all_matchers_or_none_of_it(
    matchers: tuple[str, ...], labels: dict[str, str], expected: bool
) -> None:
    silence = held(matchers=tuple(matcher(text) for text in matchers)).silence
    assert matches(silence, {**ALERT, **labels}) is expected


def test_what_no_alert_meets_is_over() -> None:
    def told(id: str, alert: str) -> Any:
        return held(id, matchers=(matcher(f"alert_id={alert}"), matcher("layer=~.+"))).silence

    silences = [told("fires", "CpuHigh/host=a"), told("ended", "CpuHigh/host=b")]
    assert over(silences, [ALERT]) == {"ended"}
    assert over(silences, []) == {"fires", "ended"}
