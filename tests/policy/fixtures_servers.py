"""Hand-written resources of servers that the platform gets, and ways to break one field of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from policy.model import Resource, Rule
from policy.rules import RULES, concern
from policy.stack_config import KEY_OF_ROLE

GONE = object()
"""Marks a field to take away."""

OWN_MODULES = (
    "alerting",
    "alerting_routes",
    "alerting_rules",
    "probes",
    "database",
    "grafana",
    "grafana_sources",
    "tracing",
    "tracing_login",
    "search_cluster",
    "backups",
    "parity",
    "parity_mirror",
)
OF_THE_PLATFORM = frozenset(
    {"alert-agreed", "alert-kept", KEY_OF_ROLE, "trace-classes-apart", "traces-sampled-as-agreed"}
)
"""Rules about what the platform renders as a whole, which no stack here is."""
Data = dict[str, Any]


def rule(rule_id: str) -> Rule:
    """The rule of that id."""
    return next(known_rule for known_rule in RULES if known_rule.id == rule_id)


def rules_of(*modules: str) -> list[Rule]:
    """Rules that were written for the servers, of some modules or of all."""
    wanted = set(modules or OWN_MODULES)
    return [
        known_rule for known_rule in RULES if concern(known_rule) in wanted and known_rule.id not in OF_THE_PLATFORM
    ]


def said(checked: Rule, resources: Sequence[Resource], **options: Any) -> list[str]:
    """What a rule says about a stack, without its ``why``."""
    chosen = {**checked.defaults(), **options}
    if checked.stack is not None:
        findings = list(checked.stack(resources, chosen))
    else:
        seen = [resource for resource in resources if not checked.kinds or resource.kind in checked.kinds]
        findings = [finding for resource in seen for finding in checked.resource(resource, chosen)]
    return [
        f"{finding.resource.label if finding.resource else 'stack'}, {finding.where}: {finding.problem}. Fix: "
        f"{finding.fix}."
        for finding in findings
    ]


def all_said(resources: Sequence[Resource], modules: Iterable[str] = ()) -> list[str]:
    """What every rule for servers says, advisory ones left out."""
    rules = rules_of(*modules)
    return [
        f"{known_rule.id}: {text}"
        for known_rule in rules
        if known_rule.level == "mandatory"
        for text in said(known_rule, resources)
    ]


def broken(data: Data, path: str, value: Any) -> Data:
    """A copy with one field changed, added, or taken away (``GONE``); parts of the path are separated by ``/``."""
    changed = _copied(data)
    *parents, last = path.split("/")
    target: Any = changed
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    if isinstance(target, list):
        if value is GONE:
            del target[int(last)]
        elif last == "+":
            target.append(value)
        else:
            target[int(last)] = value
    elif value is GONE:
        del target[last]
    else:
        target[last] = value
    return changed


def _copied(value: Any) -> Any:
    """A copy in which what was shared between two places is not shared any more."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def text_of(content: Any) -> str:
    """A file: text as it is, data as YAML."""
    return content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)


def properties_text(content: Mapping[str, str]) -> str:
    """Java properties."""
    return "".join(f"{key}={value}\n" for key, value in content.items())


def ini_text(content: Mapping[str, Mapping[str, str]]) -> str:
    """An ini file."""
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for section, entries in content.items()
    )


def config_map(name: str, **files: Any) -> Resource:
    """A ConfigMap."""
    return _holder("ConfigMap", "data", name, files)


def secret(name: str, **files: Any) -> Resource:
    """A Secret."""
    return _holder("Secret", "stringData", name, files)


def _holder(kind: str, field: str, name: str, files: Mapping[str, Any]) -> Resource:
    content = {key: text_of(value) for key, value in files.items()}
    return Resource(
        f"kubernetes:core/v1:{kind}", name, {"metadata": {"name": name, "namespace": "mon"}, field: content}
    )


def workload(
    kind: str,
    name: str,
    image: str,
    *,
    command: Sequence[str] = (),
    args: Sequence[str] = (),
    env: Sequence[Mapping[str, Any]] = (),
    files: Mapping[str, Resource] | None = None,
    replicas: int | None = None,
    claim: str = "",
    extra: Mapping[str, Any] | None = None,
) -> Resource:
    """A workload of one container.

    Args:
        kind: Kind, for example ``Deployment``.
        name: Name of the object and its container.
        image: Image.
        command: Command.
        args: Arguments.
        env: Environment entries.
        files: Path of a folder -> ConfigMap or Secret that is mounted there.
        replicas: Number of pods.
        claim: Path of a folder on a claim of its own.
        extra: More fields of ``spec``.
    """
    mounts: list[Data] = []
    volumes: list[Data] = []
    for number, (path, held) in enumerate((files or {}).items()):
        mounts.append({"name": f"v{number}", "mountPath": path, "readOnly": True})
        source = (
            {"configMap": {"name": held.name}} if held.kind == "ConfigMap" else {"secret": {"secretName": held.name}}
        )
        volumes.append({"name": f"v{number}", **source})
    spec: Data = dict(extra or {})
    if claim:
        mounts.append({"name": "data", "mountPath": claim})
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    container: Data = {"name": name, "image": image, "volumeMounts": mounts}
    for key, value in (("command", command), ("args", args), ("env", env)):
        if value:
            container[key] = list(value)
    pod = {"spec": {"containers": [container], "volumes": volumes}}
    if kind == "CronJob":
        job = spec.pop("jobSpec", {})
        spec["jobTemplate"] = {"spec": {**job, "template": pod}}
    else:
        spec["template"] = pod
    if replicas is not None:
        spec["replicas"] = replicas
    group = "batch/v1" if kind in ("CronJob", "Job") else "apps/v1"
    return Resource(f"kubernetes:{group}:{kind}", name, {"metadata": {"name": name, "namespace": "mon"}, "spec": spec})


def cases(name: str) -> list[tuple[str, str, Any, Any]]:
    """What is broken in ``cases_<name>.yaml``: rule, path, new value (``GONE``: taken away), what is said."""
    content = yaml.safe_load(Path(__file__).with_name(f"cases_{name}.yaml").read_text(encoding="utf-8"))
    return [
        (rule_id, case["at"], case.get("becomes", GONE), case["says"])
        for rule_id, broken_ones in content.items()
        for case in broken_ones
    ]
