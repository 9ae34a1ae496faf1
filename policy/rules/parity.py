"""The other region: what must be the same in both stacks is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from policy.documents import Format, documents, files, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._servers import known_documents
from policy.rules._values import FILES, finding

Fingerprint = dict[str, dict[str, Any]]
"""Section -> name -> what must agree, as JSON data without secrets."""


def fingerprint(resources: Sequence[Resource]) -> Fingerprint:
    """What must agree between the stacks of two regions: topics, ACLs, alert rules and dashboards.

    Rules and dashboards are compared by a digest of their content, however they are spread over files.

    Raises:
        UnknownValueError: Something of it is not known before the update.
    """
    return {section: read(resources) for section, read in _SECTIONS.items()}


def topics(resources: Sequence[Resource]) -> dict[str, Any]:
    """Name -> partitions, copies and configuration."""
    topic_states: dict[str, Any] = {}
    for resource in _kafka(resources, "Topic"):
        config = {key: node.text() for key, node in resource.node["config"].items()}
        count, copies = resource.node["partitions"], resource.node["replicationFactor"]
        topic_states[resource.object_name] = {
            "partitions": int(count.value),
            "replicationFactor": int(copies.value),
            **config,
        }
    return dict(sorted(topic_states.items()))


_ACL: Final = ("aclPrincipal", "aclPermissionType", "aclOperation", "aclResourceType", "aclResourceName")


def acls(resources: Sequence[Resource]) -> dict[str, Any]:
    """Each ACL as one line; there is nothing more to agree on."""
    lines = []
    for resource in _kafka(resources, "Acl"):
        words = [resource.node[key].text() for key in _ACL]
        pattern, host = resource.node["resourcePatternTypeFilter"].text(), resource.node["aclHost"].text()
        words += [pattern.lower()] if pattern not in ("", "Literal") else []
        words += ["from", host] if host not in ("", "*") else []
        lines.append(" ".join(words))
    return dict.fromkeys(sorted(lines), True)


def rules(resources: Sequence[Resource]) -> dict[str, Any]:
    """``group: name`` of every alert and recording rule -> digests of what it says."""
    grants: dict[str, set[str]] = {}
    for resource in resources:
        for document in documents(resource, Format.RULES) if resource.kind in FILES else ():
            for group in document.node["groups"].elements():
                for rule in group["rules"].elements():
                    name = rule["alert"].text() or rule["record"].text()
                    grants.setdefault(f"{group['name'].text()}: {name}", set()).add(_digest(rule))
    return {name: sorted(digests) for name, digests in sorted(grants.items())}


def dashboards(resources: Sequence[Resource]) -> dict[str, Any]:
    """Uid (else title) of every dashboard -> digest, from files and from the Grafana provider."""
    digests: dict[str, str] = {}
    for resource in resources:
        if resource.kind == "Dashboard" and resource.type.startswith("grafana:"):
            text = resource.node["configJson"].text()
            candidates = [parse("dashboard.json", text)[1]]
        elif resource.kind == "ConfigMap":
            candidates = [parse(name, text)[1] for name, text in files(resource) if name.endswith(".json")]
        else:
            continue
        for content in candidates:
            if isinstance(content, Mapping) and "panels" in content and {"uid", "title"} & set(content):
                kept = {key: value for key, value in content.items() if key not in ("id", "version", "iteration")}
                digests[str(content.get("uid") or content["title"])] = _digest(Node(kept))
    return dict(sorted(digests.items()))


_SECTIONS: Final[Mapping[str, Callable[[Sequence[Resource]], dict[str, Any]]]] = {
    "topics": topics,
    "acls": acls,
    "rules": rules,
    "dashboards": dashboards,
}
ONE_SIDED: Final = (
    "ACL User:mirror-maker *",
    "rule mirror: *",
    "rule mirror-partitions: *",
    "rule targets: TargetMissing*",
)
"""What only the region that copies the other one has, and the rule that lists all that is scraped."""
_NOUNS: Final = {"topics": "topic", "acls": "ACL", "rules": "rule", "dashboards": "dashboard"}


def _kafka(resources: Sequence[Resource], kind: str) -> Iterator[Resource]:
    return (resource for resource in resources if resource.kind == kind and resource.type.startswith("kafka:"))


def _digest(node: Node) -> str:
    for inner in node.walk():
        _ = inner.value
    return hashlib.sha256(json.dumps(node.value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def comparable(fingerprint: Fingerprint, ignore: Sequence[str] = ONE_SIDED) -> Fingerprint:
    """A fingerprint without what may differ."""
    return {
        section: {
            name: value
            for name, value in names.items()
            if not any(fnmatchcase(f"{_NOUNS[section]} {name}", pattern) for pattern in ignore)
        }
        for section, names in fingerprint.items()
    }


def differences(here: Fingerprint, there: Fingerprint, ignore: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Section and sentence of everything that does not agree.

    Args:
        here: This stack.
        there: The other one.
        ignore: Patterns of ``<noun> <name>`` that may differ, for example ``ACL User:mirror-maker *``.
    """
    here, there = comparable(here, ignore), comparable(there, ignore)
    for section, noun in _NOUNS.items():
        ours, others = here.get(section, {}), there.get(section, {})
        for name in sorted({*ours, *others}):
            if name not in others:
                yield section, f"{noun} {name} is missing in the other stack"
            elif name not in ours:
                yield section, f"{noun} {name} of the other stack is missing here"
            elif isinstance(ours[name], Mapping) and ours[name] != others[name]:
                keys = sorted({*ours[name], *others[name]})
                changed = [
                    f"{key} {ours[name].get(key, 'not set')} here and {others[name].get(key, 'not set')} there"
                    for key in keys
                    if ours[name].get(key) != others[name].get(key)
                ]
                yield section, f"{noun} {name} differs: {', '.join(changed)}"
            elif ours[name] != others[name]:
                yield section, f"{noun} {name} differs in its content"


