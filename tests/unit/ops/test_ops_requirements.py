"""The list of requirements is complete and in order, and every check belongs to one."""

from __future__ import annotations

from components.telemetry.layers import LAYERS
from ops.requirements import REQUIREMENT_IDS, REQUIREMENTS
from ops.verify.registry import CHECKS

_COUNTS = {"L": 5, "K": 6, "O": 5, "P": 4, "A": 3, "G": 5, "R": 1, "J": 3, "D": 4, "M": 4, "S": 2}
_BUILT = {"K1", "K2", "K3", "K4", "K5", "O1", "O2", "O3", "O4", "O5", "P1", "P2", "J1", "J2", "J3"} | {
    *("P3", "A1", "A2", "A3", "D4", "M3", "M4"),
    *("G1", "G2", "G3", "G5", "R1"),
    *("D1", "D2", "D3", "G4", "M2"),
}


def test_every_id_of_the_requirements_is_listed_once_and_in_order() -> None:
    assert tuple(f"{group}{n}" for group, count in _COUNTS.items() for n in range(1, count + 1)) == REQUIREMENT_IDS


def test_titles_are_one_short_line() -> None:
    assert all(0 < len(each.title) <= 110 and "\n" not in each.title for each in REQUIREMENTS)


def test_the_registry_checks_exactly_what_is_built() -> None:
    assert set(CHECKS) == _BUILT | {layer.source for layer in LAYERS}


def test_the_registry_names_no_unknown_requirement() -> None:
    assert set(CHECKS) <= set(REQUIREMENT_IDS)
