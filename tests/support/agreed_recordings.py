"""What tables of what is agreed on are written from: the committed stack files, and what they may say instead."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Resource
from tests.support import choices
from tests.support.engine import Recording, recorded, sharded

STACKS = ("kind", "local", "local-dr", "prod", "dr")
_INSTEAD = (
    ("a database elsewhere", "rights in the namespace alone", "one region"),
    ("no state of the cluster", "no phone and no Slack"),
    ("Elasticsearch, small", "public traces in dashboards"),
)
"""Choices of the local stack file: what no committed one says, or each has or has together with something else."""


def recordings() -> Iterator[list[Resource]]:
    """What each of them makes."""
    for stack in STACKS:
        for role in ("primary", "standby") if stack != "kind" else (None,):
            yield resources(recorded(stack, role))
    yield resources(sharded())
    for names in _INSTEAD:
        yield resources(choices.recorded("local", names))


def resources(recording: Recording) -> list[Resource]:
    """What a recording makes, as rules see it."""
    return [Resource(one.token, one.name, one.inputs) for one in recording.resources if not one.read]
