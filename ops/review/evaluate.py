"""Runs a revision's program for one stack without engine, cluster or broker, and prints what it asks for as JSON.

``python -m ops.review.evaluate STACK --root PATH``. The review runs this file by its path, with the interpreter's path
set to the revision, so that the revision's own code is what runs; therefore it imports nothing of this project.

Passwords are placeholders: 32 letters and digits that follow from the resource's name and inputs, and begin with
``placeholder``. Nothing that is printed is a secret.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gc
import hashlib
import importlib
import json
import logging
import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.output import Unknown
from pulumi.runtime import config, mocks, rpc
from pulumi.runtime.stack import run_pulumi_func
from pulumi.runtime.sync_await import _ensure_event_loop

PLACEHOLDER = "placeholder"
SECRET, UNKNOWN = "$secret", "$unknown"
"""Marks in the JSON."""
FAILED = 3
"""Exit code when the program itself fails."""
_PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105  (a type token)
_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105  (a type token)
_REFERENCE = "pulumi:pulumi:StackReference"
_AUTHORITY = f"-----BEGIN CERTIFICATE-----\n{PLACEHOLDER}\n-----END CERTIFICATE-----\n"
_BCRYPT_LENGTH = 53
_COLLECT_AFTER = (100_000, 20, 100)
"""Thresholds of the garbage collector: a program keeps what it makes, and the usual ones cost a third of its time."""


@dataclass
class Recorder(mocks.Mocks):
    """Answers as the providers would, in a preview."""

    resources: list[dict[str, Any]] = field(default_factory=list)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Functions of providers give nothing that could be known here."""
        return {}, []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """The state of a resource as far as a preview can know it."""
        state: dict[str, Any] = _told_unknown(args.inputs)
        if args.typ == _PASSWORD:
            state |= _password(args.name, args.inputs)
        if args.typ == _SECRET and args.resource_id:
            state |= {"data": {"ca.crt": base64.b64encode(_AUTHORITY.encode()).decode()}}
        if args.typ == _REFERENCE:
            state |= {"outputs": rpc.UNKNOWN, "secretOutputNames": []}
        return args.resource_id or f"{args.name}-id", state


class Monitor(mocks.MockMonitor):
    """Keeps what the program registers, with its place in the tree and its options."""

    def __init__(self, recorder: Recorder, project: str, stack: str) -> None:
        super().__init__(recorder)
        self._kept = recorder.resources
        self._project, self._stack = project, stack

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """As the engine makes it (the base class asks for project and stack where they are not known)."""
        qualified = parent.split("::")[2] + "$" if parent else ""
        within = "" if qualified.startswith("pulumi:pulumi:Stack") else qualified
        return f"urn:pulumi:{self._stack}::{self._project}::{within}{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (the name of the call)
        """Keep a registered resource."""
        self._keep(request, request.object, read=False)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def ReadResource(self, request: Any) -> Any:  # noqa: N802  (the name of the call)
        """Keep a resource that is only read."""
        self._keep(request, request.properties, read=True)
        return super().ReadResource(request)  # type: ignore[no-untyped-call]

    def _keep(self, request: Any, properties: Any, *, read: bool) -> None:
        # Resource references need one on this thread.
        _ensure_event_loop()  # type: ignore[no-untyped-call]
        inputs = _plain(rpc.deserialize_properties(properties, keep_unknowns=True))
        self._kept.append(
            {
                "urn": self.make_urn(request.parent, request.type, request.name),
                "type": request.type,
                "name": request.name,
                "parent": request.parent,
                "custom": read or bool(request.custom),
                "read": read,
                "provider": request.provider.rpartition("::")[0],
                "protect": False if read else bool(request.protect),
                "ignore_changes": [] if read else list(request.ignoreChanges),
                "dependencies": sorted(request.dependencies),
                "inputs": inputs,
            }
        )


def evaluate(stack: str, root: Path) -> dict[str, Any]:
    """Run the program below ``root`` for a stack.

    Raises:
        Exception: Whatever the program raises.
    """
    # No cluster is asked who it is.
    os.environ["KUBECONFIG"] = os.devnull
    project = yaml.safe_load((root / "Pulumi.yaml").read_text())
    settings, secrets = _settings(yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text()) or {})
    config.set_all_config(settings, secrets)
    recorder = Recorder()
    program = root / project.get("main", ".") / "__main__.py"

    async def body() -> None:
        runpy.run_path(str(program), run_name="__main__")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        monitor = Monitor(recorder, project["name"], stack)
        mocks.set_mocks(recorder, project=project["name"], stack=stack, preview=True, monitor=monitor)
        loop.run_until_complete(run_pulumi_func(body))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    kept = [resource for resource in recorder.resources if resource["type"] != "pulumi:pulumi:Stack"]
    kept.sort(key=lambda resource: resource["urn"])
    return {"stack": stack, "resources": kept, "thresholds": _thresholds(), "policies": _policies()}


