"""What the steps of a failover do; each returns its figures, and tells problems that do not stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.regions import dns, lease, mirror_offsets, preflight, pulumi
from ops.regions.failover_context import FailoverContext, Figures
from ops.regions.probe import probe
from ops.regions.region import Region
from ops.regions.silence_handover_step import hand_over_silences
from services.regions.records import FAILOVER_AGENT

COPIED_S = 180.0
_MARGIN_S = 5.0
_LAG = "obs:mirror_lag:records"
_LAG_LIMIT = 1000.0


def check(context: FailoverContext) -> Figures:
    """Whether the target can take over.

    Raises:
        OpsError: It cannot.
    """
    now = datetime.now(UTC)
    current = lease.current(context.witness)
    if current is not None and current[0].may_notify(context.target.name):
        raise OpsError(
            f"{context.target.name} holds the lease already, epoch {current[0].epoch}: there is nothing to do"
        )
    answers = preflight.target(context.target, context.witness, planned=context.planned, now=now)
    fatal = [str(preflight_check) for preflight_check in answers if preflight_check.problem and preflight_check.fatal]
    if fatal:
        raise OpsError(f"{context.target.name} cannot take over: {'; '.join(fatal)}")
    for preflight_check in answers:
        if preflight_check.problem:
            context.problem(str(preflight_check))
    newest = preflight.newest(context.target.kafka, context.target.topics)
    ages = {topic: round((now - at).total_seconds(), 1) for topic, at in newest.items()}
    if context.planned and min(ages.values(), default=0.0) > preflight.MOST_BEHIND_S:
        raise OpsError(
            f"the newest copied record in {context.target.name} is {min(ages.values()):.0f} s old: is it copied?"
        )
    last = preflight.heartbeat(context.witness, context.source)
    return {
        "seen": [str(preflight_check) for preflight_check in answers],
        "newest_copied": {topic: at.isoformat() for topic, at in newest.items()},
        "newest_copied_age_s": ages,
        "source_last_seen": last.at.isoformat() if last else None,
    }


def offsets(context: FailoverContext) -> Figures:
    """Where what is the target's own begins."""
    marks = mirror_offsets.marks(context.target.platform, context.target.topics)
    records = sum(sum(parts.values()) for parts in marks.ends.values())
    return {"offsets": mirror_offsets.as_json(marks.ends), "records": records}


def fence(context: FailoverContext) -> Figures:
    """First phase of the lease.

    Raises:
        OpsError: Somebody else was faster; or a planned failover's other region does not fall silent: it has the lease
            again then.
    """
    taken = lease.take(context.witness, context.target.name, context.by, context.reason)
    context.tell(f"lease of epoch {taken.epoch} taken, waiting up to {lease.CONFIRM_S:.0f} s for {context.source}")
    confirmed, seen = lease.silent(context.witness, context.source, taken.epoch)
    last = preflight.heartbeat(context.witness, context.source)
    if not confirmed and context.planned:
        back = lease.take(
            context.witness, context.source, context.by, f"{context.source} did not fall silent, {context.reason}"
        )
        lease.let(context.witness, context.source, back.epoch, context.by, back.reason)
        raise OpsError(f"{seen}: it has the lease again; without --planned it is not waited for")
    if not confirmed:
        context.problem(seen)
    at = last.at.isoformat() if last else None
    return {"epoch": taken.epoch, "confirmed": confirmed, "seen": seen, "source_last_seen": at}


def notify(context: FailoverContext) -> Figures:
    """Second phase of the lease."""
    lease.let(context.witness, context.target.name, context.epoch, context.by, context.reason)
    written = datetime.now(UTC)
    context.tell(f"waiting up to {lease.NOTIFY_S:.0f} s for the failover agent of {context.target.name}")
    told = lease.notifies(context.witness, context.target.name, context.epoch)
    if not told:
        context.problem(f"the failover agent of {context.target.name} does not say yet that it is active")
    return {"lease_written": written.isoformat(), "notifies": told}


