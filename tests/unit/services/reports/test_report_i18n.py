"""Texts: every one is there in both languages, and values are written as people read them."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

import services.reports
from components.telemetry.catalogue import Metric
from components.telemetry.layers import BUSINESS
from components.telemetry.naming import Kind as Instrument
from components.telemetry.thresholds import SLOS
from services.reports.model import TEXTS, Kind, Text, amount, change, duration, moment, share, translate
from services.reports.queries import CAPACITIES, COUNTS, KPIS, MAIN, OBJECTIVES, PLACES, further
from services.reports.recommendations import RULES
from tests.unit.services.reports.harness import TOKYO, at

FOLDER = Path(services.reports.__file__).parent
_JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")
_SAME = {"fact.period", "problem.query", "mail.subject", "capacity.on", "chart.description"}
"""Words that are placeholders and signs only."""
_FAMILIES = {
    "kpi.": {kpi.name for kpi in KPIS if not kpi.further},
    "count.": {count.name for count in COUNTS},
    "capacity.": {capacity.name for capacity in CAPACITIES},
    "recommend.": {rule.name for rule in RULES},
    "place.": set(PLACES),
    "priority.": {"critical", "high", "medium", "low"},
    "title.": {kind.value for kind in Kind},
    "kind.": {kind.value for kind in Kind},
    "maintenance.": {kind.value for kind in Kind},
}


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def keys_used() -> set[str]:
    """Every text in the code and the templates that is spelt like a key."""
    keys: set[str] = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TEXTS:
                keys.add(node.value)
    for path in (FOLDER / "templates").iterdir():
        keys |= set(re.findall(r'translate\("([a-z.-]+)"[,)]', path.read_text(encoding="utf-8")))
    return keys


@pytest.mark.parametrize("key", TEXTS)
def test_words_are_there_in_both_languages_with_the_same_placeholders(key: str) -> None:
    english, japanese = TEXTS[key]
    assert english.strip() == english != ""
    assert japanese.strip() == japanese != ""
    assert placeholders(english) == placeholders(japanese)
    assert not _JAPANESE.search(english)
    assert _JAPANESE.search(japanese) or key in _SAME


def test_no_word_is_missing_and_none_is_left_over() -> None:
    families = {prefix + name for prefix, names in _FAMILIES.items() for name in names}
    assert families <= set(TEXTS)
    used = keys_used()
    assert used <= set(TEXTS)
    assert set(TEXTS) - used - families == set()


def test_every_constant_key_that_is_said_exists() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "translate":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    assert first.value in TEXTS, f"{path.name}:{node.lineno}"


def test_a_missing_word_or_value_is_an_error_and_never_an_empty_text() -> None:
    with pytest.raises(KeyError):
        translate("no.such.word")
    with pytest.raises(KeyError):
        translate("fact.made")
    assert translate("fact.made", at="now") == Text(en="Made now", ja="作成 now")


def test_a_text_within_a_text_keeps_its_language() -> None:
    text = translate("freshness.note", limit=duration(120))
    assert (text.en, text.ja) == ("Fresh is up to 2 min.", "2 分以内を新鮮とします。")


def test_every_main_figure_is_one_and_every_place_has_figures() -> None:
    assert set(MAIN) <= {kpi.name for kpi in KPIS}
    assert {kpi.layer for kpi in KPIS} == set(PLACES)


def test_objectives_are_those_of_the_reviewed_file_with_their_limits_filled_in() -> None:
    assert [objective.name for objective in OBJECTIVES] == [slo.name for slo in SLOS]
    for objective, stated in zip(OBJECTIVES, SLOS, strict=True):
        assert (objective.description.en, objective.description.ja) == (stated.description, stated.description_ja)
        assert (objective.objective, objective.layer) == (stated.objective, stated.layer)
        assert objective.budget == pytest.approx(stated.budget)
        assert "{" not in objective.description.en + objective.description.ja


def test_a_metric_that_is_added_as_data_becomes_a_figure() -> None:
    rows = (
        ("a.count", "{thing}", Instrument.COUNTER),
        ("a.size", "By", Instrument.GAUGE),
        ("a.time", "s", Instrument.HISTOGRAM),
    )
    metrics = tuple(
        Metric(name=name, unit=unit, kind=kind, layer=BUSINESS, service="billing", description="what it is")
        for name, unit, kind in rows
    )
    counted, sized, timed = further(metrics)
    assert counted.expr == 'sum(rate(a_count_total{layer="business",job="billing"}[5m]))'
    assert (counted.unit, sized.unit, timed.unit) == ("{thing}/s", "By", "s")
    assert sized.expr == 'avg(a_size_bytes{layer="business",job="billing"})'
    assert "a_time_seconds_bucket" in timed.expr


@pytest.mark.parametrize(
    ("value", "unit", "english", "japanese"),
    [
        (0.4567, "1", "45.7 %", "45.7 %"),
        (1234567.0, "{record}", "1,234,567", "1,234,567"),
        (12.3, "{call}/s", "12.3 /s", "12.3 /秒"),
        (0.25, "s", "250 ms", "250 ミリ秒"),
        (7200.0, "s", "2 h", "2 時間"),
        (3 * 1024**3, "By", "3 GiB", "3 GiB"),
        (None, "By", "-", "-"),
        (float("nan"), "By", "-", "-"),
        (2.5, "", "2.5", "2.5"),
    ],
)
def test_values_are_written_with_their_unit(value: float | None, unit: str, english: str, japanese: str) -> None:
    assert amount(value, unit) == Text(en=english, ja=japanese)


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.0, "100 %"), (0.9999999, "99.999 %"), (0.995, "99.5 %"), (0.99, "99 %"), (0.0, "0 %"), (None, "-")],
)
def test_a_kept_promise_is_never_rounded_up(value: float | None, written: str) -> None:
    assert share(value).en == written


@pytest.mark.parametrize(
    ("seconds", "english", "japanese"),
    [
        (0, "0 s", "0 秒"),
        (59, "59 s", "59 秒"),
        (3600, "1 h", "1 時間"),
        (3665, "1 h 1 min", "1 時間 1 分"),
        (90061, "1 d 1 h", "1 日 1 時間"),
        (None, "-", "-"),
    ],
)
def test_durations_have_two_parts_at_most(seconds: float | None, english: str, japanese: str) -> None:
    assert duration(seconds) == Text(en=english, ja=japanese)


def test_a_change_needs_something_to_compare_with() -> None:
    assert change(11.0, 10.0).en == "+10.0 %"
    assert change(10.0, 10.00001).en == "0 %"
    assert change(5.0, 0.0).en == change(None, 1.0).en == change(1.0, None).en == "-"


def test_moments_are_in_the_zone() -> None:
    assert moment(at("2026-11-25 07:30"), TOKYO).en == "2026-11-25 07:30"