def _settings(content: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Configuration as the engine hands it over; encrypted values become placeholders."""
    values: dict[str, str] = {}
    secrets: list[str] = []
    for key, value in (content.get("config") or {}).items():
        shown = _without_secrets(value, key)
        if shown != value:
            secrets.append(key)
        values[key] = shown if isinstance(shown, str) else json.dumps(shown)
    return values, secrets


def _without_secrets(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return _placeholder(key)
        return {inner: _without_secrets(child, f"{key}.{inner}") for inner, child in value.items()}
    if isinstance(value, list):
        return [_without_secrets(child, f"{key}[{index}]") for index, child in enumerate(value)]
    return value


def _placeholder(*origin: str) -> str:
    digest = hashlib.sha256("\0".join(origin).encode()).hexdigest()
    return f"{PLACEHOLDER}{digest}"[:32]


def _password(name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Follows from the inputs as well: those that change make a new password."""
    placeholder = _placeholder(name, json.dumps(_plain(dict(inputs)), sort_keys=True))
    return {"result": placeholder, "bcryptHash": "$2a$10$" + (placeholder * 2)[:_BCRYPT_LENGTH]}


def _told_unknown(value: Any) -> Any:
    """Inputs as a state that the SDK can send back: unknown values by their mark."""
    if isinstance(value, Unknown):
        return rpc.UNKNOWN
    if isinstance(value, dict):
        return {key: _told_unknown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_told_unknown(inner) for inner in value]
    return value


def _plain(value: Any) -> Any:
    """JSON with marks for what is secret and what is unknown; null is dropped, as Pulumi does."""
    if rpc.is_rpc_secret(value):
        return {SECRET: _plain(value["value"])}
    if isinstance(value, Unknown) or value == rpc.UNKNOWN:
        return {UNKNOWN: True}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, pulumi.Resource):
        return f"<{type(value).__name__}>"
    return str(value)


def _thresholds() -> list[dict[str, Any]]:
    """The catalogue's thresholds; none in a revision that has no catalogue."""
    module = _optional("components.telemetry.thresholds")
    return [
        {
            "name": threshold.name,
            "layer": getattr(threshold.layer, "name", str(threshold.layer)),
            "value": threshold.value,
            "comparison": threshold.comparison.value,
            "limit": threshold.limit,
            "hold_s": threshold.hold_s,
        }
        for threshold in getattr(module, "THRESHOLDS", ())
    ]


def _policies() -> dict[str, Any]:
    """Rules with their levels, and agreed exceptions; empty in a revision without policies."""
    rules, agreed = _optional("policy.rules"), _optional("policy.exceptions")
    entries = agreed.load()[0] if agreed else ()
    return {
        "rules": {rule.id: str(rule.level) for rule in getattr(rules, "RULES", ())},
        "exceptions": [
            {"rule": entry.rule, "resource": entry.resource, "reason": entry.reason, "expires": str(entry.expires)}
            for entry in entries
        ],
    }


def _optional(name: str) -> Any:
    """A module of the revision, or None where the revision has none (or one that cannot be imported)."""
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def _told(error: BaseException) -> str:
    """The one line about a program that failed: a user's mistake as it is, anything else with its place."""
    if isinstance(error, pulumi.RunError):
        return "; ".join(str(error).splitlines())
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return " ".join(f"{type(error).__name__}: {error}{place}".split())


def main(arguments: list[str] | None = None) -> int:
    """Evaluate one stack; JSON goes to standard output, whatever the program prints to standard error."""
    gc.set_threshold(*_COLLECT_AFTER)
    parser = argparse.ArgumentParser(prog="python -m ops.review.evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("stack", help="name of the stack: Pulumi.<stack>.yaml")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="checkout whose program runs")
    given = parser.parse_args(arguments)
    root = given.root.resolve()
    os.chdir(root)
    sys.path.insert(0, str(root))
    try:
        logging.disable()  # What went wrong is the one line below; the event loop would add tasks that it left behind.
        with contextlib.redirect_stdout(sys.stderr):
            result = evaluate(given.stack, root)
    except (Exception, SystemExit) as error:
        print(f"error: {_told(error)}", file=sys.stderr)
        return FAILED
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
