"""Evidence: what a run measured, as data that says where, on what and with which sources it was measured.

A run leaves one file, ``evidence/<name>/<time>.json``; no run replaces another. ``evidence/catalog.yaml`` holds for
each name its title, the sources whose change makes it stale (``covers``), the targets, and the command that runs it.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.platform import PROJECT

FOLDER: Final = PROJECT / "evidence"
CATALOG: Final = FOLDER / "catalog.yaml"
SCOPE_VARIABLE: Final = "OBS_EVIDENCE_SCOPE"
KEPT_RUNS: Final = 12
"""Runs of one name that stay; beyond that the oldest passed one goes first, then the oldest failed one."""
_KEPT_PASSED: Final = 3
"""Of them the newest passed ones, which stay whatever fails after them."""
_NOT_RUN: Final = ("_test.go", ".md")
"""Endings of files that are no part of what runs: no run covers them."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_GIT_S = 15
_CLOCKS_DIFFER = timedelta(minutes=5)
_LARGEST_BYTES = 2**20


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Target(_Model):
    """A limit on one figure; ``a/b`` names figure b inside a.

    ``cores``: asked of machines of at least so many. ``only_below``: asked of runs with each of these figures below its
    number.
    """

    figure: str
    at_most: float | None = None
    at_least: float | None = None
    equals: float | str | bool | None = None
    unit: str = ""
    source: str = ""
    cores: int | None = Field(default=None, ge=1)
    only_below: Mapping[str, float] = {}

    def applies(self, cores: int) -> bool:
        """Whether the target is asked of a machine of so many cores."""
        return self.cores is None or cores >= self.cores

    def problem(self, figures: Mapping[str, Any], cores: int | None = None) -> str | None:
        """Why the figures miss the target, or None when they meet it or it is not asked of them or so few cores."""
        if cores is not None and not self.applies(cores):
            return None
        for name, limit in self.only_below.items():
            bound = figure(figures, name)
            if not isinstance(bound, int | float) or bound >= limit:
                return None
        value = figure(figures, self.figure)
        if value is None:
            return f"{self.figure} was not measured"
        comparisons: tuple[tuple[str, Any, Callable[[Any, Any], bool]], ...] = (
            ("at most", self.at_most, operator.le),
            ("at least", self.at_least, operator.ge),
            ("exactly", self.equals, operator.eq),
        )
        for words, limit, holds in comparisons:
            if limit is None:
                continue
            comparable = isinstance(limit, str) or isinstance(value, int | float)
            if not comparable or not holds(value, limit):
                shown = f"{value} {self.unit}".strip()
                return (
                    f"{self.figure} is {shown}, must be {words} {limit:g}"
                    if isinstance(limit, float)
                    else (f"{self.figure} is {shown}, must be {limit}")
                )
        return None


class Entry(_Model):
    """What the catalog says about one name; ``text`` has figures in braces and its parts between ``; ``."""

    title: str
    covers: tuple[str, ...] = Field(min_length=1)
    run: str
    targets: tuple[Target, ...] = ()
    text: str = ""


class Catalog(_Model):
    """Every name of evidence; ``sources`` are named groups of paths that ``covers`` may refer to."""

    sources: Mapping[str, tuple[str, ...]]
    evidence: Mapping[str, Entry]

    def entry(self, name: str) -> Entry:
        """What is known of a name.

        Raises:
            OpsError: The catalog does not have it.
        """
        if name not in self.evidence:
            raise OpsError(f"evidence {name!r} is not in {CATALOG.name}: add its title, covers, targets and command")
        return self.evidence[name]

    def paths(self, name: str) -> tuple[str, ...]:
        """Path patterns that a name covers, relative to the project."""
        source_paths: list[str] = []
        for part in self.entry(name).covers:
            source_paths += self.sources.get(part, (part,))
        return tuple(dict.fromkeys(source_paths))


class PlatformId(_Model):
    """Which platform was measured; ``cluster_id`` is the UID of the namespace ``kube-system``."""

    stack: str
    namespace: str
    cluster_id: str


