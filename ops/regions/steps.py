"""The steps of a failover and a failback: their order as data, what they do, and how they are done one after another;
what the journal says is done is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.regions import dns, mirror_offsets, takeover
from ops.regions.journal import FailoverContext, Figures, operations, promotion
from ops.regions.region import Region, probe
from ops.regions.silence_handover import hand_over_silences
from services.regions import FAILOVER_AGENT


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
    what="check {target}: Kafka online and in sync, gateway, metrics, failover agent, right to change names, positions "
    "of groups, definitions; age of the newest copied records",
)
_CATCH_UP = Step(name="catch-up", what="wait until the mirror of {target} has caught up with {source}")
_CONSUMERS = Step(name="consumers", what="wait until the consumers of {target} have read the metrics that were copied")
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
_PROMOTE = Step(name="promote", what="set the role of {target} to primary, pulumi up")
_VERIFY = Step(
    name="verify",
    what="see a second point at the read address, and that Alertmanager of {target} is not silenced",
    again=True,
)

FAILOVER: tuple[Step, ...] = (_CHECK, _OFFSETS, _FENCE, _SILENCE_HANDOVER, _NOTIFY, _DNS, _PROBE, _PROMOTE, _VERIFY)
"""Without a word to the region that gives up."""
PLANNED: tuple[Step, ...] = (
    _CATCH_UP,
    _CONSUMERS,
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
"""With the other region there: nothing of what it got is left behind, and the lease waits until all is copied."""

FAILBACK: tuple[Step, ...] = (
    Step(
        name="both",
        what="check that {source} holds the lease, both regions give signs of life, and where {source} took over",
    ),
    Step(name="mirror-offsets", what="tell the mirror of {target} to begin where {source} took over"),
    Step(name="return", what="set the role of {target} to standby, pulumi up: its mirror copies from {source}"),
    *PLANNED,
    Step(
        name="mirror-offsets-back", what="tell the mirror of {source} to begin at the end of {target} as it was noted"
    ),
    Step(name="standby", what="set the role of {source} to standby, pulumi up: its mirror copies from {target}"),
)

COPIED_S = 180.0
_METRICS = TOPIC_OF_SIGNAL[Signal.METRICS]
_MARGIN_S = 5.0


def check(context: FailoverContext) -> Figures:
    """Whether the target can take over.

    Raises:
        OpsError: It cannot.
    """
    now = datetime.now(UTC)
    answers = takeover.target(
        context.target, context.witness, planned=context.planned, names_by_hand=context.names_by_hand
    )
    fatal = [str(preflight_check) for preflight_check in answers if preflight_check.problem and preflight_check.fatal]
    if fatal:
        raise OpsError(f"{context.target.name} cannot take over: {'; '.join(fatal)}")
    for preflight_check in answers:
        if preflight_check.problem:
            context.problem(str(preflight_check))
    newest = takeover.newest(context.target.kafka, context.target.topics)
    ages = {topic: round((now - at).total_seconds(), 1) for topic, at in newest.items()}
    last = takeover.heartbeat(context.witness, context.source, context.problem)
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
    regions = (context.target.name, context.source)
    taken = takeover.take(context.witness, context.target.name, context.by, context.reason, regions)
    context.tell(f"lease of epoch {taken.epoch} taken, waiting up to {takeover.CONFIRM_S:.0f} s for {context.source}")
    confirmed, seen = takeover.silent(context.witness, context.source, taken.epoch)
    last = takeover.heartbeat(context.witness, context.source, context.problem)
    if not confirmed and context.planned:
        # Whoever has given this one up meanwhile, since the old region was lost, keeps the lease.
        context.journal.still_open()
        back = takeover.take(
            context.witness, context.source, context.by, f"{context.source} did not fall silent, {context.reason}"
        )
        takeover.let(context.witness, context.source, back.epoch, context.by, back.reason)
        raise OpsError(f"{seen}: it has the lease again; without --planned it is not waited for")
    if not confirmed:
        context.problem(seen)
    alive = takeover.last_alive(context.witness, context.source)
    return {
        "epoch": taken.epoch,
        "confirmed": confirmed,
        "seen": seen,
        "source_last_seen": last.at.isoformat() if last else None,
        "source_last_alive": alive.isoformat() if alive else None,
    }


def notify(context: FailoverContext) -> Figures:
    """Second phase of the lease."""
    takeover.let(context.witness, context.target.name, context.epoch, context.by, context.reason)
    written = datetime.now(UTC)
    context.tell(f"waiting up to {takeover.NOTIFY_S:.0f} s for the failover agent of {context.target.name}")
    told = takeover.notifies(context.witness, context.target.name, context.epoch)
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
    if context.names_by_hand:
        for what, name in access.dns.names.items():
            context.problem(f"lead {name} to {access.targets.get(what, context.target.name)} by hand")
        return {"names": {}}
    with dns.zone(access.dns) as zone:
        for what, name in access.dns.names.items():
            target = access.targets.get(what)
            if target is None:
                raise OpsError(
                    f"{context.target.name} does not tell where {what} is reached: "
                    "run `pulumi up --policy-pack policy` there"
                )
            before = zone.answer(name)
            if before is None or not before.leads_to(target) or before.ttl_s != access.dns.ttl_s:
                zone.point(name, target, access.dns.ttl_s)
            changes[name] = {"before": str(before) if before else None, "now": str(zone.answer(name))}
    return {"names": changes}


def first_probe(context: FailoverContext) -> Figures:
    """A point through the name: telemetry goes all the way again."""
    return {"seen_after_s": round(probe(context.target, answer(context), context.tell), 2)}


def answer(context: FailoverContext) -> str:
    """Where the name of the gateway leads now; empty where no name moves, or people lead it.

    Raises:
        OpsError: It leads nowhere.
    """
    access = context.target.access
    if access.dns is None or "otlp" not in access.dns.names or context.names_by_hand:
        return ""
    name = access.dns.names["otlp"]
    with dns.zone(access.dns) as zone:
        dns_answer = zone.answer(name)
    if dns_answer is None or len(dns_answer.values) != 1:
        raise OpsError(f"{name} leads to {dns_answer or 'nothing'}, must lead to one place")
    return dns_answer.values[0].rstrip(".")


def drain(context: FailoverContext) -> Figures:
    """Nobody has the old answer any more, and what the old region got until then is copied.

    Raises:
        OpsError: It is not all copied within ``COPIED_S``, or the old region was lost meanwhile.
    """
    access = context.target.access
    keeps = (access.dns.ttl_s if access.dns else 0) + _MARGIN_S
    context.tell(f"waiting {keeps:.0f} s: so long others may keep the old answer")
    time.sleep(keeps)
    try:
        wanted = mirror_offsets.marks(_other(context).platform, context.target.topics)
    except OpsError as error:
        context.behind(f"nobody knows what {context.source} has that {context.target.name} has not: {error}")
        return {"waited_s": keeps, "copied_after_s": None, "not_copied": None}
    offsets = mirror_offsets.ConnectOffsets(context.target.platform, context.source)
    what = f"{context.target.name} to have copied what {context.source} had"
    try:
        took = wait_until(lambda: wanted.behind(offsets.read()) == 0, COPIED_S, what)
    except OpsError as error:
        left = wanted.behind(offsets.read())
        context.behind(f"{error}: {left} records are in {context.source} alone")
        return {"waited_s": keeps, "copied_after_s": None, "not_copied": left}
    return {"waited_s": keeps, "copied_after_s": round(took, 1)}


def promote(context: FailoverContext) -> Figures:
    """The stack of the target becomes a primary one."""
    context.tell(f"pulumi up of {context.target.name}, up to {pulumi.UP_LIMIT_S / 60:.0f} min")
    pulumi.set_role("primary", context.target.stack)
    pulumi.up(context.target.stack, role="primary")
    return {"role": "primary"}


def verify(context: FailoverContext) -> Figures:
    """The region does its work.

    Raises:
        OpsError: A point is not seen, or Alertmanager is silenced.
    """
    current = takeover.current(context.witness)
    if current is None or not current[0].may_notify(context.target.name):
        raise OpsError(f"{context.target.name} may not notify: another command has the lease")
    seen = probe(context.target, answer(context), context.tell)

    def free() -> bool:
        return not any(
            silence.author == FAILOVER_AGENT and silence.state == "active"
            for silence in context.target.alertmanager.silences()
        )

    took = wait_until(free, takeover.NOTIFY_S, f"Alertmanager of {context.target.name} to be silenced no more")
    return {"seen_after_s": round(seen, 2), "free_after_s": round(took, 1)}


CATCH_UP_S = 900.0
WITHIN_S = 10.0
"""Caught up is a mirror that has copied within so many seconds what the other region had, twice in a row."""
_TIMES = 2
_PAUSE_S = 1.0


def catch_up(context: FailoverContext) -> Figures:
    """Wait until the mirror has caught up: of the region that comes back, or of the one that stands by.

    Raises:
        OpsError: It does not within ``CATCH_UP_S``.
    """
    other, offsets = _other(context), mirror_offsets.ConnectOffsets(context.target.platform, context.source)
    began, times, behind = time.monotonic(), 0, 0
    context.tell(f"waiting up to {CATCH_UP_S / 60:.0f} min for the mirror of {context.target.name}")
    while time.monotonic() - began < CATCH_UP_S:
        wanted, round_began = mirror_offsets.marks(other.platform, context.target.topics), time.monotonic()
        while (behind := wanted.behind(offsets.read())) and time.monotonic() - round_began < WITHIN_S:
            time.sleep(_PAUSE_S)
        times = 0 if behind else times + 1
        if times == _TIMES:
            return {"caught_up_after_s": round(time.monotonic() - began, 1)}
        if behind and context.accept_behind:
            break
        if behind:
            context.tell(f"{behind} records to copy")
    waited = time.monotonic() - began
    context.behind(f"the mirror of {context.target.name} is {behind} records behind after {waited:.0f} s")
    return {"caught_up_after_s": None, "not_copied": behind}


def consumers(context: FailoverContext) -> Figures:
    """Wait until the region's own consumers have read its metrics: before that its rules judge by what is old.

    Who reads traces and logs may be behind: nothing is decided by them, and nothing of them is lost.

    Raises:
        OpsError: They have not within ``CATCH_UP_S``.
    """
    began, left = time.monotonic(), dict[str, int]()
    context.tell(f"waiting up to {CATCH_UP_S / 60:.0f} min for the consumers of {context.target.name}")
    while time.monotonic() - began < CATCH_UP_S:
        wanted, round_began = mirror_offsets.marks(context.target.platform, [_METRICS]), time.monotonic()
        while (
            left := mirror_offsets.unread(context.target.platform, wanted)
        ) and time.monotonic() - round_began < WITHIN_S:
            time.sleep(_PAUSE_S)
        if not left:
            return {"read_after_s": round(time.monotonic() - began, 1)}
        if context.accept_behind:
            break
        context.tell(f"records to read: {_counted(left)}")
    waited = time.monotonic() - began
    context.behind(f"consumers of {context.target.name} have not read all after {waited:.0f} s: {_counted(left)}")
    return {"read_after_s": None, "not_read": left}


def _counted(left: Mapping[str, int]) -> str:
    return ", ".join(f"{group} {count}" for group, count in left.items())


_FAILOVER_FUNCTIONS: dict[str, Callable[[FailoverContext], Figures]] = {
    "catch-up": catch_up,
    "consumers": consumers,
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


def both(context: FailoverContext) -> Figures:
    """Whether a failback is possible at all.

    Raises:
        OpsError: The lease is not the source's, a region gives no sign of life, or nobody knows where it took over.
    """
    current = takeover.current(context.witness)
    if current is None or not current[0].may_notify(context.source):
        raise OpsError(f"{context.source} does not hold the lease: there is nothing to fail back from")
    for name in (context.source, context.target.name):
        last = takeover.sign_of_life(context.witness, name)
        if last is None or not last.alive:
            silent = f"since {last.age_s:.0f} s" if last else "for ever"
            raise OpsError(f"{name} gives no sign of life {silent}: bring it up first, then fail back")
    known = [operation for operation in operations(context.witness) if operation.id != context.journal.operation.id]
    took_over = promotion(known, context.source)
    if took_over is None:
        raise OpsError(
            f"no journal tells where {context.source} took over: without it everything would be copied again"
        )
    noted = took_over.figures("offsets")["offsets"]
    return {"operation": took_over.id, "offsets": noted, "epoch": current[0].epoch, "alone": _alone(context, noted)}


def _alone(context: FailoverContext, noted: Mapping[str, object]) -> int | None:
    """Records that the returning region has and the other one never got; None where nobody knows any more.

    Its own topics say so only until its mirror copies into them.
    """
    if context.target.access.role == "standby":
        return None
    copied = mirror_offsets.ConnectOffsets(_other(context).platform, context.target.name).read()
    if not copied:
        return None
    count = mirror_offsets.marks(context.target.platform, tuple(noted)).behind(copied)
    if count:
        context.problem(
            f"{count} records of {context.target.name} were never copied to {context.source}: they stay there"
        )
    return count


def set_target_offsets(context: FailoverContext) -> Figures:
    """The returning region's mirror begins where the other one took over."""
    begin = mirror_offsets.from_json(context.journal.operation.figures("both")["offsets"])
    return _set_offsets(context, context.target, context.source, begin)


