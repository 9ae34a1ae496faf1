"""What a failover and a failback consist of: steps as data, in their order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        name: Its name, in journals and reports.
        what: What it does; ``{target}`` takes over, ``{source}`` gives up.
        again: Whether a repeated command does it again although it was done: it only looks.
    """

    name: str
    what: str
    again: bool = False

    def text(self, target: str, source: str) -> str:
        """What it does, with the regions' names."""
        return self.what.format(target=target, source=source)


_CHECK = Step(
    name="check",
    what="check {target}: Kafka online and in sync, gateway, metrics, failover agent, definitions; age of the newest "
    "copied records",
)
_OFFSETS = Step(name="offsets", what="note the end of every topic of {target}: what comes later is its own")
_FENCE = Step(
    name="fence",
    what="take the lease for {target}, no region is active yet; wait until {source} says that it is silent, or is gone",
)
_SILENCE_HANDOVER = Step(
    name="silence-handover",
    what="silence in {target} the alerts that {source} has told, and take over the silences that people made there",
)
_NOTIFY = Step(name="notify", what="activate {target}, wait until its failover agent says that it is active")
_DNS = Step(name="dns", what="lead every name to {target}, read it back")
_PROBE = Step(
    name="probe", what="send a numbered point to where the name leads, see it at the read address of {target}"
)
_DRAIN = Step(
    name="drain", what="wait until nobody has the old answer, and until {target} has copied what {source} got"
)
_PROMOTE = Step(name="promote", what="set the role of {target} to primary, `pulumi up`")
_VERIFY = Step(
    name="verify",
    what="see a second point at the read address, and that Alertmanager of {target} is not silenced",
    again=True,
)

FAILOVER: tuple[Step, ...] = (_CHECK, _OFFSETS, _FENCE, _SILENCE_HANDOVER, _NOTIFY, _DNS, _PROBE, _PROMOTE, _VERIFY)
"""Without a word to the region that gives up."""
PLANNED: tuple[Step, ...] = (
    _CHECK,
    _OFFSETS,
    _FENCE,
    _SILENCE_HANDOVER,
    _NOTIFY,
    _DNS,
    _PROBE,
    _DRAIN,
    _PROMOTE,
    _VERIFY,
)
"""With the other region there: nothing of what it got is left behind."""

FAILBACK: tuple[Step, ...] = (
    Step(
        name="both",
        what="check that {source} holds the lease, both regions give signs of life, and where {source} took over",
    ),
    Step(name="mirror-offsets", what="tell the mirror of {target} to begin where {source} took over"),
    Step(name="return", what="set the role of {target} to standby, `pulumi up`: its mirror copies from {source}"),
    Step(name="catch-up", what="wait until the mirror of {target} has caught up with {source}"),
    *PLANNED,
    Step(
        name="mirror-offsets-back", what="tell the mirror of {source} to begin at the end of {target} as it was noted"
    ),
    Step(name="standby", what="set the role of {source} to standby, `pulumi up`: its mirror copies from {target}"),
)