def names(context: FailoverContext) -> Figures:
    """Lead every name to the target."""
    access = context.target.access
    if access.dns is None:
        context.problem("no name moves (regions.dns): lead clients to the new region by hand")
        return {"names": {}}
    changes = {}
    with dns.zone(access.dns) as zone:
        for what, name in access.dns.names.items():
            target = access.targets.get(what)
            if target is None:
                raise OpsError(f"{context.target.name} does not tell where {what} is reached: run `pulumi up` there")
            before = zone.answer(name)
            if before is None or not before.leads_to(target) or before.ttl_s != access.dns.ttl_s:
                zone.point(name, target, access.dns.ttl_s)
            changes[name] = {"before": str(before) if before else None, "now": str(zone.answer(name))}
    return {"names": changes}


def first_probe(context: FailoverContext) -> Figures:
    """A point through the name: telemetry goes all the way again."""
    return {"seen_after_s": round(probe(context.target, answer(context.target)), 2)}


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
        dns_answer = zone.answer(name)
    if dns_answer is None or len(dns_answer.values) != 1:
        raise OpsError(f"{name} leads to {dns_answer or 'nothing'}, must lead to one place")
    return dns_answer.values[0].rstrip(".")


def drain(context: FailoverContext) -> Figures:
    """Nobody has the old answer any more, and what the old region got until then is copied."""
    access = context.target.access
    keeps = (access.dns.ttl_s if access.dns else 0) + _MARGIN_S
    context.tell(f"waiting {keeps:.0f} s: so long others may keep the old answer")
    time.sleep(keeps)
    if context.other is not None:
        wanted = mirror_offsets.marks(context.other.platform, context.target.topics)
        offsets = mirror_offsets.ConnectOffsets(context.target.platform, context.source)
        what = f"{context.target.name} to have copied what {context.source} had"
        took = wait_until(lambda: wanted.behind(offsets.read()) == 0, COPIED_S, what)
        return {"waited_s": keeps, "copied_after_s": round(took, 1)}

    def copied() -> bool:
        lag = context.target.metrics.number(_LAG)
        return lag is not None and lag <= _LAG_LIMIT

    try:
        took = wait_until(copied, COPIED_S, f"the mirror of {context.target.name} to have caught up")
    except OpsError as error:
        context.problem(str(error))
        return {"waited_s": keeps, "copied_after_s": None}
    return {"waited_s": keeps, "copied_after_s": round(took, 1)}


def promote(context: FailoverContext) -> Figures:
    """The stack of the target becomes a primary one."""
    context.tell(f"`pulumi up` of {context.target.name}, up to {pulumi.UP_LIMIT_S / 60:.0f} min")
    pulumi.set_role("primary", context.target.stack)
    pulumi.up(context.target.stack)
    return {"role": "primary"}


def verify(context: FailoverContext) -> Figures:
    """The region does its work.

    Raises:
        OpsError: A point is not seen, or Alertmanager is silenced.
    """
    current = lease.current(context.witness)
    if current is None or not current[0].may_notify(context.target.name):
        raise OpsError(f"{context.target.name} may not notify: another command has the lease")
    seen = probe(context.target, answer(context.target))

    def free() -> bool:
        return not any(
            silence.author == FAILOVER_AGENT and silence.state == "active"
            for silence in context.target.alertmanager.silences()
        )

    took = wait_until(free, lease.NOTIFY_S, f"Alertmanager of {context.target.name} to be silenced no more")
    return {"seen_after_s": round(seen, 2), "free_after_s": round(took, 1)}


STEP_FUNCTIONS: dict[str, Callable[[FailoverContext], Figures]] = {
    "check": check,
    "offsets": offsets,
    "fence": fence,
    "silence-handover": hand_over_silences,
    "notify": notify,
    "dns": names,
    "probe": first_probe,
    "drain": drain,
    "promote": promote,
    "verify": verify,
}
