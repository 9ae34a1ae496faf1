"""The services of tests/sdks: started with a shell's lines and the page's variables, kept by version."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import LabError
from tests.sdks import clients

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a service that prints its environment and its argument."""
    monkeypatch.setattr(clients, "folder", lambda language: tmp_path)
    monkeypatch.setattr(clients, "command", lambda language: ["./service"])
    service(tmp_path, f'env; echo "number $1"; echo "trace {TRACE}"')
    return tmp_path


def service(folder: Path, text: str) -> None:
    (folder / "service").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "service").chmod(0o755)


def test_a_service_has_what_the_lines_say_and_the_page_and_no_more(
    started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "of this shell")
    (started / "header").write_text("authorization=Basic%20eA%3D%3D\n")
    lines = f'export OTEL_EXPORTER_OTLP_HEADERS="$(cat {started}/header)"\n# export OTEL_SERVICE_NAME=  # one of e2e'
    sent = clients.run("node", lines, 48392)
    variables = dict(re.findall(r"^(\w+)=(.*)$", sent.output, re.MULTILINE))
    assert {name: value for name, value in variables.items() if name not in ("PATH", "HOME", "PWD", "_", "SHLVL")} == {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20eA%3D%3D",
        "OTEL_SERVICE_NAME": clients.SERVICE,
        "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=sdk-node-48392",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
    }
    assert (sent.trace_id, sent.number, sent.instance) == (TRACE, 48392, "sdk-node-48392")
    assert "number 48392" in sent.output


@pytest.mark.parametrize(("text", "code"), [(f"echo trace {TRACE}; exit 3", 3), ("echo no login", 0)])
def test_a_service_that_fails_or_names_no_trace_is_told_with_its_output(started: Path, text: str, code: int) -> None:
    service(started, text)
    with pytest.raises(LabError, match=rf"^the service of go failed with exit code {code}:\n(trace|no login)"):
        clients.run("go", "", 1)


def test_a_service_that_was_not_fetched_says_how_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    with pytest.raises(LabError, match=r"run `python -m tests\.run drills (\S+)` first, outside of") as error:
        clients.run("java", "", 1)
    (test,) = re.findall(r"drills (\S+)`", str(error.value))
    assert (clients.HERE.parents[1] / test).is_file()


@pytest.mark.parametrize("language", clients.LANGUAGES)
def test_another_version_or_program_is_kept_in_another_folder(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(clients.HERE / language, tmp_path / language)
    before = clients.folder(language)
    monkeypatch.setattr(clients, "HERE", tmp_path)
    assert clients.folder(language) == before
    for file in sorted((tmp_path / language).iterdir()):
        file.write_text(f"{file.read_text()}\n")
        assert clients.folder(language) != before
        before = clients.folder(language)


def test_the_page_has_a_row_for_each_language() -> None:
    assert {language: bool(clients.besides(language)) for language in clients.LANGUAGES} == {
        "python": True,
        "java": True,
        "node": True,
        "go": False,
    }


def test_the_source_in_go_is_formatted() -> None:
    done = subprocess.run(
        ["gofmt", "-l", "."], cwd=clients.HERE / "go", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
