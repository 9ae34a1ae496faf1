"""What the steps of a failover do; each returns its figures, and tells problems that do not stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ops.errors import OpsError
from ops.kube import wait_until
from ops.regions import dns, lease, look, pulumi, seed
from ops.regions.carrying import carry_over
from ops.regions.probe import probe
from ops.regions.region import Region
from ops.regions.work import Figures, Work
from services.regions.records import GUARD

COPIED_S = 180.0
_MARGIN_S = 5.0
_LAG = "obs:mirror_lag:records"
_LAG_LIMIT = 1000.0


def check(work: Work) -> Figures:
    """Whether the target can take over.

    Raises:
        OpsError: It cannot.
    """
    now = datetime.now(UTC)
    found = lease.current(work.witness)
    if found is not None and found[0].lets(work.target.name):
        raise OpsError(f"{work.target.name} holds the lease already, epoch {found[0].epoch}: there is nothing to do")
    answers = look.target(work.target, work.witness, planned=work.planned, now=now)
    fatal = [str(each) for each in answers if each.problem and each.fatal]
    if fatal:
        raise OpsError(f"{work.target.name} cannot take over: {'; '.join(fatal)}")
    for each in answers:
        if each.problem:
            work.problem(str(each))
    newest = look.newest(work.target.kafka, work.target.topics)
    ages = {topic: round((now - at).total_seconds(), 1) for topic, at in newest.items()}
    if work.planned and min(ages.values(), default=0.0) > look.MOST_BEHIND_S:
        raise OpsError(
            f"the newest copied record in {work.target.name} is {min(ages.values()):.0f} s old: is it copied?"
        )
    last = look.heartbeat(work.witness, work.source)
    return {
        "seen": [str(each) for each in answers],
        "newest_copied": {topic: at.isoformat() for topic, at in newest.items()},
        "newest_copied_age_s": ages,
        "source_last_seen": last.at.isoformat() if last else None,
    }


def offsets(work: Work) -> Figures:
    """Where what is the target's own begins."""
    found = seed.marks(work.target.platform, work.target.topics)
    records = sum(sum(parts.values()) for parts in found.ends.values())
    return {"offsets": seed.as_json(found.ends), "records": records}


def fence(work: Work) -> Figures:
    """First phase of the lease.

    Raises:
        OpsError: Somebody else was faster; or a planned failover's other region does not fall silent: it has the lease
            again then.
    """
    taken = lease.take(work.witness, work.target.name, work.by, work.reason)
    work.tell(f"lease of epoch {taken.epoch} taken, waiting up to {lease.CONFIRM_S:.0f} s for {work.source}")
    confirmed, seen = lease.silent(work.witness, work.source, taken.epoch)
    last = look.heartbeat(work.witness, work.source)
    if not confirmed and work.planned:
        back = lease.take(work.witness, work.source, work.by, f"{work.source} did not fall silent, {work.reason}")
        lease.let(work.witness, work.source, back.epoch, work.by, back.reason)
        raise OpsError(f"{seen}: it has the lease again; without --planned it is not waited for")
    if not confirmed:
        work.problem(seen)
    at = last.at.isoformat() if last else None
    return {"epoch": taken.epoch, "confirmed": confirmed, "seen": seen, "source_last_seen": at}


def notify(work: Work) -> Figures:
    """Second phase of the lease."""
    lease.let(work.witness, work.target.name, work.epoch, work.by, work.reason)
    written = datetime.now(UTC)
    work.tell(f"waiting up to {lease.NOTIFY_S:.0f} s for the guard of {work.target.name}")
    told = lease.notifies(work.witness, work.target.name, work.epoch)
    if not told:
        work.problem(f"the guard of {work.target.name} does not say yet that it tells people")
    return {"lease_written": written.isoformat(), "notifies": told}