def return_target(context: FailoverContext) -> Figures:
    """The returning region becomes a standby, and its mirror runs."""
    return _standby(context, context.target)


def set_source_offsets(context: FailoverContext) -> Figures:
    """The region that gives up gets a mirror that begins where the other one's own begins."""
    other = _other(context)
    left = mirror_offsets.marks(other.platform, context.target.topics).behind(
        mirror_offsets.ConnectOffsets(context.target.platform, context.source).read()
    )
    if left:
        context.problem(f"{left} records came to {context.source} after its names led elsewhere: they are there alone")
    begin = mirror_offsets.from_json(context.journal.operation.figures("offsets")["offsets"])
    return {**_set_offsets(context, other, context.target.name, begin), "left_behind": left}


def stand_by(context: FailoverContext) -> Figures:
    """The region that gave up becomes a standby."""
    return _standby(context, _other(context))


def _set_offsets(context: FailoverContext, region: Region, source: str, begin: mirror_offsets.Offsets) -> Figures:
    if region.access.role == "standby":
        context.problem(f"{region.name} is a standby already: its mirror goes on where it is")
        return {"offsets_written": 0}
    return {"offsets_written": mirror_offsets.write(region.platform, source, begin)}


def _standby(context: FailoverContext, region: Region) -> Figures:
    context.tell(f"pulumi up of {region.name}, up to {pulumi.UP_LIMIT_S / 60:.0f} min")
    pulumi.set_role("standby", region.stack)
    pulumi.up(region.stack, role="standby")
    region.refresh()
    return {"role": region.access.role}


