"""What is exposed and who may do what, in plain words: Kafka's users, permissions, topics and listeners.

And of the rest of the platform: exposed endpoints, networks, logins, retention of samples and versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops.review.model import (
    Statement,
    Subject,
    at,
    came_and_went,
    code,
    containers,
    duration,
    elements,
    flags,
    listed,
    seconds,
    short,
    workloads,
)
from policy.documents import Format, documents, files
from policy.model import UNKNOWN, Resource, UnknownValueError

ACL, USER, TOPIC, QUOTA = (
    "kafka:index/acl:Acl",
    "kafka:index/userScramCredential:UserScramCredential",
    "kafka:index/topic:Topic",
    "kafka:index/quota:Quota",
)
_BOUNDS = {
    "producer_byte_rate": "bytes a second written to a broker",
    "consumer_byte_rate": "bytes a second read from a broker",
    "request_percentage": "percent of a broker's thread",
}
_MS = 1000
_DONE_TO_A_TOPIC = {"read": "read", "write": "write", "describe": "see (not read)", "all": "do everything with"}
_MORE_IS_SAFER = {"min.insync.replicas", "retention.ms", "retention.bytes", "replicationFactor"}
_PROTOCOLS = "listener.security.protocol.map"


def access(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of permissions, users, quotas and topics."""
    yield from _permissions(before, after)
    yield from _kafka_users(before, after)
    yield from _quotas(before, after)
    yield from _topics(before, after)


