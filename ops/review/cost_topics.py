"""What changed topics cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ops.review.difference import Change, Entry, Kind
from ops.review.impact import Cost, Impact
from ops.review.phrasing import duration

TOPIC = "kafka:index/topic:Topic"
_MS = 1000


def topic_costs(changes: Sequence[Change]) -> Iterator[Cost]:
    """Consequences of changed partitions, copies and retention."""
    for change in changes:
        if change.kind is Kind.CHANGED and change.planned.resource.type == TOPIC:
            # Pulumi looks at the protection that the topic has in the state, so both count.
            kept = change.before is not None and change.before.protect and change.planned.protect
            for entry in change.entries:
                yield from _entry(change.planned.resource.object_name, entry, kept=kept)


def _entry(name: str, entry: Entry, *, kept: bool) -> Iterator[Cost]:
    was, now = _number(entry.before), _number(entry.after)
    if entry.path == ("partitions",):
        yield from _partitions(name, was, now, kept=kept)
    elif entry.path == ("replicationFactor",):
        yield from _copies(name, was, now)
    elif entry.path == ("config", "retention.ms") and now is not None and now >= 0 and not (was and 0 <= was < now):
        yield Cost(
            Impact.LOSS,
            f"topic {name}: records older than {duration(now / _MS)} are deleted soon after the update, for good",
        )


def _copies(name: str, was: float | None, now: float | None) -> Iterator[Cost]:
    if was is None or now is None:
        yield Cost(Impact.NOTE, f"topic {name}: its number of copies changes")
    elif now > was:
        yield Cost(
            Impact.NOTE,
            f"topic {name}: every record is copied over the network until there are {now:g} copies instead of {was:g}",
        )
    else:
        yield Cost(Impact.LOSS, f"topic {name}: {now:g} copies of every record instead of {was:g}; the others go")


def _partitions(name: str, was: float | None, now: float | None, *, kept: bool) -> Iterator[Cost]:
    if was is None or now is None:
        yield Cost(Impact.NOTE, f"topic {name}: its number of partitions changes")
    elif now > was:
        yield Cost(
            Impact.AMOUNT,
            f"topic {name}: {now - was:g} more partitions. Records of one key written before and after may lie in two "
            "partitions, so their order is not kept until consumers have read what was written before (K6); partitions "
            "can never be taken away again",
        )
    elif kept:
        yield Cost(
            Impact.REFUSED,
            f"topic {name}: {now:g} partitions instead of {was:g} would replace it, with all its records lost; it is "
            f"protected, so Pulumi refuses: ask for at least {was:g}",
        )
    else:
        yield Cost(
            Impact.LOSS,
            f"topic {name} is deleted with all its records and made anew: Kafka cannot take partitions away "
            f"({was:g} to {now:g})",
        )


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