class Evidence(_Model):
    """One run. ``covers_digest`` identifies the contents of the covered files; ``seconds`` is the run's duration."""

    name: str
    passed: bool
    problems: tuple[str, ...] = ()
    commit: str
    dirty: bool
    covers_digest: str
    time: AwareDatetime
    seconds: float | None
    platform: PlatformId | None
    machine: Mapping[str, int | float | str]
    versions: Mapping[str, str]
    settings: Mapping[str, Any] = {}
    figures: Mapping[str, Any] = {}

    @field_validator("machine")
    @classmethod
    def _of_so_many_cores(cls, value: Mapping[str, int | float | str]) -> Mapping[str, int | float | str]:
        if not isinstance(value.get("cores"), int):
            raise ValueError("does not say on how many cores it ran")  # noqa: TRY004  (pydantic reports it as the field's error)
        return value

    @property
    def cores(self) -> int:
        """On how many cores it was made."""
        return int(self.machine["cores"])

    def age(self, now: datetime | None = None) -> str:
        """Time since the run, in words."""
        elapsed = ((now or datetime.now(UTC)) - self.time) / timedelta(seconds=1)
        for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
            if elapsed >= size:
                return f"{elapsed // size:.0f} {unit}"
        return f"{max(elapsed, 0):.0f} s"

    @property
    def told(self) -> Mapping[str, Any]:
        """What texts may name: the figures, and as ``settings`` what the run was asked to do, whole numbers as such."""
        settings = {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in self.settings.items()
        }
        return {"settings": settings, **self.figures}

    def summary(self) -> str:
        """Name, age and commit, with the problems of a failed run."""
        reasons = problems(self)
        state = f"failed ({'; '.join(reasons)})" if reasons else "passed"
        return f"{self.name} {state} {self.age()} ago, commit {self.commit}{'+' if self.dirty else ''}"


class Standing(StrEnum):
    """What a run says about the platform and sources at hand."""

    VALID = "valid"
    STALE = "stale"
    FOREIGN = "foreign"


class Runs(_Model):
    """Runs of one name, newest first, and the files that are no evidence."""

    runs: tuple[Evidence, ...]
    ignored: tuple[str, ...]

    @property
    def newest(self) -> Evidence | None:
        """The newest run, or None."""
        return self.runs[0] if self.runs else None

    @property
    def of_a_day(self) -> tuple[Evidence, ...]:
        """The newest run and those of the 24 hours before it, whatever they covered."""
        return tuple(run for run in self.runs if self.runs[0].time - run.time <= timedelta(days=1))


def figure(figures: Any, name: str) -> Any:
    """The value of ``name``, or of ``a/b``: b within a (of a list: its item with this index); None when missing.

    A name may have a slash itself, at every depth: ``20 items a request/sustained points/s``.
    """
    if isinstance(figures, Mapping) and name in figures:
        return figures[name]
    part, slash, rest = name.partition("/")
    value: Any = None
    if isinstance(figures, list | tuple) and part.isdecimal() and int(part) < len(figures):
        value = figures[int(part)]
    elif isinstance(figures, Mapping):
        value = figures.get(part)
    return figure(value, rest) if slash else value


