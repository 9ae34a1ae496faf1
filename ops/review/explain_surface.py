"""Exposed endpoints, networks, logins, retention of samples and versions in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops.review.phrasing import Statement, Subject, came_and_went, code, listed, seconds
from ops.review.pods import at, containers, elements, flags, short, workloads
from policy.documents import Format, documents, files
from policy.model import UNKNOWN, Resource, UnknownValueError

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
            yield _about(f"{name} is no longer reachable from outside")
        elif was is None:
            yield _about(f"{name} becomes reachable from outside, {_reach(now)}", weakens=True)
        else:
            wider = bool(set(now["sources"]) - set(was["sources"])) or bool(set(now["ports"]) - set(was["ports"]))
            yield _about(f"{name} is reachable {_reach(now)} instead of {_reach(was)}", weakens=wider)


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
        yield _about(
            f"{short(old[label])} is gone: nothing limits these pods' traffic any more but other policies", weakens=True
        )
    for label in added:
        yield _about(f"new {short(new[label])}")
    for label in new:
        if label not in old:
            continue
        for way, verb in (("ingress", "are let in"), ("egress", "may be reached")):
            was, now = (_allowed(resources[label], way) for resources in (old, new))
            for peer in sorted(now - was):
                yield _about(f"{short(new[label])}: {peer} {verb} now", weakens=True)
            for peer in sorted(was - now):
                yield _about(f"{short(new[label])}: {peer} {verb} no longer")


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
            shorter = before is not None and _less(before, after or "")
            text = f"{label} {words} {after or 'its default'} instead of {before or 'its default'}"
            yield Statement(Subject.RETENTION, text, weakens=shorter)


def shorter_retention(before: Resource, after: Resource) -> Iterator[str]:
    """Ages and sizes beyond which a workload deletes samples that it has kept so far."""
    was = dict(containers(before))
    for name, container in containers(after):
        old, new = flags(was.get(name, {})), flags(container)
        for flag in _RETENTION:
            if flag in old and flag in new and old[flag] != new[flag] and _less(old[flag], new[flag]):
                yield new[flag]


def _less(before: str, after: str) -> bool:
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


def _about(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.EXPOSURE, text, weakens)
