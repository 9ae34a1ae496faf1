"""Writes ``policy/rights.yaml`` from rights in the committed stack files: ``python -m tests.support.agreed_rights``.

The pack compares what a stack would allow with this table; whoever gives more writes it anew, where it is reviewed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from policy.documents import documents
from policy.rules._agreed import RIGHTS_FILE
from policy.rules._values import size
from policy.rules.rights import ANY, CATALOGUE, MEMORY, masked, rights
from tests.support.agreed_recordings import recordings

KINDS = (MEMORY, "networks", "kafka", "roles", "bindings", "search", "clients", "inhibitions", "scripts")
_HEAD = """# Rights as they were agreed on: policy/rules/rights.py. By `python -m tests.support.agreed_rights`.
"""


def text() -> str:
    """The whole table."""
    table: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in KINDS}
    catalogue: dict[str, Any] = {"masked": {}, "reserved": {}}
    for resources in recordings():
        for resource in resources:
            for right in rights(resource):
                table[right.kind][right.who].add(right.text)
            for document in documents(resource) if resource.kind == "ConfigMap" else ():
                content = document.node.value
                if isinstance(content, dict) and content.keys() >= CATALOGUE:
                    catalogue = {"masked": masked(content), "reserved": content["reserved"]}
    for texts in table["scripts"].values():
        if len(texts) > 1:
            texts.clear()
            texts.add(ANY)
    for who, limits in table[MEMORY].items():
        table[MEMORY][who] = {max(limits, key=lambda limit: size(limit) or 0)}
    lines = [_HEAD]
    for kind in KINDS:
        lines.append(f"{kind}:\n")
        lines += [f"  {json.dumps(who)}: {json.dumps(sorted(table[kind][who]))}\n" for who in sorted(table[kind])]
    lines.append("catalogue:\n")
    lines += [f"  {key}: {json.dumps(value, sort_keys=True)}\n" for key, value in catalogue.items()]
    return "".join(lines)


if __name__ == "__main__":
    RIGHTS_FILE.write_text(text(), encoding="utf-8")