@cache
def catalog(file: Path = CATALOG) -> Catalog:
    """Read the catalog.

    Raises:
        OpsError: It is missing or has another shape; the message names the key.
    """
    try:
        return Catalog.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise OpsError(f"{file}: {one_line(error)}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise OpsError(f"{file}: {'.'.join(map(str, first['loc']))}: {one_line(first['msg'])}") from None


def write(
    name: str,
    *,
    figures: Mapping[str, Any],
    kube: Kube | None,
    passed: bool = True,
    problems: Iterable[str] = (),
    started: datetime | None = None,
    settings: Mapping[str, Any] | None = None,
    stack: str | None = None,
    folder: Path = FOLDER,
    project: Path = PROJECT,
    covered: str | None = None,
) -> Evidence:
    """Write the file of a run that ends now, whole or not at all.

    Args:
        name: A name of the catalog.
        figures: What was measured.
        kube: The platform that was measured; None when no cluster was.
        passed: Whether the run itself held what it promises; a missed target of the catalog fails it too.
        problems: Why the run itself failed.
        started: When it began, for its duration.
        settings: What the run was asked to do (load, duration, sizes).
        stack: The platform's stack; that of ``PULUMI_STACK`` if not given.
        folder: Where evidence is kept.
        project: The checkout whose sources were run.
        covered: `covers` when it began. Where that is not what it is now, the run is of no known sources.

    Raises:
        OpsError: The catalog does not have the name, the cluster does not answer, or the file cannot be written.
    """
    entry = catalog().entry(name)
    now_covered = covers(name, project)
    changed = covered is not None and covered != now_covered
    measured_on = machine()
    missed = [problem for target in entry.targets if (problem := target.problem(figures, int(measured_on["cores"])))]
    now = datetime.now(UTC)
    evidence = Evidence(
        name=name,
        passed=passed and not missed,
        problems=(*problems, *missed),
        commit=commit(project),
        dirty=changed or dirty(project),
        covers_digest="" if changed else now_covered,
        time=now.replace(microsecond=0),
        seconds=None if started is None else round((now - started).total_seconds(), 1),
        platform=None if kube is None else platform_id(kube, stack),
        machine=measured_on,
        versions={} if kube is None else versions(kube),
        settings=dict(settings or {}),
        figures=dict(figures),
    )
    target = folder / name / f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z.json"
    draft = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(evidence.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
        draft.replace(target)
        _prune(target.parent)
    except OSError as error:
        raise OpsError(f"{target} cannot be written: {error.strerror}; the run: {one_line(evidence.figures)}") from None
    return evidence


def read(name: str, folder: Path = FOLDER) -> Runs:
    """Read the runs of a name; a damaged file, or one of another name or time, is listed and otherwise ignored."""
    runs: list[Evidence] = []
    ignored: list[str] = []
    for file in sorted((folder / name).glob("*.json"), reverse=True):
        try:
            run = _parse(file)
            if run.name != name:
                ignored.append(f"{file.name} in {name}/ is evidence of {run.name}")
            elif not file.name.startswith(f"{run.time.astimezone(UTC):%Y%m%dT%H%M%S}"):
                ignored.append(f"{file.name} in {name}/ is of another time, {run.time}")
            elif run.time - datetime.now(UTC) > _CLOCKS_DIFFER:
                ignored.append(f"{file.name} in {name}/ is of the future")
            else:
                runs.append(run)
        except (OSError, ValueError) as error:
            ignored.append(f"{name}/{file.name} is not an evidence file: {_reason(error)}")
    return Runs(runs=tuple(runs), ignored=tuple(ignored))


def newest(name: str, folder: Path = FOLDER) -> Evidence | None:
    """The newest run of a name, or None when it never ran."""
    return read(name, folder).newest


def problems(evidence: Evidence) -> list[str]:
    """Why a run failed: in its own words, or by the targets of today that it misses; empty for one that passed."""
    if not evidence.passed:
        return list(evidence.problems) or ["no reason recorded"]
    targets = catalog().entry(evidence.name).targets
    return [problem for target in targets if (problem := target.problem(evidence.figures, evidence.cores))]


def staleness(evidence: Evidence, project: Path = PROJECT) -> str | None:
    """What makes a run stale, for example ``stale, 3 commits``; None when what it covers is as it was."""
    paths = catalog().paths(evidence.name)
    if evidence.covers_digest and evidence.covers_digest == covers(evidence.name, project):
        return None
    if not _git(project, "rev-parse", "--verify", "--quiet", f"{evidence.commit}^{{commit}}"):
        return "stale, commit not in this history"
    patterns = [*(f":(glob){path}" for path in paths), *(f":(exclude,glob)**/*{end}" for end in _NOT_RUN)]
    counted = _git(project, "rev-list", "--count", f"{evidence.commit}..HEAD", "--", *patterns)
    if not counted:
        return "stale, git does not tell what has changed since"
    count = int(counted) + bool(_git(project, "status", "--porcelain", "--", *patterns))
    if count == 0 and evidence.dirty:
        return "stale, run with uncommitted changes"
    if count == 0:
        other = _git(project, "diff", "--name-only", evidence.commit, "--", *patterns)
        return "stale, run with sources that are not those of this checkout" if other else None
    return f"stale, {count} commit{'' if count == 1 else 's'}"


def standing(evidence: Evidence, platform: PlatformId, project: Path = PROJECT) -> tuple[Standing, str]:
    """What a run says about a platform: only runs of the same cluster count.

    Where ``OBS_EVIDENCE_SCOPE=checkout`` is set (disposable clusters that are made from this checkout), runs of an
    earlier cluster count too, provided that they ran in the same stack and are not stale.

    Returns:
        The standing and the reason for it.
    """
    if not counts(evidence, platform):
        return Standing.FOREIGN, "measured on another cluster"
    same = evidence.platform is None or evidence.platform.cluster_id == platform.cluster_id
    stale = staleness(evidence, project)
    return (Standing.STALE, stale) if stale else (Standing.VALID, "this cluster" if same else "this checkout")


def counts(evidence: Evidence, platform: PlatformId) -> bool:
    """Whether a run counts for a platform, stale or not: see `standing`."""
    if evidence.platform is None or evidence.platform.cluster_id == platform.cluster_id:
        return True
    return os.environ.get(SCOPE_VARIABLE) == "checkout" and evidence.platform.stack == platform.stack


def platform_id(kube: Kube, stack: str | None = None) -> PlatformId:
    """Identity of the platform's cluster.

    Args:
        kube: The cluster.
        stack: Name of the stack; that of ``PULUMI_STACK`` if not given.

    Raises:
        OpsError: The cluster does not answer.
    """
    name = os.environ.get("PULUMI_STACK", "") if stack is None else stack
    return PlatformId(stack=name, namespace=kube.namespace, cluster_id=kube.cluster_id())


def commit(project: Path = PROJECT) -> str:
    """Short id of the checkout's commit, ``none`` without a repository."""
    return _git(project, "rev-parse", "--short=12", "HEAD") or "none"


def whole_history(project: Path = PROJECT) -> bool:
    """Whether the checkout has every commit: without them no changes since a run can be counted."""
    return _git(project, "rev-parse", "--is-shallow-repository") == "false"


def dirty(project: Path = PROJECT) -> bool:
    """Whether there are uncommitted changes, new files too; evidence and pages made from it do not count."""
    return bool(_git(project, "status", "--porcelain", "--", ".", ":!evidence", ":!docs", ":!README.md"))


def covers(name: str, project: Path = PROJECT) -> str:
    """`digest` of what a run of a name covers."""
    return digest(catalog().paths(name), project)


def digest(patterns: Iterable[str], project: Path = PROJECT) -> str:
    """SHA-256 over names and contents of the files that match the patterns, as they are now."""
    files = {file for pattern in patterns for file in project.glob(pattern) if file.is_file() and _source(file)}
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.relative_to(project)}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def machine() -> dict[str, int | float | str]:
    """Cores, memory and processor of this machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "processor": models[0] if models else "unknown",
    }


def versions(kube: Kube) -> dict[str, str]:
    """Images that run, by repository."""
    images = {image for pod in kube.pods() for image in pod.images}
    return {name: tag for name, _, tag in (image.rpartition(":") for image in sorted(images))}


def _parse(file: Path) -> Evidence:
    if file.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"larger than {_LARGEST_BYTES} bytes")
    return Evidence.model_validate_json(file.read_bytes())


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return one_line(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip())
    return one_line(error)


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.json"))
    while len(files) > KEPT_RUNS:
        passed = [file for file in files if _passed(file)]
        oldest = (passed[:-_KEPT_PASSED] or [file for file in files if file not in passed])[0]
        oldest.unlink()
        files.remove(oldest)


def _passed(file: Path) -> bool:
    try:
        return not problems(_parse(file))
    except (OSError, ValueError, OpsError):
        return False


def _source(file: Path) -> bool:
    return "__pycache__" not in file.parts and not file.name.endswith((".pyc", *_NOT_RUN))


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
