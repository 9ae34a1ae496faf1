"""``obs config check``: what is missing or wrong before an update; ``obs config schema``: the stack file's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ops.config import source
from ops.config.cluster import set_cluster
from ops.config.source import Configuration
from ops.core.errors import OpsError

config_app = typer.Typer(help="A stack's configuration, before anything is changed.", no_args_is_help=True)


@config_app.command("check")
def check(
    file: Annotated[
        Path | None, typer.Option("--file", help="Stack file; its encrypted values only have to be there.")
    ] = None,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Name everything that is missing or wrong in settings and secrets, and what is not promised since it is left out.

    Exit code 1 when something is missing or wrong.
    """
    configuration = chosen(file, stack)
    lines, left_out = problems(configuration), not_promised(configuration)
    if as_json:
        shown = {"stack": configuration.stack, "problems": lines, "not_promised": left_out}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(lines) or f"Pulumi.{configuration.stack}.yaml: nothing is missing")
        for line in left_out:
            typer.echo(f"not promised: {line}")
    raise typer.Exit(1 if lines else 0)


@config_app.command("schema")
def schema() -> None:
    """Print the JSON schema of a stack file, for editors."""
    # Here, since the Pulumi SDK is slow to load.
    from stacks.schema import text

    typer.echo(text(), nl=False)


config_app.command("set-cluster")(set_cluster)


def chosen(file: Path | None, stack: str) -> Configuration:
    """The configuration of a file or of a stack.

    Raises:
        OpsError: Both are named, or it cannot be read.
    """
    if file and stack:
        raise OpsError("--file and --stack name two configurations: give one of them")
    return source.of_file(file) if file else source.of_stack(stack)


def problems(configuration: Configuration) -> list[str]:
    """What an update would stop at, one line each."""
    from components.telemetry.file import CatalogueError

    try:
        from stacks.check import problems as of_the_program
    except CatalogueError as error:
        return str(error).splitlines()
    return of_the_program(configuration.stack, configuration.values, configuration.encrypted)


def not_promised(configuration: Configuration) -> list[str]:
    """What is not promised since the settings leave it out, one line each."""
    from components.telemetry.file import CatalogueError

    try:
        from stacks.check import not_promised as of_the_settings
    except CatalogueError:
        return []
    return of_the_settings(configuration.stack, configuration.values)
