"""Rows of ``ops verify``: the requirements in their order, states of rows, what a check found, the tools with which
checks are written, and their run.

The long text of a requirement is in ``shared/design/requirements.md`` of the project's design; an id never changes its
meaning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ops.core.context import Context
from ops.core.errors import OpsError, one_line, waits_of


@dataclass(frozen=True)
class Requirement:
    """One row: its id, for example ``K1``, a short title for tables, and what it asks for."""

    id: str
    title: str
    text: str


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "L1",
        "Telemetry of wearable devices",
        "Wearable devices report state, latency, battery, stream quality and speech recognition",
    ),
    Requirement(
        "L2",
        "Telemetry of streaming and recording",
        "Streaming and recording report streams, recordings, storage and transfer",
    ),
    Requirement(
        "L3",
        "Telemetry of business services",
        "Business services report API response, event processing and database pool",
    ),
    Requirement(
        "L4",
        "Telemetry of data management",
        "Data management reports ETL, batch duration, consistency and report generation",
    ),
    Requirement("L5", "Telemetry of analytics", "Analytics report sessions, screen display time and analysis load"),
    Requirement(
        "K1",
        "Three brokers, RF 3, min ISR 2",
        "Three KRaft brokers, RF 3, min ISR 2, no unclean election, no auto-created topics",
    ),
    Requirement("K2", "Topics and their partitions", "Five topics with their partitions, all RF 3"),
    Requirement(
        "K3",
        "OTLP records: keys, Snappy, acks=all",
        "OTLP protobuf records, Snappy, acks=all, keyed by device, service or trace",
    ),
    Requirement("K4", "Retention per topic", "Retention per topic"),
    Requirement(
        "K5",
        "Kafka: TLS, SCRAM, ACLs, deny by default",
        "TLS on every listener, SCRAM-SHA-512 per client, ACLs, deny by default",
    ),
    Requirement("K6", "Partitions added without loss", "Partitions are added from configuration without loss"),
    Requirement(
        "O1",
        "Two gateways: OTLP, TLS, authentication",
        "Two gateways behind a load balancer, OTLP over TLS with client authentication",
    ),
    Requirement(
        "O2",
        "Routing per layer, drops counted",
        "Signals are routed per layer; what a layer may not send is dropped and counted",
    ),
    Requirement(
        "O3",
        "Personal data masked before Kafka",
        "Personal data masked or hashed and secrets removed before Kafka",
    ),
    Requirement("O4", "Head, tail and adaptive sampling", "Head, tail and adaptive sampling"),
    Requirement("O5", "A consumer group per destination", "One consumer group per destination, at least once"),
    Requirement(
        "P1",
        "Two Prometheus, failover for readers",
        "Primary and secondary Prometheus fed from Kafka, failover for readers",
    ),
    Requirement(
        "P2",
        "Prometheus: TLS and authentication",
        "TLS and authentication on the web API, scrape credentials per target",
    ),
    Requirement(
        "P3",
        "Thresholds as data, with tests, runbooks",
        "Thresholds as data, every alert with test, runbook and severity",
    ),
    Requirement("P4", "Sharding under one view", "Sharding by configuration under one view"),
    Requirement("A1", "Two Alertmanagers in a cluster", "Two Alertmanagers in a gossip cluster over TLS"),
    Requirement("A2", "Routing and escalation", "Routing and escalation"),
    Requirement("A3", "Alert events and notifications in Kafka", "Alert events and notifications in Kafka"),
    Requirement("G1", "Two Grafana on a shared database", "Two Grafana replicas on a shared database"),
    Requirement("G2", "System overview dashboard", "System overview dashboard"),
    Requirement("G3", "A detail dashboard per layer", "A detail dashboard per layer"),
    Requirement("G4", "Operations dashboard", "Operations dashboard"),
    Requirement("G5", "LDAP login, roles, permissions", "LDAP login, roles and permissions"),
    Requirement("R1", "Daily, weekly and monthly reports", "Daily, weekly and monthly reports"),
    Requirement("J1", "Jaeger in its production topology", "Jaeger in its production topology"),
    Requirement("J2", "Traces end to end, dependencies", "One trace through the whole flow, dependencies, percentiles"),
    Requirement("J3", "OIDC login, clearances of traces", "OIDC login and confidentiality classes of traces"),
    Requirement("D1", "Backups, and restores that are tested", "Backups, and restores that are tested"),
    Requirement("D2", "Regions in sync", "Key metrics and alert definitions in sync across regions"),
    Requirement(
        "D3",
        "Failover and failback drills, RTO, RPO",
        "Failover and failback drills with measured RTO and RPO",
    ),
    Requirement("D4", "Dead man's switch outside the platform", "A dead man's switch outside the platform"),
    Requirement("M1", "Access audit", "Access audit"),
    Requirement("M2", "Maintenance as commands", "Daily, weekly and monthly maintenance as commands"),
    Requirement("M3", "Incident procedure with a report", "Incident procedure with a generated report"),
    Requirement("M4", "Change management by editing data", "Change management by editing data"),
    Requirement("S1", "Horizontal and vertical scaling", "Horizontal and vertical scaling"),
    Requirement("S2", "Throughput and latency targets", "Throughput and latency targets"),
)
"""All rows. ``ops verify`` prints one line for each of them, built or not."""

REQUIREMENT_IDS: tuple[str, ...] = tuple(requirement.id for requirement in REQUIREMENTS)
TITLES: dict[str, str] = {requirement.id: requirement.title for requirement in REQUIREMENTS}
TEXTS: dict[str, str] = {requirement.id: requirement.text for requirement in REQUIREMENTS}


_LINE = 400


class State(StrEnum):
    """State of a row; only ``fail`` makes the exit code 1.

    ``stale``: the evidence of one of its drills is missing, of another cluster, or older than the sources it covers.
    ``waiting``: something that comes by itself has not come yet and is not late. ``not set up``: a command sets it up.
    ``absent``: not built.
    """

    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    STALE = "stale"
    WAITING = "waiting"
    NOT_SET_UP = "not set up"
    ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Something that comes by itself at ``due``; ``command`` gets it now, where there is one."""

    what: str
    due: datetime
    command: str = ""

    def __str__(self) -> str:
        now = f" (now: `{self.command}`)" if self.command else ""
        return f"{self.what} is due at {moment(self.due)}{now}"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Something that is missing until somebody runs ``command``."""

    what: str
    command: str

    def __str__(self) -> str:
        return f"{self.what}: `{self.command}`"


@dataclass(frozen=True, kw_only=True)
class DrillResult:
    """What the evidence of a drill says about the platform at hand.

    Attributes:
        name: Name of the evidence.
        state: ``pass``, ``fail``, ``stale`` or ``not set up`` (measured on too few cores for its target).
        summary: The run with its age, commit and standing, in one line.
        command: Runs the drill.
        figures: What it measured.
        commit, time, platform: Of the run; empty or None without one.
        runs, failed: Runs of this platform, and how many of them failed.
        ignored: Files of this name that are no evidence.
    """

    name: str
    state: State
    summary: str
    command: str
    figures: dict[str, Any] = field(default_factory=dict)
    commit: str = ""
    time: datetime | None = None
    platform: str = ""
    runs: int = 0
    failed: int = 0
    ignored: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "state": str(self.state),
            "summary": self.summary,
            "command": self.command,
            "commit": self.commit,
            "time": self.time.isoformat() if self.time else None,
            "cluster_id": self.platform,
            "runs": self.runs,
            "failed": self.failed,
            "figures": self.figures,
            "ignored": list(self.ignored),
        }


@dataclass(frozen=True, kw_only=True)
class Row:
    """One requirement with what was observed; see `Finding` for the parts."""

    id: str
    state: State
    figures: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    waits: tuple[Wait, ...] = ()
    setups: tuple[Setup, ...] = ()
    drills: tuple[DrillResult, ...] = ()
    seconds: float = 0.0

    @property
    def figure(self) -> str:
        """Figures on one line."""
        return one_line("; ".join(self.figures), _LINE) if self.figures else ""

    @property
    def evidence(self) -> str:
        """Problems, then what was observed, on one line."""
        told = [*self.problems, *self.seen]
        return one_line("; ".join(told), 3 * _LINE) if told else ""

    @property
    def due(self) -> datetime | None:
        """When the last of what it waits for is due."""
        return max((wait.due for wait in self.waits), default=None)

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands that bring the row further, each once."""
        stale = [drill.command for drill in self.drills if drill.state is not State.PASS]
        return tuple(dict.fromkeys([*(setup.command for setup in self.setups), *stale]))

    @property
    def line(self) -> str:
        """What the overview says about the row."""
        if self.state is State.FAIL:
            return _counted(self.problems)
        if self.state is State.NOT_SET_UP:
            return _counted([f"{setup.command}: {setup.what}" for setup in self.setups])
        if self.state is State.WAITING:
            waits = sorted(self.waits, key=lambda wait: wait.due)
            return _counted([f"due {moment(wait.due)}: {wait.what}" for wait in reversed(waits)])
        if self.state is State.STALE:
            return ", ".join(self.commands)
        return self.figure or self.evidence

    def as_json(self) -> dict[str, Any]:
        """For machines, without the title."""
        return {
            "id": self.id,
            "state": str(self.state),
            "figure": self.figure,
            "due": self.due.isoformat() if self.due else None,
            "problems": list(self.problems),
            "seen": list(self.seen),
            "waits": [str(wait) for wait in self.waits],
            "setups": [str(setup) for setup in self.setups],
            "commands": list(self.commands),
            "drills": [drill.as_json() for drill in self.drills],
            "seconds": round(self.seconds, 1),
        }


