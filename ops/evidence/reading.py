"""Evidence as it is read: texts with its figures (``{name}`` is a figure, ``{a/b}`` b within a, ``{a/0}`` the first of
a list), and what the evidence of drills is worth on the platform at hand: valid, failed, stale, or not comparable. And
records of maintenance and drills, stored beside the reports: who reads a monthly report sees what was done.
"""

from __future__ import annotations

import getpass
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from components.storage_roles import REPORT_PREFIX
from ops.core.access import BackupAccess
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.platform import PROJECT
from ops.core.rows import DrillResult, State
from ops.evidence import files as evidence
from ops.evidence.files import Entry, Evidence, PlatformId, Standing, Target
from services.reports.delivery import JSON_TYPE, Store
from services.reports.model import ReportError
from services.reports.records import FOLDER, WorkRecord

NOT_MEASURED = "not measured"
_NAMED = re.compile(r"\{([^{}]+)\}")
_DECIMALS = 2


def told(figures: Mapping[str, Any], texts: Iterable[str]) -> list[str]:
    """Texts with their figures, in their order; a text one of whose figures is missing is left out."""
    return [text for template in texts if (text := filled(template, figures)) is not None]


def filled(text: str, figures: Mapping[str, Any]) -> str | None:
    """A text with each figure in its place; None when one is missing."""
    values = {name: evidence.figure(figures, name) for name in named(text)}
    if None in values.values():
        return None
    return _NAMED.sub(lambda match: plain(values[match[1]]), text)


def named(text: str) -> list[str]:
    """Names of the figures in a text."""
    return _NAMED.findall(text)


def plain(value: object) -> str:
    """A value on one line, numbers with at most two decimals."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {plain(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, float):
        return f"{round(value, _DECIMALS):,}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Drills:
    """Judges evidence, each name once; safe for several threads.

    Args:
        platform: Identity of the platform; asked for once, when the first run is judged.
        folder: Where evidence is kept.
        project: The checkout whose sources are compared.
    """

    def __init__(
        self, platform: Callable[[], PlatformId], folder: Path = evidence.FOLDER, project: Path = PROJECT
    ) -> None:
        self._platform, self._folder, self._project = platform, folder, project
        self._lock = threading.Lock()
        self._known: PlatformId | None = None
        self._judged: dict[str, DrillResult] = {}

    @classmethod
    def of(cls, kube: Kube) -> Drills:
        """Judge for the platform that a client is connected with."""
        return cls(lambda: evidence.platform_id(kube))

    @property
    def ignored(self) -> list[str]:
        """Files that were no evidence, of the names that were judged."""
        with self._lock:
            return [file for name in sorted(self._judged) for file in self._judged[name].ignored]

    def judge(self, name: str) -> DrillResult:
        """What the newest run of a name says about the platform.

        Raises:
            OpsError: The catalog does not have the name, or the cluster does not say which it is.
        """
        with self._lock:
            if name not in self._judged:
                self._judged[name] = self._judge(name)
            return self._judged[name]

    def _judge(self, name: str) -> DrillResult:
        entry = evidence.catalog().entry(name)
        runs = evidence.read(name, self._folder)
        if not runs.runs:
            return _result(name, entry, State.STALE, f"{name} never ran", ignored=runs.ignored)
        if self._known is None:
            self._known = self._platform()
        own = [run for run in runs.runs if not self._foreign(run)]
        if not own:
            newest = runs.runs[0]
            reason = f"{newest.summary()}: measured on another cluster"
            return _result(name, entry, State.STALE, reason, newest, ignored=runs.ignored)
        newest = own[0]
        standing, why = evidence.standing(newest, self._known, self._project)
        failed = sum(bool(evidence.problems(run)) for run in own)
        history = f", {failed} of {len(own)} runs failed" if failed else ""
        told = f"{newest.summary()}, {why}{history}"
        state, summary = State.PASS, told
        if standing is not Standing.VALID:
            state = State.STALE
        elif problems := evidence.problems(newest):
            state = State.FAIL
            summary = f"{name} failed {newest.age()} ago (commit {newest.commit}{history}): {'; '.join(problems)}"
        elif beyond := [target for target in entry.targets if _incomparable(target, newest)]:
            state = State.NOT_SET_UP
            summary = f"{'; '.join(_compared(target, newest) for target in beyond)} ({told})"
        return _result(name, entry, state, summary, newest, len(own), failed, runs.ignored)

    def _foreign(self, run: Evidence) -> bool:
        """Whether a run is another cluster's; cheaper than its standing, which compares sources."""
        known = self._known
        return known is not None and not evidence.counts(run, known)


