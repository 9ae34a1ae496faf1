"""What a drill is, as data; what it names as its procedure carried out, and its evidence written."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import wait_until
from ops.drills.tools import durations
from ops.evidence import files as evidence


class Aspect(StrEnum):
    """What a report tells, in its order."""

    STEADY = "steady state"
    FAULT = "fault"
    DETECTION = "detection"
    RECOVERY = "recovery"
    RTO = "RTO"
    RPO = "RPO"
    ALERTS = "alerts raised"
    NOTIFICATIONS = "notices sent"
    DASHBOARDS = "dashboards' answers"


PUT_BACK_S: Final = 300.0
"""What most drills have to put things back: a load ends first, and a command is tried again."""
PUT_BACK_BY_UP_S: Final = 1200.0
"""What those have that bring the stack up again for it."""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One drill that can be had.

    Attributes:
        name: As the command is called.
        shows: What holds when it passes, in one line.
        requirements: Ids of the requirements that it shows.
        procedure: What carries it out, as ``module:function``: see `ops.drills.procedure`.
        evidence: Name of the evidence that it writes.
        seconds: How long it takes, about.
        limit_s: Seconds after which it is ended.
        load: What runs meanwhile.
        fault: What is taken away.
        figures: Aspect -> texts about it, with names of figures of the evidence in braces.
        watched: Whether pods, partitions and panels are looked at from outside meanwhile.
        looked_at: Whether it starts only on a platform that is steady as a whole. A drill of two regions looks at both
            itself, and parts of them may be scaled down.
        put_back_s: Seconds that it has to put back what it took away, after its limit or an interruption.
    """

    name: str
    shows: str
    requirements: tuple[str, ...]
    procedure: str
    evidence: str
    seconds: int
    limit_s: int
    load: str
    fault: str
    figures: Mapping[Aspect, tuple[str, ...]] = field(default_factory=dict)
    watched: bool = True
    looked_at: bool = True
    put_back_s: float = PUT_BACK_S


Procedure = Callable[[Context, dict[str, Any]], list[str]]
"""Fills in figures of the evidence; what did not hold, a sentence each."""

SETTLED_S: Final = 300.0
LONGEST: Final = 300
"""Characters of a problem."""


class CannotRunError(OpsError):
    """Something that a drill needs is not here; raised before anything is taken away."""


def load(name: str) -> Procedure:
    """Import what a drill names as ``module:function``.

    Raises:
        CannotRunError: There is no such function.
    """
    module, _, function = name.partition(":")
    try:
        procedure: Procedure = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise CannotRunError(f"{name!r} cannot be carried out: {error}") from error
    return procedure


def is_settled(context: Context) -> bool:
    """Whether every pod is ready and every partition has all its replicas in sync."""
    pods = [pod for pod in context.kube.pods() if pod.workload]
    topics = context.kafka.topics().values()
    return all(pod.ready for pod in pods) and all(topic.in_sync == topic.replicas for topic in topics)


def settle(context: Context) -> None:
    """Wait until the platform is settled, so that a drill starts from a good state.

    Raises:
        OpsError: It is not within five minutes.
    """
    wait_until(lambda: is_settled(context), SETTLED_S, "all pods ready and all replicas in sync", 3.0)


def carry_out(drill: Drill, context: Context, folder: Path = evidence.FOLDER) -> list[str]:
    """Carry a drill out on a settled platform and write its evidence.

    An interruption is no result about the platform and leaves no evidence.

    Args:
        drill: Names its procedure.
        context: The platform.
        folder: Where evidence is kept.

    Returns:
        What did not hold, with each target of the catalog that was missed. Empty: passed.

    Raises:
        CannotRunError: Something that it needs is not here; there is no evidence. Once something was measured, it is
            an error like any other.
    """
    procedure = load(drill.procedure)
    covered = evidence.covers(drill.evidence)
    figures: dict[str, Any] = {}
    started = datetime.now(UTC)

    def write(problems: Sequence[str]) -> list[str]:
        written = evidence.write(
            drill.evidence,
            figures=figures,
            kube=context.kube,
            passed=not problems,
            problems=problems,
            started=started,
            settings={"load": drill.load, "fault": drill.fault, "durations": durations.in_force()},
            folder=folder,
            covered=covered,
        )
        return list(written.problems)

    try:
        with _threads() as ended:
            problems = procedure(context, figures)
        problems = [*problems, *ended]
    except KeyboardInterrupt:
        raise
    except OpsError as error:
        if isinstance(error, CannotRunError) and not figures:
            raise
        problems = [one_line(error, LONGEST)]
    except BaseException as error:
        write([one_line(f"{type(error).__name__}: {error}", LONGEST)])
        raise
    return write(problems)


@contextmanager
def _threads() -> Iterator[list[str]]:
    """Threads that end by an error inside the block: a load or a watch of which nothing more would be heard."""
    ended: list[str] = []
    before = threading.excepthook

    def note(error: threading.ExceptHookArgs) -> None:
        name = error.thread.name if error.thread else "a thread"
        ended.append(one_line(f"{name} ended: {error.exc_type.__name__}: {error.exc_value}", LONGEST))
        before(error)

    threading.excepthook = note
    try:
        yield ended
    finally:
        threading.excepthook = before