def names(work: Work) -> Figures:
    """Lead every name to the target."""
    access = work.target.access
    if access.dns is None:
        work.problem("no name moves (regions.dns): lead clients to the new region by hand")
        return {"names": {}}
    made = {}
    with dns.zone(access.dns) as zone:
        for what, name in access.dns.names.items():
            target = access.targets.get(what)
            if target is None:
                raise OpsError(f"{work.target.name} does not tell where {what} is reached: run `pulumi up` there")
            before = zone.answer(name)
            if before is None or not before.leads_to(target) or before.ttl_s != access.dns.ttl_s:
                zone.point(name, target, access.dns.ttl_s)
            made[name] = {"before": str(before) if before else None, "now": str(zone.answer(name))}
    return {"names": made}


def first_probe(work: Work) -> Figures:
    """A point through the name: telemetry goes all the way again."""
    return {"seen_after_s": round(probe(work.target, answer(work.target)), 2)}


def answer(region: Region) -> str:
    """Where the name of the gateway leads now; empty where no name moves.

    Raises:
        OpsError: It leads nowhere.
    """
    access = region.access
    if access.dns is None or "otlp" not in access.dns.names:
        return ""
    name = access.dns.names["otlp"]
    with dns.zone(access.dns) as zone:
        found = zone.answer(name)
    if found is None or len(found.values) != 1:
        raise OpsError(f"{name} leads to {found or 'nothing'}, must lead to one place")
    return found.values[0].rstrip(".")


def drain(work: Work) -> Figures:
    """Nobody has the old answer any more, and what the old region got until then is copied."""
    access = work.target.access
    keeps = (access.dns.ttl_s if access.dns else 0) + _MARGIN_S
    work.tell(f"waiting {keeps:.0f} s: so long others may keep the old answer")
    time.sleep(keeps)
    if work.other is not None:
        wanted = seed.marks(work.other.platform, work.target.topics)
        notes = seed.Notes(work.target.platform, work.source)
        what = f"{work.target.name} to have copied what {work.source} had"
        took = wait_until(lambda: wanted.behind(notes.read()) == 0, COPIED_S, what)
        return {"waited_s": keeps, "copied_after_s": round(took, 1)}

    def copied() -> bool:
        lag = work.target.metrics.number(_LAG)
        return lag is not None and lag <= _LAG_LIMIT

    try:
        took = wait_until(copied, COPIED_S, f"the mirror of {work.target.name} to have caught up")
    except OpsError as error:
        work.problem(str(error))
        return {"waited_s": keeps, "copied_after_s": None}
    return {"waited_s": keeps, "copied_after_s": round(took, 1)}


def promote(work: Work) -> Figures:
    """The stack of the target becomes a primary one."""
    work.tell(f"`pulumi up` of {work.target.name}, up to {pulumi.UP_LIMIT_S / 60:.0f} min")
    pulumi.set_role("primary", work.target.stack)
    pulumi.up(work.target.stack)
    return {"role": "primary"}


def verify(work: Work) -> Figures:
    """The region does its work.

    Raises:
        OpsError: A point is not seen, or Alertmanager is silenced.
    """
    found = lease.current(work.witness)
    if found is None or not found[0].lets(work.target.name):
        raise OpsError(f"{work.target.name} may not tell people: another command has the lease")
    seen = probe(work.target, answer(work.target))

    def free() -> bool:
        return not any(each.author == GUARD and each.state == "active" for each in work.target.alertmanager.silences())

    took = wait_until(free, lease.NOTIFY_S, f"Alertmanager of {work.target.name} to be silenced no more")
    return {"seen_after_s": round(seen, 2), "free_after_s": round(took, 1)}


ACTS: dict[str, Callable[[Work], Figures]] = {
    "check": check,
    "offsets": offsets,
    "fence": fence,
    "carry": carry_over,
    "notify": notify,
    "dns": names,
    "probe": first_probe,
    "drain": drain,
    "promote": promote,
    "verify": verify,
}
