"""``docs/policies.md``, written from the rules: ``python -m policy.document [--check]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from policy.exceptions import LONGEST_DAYS
from policy.model import Rule
from policy.rules import RULES, concern
from policy.runner import EXCEPTIONS

TARGET = Path(__file__).resolve().parents[1] / "docs" / "policies.md"

_HEAD = f"""# Policies

Generated from `policy/rules` by `make docs`: change the rules, not this file.

The pack looks at every resource as the servers will read it: configuration files in ConfigMaps and Secrets are
parsed, command lines are understood, topics, users and ACLs are read from their own resources. A **mandatory** rule
stops `pulumi preview` and `pulumi up`; an **advisory** one is shown. A *stack* rule looks at everything at once, so
that it sees what is missing.

- By hand: `pulumi preview --policy-pack policy`, with other levels and options by `--policy-pack-config FILE`
  (`{{"rule-id": {{"enforcementLevel": "advisory", "option": value}}}}`).
- Without a cluster: `python -m policy.analyze STATE.json` for an exported state, `make review BASE=<rev>` for a change.
- Exceptions: `policy/exceptions.yaml`, each with rule, resource, reason, owner and last day (at most {LONGEST_DAYS}
  days ahead). An expired one is itself a violation.
- New programs, arguments, variables, settings of pods, parts of collectors and types of resources: one
  reviewed line in `policy/agreed.yaml`.
- Settings and their values in files of servers and in objects of Kubernetes: one reviewed line in `policy/settings`.
- Registries of images, where pods run and names outside of the cluster: what the stack file says.
- More connections, permissions, access rules, rights in the search cluster, memory, silencing, or another script of a
  server: `python -m tests.support.agreed_rights` writes `policy/rights.yaml` anew, whose change is reviewed.
- An alert that becomes less urgent, later, about something else or is gone: `python -m tests.support.agreed_alerts`
  writes `policy/alerts.yaml` anew, whose change is reviewed.
- What a preview does not know yet is listed under `unknown-until-update`; the update looks again before it creates
  anything.
"""


def text() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *_body()]).rstrip() + "\n"


def _body() -> Iterator[str]:
    yield f"{len(RULES) + 1} rules.\n"
    for name, rules in groupby(RULES, key=concern):
        yield f"## {name.replace('_', ' ').capitalize()}\n"
        for rule in rules:
            yield from _entry(rule)
    yield "## Exceptions\n"
    yield from _entry(EXCEPTIONS)


def _entry(rule: Rule) -> Iterator[str]:
    scope = "stack" if rule.stack else ", ".join(sorted(rule.kinds)) or "every resource"
    yield f"### `{rule.id}`\n"
    yield f"{rule.promise} {rule.why}\n"
    yield f"*{rule.level}, looks at: {scope}; requirements {', '.join(rule.sources)}*\n"
    for name, option in rule.options.items():
        yield f"- option `{name}` (default `{json.dumps(option.default)}`): {option.meaning}"
    if rule.options:
        yield ""


def main(arguments: list[str]) -> int:
    """Write the document, or with ``--check`` compare it."""
    if "--check" in arguments:
        same = TARGET.exists() and TARGET.read_text() == text()
        print("docs/policies.md is current" if same else "docs/policies.md is old: run `make docs` and commit it")
        return 0 if same else 1
    TARGET.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