def _other(context: FailoverContext) -> Region:
    if context.other is None:
        raise OpsError(f"the stack of {context.source} is not known here")
    return context.other


_FAILBACK_FUNCTIONS: dict[str, Callable[[FailoverContext], Figures]] = {
    "both": both,
    "mirror-offsets": set_target_offsets,
    "return": return_target,
    "mirror-offsets-back": set_source_offsets,
    "standby": stand_by,
}

STEP_FUNCTIONS: Mapping[str, Callable[[FailoverContext], Figures]] = {
    **_FAILOVER_FUNCTIONS,
    **_FAILBACK_FUNCTIONS,
}
_FENCED, _LET = "fence", "notify"


def run(
    steps: Sequence[Step],
    context: FailoverContext,
    functions: Mapping[str, Callable[[FailoverContext], Figures]] = STEP_FUNCTIONS,
) -> None:
    """Do what is left to do, and close the journal.

    Raises:
        OpsError: A step cannot be done; the message says which, and what holds until the command is repeated.
    """
    operation = context.journal.operation
    for step in steps:
        if operation.has(step.name) and not step.again:
            context.tell(f"{step.name}: done already")
            continue
        try:
            _still_ours(context)
            context.problems.clear()
            context.tell(f"{step.name}: {step.text(operation.target, operation.source)}")
            context.journal.begin(step.name)
            context.journal.end(step.name, functions[step.name](context), context.problems)
        except OpsError as error:
            raise OpsError(f"{step.name}: {error}{resume_hint(context)}") from None
        context.tell(f"{step.name}: done in {operation.steps[step.name].seconds:.1f} s")
    context.journal.close()


def resume_hint(context: FailoverContext) -> str:
    """What holds until the command is repeated."""
    operation = context.journal.operation
    halfway = not operation.has(_LET) if operation.has(_FENCED) else _in_first_phase(context)
    if halfway:
        return "; nobody is notified of alerts until the command is repeated: it goes on where it stopped"
    return "; the command, repeated, goes on where it stopped" if operation.has(_FENCED) else ""


def _in_first_phase(context: FailoverContext) -> bool:
    """Whether the target has the lease and no region is active, as far as the witness tells."""
    try:
        current = takeover.current(context.witness)
    except OpsError:
        return False
    return current is not None and current[0].holder == context.target.name and not current[0].notify


def _still_ours(context: FailoverContext) -> None:
    """Stop when another command has taken the lease since.

    Raises:
        OpsError: It has.
    """
    operation = context.journal.operation
    if operation.has(_FENCED):
        takeover.holds(context.witness, operation.target, context.epoch, notify=operation.has(_LET))