@dataclass
class Finding:
    """What a check found.

    Attributes:
        figures: What was measured.
        seen: What else was observed.
        wrong: Problems; any of them fails the row.
        waits: What has not come yet and is not late.
        setups: What nobody has set up.
        drills: Names of evidence that the row relies on, with the figures of each that the row shows.
    """

    figures: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    setups: list[Setup] = field(default_factory=list)
    drills: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def expect(self, condition: bool, problem: str) -> None:
        """Note ``problem`` unless ``condition`` holds."""
        if not condition:
            self.wrong.append(problem)

    def expect_equal(self, what: str, actual: object, wanted: object) -> None:
        """Note a difference."""
        self.expect(actual == wanted, f"{what} is {actual}, must be {wanted}")

    def expect_by(self, due: datetime, condition: bool, what: str, problem: str, command: str = "") -> None:
        """Wait for ``what`` until ``due``; from then on it is a problem that ``condition`` does not hold."""
        if condition:
            return
        if datetime.now(UTC) < due:
            self.waits.append(Wait(what=what, due=due, command=command))
        else:
            self.wrong.append(f"{problem} (was due at {moment(due)})")

    def set_up(self, what: str, command: str) -> None:
        """Note that ``what`` is missing until somebody runs ``command``."""
        self.setups.append(Setup(what=what, command=command))

    def drill(self, *names: str, show: Sequence[str] = ()) -> None:
        """Rely on the evidence of drills, and show these figures of those that are not stale."""
        for name in names:
            self.drills[name] = tuple(show)

    def row(self, identifier: str, judge: Callable[[str], DrillResult], seconds: float = 0.0) -> Row:
        """The finished row.

        Args:
            identifier: Its id.
            judge: Says what the evidence of a name is worth on this platform.
            seconds: How long the check took.
        """
        results = tuple(judge(name) for name in self.drills)
        problems = [*self.wrong, *(drill.summary for drill in results if drill.state is State.FAIL)]
        setups = [
            *self.setups,
            *(Setup(what=drill.summary, command=drill.command) for drill in results if drill.state is State.NOT_SET_UP),
        ]
        figures = [*self.figures]
        for result in (drill for drill in results if drill.state is not State.STALE):
            figures += [f"{name} {result.figures[name]}" for name in self.drills[result.name] if name in result.figures]
        stale = any(drill.state is State.STALE for drill in results)
        state = (
            State.FAIL
            if problems
            else State.NOT_SET_UP
            if setups
            else State.WAITING
            if self.waits
            else State.STALE
            if stale
            else State.PASS
        )
        return Row(
            id=identifier,
            state=state,
            figures=tuple(figures),
            problems=tuple(one_line(problem, _LINE) for problem in problems),
            seen=tuple(self.seen),
            waits=tuple(self.waits),
            setups=tuple(setups),
            drills=results,
            seconds=seconds,
        )


