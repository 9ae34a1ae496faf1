"""The registry of drills: every entry names what carries it out, its evidence, and figures that the evidence has."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.core.rows import REQUIREMENT_IDS
from ops.drills.procedure import Aspect, Drill, load
from ops.drills.run import DRILLS, SHOWN, find
from ops.evidence import files as evidence
from ops.evidence.reading import filled, named, plain, told

ASKED_FOR = (
    "broker",
    "gateway",
    "prometheus",
    "alertmanager",
    "grafana",
    "jaeger",
    "search-node",
    "zone",
    "region",
    "restore",
    "certificate",
)
SETTLING_S = 60
by_name = pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)


def drills_of(file: Path) -> Iterator[str]:
    """Drills that a file of tests carries out."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "problems":
            yield ast.literal_eval(node.args[0])


def test_everything_that_was_asked_for_has_a_name_and_no_name_stands_twice() -> None:
    assert set(ASKED_FOR) <= set(SHOWN)
    assert len(SHOWN) == len(DRILLS)
    assert "list" not in SHOWN


@by_name
def test_a_drill_has_time(drill: Drill) -> None:
    assert drill.seconds + SETTLING_S < drill.limit_s


@by_name
def test_a_procedure_is_a_function_of_the_product_that_takes_the_platform_and_figures(drill: Drill) -> None:
    assert drill.procedure.startswith("ops.drills.")
    needed = [
        parameter.name
        for parameter in inspect.signature(load(drill.procedure)).parameters.values()
        if parameter.default is inspect.Parameter.empty
    ]
    assert needed == ["context", "figures"]


def test_every_procedure_has_an_end_to_end_test_and_only_one() -> None:
    called = Counter(name for file in (PROJECT / "tests/e2e").glob("test_*.py") for name in drills_of(file))
    assert called == Counter(drill.name for drill in DRILLS)


@by_name
def test_a_drill_names_requirements_that_there_are(drill: Drill) -> None:
    assert drill.requirements
    assert set(drill.requirements) <= set(REQUIREMENT_IDS)


@by_name
def test_a_drill_reads_figures_that_its_evidence_has(drill: Drill) -> None:
    texts = [text for figure in drill.figures.values() for text in figure]
    assert all(named(text) for text in texts if drill.name != "switch")
    written = evidence.newest(drill.evidence)
    if written is None or not written.passed:
        # A drill that was never done, or broke off, has not all of them.
        return
    missing = [name for text in texts for name in named(text) if evidence.figure(written.figures, name) is None]
    # What the drill writes since that run is in its source.
    source = inspect.getsource(sys.modules[load(drill.procedure).__module__])
    assert [name for name in missing if f'"{name}"' not in source] == []


def test_a_name_that_no_drill_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(OpsError, match=r"no drill 'brokers': use one of broker, .*`ops drill list`"):
        find("brokers")
    assert find("broker").evidence == "broker-killed"


def test_figures_stand_in_their_texts_and_a_text_without_its_figure_is_left_out() -> None:
    figures = {"a s": 3.5, "n": 12345, "parts": {"x, y": 1}, "list": [1.5, 2], "good": True, "a/b": 7}
    texts = ("after {a s} s", "{n} of {missing}", "{parts/x, y} part", "{list}; {good}", "{a/b}", "{parts/x, y/z}")
    assert told(figures, texts) == ["after 3.5 s", "1 part", "1.5, 2; yes", "7"]
    assert filled("{n}", figures) == "12,345"
    assert filled("plain", {}) == "plain"


def test_a_zero_and_a_no_are_figures() -> None:
    assert told({"lost": 0, "ok": False}, ("{lost} lost", "{ok}")) == ["0 lost", "no"]


def test_values_are_on_one_line() -> None:
    assert plain({"a": [1, 2], "b": {}}) == "a 1, 2; b none"
    assert plain([]) == "none"


def test_an_aspect_that_nobody_fills_in_is_not_made_up() -> None:
    gateway = find("gateway")
    assert Aspect.DETECTION not in gateway.figures
