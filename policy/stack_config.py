"""What the pack takes from the file of the stack that it looks at, unless ``--policy-pack-config`` says otherwise.

Registries of images, where pods run and names outside the cluster are up to the file. So is what a stack may leave out:
with any profile but ``production``, a rule asks for what the file sets up. In production the file alone leaves out
nothing.

The engine starts the pack in the project's folder. It does hand the stack's configuration over, but pulumi-policy drops
it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from components.storage_roles import StorageRole

IMAGE_REGISTRY: Final = "image-registry"
KEY_OF_ROLE: Final = "storage-key-of-role"
ENCRYPTED: Final = "backup-store-encrypted"
_REGISTRIES: Final = "registries"
_SETTINGS: Final = "observability:settings"
_PRODUCTION: Final = "production"
_FIRST: Final = "operators"
NEXT: Final[Mapping[str, str]] = {"critical": "senior-manager", "high": "on-call-engineer", "medium": "team-leader"}
"""Priority -> contact that is told of alerts that nobody acknowledged."""
_DELAYS: Final[Mapping[str, str]] = {"critical": "5m", "high": "30m", "medium": "4h"}
_WAYS: Final = 3
"""Kinds of channels for critical alerts, as the rule has them."""
_LOUD: Final = ("phone", "sms_topic", "slack")
"""Channels by which critical alerts go out first; escalations are mailed, too."""
_STACK_PART: Final = 2
"""Of ``urn:pulumi:STACK::PROJECT::TYPE::NAME``."""


def stack_options(rule: str, urn: str, folder: Path | None = None) -> Mapping[str, Any]:
    """Options of a rule, as far as the stack's settings decide them.

    Args:
        rule: Id of the rule.
        urn: URN of a resource of the stack.
        folder: Folder of the stack files; None: where this program was started.
    """
    parts = urn.split(":")
    chosen = {IMAGE_REGISTRY: _registries, **_SAID, **_LEFT_OUT}.get(rule)
    if chosen is None or len(parts) <= _STACK_PART or not parts[_STACK_PART]:
        return {}
    settings = _settings((folder or Path.cwd()) / f"Pulumi.{parts[_STACK_PART]}.yaml")
    if rule in _LEFT_OUT and settings.get("profile", _PRODUCTION) == _PRODUCTION:
        return {}
    try:
        return chosen(settings)
    except (KeyError, TypeError, AttributeError):
        return {}


@functools.cache
def _settings(file: Path) -> Mapping[str, Any]:
    """The settings of a stack file; none where there is no such file or it says nothing readable."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["config"][_SETTINGS]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _registries(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    images = settings["images"]
    named = [images["registry"], *images.get(_REGISTRIES, {}).values()]
    listed = list(dict.fromkeys(registry for registry in named if isinstance(registry, str) and registry))
    return {_REGISTRIES: listed} if listed else {}


def _placed(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where pods run and how urgent they are."""
    scheduling = settings["scheduling"]
    groups = [scheduling["default"], *scheduling["stages"].values()]
    values = {
        "node_selectors": [group["node_selector"] for group in groups if group.get("node_selector")],
        "priority_classes": [group["priority_class"] for group in groups if group.get("priority_class")],
        "tolerations": [_toleration(taint) for group in groups for taint in group.get("tolerations", ())],
    }
    return {option: listed for option, listed in values.items() if listed}


def _toleration(taint: Mapping[str, Any]) -> Mapping[str, Any]:
    """A taint that pods stand, as their specification has it."""
    names = {"seconds": "tolerationSeconds"}
    given = {names.get(key, key): value for key, value in taint.items() if value is not None}
    return {"operator": "Equal", **given}


def _outside(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Names and addresses by which the platform is reached from outside."""
    moving = settings["regions"]["dns"] or {"names": {}}
    return {"outside": [*_hosts(settings), *moving["names"].values()]}


def _hosts(value: Any) -> Iterator[str]:
    """Hosts and addresses of every external endpoint."""
    if isinstance(value, Mapping):
        if {"host", "address"} <= value.keys():
            yield from filter(None, (value["host"], value["address"]))
        for inner in value.values():
            yield from _hosts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _hosts(inner)


def _ways(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fewer kinds of channels for critical alerts where those who are told of them have no more."""
    contacts = settings["alerting"]["contacts"]
    first = sum(bool(contacts[_FIRST].get(channel)) for channel in _LOUD)
    ways = min(first, sum(map(bool, contacts[NEXT["critical"]].values())) or _WAYS)
    return {"least": ways} if ways < _WAYS else {}


def _nobody(option: str, value: object) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """An option for stacks in which nobody is notified first."""

    def chosen(settings: Mapping[str, Any]) -> Mapping[str, Any]:
        return {} if any(settings["alerting"]["contacts"][_FIRST].values()) else {option: value}

    return chosen


def _steps(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Escalation only to those whom a channel reaches."""
    contacts = settings["alerting"]["contacts"]
    delays = {level: _DELAYS[level] for level, name in NEXT.items() if any(contacts[name].values())}
    return {} if delays == _DELAYS else {"delays": delays}


def _switch(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """No heartbeat where the stack has no dead man's switch."""
    return {} if settings["alerting"].get("heartbeat", True) else {"switch": False}


def _alone(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """No failover agent where no lease says which region is active."""
    return {} if settings["regions"]["witness"] else {"needed": False}


def _no_export(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """No backup of the search cluster where the stack makes none."""
    return {} if settings["backups"]["search"] else {"needed": False}


def _roles(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Only the keys of the object storage that the stack has."""
    roles = list(settings["object_storage"].get("roles") or ())
    return {} if set(roles) >= set(StorageRole) else {"roles": roles}


def _not_asked(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """No encryption by the object storage where the stack does not ask it."""
    return {} if settings["object_storage"].get("encryption", True) else {"required": False}


_LEFT_OUT: Final[Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]] = {
    "alertmanager-critical-ways": _ways,
    "alertmanager-receivers": _nobody("people", False),
    "alert-reaches-people": _nobody("within", {}),
    "alert-escalates": _steps,
    "watchdog-leaves": _switch,
    "failover-agent-exists": _alone,
    "backup-search-exists": _no_export,
    KEY_OF_ROLE: _roles,
    ENCRYPTED: _not_asked,
}


_SAID: Final[Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]] = {
    "certificate-own-names": _outside,
    "pod-placement-said": _placed,
}


def left_out(stack: str, folder: Path) -> dict[str, Mapping[str, Any]]:
    """Rule -> options that follow from what a stack leaves out or says, as the configuration of the pack has them.

    Args:
        stack: Name of the stack.
        folder: Folder of the stack files.
    """
    options = {rule: stack_options(rule, f"urn:pulumi:{stack}::", folder) for rule in (*_SAID, *_LEFT_OUT)}
    return {rule: changed for rule, changed in options.items() if changed}