Check = Callable[[Context], Finding]
"""Looks at the live platform and returns what it found; any exception becomes a failed row."""


def listed(values: Iterable[object]) -> str:
    """Values in order, separated by commas."""
    return ", ".join(sorted(map(str, values)))


def lasting(look: Callable[[], Mapping[str, str]], seconds: float, pause_s: float = 1.0) -> dict[str, str]:
    """What every look within a time shows, as the newest one says it; none as soon as nothing is left.

    What is told by several servers that agree only after a while, or is about to be put right, is no finding yet.

    Args:
        look: Gives what is wrong: who or what -> how.
        seconds: How long it may last.
        pause_s: Seconds between looks.
    """
    left, deadline = dict(look()), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        time.sleep(pause_s)
        left = {what: how for what, how in look().items() if what in left}
    return dict(sorted(left.items()))


def moment(at: datetime, now: datetime | None = None) -> str:
    """A clock time in UTC, with the day where it is not today."""
    at = at.astimezone(UTC)
    return at.strftime("%H:%M UTC" if at.date() == (now or datetime.now(UTC)).date() else "%d %b %H:%M UTC")


def _counted(texts: Sequence[str]) -> str:
    """The first text, and how many more there are."""
    return f"{texts[0]}{f' (+{len(texts) - 1})' if len(texts) > 1 else ''}" if texts else ""


