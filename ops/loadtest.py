"""``ops loadtest``: virtual users open dashboards concurrently; load times are measured (requirement S2).

Each virtual user logs in at Grafana's form, opens a dashboard, waits until every panel has its answer, looks at it for
a while and opens the next one. A browser asks as many questions at a time as it has connections to a server; so does
each person here. What is measured is what a user waits: from the request for the dashboard to the last panel's answer.
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
from ops.dashboard.command import query_client
from ops.dashboard_client import directly, through_grafana
from ops.errors import OpsError, one_line
from ops.kube import Kube
from ops.platform import Login
from ops.virtual_users import SECONDS, THINK_S, LoadTestResult, run_virtual_users

COUNT = 50
TEST_ACCOUNTS_FILE = "OBS_TEST_ACCOUNTS_FILE"
"""Environment variable that names the file of `Credentials`."""


class Credentials(BaseModel):
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


def read_credentials(path: Path) -> Credentials:
    """Read the accounts.

    Raises:
        OpsError: The file cannot be read or is none of this kind.
    """
    try:
        return Credentials.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise OpsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise OpsError(f"{path}: {where}: {one_line(first['msg'])}: {_FORM}") from None
    except ValueError:
        raise OpsError(f"{path}: is no JSON: {_FORM}") from None


_FORM = 'must be {"viewer": {"username": "...", "password": "..."}, "editor": ..., "admin": ..., "outsider": ...}'


def known_credentials(environment: Mapping[str, str] | None = None) -> Credentials | None:
    """Accounts of the file that the environment names, or nothing where it names none."""
    path = (os.environ if environment is None else environment).get(TEST_ACCOUNTS_FILE)
    return read_credentials(Path(path)) if path else None


def loadtest(
    count: Annotated[int, typer.Option(min=1, max=500, help="Virtual users.")] = COUNT,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long they open dashboards.")] = SECONDS,
    think: Annotated[float, typer.Option(min=0, max=600, help="Seconds that one looks at a dashboard.")] = THINK_S,
    direct: Annotated[bool, typer.Option("--direct", help="Ask the read address of metrics, without Grafana.")] = False,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar=TEST_ACCOUNTS_FILE, help="Accounts of the directory, JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Run virtual users that open dashboards concurrently, measure load times, and write evidence."""
    if credentials is None and not direct:
        raise OpsError(
            f"virtual users log in with directory accounts: give --credentials FILE or {TEST_ACCOUNTS_FILE}; {_FORM}"
        )
    accounts = None if direct or credentials is None else read_credentials(credentials)
    platform, started = platform_module.load(), datetime.now(UTC)
    screen = Console(stderr=True)
    with Context(platform, Kube.connect(platform.namespace)) as context, screen.status("virtual users start") as status:
        factories = through_grafana(context, accounts.inside, count) if accounts else directly(context, count)
        outcome = run_virtual_users(
            factories, query_client(context), seconds=seconds, think_s=think, progress=status.update
        )
        name = "dashboard-load" if accounts else "dashboard-load-direct"
        figures = outcome.figures()
        evidence.write(
            name,
            figures=figures,
            kube=context.kube,
            passed=not outcome.wrong(),
            problems=outcome.wrong(),
            started=started,
            settings={"people": count, "seconds": seconds, "think s": think},
        )
    _show(outcome, as_json)
    raise typer.Exit(1 if outcome.wrong() else 0)


def _show(outcome: LoadTestResult, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"figures": outcome.figures(), "wrong": outcome.wrong()}, indent=2))
        return
    table = Table("figure", "value", title="Dashboard load test")
    for name, value in outcome.figures().items():
        shown = (
            ", ".join(f"{key} {figure}" for key, figure in value.items()) if isinstance(value, Mapping) else str(value)
        )
        table.add_row(name, shown)
    Console().print(table)
    for line in outcome.wrong():
        typer.echo(f"wrong: {line}", err=True)