def _permissions(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _acls(before), _acls(after)
    users = {acl["aclPrincipal"] for acl in old.values()}
    added, gone, _ = came_and_went(old, new)
    for key in added:
        acl = new[key]
        who, what = _who(acl), _may(acl)
        if _denies(acl):
            yield _about_kafka(f"{who} is now refused to {what}")
        else:
            also = " also" if acl["aclPrincipal"] in users else ""
            yield _about_kafka(f"{who} may now{also} {what}", weakens=True)
    for key in gone:
        acl = old[key]
        if _denies(acl):
            yield _about_kafka(f"{_who(acl)} is no longer refused to {_may(acl)}", weakens=True)
        else:
            yield _about_kafka(f"{_who(acl)} may no longer {_may(acl)}")


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


def _kafka_users(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _of(before, USER, "username"), _of(after, USER, "username")
    added, gone, changed = came_and_went(old, new)
    for name in added:
        yield _about_kafka(f"new user {name} ({new[name].get('scramMechanism')})")
    for name in gone:
        yield _about_kafka(f"user {name} can no longer log in")
    for name in changed:
        for key in ("scramMechanism", "scramIterations"):
            was, now = old[name].get(key), new[name].get(key)
            if was != now:
                words = {"scramMechanism": "logs in with", "scramIterations": "has its password hashed in rounds:"}[key]
                yield _about_kafka(
                    f"user {name} {words} {_known(now)} instead of {_known(was)}", weakens=_smaller(was, now)
                )
        if old[name].get("password") != new[name].get("password"):
            yield _about_kafka(f"user {name} gets a new password; whoever has the old one is refused")


def _quotas(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _of(before, QUOTA, "entityName"), _of(after, QUOTA, "entityName")
    added, gone, changed = came_and_went(old, new)
    for name in added:
        bounds = new[name].get("config") or {}
        words = [f"{_known(bounds[key])} {unit}" for key, unit in _BOUNDS.items() if key in bounds]
        yield _about_kafka(f"{name} is delayed beyond {listed(words)}")
    for name in gone:
        yield _about_kafka(f"{name} has no quota any more and can take all of a broker", weakens=True)
    for name in changed:
        was, now = ((quota.get("config") or {}) for quota in (old[name], new[name]))
        for key, unit in _BOUNDS.items():
            old_bound, new_bound = was.get(key), now.get(key)
            if old_bound != new_bound:
                yield _about_kafka(
                    f"{name} is delayed beyond {_known(new_bound) or 'any number of'} {unit} instead of "
                    f"{_known(old_bound) or 'any number'}",
                    weakens=old_bound is not None and (new_bound is None or _smaller(new_bound, old_bound)),
                )


def _topics(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _of(before, TOPIC, "name"), _of(after, TOPIC, "name")
    added, gone, changed = came_and_went(old, new)
    for name in added:
        topic = new[name]
        kept = _value("retention.ms", (topic.get("config") or {}).get("retention.ms"))
        yield _about_kafka(
            f"new topic {name}: {_known(topic.get('partitions'))} partitions, "
            f"{_known(topic.get('replicationFactor'))} copies, records kept {kept}"
        )
    for name in gone:
        yield _about_kafka(f"topic {name} is gone, with all its records", weakens=True)
    for name in changed:
        was, now = (
            {"partitions": topic.get("partitions"), "replicationFactor": topic.get("replicationFactor")}
            | dict(topic.get("config") or {})
            for topic in (old[name], new[name])
        )
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                yield _about_kafka(
                    f"topic {name}: {_sentence(key, was.get(key), now.get(key))}",
                    weakens=key in _MORE_IS_SAFER and _smaller(was.get(key), now.get(key)),
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
        weaker = key in _MORE_IS_SAFER and _smaller(was, now)
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


def _smaller(was: Any, now: Any) -> bool:
    """Whether a number got smaller; -1 is without limit, a missing one counts as smaller."""
    try:
        before, after = float(str(was)), float(str(now))
    except ValueError:
        return now is None
    return after >= 0 and (before < 0 or after < before)


def _about_kafka(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.ACCESS, text, weakens)


_RETENTION = {
    "storage.tsdb.retention.time": "keeps samples",
    "storage.tsdb.retention.size": "keeps samples up to",
    "tsdb.retention": "keeps blocks",
    "retention.resolution-raw": "keeps raw blocks",
    "retention.resolution-5m": "keeps 5-minute blocks",
    "retention.resolution-1h": "keeps 1-hour blocks",
}
_OPEN = ("LoadBalancer", "NodePort")


def surface(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """All of it."""
    yield from _endpoints(before, after)
    yield from _network(before, after)
    yield from _logins(before, after)
    yield from _commands(before, after)


def _endpoints(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = (
        {
            resource.label: resource
            for resource in resources
            if resource.kind in ("Service", "Ingress") and resource.kubernetes
        }
        for resources in (before, after)
    )
    for label in {**old, **new}:
        was, now = (_open(resources.get(label)) for resources in (old, new))
        name = short(new.get(label) or old[label])
        if was == now:
            continue
        if now is None:
            yield _about_surface(f"{name} is no longer reachable from outside")
        elif was is None:
            yield _about_surface(f"{name} becomes reachable from outside, {_reach(now)}", weakens=True)
        else:
            wider = bool(set(now["sources"]) - set(was["sources"])) or bool(set(now["ports"]) - set(was["ports"]))
            yield _about_surface(f"{name} is reachable {_reach(now)} instead of {_reach(was)}", weakens=wider)


def _open(resource: Resource | None) -> dict[str, list[str]] | None:
    """From where and at which ports an object lets the outside in; None when it does not."""
    if resource is None:
        return None
    spec = resource.props.get("spec")
    if resource.kind == "Ingress":
        hosts = [str(at(rule, "host") or "every host") for rule in elements(at(spec, "rules"))]
        tls = "https" if at(spec, "tls") else "http without TLS"
        return {"sources": ["anywhere"], "ports": [f"{host} ({tls})" for host in hosts]}
    if at(spec, "type") not in _OPEN:
        return None
    ports = [str(at(port, "port")) for port in elements(at(spec, "ports"))]
    return {
        "sources": [str(cidr) for cidr in elements(at(spec, "loadBalancerSourceRanges"))] or ["anywhere"],
        "ports": ports,
    }


def _reach(endpoint: Mapping[str, list[str]]) -> str:
    return f"from {listed(endpoint['sources'])} at {listed(endpoint['ports'])}"


def _network(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = (
        {resource.label: resource for resource in resources if resource.kind == "NetworkPolicy" and resource.kubernetes}
        for resources in (before, after)
    )
    added, gone, _ = came_and_went(old, new)
    for label in gone:
        yield _about_surface(
            f"{short(old[label])} is gone: nothing limits these pods' traffic any more but other policies", weakens=True
        )
    for label in added:
        yield _about_surface(f"new {short(new[label])}")
    for label in new:
        if label not in old:
            continue
        for way, verb in (("ingress", "are let in"), ("egress", "may be reached")):
            was, now = (_allowed(resources[label], way) for resources in (old, new))
            for peer in sorted(now - was):
                yield _about_surface(f"{short(new[label])}: {peer} {verb} now", weakens=True)
            for peer in sorted(was - now):
                yield _about_surface(f"{short(new[label])}: {peer} {verb} no longer")


def _allowed(policy: Resource, way: str) -> set[str]:
    """Every peer with its ports, in words."""
    spec = policy.props.get("spec")
    if way.capitalize() not in [str(policy_type) for policy_type in elements(at(spec, "policyTypes"))]:
        return {"everybody"}
    allowed: set[str] = set()
    for rule in elements(at(spec, way)):
        ports = [f"{at(port, 'port')}" for port in elements(at(rule, "ports"))]
        where = f" at port {listed(dict.fromkeys(ports))}" if ports else " at every port"
        peers = elements(at(rule, "from" if way == "ingress" else "to"))
        allowed |= {_peer(peer) + where for peer in peers} or {f"everybody{where}"}
    return allowed


def _peer(peer: Any) -> str:
    block = at(peer, "ipBlock", "cidr")
    if block:
        return str(block)
    words = []
    if isinstance(peer, Mapping) and "podSelector" in peer:
        words.append(f"pods {_labels(peer['podSelector'])}")
    if isinstance(peer, Mapping) and "namespaceSelector" in peer:
        words.append(f"namespaces {_labels(peer['namespaceSelector'])}")
    return " in ".join(words) or "unknown peers"


def _labels(selector: Any) -> str:
    labels = at(selector, "matchLabels")
    if not isinstance(labels, Mapping) or not labels:
        return "of any kind" if not at(selector, "matchExpressions") else "of an expression"
    name = labels.get("app.kubernetes.io/name")
    return str(name) if name else listed(f"{key}={value}" for key, value in labels.items())


def _logins(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    old, new = _users(before), _users(after)
    for place in {**old, **new}:
        for user in sorted(new.get(place, set()) - old.get(place, set())):
            yield Statement(Subject.LOGINS, f"{place}: user {user} can log in", weakens=place in old)
        for user in sorted(old.get(place, set()) - new.get(place, set())):
            yield Statement(Subject.LOGINS, f"{place}: user {user} can no longer log in")
        if place in old and place in new and old[place] and not new[place]:
            yield Statement(Subject.LOGINS, f"{place}: nobody needs to log in any more", weakens=True)


def _users(resources: Sequence[Resource]) -> dict[str, set[str]]:
    """Names of users by the file that lets them in; their passwords are not looked at."""
    users_by_file: dict[str, set[str]] = {}
    for resource in resources:
        try:
            for document in documents(resource, Format.WEB):
                users = at(document.node.raw, "basic_auth_users")
                users_by_file[f"{resource.object_name}/{document.name}"] = (
                    set(users) if isinstance(users, Mapping) else set()
                )
            for name, text in files(resource):
                if name.endswith("htpasswd"):
                    lines = [line.partition(":")[0] for line in text.splitlines() if ":" in line]
                    users_by_file[f"{resource.object_name}/{name}"] = set(lines)
        except UnknownValueError:
            continue
    return users_by_file


def _commands(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Retention and versions: what containers are started with."""
    old, new = workloads(before), workloads(after)
    for label in new:
        if label not in old:
            continue
        was, now = dict(containers(old[label])), dict(containers(new[label]))
        for name, container in now.items():
            if name not in was:
                continue
            images = was[name].get("image"), container.get("image")
            if images[0] != images[1]:
                was_image, now_image = _images(*images)
                text = f"{short(new[label])}, {name}: runs {now_image} instead of {was_image}"
                yield Statement(Subject.VERSIONS, text)
            yield from _kept(short(new[label]), flags(was[name]), flags(container))


def _kept(label: str, was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Statement]:
    for flag, words in _RETENTION.items():
        before, after = was.get(flag), now.get(flag)
        if before != after:
            shorter = before is not None and _shorter(before, after or "")
            text = f"{label} {words} {after or 'its default'} instead of {before or 'its default'}"
            yield Statement(Subject.RETENTION, text, weakens=shorter)


def shorter_retention(before: Resource, after: Resource) -> Iterator[str]:
    """Ages and sizes beyond which a workload deletes samples that it has kept so far."""
    was = dict(containers(before))
    for name, container in containers(after):
        old, new = flags(was.get(name, {})), flags(container)
        for flag in _RETENTION:
            if flag in old and flag in new and old[flag] != new[flag] and _shorter(old[flag], new[flag]):
                yield new[flag]


def _shorter(before: str, after: str) -> bool:
    """Whether a duration or size got smaller; one that cannot be read counts as smaller."""
    sizes = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40, "PB": 2**50}
    values = []
    for text in (before, after):
        unit = text.lstrip("0123456789.")
        count = text.removesuffix(unit)
        values.append(float(count) * sizes[unit] if unit in sizes and count else seconds(text))
    if values[0] is None or values[1] is None:
        return True
    return values[1] < values[0]


def _images(before: Any, after: Any) -> tuple[str, str]:
    """Two images; without registry and path where those are the same."""
    texts = ["(unknown)" if value is UNKNOWN else str(value) for value in (before, after)]
    places = [text.partition("@")[0].rpartition("/")[0] for text in texts]
    if places[0] == places[1] and places[0]:
        texts = [text.removeprefix(f"{places[0]}/") for text in texts]
    return code(texts[0]), code(texts[1])


def _about_surface(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.EXPOSURE, text, weakens)