def not_set_up(lines: Iterable[str], command: str = "pulumi up --policy-pack policy") -> Finding:
    """The finding of a check about something that the stack file leaves out.

    Args:
        lines: What is not promised.
        command: Brings it up once the stack file names it.
    """
    finding = Finding()
    for line in lines:
        finding.set_up(line, command)
    return finding


CONCURRENCY = 3
SECONDS_PER_CHECK = 120.0

Judge = Callable[[str], DrillResult]


def choose(words: Sequence[str]) -> tuple[str, ...]:
    """Ids to report: all, or the named ones, in the order of the requirements.

    Args:
        words: Ids in any case, also several in one word, separated by commas.

    Raises:
        OpsError: An id is not known.
    """
    wanted = {part.strip().upper() for word in words for part in word.split(",") if part.strip()}
    if not wanted:
        return REQUIREMENT_IDS
    if unknown := sorted(wanted - set(REQUIREMENT_IDS)):
        raise OpsError(f"no row {', '.join(unknown)}: use ids such as {', '.join(REQUIREMENT_IDS[:8])}")
    return tuple(identifier for identifier in REQUIREMENT_IDS if identifier in wanted)


def no_drills(name: str) -> DrillResult:
    """Judge for checks that rely on no evidence.

    Raises:
        OpsError: Always: the check does rely on some.
    """
    raise OpsError(f"nothing judges the evidence {name} here")


def run_checks(
    ids: Iterable[str],
    checks: Mapping[str, Check],
    context: Context,
    progress: Callable[[Row], None] = lambda _: None,
    seconds: float = SECONDS_PER_CHECK,
    judge: Judge = no_drills,
) -> list[Row]:
    """One row per id, in the given order; ids without a check are ``absent``.

    Args:
        ids: What to check.
        checks: Check of each id.
        context: The platform.
        progress: Gets each row once it is finished.
        seconds: Time limit of one check.
        judge: Says what evidence is worth on this platform.
    """
    wanted = tuple(ids)
    rows = {identifier: Row(id=identifier, state=State.ABSENT) for identifier in wanted if identifier not in checks}
    gate = threading.BoundedSemaphore(CONCURRENCY)
    jobs = {name: _Job(name, checks[name], context, gate, judge) for name in wanted if name in checks}
    for name, job in jobs.items():
        # A check that hangs must not keep the program alive: its thread is a daemon, and its row fails.
        job.name = f"verify-{name}"
        job.start()
    for name, job in jobs.items():
        rows[name] = job.result(seconds)
        progress(rows[name])
    return [rows[identifier] for identifier in wanted]


class _Job(threading.Thread):
    def __init__(
        self, identifier: str, check: Check, context: Context, gate: threading.BoundedSemaphore, judge: Judge
    ) -> None:
        super().__init__(daemon=True)
        self._identifier, self._check, self._context, self._gate, self._judge = identifier, check, context, gate, judge
        self._row: Row | None = None
        self._begun = threading.Event()
        self._start_time = 0.0

    def run(self) -> None:
        """Wait for a free place, then check."""
        with self._gate:
            self._start_time = time.monotonic()
            self._begun.set()
            try:
                finding = self._check(self._context)
                self._row = finding.row(self._identifier, self._judge, time.monotonic() - self._start_time)
            except Exception as error:  # any failure of a check is that check's row
                self._row = self._failed(
                    one_line(error) if isinstance(error, OpsError) else f"{type(error).__name__}: {one_line(error)}"
                )

    def result(self, seconds: float) -> Row:
        """The row, at the latest ``seconds`` after the check began."""
        if not self._begun.wait(seconds * 10):
            return self._failed(f"had no turn: other checks hang{waits_of()}")
        self.join(max(self._start_time + seconds - time.monotonic(), 0.1))
        return self._row or self._failed(f"gave no answer in {seconds:.0f} s{waits_of(self.ident)}")

    def _failed(self, reason: str) -> Row:
        spent = time.monotonic() - self._start_time if self._begun.is_set() else 0.0
        return Row(id=self._identifier, state=State.FAIL, problems=(reason,), seconds=spent)
