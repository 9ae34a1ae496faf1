"""Kafka's users, permissions, topics and listeners in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops.review.phrasing import Statement, Subject, came_and_went, code, duration
from policy.documents import Format, documents
from policy.model import UNKNOWN, Resource, UnknownValueError

ACL, USER, TOPIC = (
    "kafka:index/acl:Acl",
    "kafka:index/userScramCredential:UserScramCredential",
    "kafka:index/topic:Topic",
)
_MS = 1000
_DONE_TO_A_TOPIC = {"read": "read", "write": "write", "describe": "see (not read)", "all": "do everything with"}
_MORE_IS_SAFER = {"min.insync.replicas", "retention.ms", "retention.bytes", "replicationFactor"}
_PROTOCOLS = "listener.security.protocol.map"


def access(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of permissions, users and topics."""
    yield from _permissions(before, after)
    yield from _users(before, after)
    yield from _topics(before, after)


def _permissions(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _acls(before), _acls(after)
    users = {acl["aclPrincipal"] for acl in old.values()}
    added, gone, _ = came_and_went(old, new)
    for key in added:
        acl = new[key]
        who, what = _who(acl), _may(acl)
        if _denies(acl):
            yield _about(f"{who} is now refused to {what}")
        else:
            also = " also" if acl["aclPrincipal"] in users else ""
            yield _about(f"{who} may now{also} {what}", weakens=True)
    for key in gone:
        acl = old[key]
        if _denies(acl):
            yield _about(f"{_who(acl)} is no longer refused to {_may(acl)}", weakens=True)
        else:
            yield _about(f"{_who(acl)} may no longer {_may(acl)}")


def _acls(resources: Sequence[Resource]) -> dict[tuple[str, ...], dict[str, str]]:
    """Permissions by all that they say: their names say nothing that Kafka reads."""
    keys = (
        "aclPrincipal",
        "aclOperation",
        "aclResourceType",
        "aclResourceName",
        "aclPermissionType",
        "aclHost",
        "resourcePatternTypeFilter",
    )
    acls: dict[tuple[str, ...], dict[str, str]] = {}
    for resource in resources:
        if resource.type == ACL:
            acl = {key: _known(resource.props.get(key)) for key in keys}
            acls[tuple(acl.values())] = acl
    return acls


def _who(acl: Mapping[str, str]) -> str:
    name = acl["aclPrincipal"].removeprefix("User:")
    who = "every user" if name == "*" else f"user {name}"
    return who if acl["aclHost"] in ("*", "") else f"{who} from host {acl['aclHost']}"


def _may(acl: Mapping[str, str]) -> str:
    operation, kind, name = acl["aclOperation"].lower(), acl["aclResourceType"].lower(), acl["aclResourceName"]
    if kind == "group":
        subject, verb = "consumer group", "use" if operation == "read" else _DONE_TO_A_TOPIC.get(operation, operation)
    else:
        subject, verb = kind, _DONE_TO_A_TOPIC.get(operation, operation)
    if name == "*":
        return f"{verb} every {subject}"
    if acl["resourcePatternTypeFilter"].lower() == "prefixed":
        return f"{verb} every {subject} that begins with {name}"
    return (
        f"{verb} {subject} {name}"
        if kind == "group"
        else f"{verb} {name}"
        if kind == "topic"
        else f"{verb} {subject} {name}"
    )


def _denies(acl: Mapping[str, str]) -> bool:
    return acl["aclPermissionType"].lower() == "deny"


def _users(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _of(before, USER, "username"), _of(after, USER, "username")
    added, gone, changed = came_and_went(old, new)
    for name in added:
        yield _about(f"new user {name} ({new[name].get('scramMechanism')})")
    for name in gone:
        yield _about(f"user {name} can no longer log in")
    for name in changed:
        for key in ("scramMechanism", "scramIterations"):
            was, now = old[name].get(key), new[name].get(key)
            if was != now:
                words = {"scramMechanism": "logs in with", "scramIterations": "has its password hashed in rounds:"}[key]
                yield _about(f"user {name} {words} {_known(now)} instead of {_known(was)}", weakens=_less(was, now))
        if old[name].get("password") != new[name].get("password"):
            yield _about(f"user {name} gets a new password; whoever has the old one is refused")


def _topics(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _of(before, TOPIC, "name"), _of(after, TOPIC, "name")
    added, gone, changed = came_and_went(old, new)
    for name in added:
        topic = new[name]
        kept = _value("retention.ms", (topic.get("config") or {}).get("retention.ms"))
        yield _about(
            f"new topic {name}: {_known(topic.get('partitions'))} partitions, "
            f"{_known(topic.get('replicationFactor'))} copies, records kept {kept}"
        )
    for name in gone:
        yield _about(f"topic {name} is gone, with all its records", weakens=True)
    for name in changed:
        was, now = (
            {"partitions": topic.get("partitions"), "replicationFactor": topic.get("replicationFactor")}
            | dict(topic.get("config") or {})
            for topic in (old[name], new[name])
        )
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                yield _about(
                    f"topic {name}: {_sentence(key, was.get(key), now.get(key))}",
                    weakens=key in _MORE_IS_SAFER and _less(was.get(key), now.get(key)),
                )


def _sentence(key: str, was: Any, now: Any) -> str:
    old, new = _value(key, was), _value(key, now)
    return {
        "partitions": f"{new} partitions instead of {old}",
        "replicationFactor": f"{new} copies of every record instead of {old}",
        "retention.ms": f"records are kept {new} instead of {old}",
        "min.insync.replicas": f"a write counts with {new} in-sync copies instead of {old}",
        "max.message.bytes": f"a record batch may have {new} bytes instead of {old}",
    }.get(key, f"{code(key)} is now {new} instead of {old}")


def _value(key: str, value: Any) -> str:
    if value is None:
        return "the brokers' default"
    text = _known(value)
    if key.endswith("retention.ms") and text.lstrip("-").isdigit():
        return "for ever" if int(text) < 0 else duration(int(text) / _MS)
    return text


def brokers(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of the brokers' own properties: one sentence for all nodes that change alike."""
    old, new = _properties(before), _properties(after)
    alike: dict[tuple[str, str | None, str | None], list[str]] = {}
    for node in {**old, **new}:
        if node not in old or node not in new:
            continue
        for key in {**old[node], **new[node]}:
            was, now = old[node].get(key), new[node].get(key)
            if was != now:
                alike.setdefault((key, was, now), []).append(node)
    for (key, was, now), nodes in alike.items():
        where = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
        if key == _PROTOCOLS:
            yield from _listeners(where, was or "", now or "")
            continue
        weaker = key in _MORE_IS_SAFER and _less(was, now)
        values = [code(value) if value is not None else "its default" for value in (now, was)]
        yield Statement(
            Subject.BROKERS, f"{where}: {code(key)} is now {values[0]} instead of {values[1]}", weakens=weaker
        )


def _listeners(where: str, was: str, now: str) -> Iterator[Statement]:
    old, new = (dict(pair.strip().split(":", 1) for pair in text.split(",") if ":" in pair) for text in (was, now))
    for listener in {**old, **new}:
        before, after = old.get(listener), new.get(listener)
        if before == after:
            continue
        lost = [
            what
            for what, mark in (("encryption", "SSL"), ("login", "SASL"))
            if mark in (before or "").split("_") and mark not in (after or mark).split("_")
        ]
        consequence = f": {' and '.join(lost)} lost" if lost else ""
        yield Statement(
            Subject.BROKERS,
            f"{where}: listener {listener} is now {after or 'gone'} instead of {before or 'absent'}{consequence}",
            weakens=bool(lost),
        )


def _properties(resources: Sequence[Resource]) -> dict[str, Mapping[str, str]]:
    properties: dict[str, Mapping[str, str]] = {}
    for resource in resources:
        try:
            for document in documents(resource, Format.KAFKA_SERVER):
                properties[f"{resource.object_name}/{document.name}"] = document.node.raw
        except UnknownValueError:
            continue
    return properties


def _of(resources: Sequence[Resource], token: str, key: str) -> dict[str, Mapping[str, Any]]:
    return {
        _known(resource.props.get(key)) or resource.name: resource.props
        for resource in resources
        if resource.type == token
    }


def _known(value: Any) -> str:
    return "" if value is None else "(unknown)" if value is UNKNOWN else str(value)


def _less(was: Any, now: Any) -> bool:
    """Whether a number got smaller; -1 is without limit, a missing one counts as smaller."""
    try:
        before, after = float(str(was)), float(str(now))
    except ValueError:
        return now is None
    return after >= 0 and (before < 0 or after < before)


def _about(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.ACCESS, text, weakens)
