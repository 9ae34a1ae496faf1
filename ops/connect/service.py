"""``obs connect``: what a service of a layer needs to send, as OpenTelemetry's standard environment variables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer

from components.telemetry.gate_catalogue import service_names
from components.telemetry.layers import LAYERS
from ops.core import platform as platform_module
from ops.core.errors import OpsError, one_line
from ops.core.files import write_private
from ops.core.platform import Login, Platform
from ops.core.web import basic

CERTIFICATE_FILE: Final = "obs-ca.pem"
HEADERS_FILE: Final = "otlp-headers"
ENVIRONMENT_FILE: Final = "otlp.env"
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_FOLDER_MODE: Final = 0o700


class Protocol(StrEnum):
    """How OTLP is sent."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


def connect(
    layer: Annotated[str, typer.Option("--layer", help="Layer of the service: its user at the gateway.")],
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", help="Write authority, header and variables, mode 0600.")
    ] = None,
    protocol: Annotated[Protocol, typer.Option("--protocol", help="How to send.")] = Protocol.HTTP,
) -> None:
    """Print the variables with which an OpenTelemetry SDK sends; the login is shown to a terminal alone."""
    chosen = next((known for known in LAYERS if known.name == layer), None)
    if chosen is None:
        raise OpsError(f"--layer is {layer}: allowed is {', '.join(known.name for known in LAYERS)}")
    if write is None and not sys.stdout.isatty():
        raise OpsError("the login is shown to a terminal alone: name a folder for it with --write DIR")
    platform = platform_module.load()
    login = platform.otlp_credentials.get(layer)
    if login is None:
        raise OpsError(
            f"the stack has no login for the layer {layer}: run `pulumi up --policy-pack policy` with this version of "
            "the program"
        )
    folder = (write or Path()).absolute()
    known = variables(platform, login, folder / CERTIFICATE_FILE, protocol)
    if write is not None:
        written(folder, known, platform.ca_certificate)
    typer.echo("\n".join(lines(known, folder if write else None)))
    typer.echo(f"# export OTEL_SERVICE_NAME=  # one of {', '.join(service_names(chosen))}")
    typer.echo("# export OTEL_RESOURCE_ATTRIBUTES=service.instance.id=$(hostname)-$$  # docs/ingest.md")


def variables(platform: Platform, login: Login, certificate: Path, protocol: Protocol) -> dict[str, str]:
    """Name -> value; the one of the headers is a secret."""
    endpoint = platform.otlp_http if protocol is Protocol.HTTP else f"https://{platform.otlp_grpc}"
    return {
        f"{_PREFIX}ENDPOINT": endpoint,
        f"{_PREFIX}PROTOCOL": str(protocol),
        f"{_PREFIX}CERTIFICATE": str(certificate),
        f"{_PREFIX}COMPRESSION": "gzip",
        # Percent-encoded, as the variable's specification wants it.
        f"{_PREFIX}HEADERS": f"authorization={quote(basic(*login.pair), safe='')}",
    }


def lines(known: Mapping[str, str], folder: Path | None) -> list[str]:
    """Lines for a shell; where there are files, none of them shows the login.

    Args:
        known: The variables.
        folder: Where they were written; None: nowhere.
    """
    shown = []
    for name, value in known.items():
        text = shlex.quote(value)
        if name == f"{_PREFIX}HEADERS" and folder is not None:
            text = f'"$(cat {shlex.quote(str(folder / HEADERS_FILE))})"'
        note = ""
        if name == f"{_PREFIX}CERTIFICATE" and folder is None:
            note = f"  # pulumi stack output ca_certificate > {CERTIFICATE_FILE}"
        shown.append(f"export {name}={text}{note}")
    return shown


def written(folder: Path, known: Mapping[str, str], authority: str) -> None:
    """Write the authority, the header, and a file of all variables for systemd or a container.

    Raises:
        OpsError: They cannot be written.
    """
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        write_private(folder / CERTIFICATE_FILE, authority)
        write_private(folder / HEADERS_FILE, f"{known[f'{_PREFIX}HEADERS']}\n")
        write_private(folder / ENVIRONMENT_FILE, "".join(f"{name}={value}\n" for name, value in known.items()))
    except OSError as error:
        raise OpsError(f"--write is {folder}: {one_line(error)}") from None
