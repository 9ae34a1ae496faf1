"""The list of requirements is complete and in order, and every check belongs to one."""

from __future__ import annotations

from ops.checks.command import CHECKS
from ops.core.rows import REQUIREMENT_IDS, REQUIREMENTS

_COUNTS = {"L": 5, "K": 6, "O": 5, "P": 4, "A": 3, "G": 5, "R": 1, "J": 3, "D": 4, "M": 4, "S": 2}


def test_every_id_of_the_requirements_is_listed_once_and_in_order() -> None:
    assert tuple(f"{group}{n}" for group, count in _COUNTS.items() for n in range(1, count + 1)) == REQUIREMENT_IDS


def test_titles_fit_the_overview_and_texts_are_one_line() -> None:
    assert all(0 < len(requirement.title) <= 42 and "\n" not in requirement.title for requirement in REQUIREMENTS)
    assert all(0 < len(requirement.text) <= 110 and "\n" not in requirement.text for requirement in REQUIREMENTS)


def test_the_registry_checks_every_requirement() -> None:
    assert set(CHECKS) == set(REQUIREMENT_IDS)
