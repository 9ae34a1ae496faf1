"""``ops people``: people who open dashboards at the same time, and how long each of them waits (requirement S2).

Each person logs in at Grafana's form, opens a dashboard, waits until every panel has its answer, looks at it for a
while and opens the next one. A browser asks as many questions at a time as it has connections to a server; so does each
person here. What is measured is what a person waits: from the request for the dashboard to the last panel's answer.
The load goes to the addresses of the selected stack and nowhere else, and only where they are private ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.table import Table

from ops import evidence
from ops import platform as platform_module
from ops.context import Context
from ops.dashboard.command import asker
from ops.errors import OpsError, one_line
from ops.kube import Kube
from ops.people_crowd import SECONDS, THINK_S, Crowd, crowd
from ops.people_doors import directly, through_grafana
from ops.platform import Login

COUNT = 50
PEOPLE_FILE = "OBS_PEOPLE_FILE"
"""Environment variable that names the file of `Logins`."""


class Logins(BaseModel):
    """Accounts of the directory for checks, one for each role; in a file, as JSON.

    Attributes:
        viewer: In the group of those who may look.
        editor: In the group of those who may change dashboards.
        admin: In the group of those who may change permissions.
        outsider: In the directory, and in none of these groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    viewer: Login
    editor: Login
    admin: Login
    outsider: Login

    @property
    def inside(self) -> tuple[Login, ...]:
        """Those who get in."""
        return self.viewer, self.editor, self.admin


def read_logins(path: Path) -> Logins:
    """Read the accounts.

    Raises:
        OpsError: The file cannot be read or is none of this kind.
    """
    try:
        return Logins.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise OpsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise OpsError(f"{path}: {where}: {one_line(first['msg'])}: {_FORM}") from None
    except ValueError:
        raise OpsError(f"{path}: is no JSON: {_FORM}") from None


_FORM = 'must be {"viewer": {"username": "...", "password": "..."}, "editor": ..., "admin": ..., "outsider": ...}'


def known_logins(environment: Mapping[str, str] | None = None) -> Logins | None:
    """Accounts of the file that the environment names, or nothing where it names none."""
    path = (os.environ if environment is None else environment).get(PEOPLE_FILE)
    return read_logins(Path(path)) if path else None


def people(
    count: Annotated[int, typer.Option(min=1, max=500, help="People.")] = COUNT,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long they open dashboards.")] = SECONDS,
    think: Annotated[float, typer.Option(min=0, max=600, help="Seconds that one looks at a dashboard.")] = THINK_S,
    direct: Annotated[bool, typer.Option("--direct", help="Ask the read address of metrics, without Grafana.")] = False,
    logins: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar=PEOPLE_FILE, help="Accounts of the directory, JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Let people open dashboards at the same time, measure what they wait, and write it as evidence."""
    if logins is None and not direct:
        raise OpsError(f"people log in with accounts of the directory: give --logins FILE or {PEOPLE_FILE}; {_FORM}")
    accounts = None if direct or logins is None else read_logins(logins)
    platform, started = platform_module.load(), datetime.now(UTC)
    screen = Console(stderr=True)
    with Context(platform, Kube.connect(platform.namespace)) as context, screen.status("people arrive") as status:
        ways = through_grafana(context, accounts.inside, count) if accounts else directly(context, count)
        found = crowd(ways, asker(context), seconds=seconds, think_s=think, progress=status.update)
        name = "people-load" if accounts else "people-direct"
        figures = found.figures()
        evidence.write(
            name,
            figures=figures,
            kube=context.kube,
            passed=not found.wrong(),
            problems=found.wrong(),
            started=started,
            settings={"people": count, "seconds": seconds, "think s": think},
        )
    _show(found, as_json)
    raise typer.Exit(1 if found.wrong() else 0)


def _show(found: Crowd, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"figures": found.figures(), "wrong": found.wrong()}, indent=2))
        return
    table = Table("figure", "value", title="People who open dashboards")
    for name, value in found.figures().items():
        shown = ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, Mapping) else str(value)
        table.add_row(name, shown)
    Console().print(table)
    for line in found.wrong():
        typer.echo(f"wrong: {line}", err=True)