def _result(
    name: str,
    entry: Entry,
    state: State,
    summary: str,
    run: Evidence | None = None,
    runs: int = 0,
    failed: int = 0,
    ignored: tuple[str, ...] = (),
) -> DrillResult:
    return DrillResult(
        name=name,
        state=state,
        summary=one_line(summary, 400),
        command=entry.run,
        figures=dict(run.figures) if run else {},
        commit=run.commit if run else "",
        time=run.time if run else None,
        platform=run.platform.cluster_id if run and run.platform else "",
        runs=runs,
        failed=failed,
        ignored=ignored,
    )


def _incomparable(target: Target, run: Evidence) -> bool:
    """Whether a missed target is asked only of larger machines than the run had."""
    return not target.applies(run.cores) and target.problem(run.figures) is not None


def _compared(target: Target, run: Evidence) -> str:
    """What was reached of a target that is asked of larger machines."""
    reached = evidence.figure(run.figures, target.figure)
    limit = target.at_least if target.at_least is not None else target.at_most
    if isinstance(reached, int | float) and limit is not None:
        missed = f"{reached:,.10g} of {limit:,.10g} {target.unit}".strip()
    else:
        missed = target.problem(run.figures) or target.figure
    return f"{missed} on {run.cores} cores; the target is for {target.cores}"


MAINTENANCE: Final = Path("maintenance")
"""Where ``ops maintain`` writes its records, if not told otherwise."""
_DRILL = re.compile(r"ops drill ([a-z0-9-]+)")
"""How the catalog says that evidence is that of a drill."""
_MOST_PROBLEMS, _LONGEST = 50, 300


@contextmanager
def opened(access: BackupAccess) -> Iterator[Store]:
    """The bucket below the prefix of the reports, with the operators' key.

    Raises:
        OpsError: The storage refuses, or does not answer.
    """
    with access.storage(REPORT_PREFIX) as (storage, login):
        try:
            yield Store(storage, login)
        except ReportError as error:
            raise OpsError(str(error)) from None


def maintenance(folder: Path, platform: str, region: str) -> list[WorkRecord]:
    """Runs of ``ops maintain`` on a platform whose records are in a folder.

    Raises:
        OpsError: A file of that name is no record.
    """
    records = []
    for file in sorted(folder.glob("maintenance-*.json")):
        try:
            document = json.loads(file.read_bytes())
            if (document["platform"], document["region"]) != (platform, region):
                continue
            checks = document["checks"]
            records.append(
                WorkRecord(
                    work="maintenance",
                    name=document["maintenance"],
                    started=datetime.fromisoformat(document["started"]),
                    recorded_by=_operator(),
                    checks=len(checks),
                    problems=_bounded([str(check["id"]) for check in checks if check["result"] != "ok"]),
                    commit=document["commit"],
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OpsError(f"{file} is no record of `ops maintain`: {one_line(error)}") from None
    return records


def drills(identity: PlatformId, folder: Path = evidence.FOLDER) -> list[WorkRecord]:
    """Runs of drills on a cluster whose evidence is in a folder, which keeps the newest ones of each."""
    names = {
        name: match[1] for name, entry in evidence.catalog().evidence.items() if (match := _DRILL.fullmatch(entry.run))
    }
    return [
        WorkRecord(
            work="drill",
            name=drill,
            started=run.time,
            recorded_by=_operator(),
            problems=_bounded(evidence.problems(run)),
            commit=run.commit,
        )
        for name, drill in names.items()
        for run in evidence.read(name, folder).runs
        if run.platform is not None and run.platform.cluster_id == identity.cluster_id
    ]


def add(store: Store, records: Sequence[WorkRecord]) -> list[WorkRecord]:
    """Store the records that are not stored yet; those that were stay as they are.

    Returns:
        The new ones.

    Raises:
        ReportError: The storage refuses, or does not answer.
    """
    present = {name for name, _ in store.names(FOLDER)}
    new = [record for record in records if record.key not in present]
    for record in new:
        store.put(record.key, record.model_dump_json().encode(), JSON_TYPE)
    return new


def _bounded(problems: Sequence[str]) -> tuple[str, ...]:
    return tuple(one_line(problem, _LONGEST) for problem in problems[:_MOST_PROBLEMS])


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
