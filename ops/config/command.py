"""``obs config``: what is missing or wrong before an update, the schema, and which cluster a stack is for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from components.cluster import EMBEDDED, UnreachableError, cluster_uid, current_context
from ops.config import source
from ops.config.source import Configuration
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, selected_stack
from ops.core.pulumi import SETTINGS_KEY

_CLUSTER: Final = re.compile(r"^(?P<indent> +)cluster:[ \t]*(?:#[^\n]*)?\n(?:(?P=indent) +[^\n]*\n)+", re.MULTILINE)
_NOBODYS: Final = "00000000-0000-0000-0000-"
"""How the UIDs of the committed stack files begin; no cluster's does."""


def set_cluster(
    context: Annotated[str, typer.Option("--context", help="Of your kubeconfig; default: its current one.")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="Stack file.")] = None,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="The stack moves from another cluster.")] = False,
) -> None:
    """Ask the cluster of a context who it is, and name it in the stack file. Nothing else is changed."""
    if file and stack:
        raise OpsError("--file and --stack name two stack files: give one of them")
    path = file or PROJECT / f"Pulumi.{stack.rpartition('/')[2] or selected_stack()}.yaml"
    try:
        name = context or current_context()
        uid = cluster_uid(name)
    except UnreachableError as error:
        raise OpsError(f"no cluster says who it is: {one_line(error)}: name --context, set KUBECONFIG") from None
    known = _settings(path)
    _check(path, known, name, uid, replace)
    text = path.read_text(encoding="utf-8")
    if (new := written(text, name, uid, path.name)) != text:
        path.write_text(new, encoding="utf-8")
    typer.echo(f"{path.name}: the context {name} leads to the cluster {uid}")


def _check(path: Path, known: Mapping[str, Any], context: str, uid: str, replace: bool) -> None:
    """Whether a stack may have this cluster.

    Raises:
        OpsError: It is the embedded one, or the stack has another one, or another stack has the same place in it.
    """
    if context in EMBEDDED:
        raise OpsError(f"{context} is the embedded cluster's context, whose UID is not kept: name another --context")
    before = str((known.get("cluster") or {}).get("uid") or _NOBODYS)
    if before != uid and not before.startswith(_NOBODYS) and not replace:
        raise OpsError(
            f"{path.name} names the cluster {before}, and {context} leads to {uid}: nothing was changed; name another "
            "--context, or add --replace where the stack moves"
        )
    for other in sorted(path.parent.glob("Pulumi.*.yaml")):
        theirs = {} if other.name == path.name else _settings(other)
        if ((theirs.get("cluster") or {}).get("uid"), theirs.get("namespace")) == (uid, known.get("namespace")):
            raise OpsError(
                f"{other.name} names the same namespace {known.get('namespace')} of the same cluster {uid}: nothing "
                "was changed; give each stack a namespace or a cluster of its own"
            )


def _settings(path: Path) -> Mapping[str, Any]:
    """The settings of a stack file.

    Raises:
        OpsError: It is none, or has none.
    """
    text = source.of_file(path).values.get(SETTINGS_KEY)
    try:
        content = json.loads(text or "")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OpsError(f"{path.name} has no group {SETTINGS_KEY}: copy Pulumi.prod.yaml")
    return content


def written(text: str, context: str, uid: str, name: str) -> str:
    """A stack file with this cluster; every other line stays.

    Args:
        text: The file.
        context: Context of the kubeconfig.
        uid: UID of the cluster.
        name: Name of the file, for messages.

    Raises:
        OpsError: The file's group ``cluster`` is not one that can be changed by line.
    """
    wanted = yaml.safe_load(text)
    place = {"context": context, "uid": uid}
    group = _CLUSTER.search(text)
    if group:
        first, *lines = group[0].splitlines(keepends=True)
        inner = re.match(" +", lines[0])
        indent = inner[0] if inner else ""
        kept = [line for line in lines if not re.match(rf"{indent}(context|uid):", line)]
        new = [f"{indent}{key}: {_scalar(value)}\n" for key, value in place.items()]
        changed = text[: group.start()] + "".join([first, *new, *kept]) + text[group.end() :]
        settings = wanted["config"][SETTINGS_KEY]
        settings["cluster"] = {**(settings.get("cluster") or {}), **place}
        if yaml.safe_load(changed) == wanted:
            return changed
    raise OpsError(
        f"{name} has no group cluster with a line for each key: write `context: {_scalar(context)}` and `uid: {uid}` "
        "under settings.cluster"
    )


def _scalar(value: str) -> str:
    """A text as YAML takes it for one."""
    return value if yaml.safe_load(value) == value else json.dumps(value)


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
        from stacks.check import left_out as of_the_settings
    except CatalogueError:
        return []
    return of_the_settings(configuration.stack, configuration.values)