def _parity(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    other = options["other"]
    if not other:
        return
    if isinstance(other, str):
        try:
            other = json.loads(Path(other).read_text())
        except (OSError, ValueError) as error:
            yield _of_stack("other", f"the other stack's fingerprint {options['other']} cannot be read: {error}")
            return
    for section, read in _SECTIONS.items():
        here = {section: read(resources)}
        for where, sentence in differences(here, {section: other.get(section, {})}, options["ignore"]):
            yield _of_stack(where, sentence)


def _of_stack(where: str, problem: str) -> Finding:
    fix = "change both stacks alike, or name it in the option ignore"
    if where == "other":
        fix = "write it with policy.rules.parity.fingerprint from the other stack's resources"
    return Finding(resource=None, where=where, problem=problem, fix=fix)


def _rules_agree(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    holders: dict[str, dict[str, tuple[Resource, str, str]]] = {}
    known, unknown = known_documents(resources, Format.RULES)
    for document in known:
        for group in document.node["groups"].elements():
            entry = (document.resource, group.path, _digest(group))
            holders.setdefault(group["name"].text(), {})[document.resource.label] = entry
    for name, holder in holders.items():
        first = next(iter(holder.values()))
        for resource, where, digest in holder.values():
            if digest != first[2]:
                yield finding(
                    resource,
                    where,
                    f"rule group {name} differs from the one in {first[0].label}",
                    "give every Prometheus the same rules",
                )
    if unknown:
        raise unknown


RULES: tuple[Rule, ...] = (
    Rule(
        id="region-parity",
        promise="Both regions have the same topics, ACLs, alert rules and dashboards.",
        why="After a failover the other region would lose records, refuse clients or miss alerts.",
        sources=("D2", "D3"),
        options={
            "other": Option(
                default="",
                schema={"type": ["string", "object"]},
                meaning="Fingerprint of the other stack, or the path of a JSON file with it; empty for no comparison.",
            ),
            "ignore": Option(
                default=list(ONE_SIDED),
                schema={"type": "array", "items": {"type": "string"}},
                meaning="Patterns of what may differ, for example `ACL User:mirror-maker *`.",
            ),
        },
        stack=_parity,
    ),
    Rule(
        id="rules-agree",
        promise="Every Prometheus of a stack has the same version of a rule group.",
        why="Alerts would fire on one replica only, or twice with different words.",
        sources=("P1", "P3"),
        stack=_rules_agree,
    ),
)
