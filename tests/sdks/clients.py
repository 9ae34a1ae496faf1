"""Fetches, builds and starts the services of this folder as docs/ingest.md says it.

``tests/config/test_sdk_clients.py`` runs them against the gate alone, ``tests/e2e/sdks`` against a live platform. Both
are drills: they need npm, Maven, a JDK, Node and Go, and at first the registries of these and of Python. What is
fetched lies in the lab's cache, by version.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab import LabError
from lab.paths import CHECKOUT, cache_root
from lab.toolchain import tools

HERE: Final = Path(__file__).parent
LANGUAGES: Final = ("python", "java", "node", "go")
LAYER: Final = "business"
SERVICE: Final = "e2e"
METRIC: Final = "work_event.processed"
SPAN: Final = "work"
_PAGE: Final = CHECKOUT / "docs" / "ingest.md"
_INHERITED: Final = ("PATH", "HOME")
_LIMIT_S: Final = 300
_FETCHED_BY: Final = "tests/config/test_sdk_clients.py"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a service did.

    Attributes:
        number: Value of its metric, also in its span and in its log.
        instance: Its ``service.instance.id``.
        trace_id: Its trace.
        ended: When it had sent all and ended, seconds since 1970.
        output: What it and its SDK printed.
    """

    number: int
    instance: str
    trace_id: str
    ended: float
    output: str


def folder(language: str) -> Path:
    """Where a service lies with what it needs, or would lie: one folder for each version of both."""
    sources = [(path.name, path.read_bytes()) for path in _sources(language)]
    digest = hashlib.sha256(repr((sources, _steps(language))).encode()).hexdigest()[:10]
    return cache_root() / "sdks" / f"{language}-{digest}"


def prepare(language: str) -> None:
    """Fetch and build a service, unless that was done before.

    Raises:
        LabError: A tool is not there, or fails; the registries are reached outside of the lab's network only.
    """
    target = folder(language)
    with tools.locked(f"sdk-{language}"):
        if not target.is_dir():
            tools.atomically(target, lambda work: _fill(language, work))


def _fill(language: str, work: Path) -> None:
    log = cache_root() / "logs" / f"sdk-{language}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    for path in _sources(language):
        shutil.copy(path, work)
    for step in _steps(language):
        tools.run_logged(list(step), cwd=work, log=log, env={"GOFLAGS": "-mod=readonly -buildvcs=false"})


def _sources(language: str) -> list[Path]:
    return sorted(path for path in (HERE / language).iterdir() if path.is_file())


def _steps(language: str) -> Sequence[Sequence[str]]:
    """Commands that fetch and build, in the service's folder."""
    python = ".venv/bin/python"
    return {
        "python": (
            (sys.executable, "-m", "venv", ".venv"),
            (python, "-m", "pip", "install", "-q", "-r", "requirements.txt"),
            # By its module: the scripts of an environment name the folder in which it was filled.
            (python, "-m", "opentelemetry.instrumentation.bootstrap", "-a", "install"),
        ),
        "java": (("mvn", "-B", "-ntp", "-q", "dependency:copy-dependencies"), ("javac", "-cp", "libs/*", "App.java")),
        "node": (("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"),),
        "go": (("go", "vet", "."), ("go", "build", "-o", "client", ".")),
    }[language]


def command(language: str) -> list[str]:
    """How the page starts a program, in the service's folder."""
    python = ".venv/bin/python"
    return {
        "python": [python, ".venv/bin/opentelemetry-instrument", python, "app.py"],
        "java": ["java", "-javaagent:libs/opentelemetry-javaagent.jar", "-cp", ".:libs/*", "App"],
        "node": ["node", "--require", "@opentelemetry/auto-instrumentations-node/register", "app.js"],
        "go": ["./client"],
    }[language]


def besides(language: str) -> dict[str, str]:
    """Variables that the page's table names for a language, besides those of every SDK."""
    (cell,) = re.findall(rf"^\| {language} \|.*\|(.*)\|$", _PAGE.read_text(), re.MULTILINE | re.IGNORECASE)
    return dict(re.findall(r"`(OTEL_\w+)=([^`]*)`", cell))


def run(language: str, lines: str, number: int) -> Sent:
    """Run a prepared service to its end: the variables of a shell's lines, those of the page, and no others.

    Args:
        language: Its language.
        lines: What `ops connect` printed; a shell evaluates it.
        number: What it sends.

    Raises:
        LabError: It fails, or does not name its trace.
    """
    instance = f"sdk-{language}-{number}"
    variables = {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        **besides(language),
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={instance}",
    }
    shell = ["/bin/sh", "-euc", f'{lines}\nexec "$@"', "sh", *command(language), str(number)]
    place = folder(language)
    if not place.is_dir():
        raise LabError(
            f"the service of {language} is not in the cache: run `python -m tests.run drills {_FETCHED_BY}` first, "
            "outside of `python -m lab exec`, from where no registry is reached"
        )
    try:
        done = subprocess.run(
            shell,
            env=variables,
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"the service of {language} did not end within {_LIMIT_S} s") from None
    ended = time.time()
    trace = re.search(r"^trace ([0-9a-f]{32})$", done.stdout, re.MULTILINE)
    if done.returncode or trace is None:
        raise LabError(f"the service of {language} failed with exit code {done.returncode}:\n{done.stdout[-2000:]}")
    return Sent(number=number, instance=instance, trace_id=trace[1], ended=ended, output=done.stdout)
