"""What a region drill counts: points, a consumer group and notifications, on both sides of the cut."""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import must
from ops.drills.tools.conditions import Raised
from ops.drills.tools.load import TOPIC
from ops.drills.tools.log_load import LogLoad
from ops.drills.tools.notifications import NotificationRecord
from ops.drills.tools.region_traffic import (
    LOGS_TOPIC,
    Group,
    MovingLoad,
    arrived,
    committed,
    logs_of,
    numbers_in,
    points_of,
)
from ops.drills.tools.regions import Command, Name, Side, mentions
from ops.drills.tools.sequences import Number
from services.regions.witness import RegionError, Sighting, Witness

GROUP = "failover-drill"
"""Named in `regions.groups` of both stack files, so that the mirror translates its offsets."""


@dataclass
class Clock:
    """Moments of the drill, and what the timeline shows of them: seconds since its begin."""

    began: float = field(default_factory=time.time)
    events: list[list[Any]] = field(default_factory=list)

    def note(self, lane: str, what: str, start: float, end: float | None = None) -> None:
        """Something at a moment, or that lasted."""
        say(what)
        first = round(start - self.began, 1)
        self.events.append([lane, what, first, first if end is None else round(end - self.began, 1)])


@dataclass
class Pair:
    """Both regions, and who looks at them."""

    a: Side
    b: Side
    name: Name
    record: NotificationRecord
    witness: Witness
    authorities: str
    folder: Path
    given: list[Command] = field(default_factory=list)

    def give(self, *words: str, **variables: str) -> Command:
        """Give a command in the second region's stack; it ends with the drill at the latest."""
        self.given.append(Command(self.b.stack, words, variables).start())
        return self.given[-1]

    def move(self, what: str, to: Side, **variables: str) -> Command:
        """Give the command of a failover or a failback."""
        return self.give(what, "--to", to.name, "--yes", "--json", "--folder", str(self.folder), **variables)

    def sighting(self, region: str) -> Sighting | None:
        """The last heartbeat and its age by the object storage's clock, or nothing where it cannot be read."""
        try:
            return self.witness.sighting(region)
        except RegionError:
            return None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What alerts were about, and when; moments in seconds since 1970.

    Attributes:
        before: Told by the first region before the cut.
        gap: Begun just before the cut, and after it.
        lost, cut_off: When the cut was begun, and when it was done.
        reconnected: When it was reconnected.
    """

    before: Raised
    gap: tuple[Raised, ...]
    lost: float
    cut_off: float
    reconnected: float


def lost_points(load: MovingLoad, pair: Pair, start: Mapping[int, int]) -> dict[str, Any]:
    """What the first region acknowledged and the second one does not have, and how far back that reaches."""
    of_a = load.by(pair.a.gateway)
    copied = numbers_in(pair.b.context, TOPIC, start, points_of(load.run_id))
    missing = set(of_a) - copied
    last = max(of_a.values())
    have = [at for number, at in of_a.items() if number in copied]
    must(bool(have), "nothing that the first region acknowledged is in the second one")
    return {
        "acknowledged in A": len(of_a),
        "missing in B": len(missing),
        "RPO s": round(uncopied_s(of_a, missing), 1),
        "newest copied point older than the last one s": round(last - max(have), 1),
    }


def uncopied_s(acknowledged: Mapping[Number, float], missing: Set[Number]) -> float:
    """Seconds before the last acknowledgement from which on something is missing; 0.0 where nothing is.

    They begin where all was still copied: with the acknowledgement before the first one that is missing.
    """
    if not missing:
        return 0.0
    first_missing = min(acknowledged[number] for number in missing)
    earlier = [at for at in acknowledged.values() if at < first_missing]
    return max(acknowledged.values()) - max(earlier, default=first_missing)


def group_goes_on(pair: Pair, had: set[Number], logs: LogLoad, start: Mapping[int, int]) -> dict[str, Any]:
    """The group's consumer begins in the second region: what it reads again, and what nobody has read."""
    of = logs_of(logs.service)
    there = numbers_in(pair.b.context, LOGS_TOPIC, start, of)
    offsets = committed(pair.b.context, GROUP, LOGS_TOPIC)
    with Group(pair.b.context.platform, GROUP, LOGS_TOPIC, of, "earliest") as group:
        group.wait_for(there - had, 12, 120)
    return {
        "group had read in A": len(had),
        "group partitions with a translated offset": len(offsets),
        "group read in B": len(group.had),
        "group read again": len(had & group.had),
        "group lost": len(there - had - group.had),
    }


def nobody_twice(pair: Pair, start: int, conditions: Conditions) -> dict[str, Any]:
    """First notifications about the drill's conditions since the cut, those that came late after it included."""
    before, gap = conditions.before, conditions.gap
    notifications = [
        notification for notification in pair.record.since(start) if notification.received_at >= conditions.cut_off
    ]
    told = [notification for notification in pair.record.since(start) if notification.received_at < conditions.cut_off]
    again = len(mentions(notifications, before))
    counts = [len(mentions(notifications, raised)) for raised in gap]
    return {
        "told by A before the cut": len(mentions(told, before)),
        "told again by B": again,
        "fired in the gap": len(gap),
        "told by B of the gap": sum(counts),
        "alerts raised": 1 + len(gap),
        "alerts lost": sum(count == 0 for count in counts),
        "double notices": again + sum(max(0, count - 1) for count in counts),
    }


def in_the_end(
    pair: Pair, load: MovingLoad, starts: Mapping[str, Mapping[int, int]], conditions: Conditions
) -> dict[str, Any]:
    """After the load has ended: the first region has everything that anybody acknowledged, but for what it kept."""
    reconnected = conditions.reconnected
    of_a, of_b = load.by(pair.a.gateway), load.by(pair.b.gateway)
    everything = set(of_a) | set(of_b)
    of = points_of(load.run_id)
    there = arrived(pair.a.context, TOPIC, starts[pair.a.name], of, lambda: everything, durations.ARRIVAL)
    since_then = {number for number, at in of_a.items() if at >= reconnected}
    other = arrived(pair.b.context, TOPIC, starts[pair.b.name], of, lambda: since_then, durations.ARRIVAL)
    kept = {number for number, at in of_a.items() if at < reconnected}
    return {
        "acknowledged in B": len(of_b),
        "missing of B's": len(set(of_b) - other),
        "failback lost": len(set(of_b) - there) + len(since_then - there),
        "acknowledged in A after the failback": len(since_then),
        "of them missing in B": len(since_then - other),
        "of A's before the cut missing in A": len(kept - there),
        "points given up": len(load.ledger.given_up),
        "repeated sends": load.ledger.retries,
        "seconds from cut to heal": round(reconnected - conditions.lost, 1),
    }
