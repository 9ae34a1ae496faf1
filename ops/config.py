"""``ops config``: what is missing or wrong before an update, the schema, policies of the storage's keys, and which
cluster a stack is for.

Where a stack's configuration comes from: Pulumi, which decrypts it, or a stack file as it is; and the generations of
passwords in it: one, or two with the newer one first while clients change over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from components.cluster import EMBEDDED, UnreachableError, cluster_uid, current_context
from components.storage_roles import (
    RIGHTS,
    VERSION,
    WITNESS,
    StorageRole,
    bucket_statements,
    key_policy,
)
from ops.core import pulumi
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi, selected_stack
from ops.core.pulumi import SETTINGS_KEY

_LIMIT_S = 60
_FILE = re.compile(r"Pulumi\.([A-Za-z0-9_.-]+)\.yaml")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The configuration of a stack.

    Attributes:
        stack: Its name.
        values: Key with its namespace -> value; what is no text is JSON, as Pulumi hands it to a program.
        encrypted: Keys whose value is there and cannot be read here.
    """

    stack: str
    values: Mapping[str, str]
    encrypted: frozenset[str] = frozenset()


def of_file(path: Path) -> Configuration:
    """Read a stack file; its encrypted values stay closed.

    Raises:
        OpsError: It is no stack file.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        raise OpsError(f"--file is {path}: name a file Pulumi.NAME.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OpsError(f"{path} cannot be read: {one_line(error, 200)}") from None
    values = content.get("config") if isinstance(content, Mapping) else None
    if values is not None and not isinstance(values, Mapping):
        raise OpsError(f"{path}: config is no group of keys")
    given: Mapping[str, Any] = values or {}
    encrypted = frozenset(
        key for key, value in given.items() if isinstance(value, Mapping) and set(value) == {"secure"}
    )
    plain = {key: _text(value) for key, value in given.items() if key not in encrypted and value is not None}
    return Configuration(stack=named[1], values=plain, encrypted=encrypted)


def of_stack(stack: str = "", cwd: Path = PROJECT) -> Configuration:
    """The configuration of a stack, of the selected one if none is named, from Pulumi.

    Raises:
        OpsError: No ``pulumi``, no stack, or its secrets cannot be decrypted.
    """
    chosen = ["--stack", stack] if stack else []
    name = stack or selected_stack(cwd)
    answer = _run(cwd, "config", "--json", "--show-secrets", *chosen)
    try:
        entries = json.loads(answer or "{}")
        values = {key: str(entry["value"]) for key, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError("`pulumi config --json` printed something else than a configuration") from None
    return Configuration(stack=name.rpartition("/")[2], values=values)


def _run(cwd: Path, *arguments: str) -> str:
    done = run_pulumi(cwd, *arguments, "--non-interactive", limit_s=_LIMIT_S)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("error:")), (lines or ["no reason given"])[0])
        raise OpsError(
            f"`pulumi {' '.join(arguments[:2])}` failed: {one_line(reason.removeprefix('error:'))}: select a stack, or "
            "name a file with --file"
        )
    return done.stdout.decode()


def _text(value: Any) -> str:
    """A value as a program gets it."""
    return value if isinstance(value, str) else json.dumps(value)


ALLOWED: Final = "one whole number from 1 on, or two with the newer one first, such as [2, 1]"

Generations = tuple[int, ...]


def settings(stack: str = "") -> Mapping[str, Any]:
    """The settings of a stack's file; empty stack: the selected one.

    Raises:
        OpsError: It cannot be read.
    """
    given: Any = json.loads(of_stack(stack).values.get(pulumi.SETTINGS_KEY, "null"))
    return given if isinstance(given, Mapping) else {}


def written(given: Mapping[str, Any], group: str, key: str) -> Generations:
    """The generations that a stack's file has under ``settings.<group>.<key>``; the first one where there are none.

    Raises:
        OpsError: There is no such group, or these are none.
    """
    named = given.get(group)
    if not isinstance(named, Mapping):
        raise OpsError(f"the stack's file has no settings.{group}: run `ops config check`")
    numbers: Any = named.get(key, [1])
    if (
        not isinstance(numbers, list)
        or not 0 < len(numbers) <= 2
        or not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
    ):
        raise OpsError(f"settings.{group}.{key} is {numbers!r}: allowed is {ALLOWED}; correct it")
    return tuple(numbers)


def check(key: str, current: Generations, deployed: Generations, wanted: Generations) -> bool:
    """Whether the stack's file has what is wanted already: an update was interrupted, or is still to come.

    Args:
        key: The setting, as it is told.
        current: Its generations.
        deployed: Those of the stack's outputs.
        wanted: Those to come.

    Raises:
        OpsError: It has neither, nor what an interrupted command leaves.
    """
    newest = deployed[0]
    if current not in (deployed, wanted, (newest, newest)):
        allowed = " or ".join(str(list(generations)) for generations in dict.fromkeys((deployed, wanted)))
        raise OpsError(f"{key} is {list(current)}, and {list(deployed)} is deployed: allowed is {allowed}; correct it")
    return current == wanted != deployed


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
    if (new := with_cluster(text, name, uid, path.name)) != text:
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
    text = of_file(path).values.get(SETTINGS_KEY)
    try:
        content = json.loads(text or "")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OpsError(f"{path.name} has no group {SETTINGS_KEY}: copy Pulumi.prod.yaml")
    return content


def with_cluster(text: str, context: str, uid: str, name: str) -> str:
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
def check_configuration(
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


@config_app.command("storage-policies")
def storage_policies(
    file: Annotated[Path | None, typer.Option("--file", help="Stack file.")] = None,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    role: Annotated[str, typer.Option("--role", help="The policy of this role alone, as a storage takes it.")] = "",
    principals: Annotated[
        Path | None,
        typer.Option("--principals", help="JSON: role to ARN or key id. One policy of the bucket instead."),
    ] = None,
) -> None:
    """Print what each key of the object storage may do: policies of S3, for the keys or for the bucket."""
    if role and principals:
        raise OpsError("--role and --principals ask for two kinds of policies: give one of them")
    bucket, witness = _buckets(chosen(file, stack))
    rights = {str(known): (RIGHTS[known], bucket) for known in StorageRole}
    if witness:
        rights["witness"] = (WITNESS, witness)
    if role and role not in rights:
        raise OpsError(f"--role is {role}: allowed are {', '.join(rights)}")
    shown: Mapping[str, Any] = {name: key_policy(*of_role) for name, of_role in rights.items()}
    if role:
        shown = shown[role]
    elif principals:
        named = _principals(principals)
        statements = bucket_statements(bucket, {who: RIGHTS[StorageRole(name)] for name, who in named.items()})
        shown = {"Version": VERSION, "Statement": list(statements)}
    typer.echo(json.dumps(shown, indent=2))


def _buckets(configuration: Configuration) -> tuple[str, str | None]:
    """The bucket of a region, and that of the witness where there is one.

    Raises:
        OpsError: The settings name none.
    """
    try:
        given = json.loads(configuration.values[SETTINGS_KEY])
        witness = (given.get("regions") or {}).get("witness") or {}
        return str(given["object_storage"]["bucket"]), witness.get("bucket")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError(
            f"Pulumi.{configuration.stack}.yaml names no object_storage.bucket: run `ops config check`"
        ) from None


def _principals(file: Path) -> dict[str, str]:
    """Role -> who it is for the storage.

    Raises:
        OpsError: The file cannot be read, or names something else than roles.
    """
    such = json.dumps({"archive": "arn:aws:iam::123456789012:user/archive"})
    allowed = f"must be JSON such as {such}; roles: {', '.join(StorageRole)}"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise OpsError(f"--principals {file}: cannot be read; it {allowed}") from None
    if not isinstance(content, dict) or not content or not set(content) <= set(StorageRole):
        raise OpsError(f"--principals {file}: it {allowed}")
    return {name: str(who) for name, who in content.items()}


def chosen(file: Path | None, stack: str) -> Configuration:
    """The configuration of a file or of a stack.

    Raises:
        OpsError: Both are named, or it cannot be read.
    """
    if file and stack:
        raise OpsError("--file and --stack name two configurations: give one of them")
    return of_file(file) if file else of_stack(stack)


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
