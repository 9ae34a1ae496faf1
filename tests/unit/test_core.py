"""The core of the end-to-end tests: of tests that there are, and no longer than it may be."""

from __future__ import annotations

import ast

import pytest

from tests import seconds
from tests.e2e.core import ALL, CORE, LONGEST_S, is_core
from tests.run import ROOT

FOLDER = ROOT / "tests" / "e2e"


def names(file: str) -> list[str]:
    tree = ast.parse((FOLDER / f"{file}.py").read_text())
    return [
        function_def.name
        for function_def in tree.body
        if isinstance(function_def, ast.FunctionDef) and function_def.name.startswith("test_")
    ]


@pytest.mark.parametrize("file", list(CORE))
def test_each_name_is_of_one_test(file: str) -> None:
    there = names(file)
    assert there
    for name in CORE[file]:
        if (name,) != ALL:
            assert name.partition("[")[0] in there


def test_a_name_is_of_the_core_or_of_a_drill() -> None:
    assert is_core("test_alert_latency", "test_a_notification_arrives_in_time[few]")
    assert not is_core("test_alert_latency", "test_a_notification_arrives_in_time[both]")
    assert not is_core("test_region", "test_a_region_is_lost_and_comes_back")


def test_the_core_takes_no_longer_than_it_may() -> None:
    def of_core(test: str) -> bool:
        file, _, name = test.removeprefix("tests/e2e/").partition(".py::")
        return is_core(file, name)

    timed = {test: took for test, took in seconds.committed().items() if test.startswith("tests/e2e/")}
    core = {test: took for test, took in timed.items() if of_core(test)}
    assert sum(core.values()) <= LONGEST_S
