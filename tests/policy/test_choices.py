"""What a stack file may choose passes the pack: every value that its schema allows, as many at once as are legal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from policy.model import Resource
from policy.runner import Runner
from tests.support import choices, engine
from tests.support.agreed_recordings import resources
from tests.support.choices import Choice, Data
from tests.unit.stacks.test_integrations import as_the_stack_says

pytestmark = pytest.mark.drill
WHOLE = ("local", "prod")
"""Stacks that leave nothing out; the one of kind has no second region and nobody who is notified."""
LEAST = {"local": 250, "prod": 250, "kind": 150}
"""Stack -> choices of its file, at least."""
_FOLDERS = itertools.count()


def violated(given: Sequence[Resource], settings: Data, folder: Path) -> set[str]:
    """Rules that are violated, for what a stack file outside of production leaves out.

    In production such a file needs an agreement: `tests/unit/stacks/test_integrations.py`.
    """
    own = folder / str(next(_FOLDERS))
    own.mkdir()
    runner = Runner(as_the_stack_says({**settings, "profile": "small"}, own), agreed=[])
    return {verdict.rule.id for verdict in runner.all(given) if verdict.stops}


def with_all(stack: str, chosen: Sequence[Choice]) -> Data:
    """The settings of a stack file with some choices."""
    settings = engine.stack_settings(stack)
    for choice in chosen:
        settings = choice.applied(settings)
    return settings


def refused(stack: str, chosen: Sequence[Choice], folder: Path) -> dict[str, set[str]]:
    """Choices -> the rules that refuse them: single ones, unless these are refused, or legal, together alone."""
    settings = with_all(stack, chosen)
    if not choices.taken(settings):
        return {}
    rules = violated(resources(choices.record(stack, settings)), settings, folder)
    if not rules or len(chosen) == 1:
        return {choice.name: rules for choice in chosen if rules}
    middle = len(chosen) // 2
    halves = {**refused(stack, chosen[:middle], folder), **refused(stack, chosen[middle:], folder)}
    return halves or {", and ".join(choice.name for choice in chosen): rules}


@pytest.mark.parametrize("stack", LEAST)
def test_every_choice_passes_the_pack(stack: str, tmp_path: Path) -> None:
    free, _ = choices.legal(stack)
    assert len(free) >= LEAST[stack]
    wrong = [refused(stack, together, tmp_path) for together in choices.packed(stack, free)]
    assert [names for names in wrong if names] == []


@pytest.mark.parametrize("stack", WHOLE)
def test_either_role_passes_the_pack(stack: str, tmp_path: Path) -> None:
    settings = engine.stack_settings(stack)
    for role in ("primary", "standby"):
        assert violated(resources(engine.recorded(stack, role)), settings, tmp_path) == set()


@pytest.mark.parametrize("stack", WHOLE)
def test_what_policies_bound_is_refused(stack: str, tmp_path: Path) -> None:
    _, bounded = choices.legal(stack)
    settings = with_all(stack, [*bounded])
    assert violated(resources(choices.record(stack, settings)), settings, tmp_path) == {*bounded.values()}
