"""Conditions that several components ask in the same way, as PromQL."""

from __future__ import annotations

from components.rules import any_of

SETTLED = "count(up offset 1m)"
"""True once Prometheus has scraped for a minute; before that, a target that it does not know yet is no news."""

NOT_STOPPING = 'error_type!~"Shutdown|Canceled"'
"""Of a collector's failed sends: not those of a process that was told to end, since that data is sent again."""


def fewer_up(selector: str, least: int) -> str:
    """Whether fewer than ``least`` targets answer, those that Prometheus finds no more among them.

    Args:
        selector: Labels of the targets, for example ``job="gateway"``.
        least: The smallest number that is all right.
    """
    return f"(sum(up{{{selector}}}) or vector(0)) < {least} and on () {SETTLED}"


def grew(counter: str, *, by: str, window: str = "5m") -> str:
    """Whether a counter of failures grew: such a counter mostly does not exist before the first failure.

    ``increase`` alone sees nothing of that one: to it, a series begins with its first value. What comes into being
    counts as growth where the same target was already scraped before.

    Args:
        counter: The counter with its selector.
        by: Labels to tell apart; ``job`` and ``instance`` have to be among them.
        window: How long it is told.

    Raises:
        ValueError: ``by`` lacks ``job`` or ``instance``.
    """
    if not {"job", "instance"} <= {label.strip() for label in by.split(",")}:
        raise ValueError(f"by is {by!r}: name job and instance among the labels, since each process counts for itself")
    now, before = f"sum by ({by}) ({counter})", f"sum by ({by}) ({counter} offset {window})"
    return any_of(
        (
            f"sum by ({by}) (increase({counter}[{window}])) > 0",
            f"{now} - {before} > 0",
            f"({now} unless {before}) > 0 and on (job, instance) up offset {window} == 1",
        )
    )
