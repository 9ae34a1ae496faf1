"""``obs connect``: standard variables whose login is shown to a terminal or written for its owner, and nowhere else."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.util.re import parse_env_headers
from typer.testing import CliRunner

from components.telemetry.layers import LAYER_NAMES
from ops.__main__ import app
from ops.connect import service
from ops.core import platform
from ops.core.errors import OpsError

PASSWORD = "a:long/pass=word +%"
FILES = (service.CERTIFICATE_FILE, service.HEADERS_FILE, service.ENVIRONMENT_FILE)


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch, outputs: dict[str, Any]) -> None:
    login = {"username": "business", "password": PASSWORD}
    known = platform.parse({**outputs, "otlp_credentials": {"business": login}})
    monkeypatch.setattr(platform, "load", lambda: known)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["connect", *arguments])
    if isinstance(result.exception, OpsError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def variables(text: str) -> dict[str, str]:
    """What a shell that evaluates the lines has."""
    script = f"{text}\nenv -0"
    done = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True, env={"PATH": "/bin"})
    values = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    return {name: value for name, value in values.items() if name.startswith("OTEL_")}


def test_a_shell_gets_the_variables_and_the_output_shows_no_login(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "business"
    printed = run("--layer", "business", "--write", str(folder))
    values = variables(printed)
    header = parse_env_headers(values.pop("OTEL_EXPORTER_OTLP_HEADERS"), liberal=True)["authorization"]
    assert header == "Basic YnVzaW5lc3M6YTpsb25nL3Bhc3M9d29yZCArJQ=="
    assert values == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://198.18.0.20:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(folder / service.CERTIFICATE_FILE),
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    assert "YnVzaW5lc3M6" not in printed
    assert "# export OTEL_SERVICE_NAME=  # one of " in printed
    assert (folder / service.CERTIFICATE_FILE).read_text() == "-----BEGIN CERTIFICATE-----"
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in FILES} == {0o600}
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_of_all_variables_is_what_the_shell_has(tmp_path: Path) -> None:
    printed = run("--layer", "business", "--write", str(tmp_path), "--protocol", "grpc")
    values = variables(printed)
    lines = (tmp_path / service.ENVIRONMENT_FILE).read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines) == values
    assert values["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://198.18.0.20:4317"


def test_without_files_the_login_is_shown_to_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        OpsError, match=r"^the login is shown to a terminal alone: name a folder for it with --write DIR$"
    ):
        run("--layer", "business")
    monkeypatch.setattr(service.sys.stdout.__class__, "isatty", lambda self: True, raising=False)
    known = service.variables(
        platform.load(), platform.load().otlp_credentials["business"], Path("obs-ca.pem"), service.Protocol.HTTP
    )
    assert variables("\n".join(service.lines(known, None))) == known


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("sales", f"--layer is sales: allowed is {', '.join(LAYER_NAMES)}"),
        (
            "device",
            "the stack has no login for the layer device: run `pulumi up --policy-pack policy` with this version of "
            "the program",
        ),
    ],
)
def test_a_layer_without_a_login_is_one_line(tmp_path: Path, layer: str, message: str) -> None:
    with pytest.raises(OpsError) as caught:
        run("--layer", layer, "--write", str(tmp_path))
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OpsError, match=r"^--write is .*file/folder: "):
        run("--layer", "business", "--write", str(tmp_path / "file" / "folder"))
