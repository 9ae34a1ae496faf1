"""Status of both regions: which is active, which are alive, what differs, how far the copy is, where names lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from ops.core.errors import OpsError
from ops.regions import dns, takeover
from ops.regions.region import Region
from services.regions.witness import Heartbeat, Witness

_T = TypeVar("_T")
_LAG = "obs:mirror_lag:records"
_LATENCY = "max(obs:mirror_latency:seconds)"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A region as its last heartbeat has it.

    Attributes:
        region: Its name.
        heartbeat: The heartbeat, or None if there never was one.
        age_s: Seconds since.
    """

    region: str
    heartbeat: Heartbeat | None
    age_s: float | None

    def as_json(self) -> dict[str, Any]:
        """The line for machines."""
        last = self.heartbeat
        return {
            "region": self.region,
            "age_s": None if self.age_s is None else round(self.age_s, 1),
            "role": last.role if last else None,
            "epoch": last.epoch if last else None,
            "notifies": last.notifies if last else None,
            "isolated": last.isolated if last else None,
            "silences": len(last.silences) if last else None,
        }


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the regions stand; what could not be asked is in ``problems``.

    Attributes:
        holder: Who has the lease; empty if none was ever written: then it is the primary region.
        epoch: Its epoch.
        notify: Whether the holder may notify.
        regions: This region, then the other one.
        differences: Definitions that differ.
        lag: Records that the mirror into this region has to copy; None where there is none.
        latency_s: Age of a record at its arrival, seconds.
        names: Name -> where it leads.
        problems: What could not be asked, or is wrong.
    """

    holder: str
    epoch: int
    notify: bool
    regions: tuple[Line, ...]
    differences: tuple[str, ...]
    lag: float | None
    latency_s: float | None
    names: dict[str, str]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The status for machines."""
        return {
            "holder": self.holder or None,
            "epoch": self.epoch,
            "notify": self.notify,
            "regions": [region.as_json() for region in self.regions],
            "differences": list(self.differences),
            "mirror_lag": self.lag,
            "mirror_latency_s": self.latency_s,
            "names": self.names,
            "problems": list(self.problems),
        }


def status(region: Region, witness: Witness) -> Status:
    """Ask everything; what does not answer is told and does not stop the rest."""
    problems: list[str] = []

    def ask(what: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return what()
        except OpsError as error:
            problems.append(str(error))
            return otherwise

    held_lease = ask(lambda: takeover.current(witness), None)
    peer = region.access.peer
    both = (region.name, *((peer.region,) if peer else ()))
    lines = tuple(ask(partial(_line, witness, name), _none(name)) for name in both)
    problems += [
        f"{line.region} gives no sign of life" + ("" if line.age_s is None else f" since {line.age_s:.0f} s")
        for line in lines
        if line.age_s is None or line.age_s > takeover.FRESH_S
    ]
    if sum(bool(line.heartbeat and line.heartbeat.notifies and not _old(line)) for line in lines) > 1:
        problems.append("both regions are active")
    other = lines[-1].heartbeat if peer else None
    different = takeover.differences(region.access.fingerprints, other.fingerprints) if other else []
    mirrored = region.access.mirror is not None
    return Status(
        holder=held_lease[0].holder if held_lease else "",
        epoch=held_lease[0].epoch if held_lease else 0,
        notify=held_lease[0].notify if held_lease else True,
        regions=lines,
        differences=tuple(different),
        lag=ask(lambda: region.metrics.number(_LAG), None) if mirrored else None,
        latency_s=ask(lambda: region.metrics.number(_LATENCY), None) if mirrored else None,
        names=ask(lambda: _names(region), {}),
        problems=tuple(problems),
    )


def parity(region: Region, witness: Witness) -> tuple[list[str], str]:
    """Definitions that differ between this region's stack and the other region, a line each; and the other's name.

    Raises:
        OpsError: There is no other region, or it has never told what it has.
    """
    other = region.peer.region
    last = takeover.heartbeat(witness, other)
    if last is None:
        raise OpsError(f"{other} has never told what it has: is its failover agent there?")
    here, there = region.access.fingerprints, last.fingerprints
    return [
        f"{name}: {region.name} has {_short(here.get(name))}, {other} has {_short(there.get(name))}"
        for name in takeover.differences(here, there)
    ], other


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


def _line(witness: Witness, name: str) -> Line:
    last = takeover.heartbeat(witness, name)
    return Line(region=name, heartbeat=last, age_s=last.age(datetime.now(UTC)) if last else None)


def _none(name: str) -> Line:
    return Line(region=name, heartbeat=None, age_s=None)


def _old(line: Line) -> bool:
    return line.age_s is None or line.age_s > takeover.FRESH_S


def _names(region: Region) -> dict[str, str]:
    access = region.access
    if access.dns is None:
        return {}
    with dns.zone(access.dns) as zone:
        return {name: str(zone.answer(name) or "nothing") for name in access.dns.names.values()}
