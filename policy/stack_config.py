"""What the pack takes from the file of the stack that it looks at, unless ``--policy-pack-config`` says otherwise.

Besides the registries of images it is what a stack may leave out: with any profile but ``production``, a rule asks for
what the file sets up. In production the file alone loosens nothing.

The engine starts the pack in the project's folder. It does hand the stack's configuration over, but pulumi-policy drops
it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

IMAGE_REGISTRY: Final = "image-registry"
_REGISTRIES: Final = "registries"
_SETTINGS: Final = "observability:settings"
_PRODUCTION: Final = "production"
_FIRST: Final = "operators"
NEXT: Final[Mapping[str, str]] = {"critical": "senior-manager", "high": "on-call-engineer", "medium": "team-leader"}
"""Priority -> contact that is told of alerts that nobody acknowledged."""
_DELAYS: Final[Mapping[str, str]] = {"critical": "5m", "high": "30m", "medium": "4h"}
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
    chosen = {IMAGE_REGISTRY: _registries, **_LEFT_OUT}.get(rule)
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
        content = yaml.safe_load(file.read_text(encoding="utf-8"))["config"][_SETTINGS]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _registries(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    images = settings["images"]
    named = [images["registry"], *images.get(_REGISTRIES, {}).values()]
    listed = list(dict.fromkeys(registry for registry in named if isinstance(registry, str) and registry))
    return {_REGISTRIES: listed} if listed else {}


def _ways(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fewer kinds of channels for critical alerts where the stack has no more."""
    alerting = settings["alerting"]
    missing = [alerting["channels"][channel] is None for channel in ("phone", "sms", "mail")]
    slack = any(contact["slack"] for contact in alerting["contacts"].values())
    return {"least": 0} if any(missing) or not slack else {}


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


_LEFT_OUT: Final[Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]] = {
    "alertmanager-critical-ways": _ways,
    "alertmanager-receivers": _nobody("people", False),
    "alert-reaches-people": _nobody("within", {}),
    "alert-escalates": _steps,
    "watchdog-leaves": _switch,
    "failover-agent-exists": _alone,
    "backup-search-exists": _no_export,
}


def left_out(stack: str, folder: Path) -> dict[str, Mapping[str, Any]]:
    """Rule -> options that follow from what a stack leaves out, as the configuration of the pack has them.

    Args:
        stack: Name of the stack.
        folder: Folder of the stack files.
    """
    options = {rule: stack_options(rule, f"urn:pulumi:{stack}::", folder) for rule in _LEFT_OUT}
    return {rule: changed for rule, changed in options.items() if changed}
