"""Checks an exported state with the policy pack, with no cluster: ``python -m policy.analyze STATE.json``.

``pulumi stack export`` writes the file. Encrypted secrets stay encrypted: rules that need them report "not known". With
``pulumi stack export --show-secrets`` they are read as well. Exit codes: 0 nothing mandatory is violated, 1 something
is, 2 the file cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policy.model import UNKNOWN, Resource
from policy.rules import RULES
from policy.runner import EXCEPTIONS_RULE, Verdict, check

_MARK = "4dabf18193072939515e22adb298388d"
_SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (the engine's mark of a secret, no secret)
_ENGINE_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_STACK = "pulumi:pulumi:Stack"
_LEVELS = ("mandatory", "advisory", "disabled")


class PolicyInputError(Exception):
    """A file that cannot be used; the message is one line and says what to do."""


def resources(state: Any, name: str) -> list[Resource]:
    """What providers have made, from an exported state.

    Args:
        state: The parsed file.
        name: Name of the file, for messages.

    Raises:
        PolicyInputError: It is no exported state.
    """
    deployment = state.get("deployment") if isinstance(state, Mapping) else None
    if not isinstance(deployment, Mapping):
        raise PolicyInputError(
            f"{name} is no exported state: it has no deployment; write it with `pulumi stack export`"
        )
    version = state.get("version")
    if version not in (3, 4):
        raise PolicyInputError(f"{name} has version {version!r}: allowed is 3 or 4; export it with a current Pulumi")
    stack_resources: list[Resource] = []
    for index, entry in enumerate(deployment.get("resources") or []):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("urn"), str):
            raise PolicyInputError(f"{name}: resource {index} has no urn; export the state anew")
        # Components make nothing; what is only read, or about to be deleted, is not what the program asks for.
        if not entry.get("custom") or entry.get("external") or entry.get("delete") or entry.get("type") == _STACK:
            continue
        urn = entry["urn"]
        kind = str(entry.get("type") or urn.split("::")[2].rpartition("$")[2])
        stack_resources.append(Resource(kind, urn.rpartition("::")[2], opened(entry.get("inputs") or {}), urn))
    if not stack_resources:
        raise PolicyInputError(f"{name} has no resources, so nothing can be checked: export a stack that is deployed")
    return stack_resources


def opened(value: Any) -> Any:
    """A value of the state as rules see it: what is encrypted or not yet known as ``UNKNOWN``, null dropped."""
    if value == _ENGINE_UNKNOWN:
        return UNKNOWN
    if isinstance(value, Mapping):
        if value.get(_MARK) == _SECRET_MARK:
            return _secret(value)
        return {key: opened(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [opened(inner) for inner in value]
    return value


def _secret(value: Mapping[str, Any]) -> Any:
    """A secret in clear (``--show-secrets``), else unknown."""
    text = value.get("plaintext")
    if isinstance(text, str):
        try:
            return opened(json.loads(text))
        except ValueError:
            return UNKNOWN
    return opened(value["value"]) if "value" in value else UNKNOWN


def load_config(file: Path | None) -> dict[str, Any]:
    """Configuration of the pack, as ``--policy-pack-config`` takes it.

    Raises:
        PolicyInputError: It cannot be read, or names something that is not there.
    """
    if file is None:
        return {}
    content = _json(file)
    if not isinstance(content, Mapping):
        raise PolicyInputError(f"{file}: allowed is an object of rule ids; see docs/policies.md")
    known = {rule.id: rule for rule in RULES}
    for rule_id, entry in content.items():
        if rule_id not in known and rule_id != EXCEPTIONS_RULE:
            raise PolicyInputError(f"{file}: there is no rule {rule_id}; see docs/policies.md for the rules")
        level = entry.get("enforcementLevel", _LEVELS[0]) if isinstance(entry, Mapping) else entry
        if level not in _LEVELS:
            raise PolicyInputError(f"{file}: {rule_id} has level {level!r}: allowed is {', '.join(_LEVELS)}")
        options = known[rule_id].options if rule_id in known else {}
        extra = sorted(set(entry) - set(options) - {"enforcementLevel"}) if isinstance(entry, Mapping) else []
        if extra:
            raise PolicyInputError(
                f"{file}: {rule_id} has no option {', '.join(extra)}: allowed is {', '.join(options) or 'none'}"
            )
    return dict(content)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise PolicyInputError(f"{file} does not exist: name a file that is there") from None
    except IsADirectoryError:
        raise PolicyInputError(f"{file} is a folder: name a JSON file") from None
    except (ValueError, OSError) as error:
        raise PolicyInputError(f"{file} cannot be read as JSON: {' '.join(str(error).split())}") from None


def as_json(verdicts: list[Verdict], checked: int) -> dict[str, Any]:
    """Verdicts for machines."""
    return {
        "resources": checked,
        "mandatory": sum(verdict.stops for verdict in verdicts),
        "verdicts": [
            {
                "rule": verdict.rule.id,
                "level": str(verdict.level),
                "urn": verdict.resource.urn if verdict.resource else None,
                "message": verdict.message,
                "unknown": verdict.unknown,
                "agreed": verdict.agreed or None,
            }
            for verdict in verdicts
        ],
    }


def report(verdicts: list[Verdict], checked: int) -> str:
    """Verdicts for people: what stops first, what is unknown last; never more than the message."""
    known = [verdict for verdict in verdicts if not verdict.unknown]
    lines = [
        f"{f'agreed ({verdict.agreed})' if verdict.agreed else verdict.level}: {verdict.rule.id}: {verdict.message}"
        for verdict in sorted(known, key=lambda verdict: (bool(verdict.agreed), not verdict.stops))
    ]
    unseen: dict[str, set[str]] = {}
    for verdict in verdicts:
        if verdict.unknown:
            label = verdict.resource.label if verdict.resource else "the stack as a whole"
            unseen.setdefault(label, set()).add(verdict.rule.id)
    lines += [
        f"not known: {label}: encrypted or not known in this file, so not checked by {', '.join(sorted(rules))}"
        for label, rules in sorted(unseen.items())
    ]
    counts = {
        "mandatory": sum(verdict.stops for verdict in verdicts),
        "advisory": sum(not verdict.stops and not verdict.unknown and not verdict.agreed for verdict in verdicts),
        "agreed": sum(bool(verdict.agreed) for verdict in verdicts),
        "not known": sum(verdict.unknown for verdict in verdicts),
    }
    lines.append(f"{checked} resources: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Check a file and print what is wrong with it."""
    parser = argparse.ArgumentParser(
        prog="python -m policy.analyze", description="Check an exported Pulumi state with the policy pack."
    )
    parser.add_argument("state", type=Path, help="file that `pulumi stack export` wrote")
    parser.add_argument("--config", type=Path, help="configuration of the pack, as for --policy-pack-config")
    parser.add_argument("--json", action="store_true", help="print verdicts for machines")
    given = parser.parse_args(arguments)
    try:
        config = load_config(given.config)
        stack_resources = resources(_json(given.state), given.state.name)
    except PolicyInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    verdicts = check(stack_resources, config)
    print(
        json.dumps(as_json(verdicts, len(stack_resources)), indent=2)
        if given.json
        else report(verdicts, len(stack_resources))
    )
    return int(any(verdict.stops for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
