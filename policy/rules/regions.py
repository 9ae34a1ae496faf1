"""Two regions, of which one tells people: each has a guard that sees everything, and a standby has its copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.documents import Format
from policy.model import Finding, Node, Option, Options, Resource, Rule, UnknownValueError
from policy.rules._mounts import known_documents
from policy.rules._reading import finding, host_of, number, shown
from policy.rules._regions import Guard, copies, guards, reports, suspended
from policy.rules._servers import containers, replicas

_ROLES = ("primary", "standby")
_COMPARED = ("rules", "dashboards")


def _exists(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    if not _alertmanagers(resources):
        return
    found, unknown = guards(resources)
    if not found and unknown:
        raise unknown
    if not found:
        yield _of_stack("nothing makes Alertmanager follow the lease", "run services.region_guard")


def _standby(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    found, unknown = guards(resources)
    copied, also = copies(resources)
    unknown = unknown or also
    for guard in found:
        own, role, peer = (guard.settings[key] for key in ("region", "role", "peer"))
        flows = [(each.source, each.target) for each in copied]
        if role.text() not in _ROLES:
            yield finding(guard.held, role, f"the role of the region {shown(role)}", f"set it to {' or '.join(_ROLES)}")
        elif role.text() == "standby" and (peer.text(), own.text()) not in flows and not unknown:
            yield finding(
                guard.held,
                role,
                f"a standby has no copy of {peer.text() or 'the other region'}: nothing is copied into {own.text()}",
                "run MirrorMaker from the peer into this region",
            )
        elif role.text() == "primary" and own.text() in [target for _, target in flows]:
            yield finding(
                guard.held,
                role,
                f"{own.text()} is primary, and another region is copied into it",
                "take MirrorMaker away, or set the role to standby",
            )
    if unknown:
        raise unknown


def _reports(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    found, unknown = guards(resources)
    standby = any(guard.settings["role"].text() == "standby" for guard in found)
    for job in (each for each in resources if reports(each)):
        node = job.node["spec"]["suspend"]
        if suspended(job) and not standby and not unknown:
            yield finding(job, node, "nobody gets this report: suspend is true and no standby", "set suspend to false")
        elif standby and not suspended(job):
            yield finding(job, node, "a standby would send each report once more", "set suspend to true")
    if unknown:
        raise unknown


def _settings(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    found, unknown = guards(resources)
    for guard in found:
        settings = guard.settings
        outside, peer = settings["outside"], settings["peer"]
        if not [each for each in outside.texts() if each]:
            yield finding(
                guard.held,
                outside,
                f"a region that is cut off would never fall silent: outside {_shown(outside)}",
                "name host:port of the pagers",
            )
        if peer.exists and peer.text() == settings["region"].text():
            yield finding(guard.held, peer, "the region is its own peer", "name the other region, or null")
        yield from _times(guard, options)
        yield from _agreed(guard)
        yield from _members(guard, resources)
    if unknown:
        raise unknown


def _times(guard: Guard, options: Options) -> Iterator[Finding]:
    limits = {
        "look_s": (options["most_look_s"], "a region that lost the lease goes on telling people for long"),
        "beat_s": (options["most_beat_s"], "the other region learns late that this one is gone"),
        "isolated_s": (options["most_isolated_s"], "a region that is cut off falls silent late"),
    }
    for key, (most, problem) in limits.items():
        node = guard.settings[key]
        if not 0 < (number(node) or 0) <= most:
            yield finding(guard.held, node, f"{problem}: {key} {shown(node)}", f"set it to {most} or less")


def _agreed(guard: Guard) -> Iterator[Finding]:
    """What the other region has to have too: without its digest nobody sees a difference."""
    named = {key for key, node in guard.settings["definitions"].items() if node.text()}
    for each in _COMPARED:
        if each not in named:
            node = guard.settings["definitions"][each]
            yield finding(guard.held, node, f"nobody would see that both regions have other {each}", "set its digest")


def _members(guard: Guard, resources: Sequence[Resource]) -> Iterator[Finding]:
    urls = guard.settings["alertmanagers"]["urls"]
    hosts = {host_of(each) for each in urls.texts()}
    for workload in _alertmanagers(resources):
        wanted = {f"{workload.object_name}-{index}" for index in range(replicas(workload))}
        missing = sorted(wanted - {host.split(".")[0] for host in hosts})
        if missing:
            yield finding(
                guard.held,
                urls,
                f"the guard does not reach {', '.join(missing)} by its own address",
                "name every pod: silences do not spread while gossip is cut",
            )
    for url in urls.each():
        if not url.text().startswith("https://"):
            yield finding(
                guard.held, url, f"the operator's password travels in clear text: it {shown(url)}", "use https://"
            )


def _witness(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    found, unknown = guards(resources)
    own, also = _buckets(resources, {id(guard.held) for guard in found})
    for guard in found:
        witness = guard.settings["witness"]
        bucket, endpoint = witness["bucket"], witness["endpoint"]
        if not bucket.text():
            yield finding(
                guard.held, bucket, "the guard has no lease to follow: no bucket is named", "name the witness"
            )
        elif bucket.text() in own:
            yield finding(
                guard.held,
                bucket,
                f"the lease lies in {bucket.text()}, which {own[bucket.text()]} uses: it is lost with the region",
                "use a bucket of its own, in neither region",
            )
        if endpoint.exists and not endpoint.text().startswith("https://"):
            yield finding(
                guard.held, endpoint, f"the lease can be forged on its way: it {shown(endpoint)}", "use https://"
            )
    for error in (unknown, also):
        if error:
            raise error


def _buckets(resources: Sequence[Resource], but: set[int]) -> tuple[dict[str, str], UnknownValueError | None]:
    """Bucket -> who uses it, of everything but the guard."""
    known, unknown = known_documents(resources, Format.OBJECT_STORE, Format.OTHER)
    found: dict[str, str] = {}
    for document in known:
        section = "config" if document.format is Format.OBJECT_STORE else "storage"
        content = document.node
        if id(document.resource) not in but and isinstance(content.value, Mapping):
            bucket = content[section]["bucket"].text()
            if bucket:
                found.setdefault(bucket, document.resource.label)
    return found, unknown


def _alertmanagers(resources: Sequence[Resource]) -> list[Resource]:
    return [each for each in resources if any(container.runs("alertmanager") for container in containers(each))]


def _of_stack(problem: str, fix: str) -> Finding:
    return Finding(resource=None, where="regions", problem=problem, fix=fix)


def _shown(node: Node) -> str:
    return shown(node) if node.texts() or not node.exists else "is empty"


def _most(default: int, meaning: str) -> Option:
    return Option(default=default, schema={"type": "number", "exclusiveMinimum": 0}, meaning=meaning)


_TIMES: Mapping[str, Any] = {
    "most_look_s": _most(5, "The longest time between two looks at the lease, in seconds."),
    "most_beat_s": _most(15, "The longest time between two heartbeats, in seconds."),
    "most_isolated_s": _most(30, "The longest time until a region that is cut off falls silent, in seconds."),
}

RULES: tuple[Rule, ...] = (
    Rule(
        id="region-guard-exists",
        promise="Where there is an Alertmanager, a region guard makes it follow the lease.",
        why="Two regions would tell people of the same alert, and no failover could silence the old one.",
        sources=("D3", "A2"),
        stack=_exists,
    ),
    Rule(
        id="region-standby-whole",
        promise="A standby has a mirror of its peer; nothing is copied into a primary.",
        why="A standby without a copy takes over with nothing; two that copy each other never come to rest.",
        sources=("D2", "D3"),
        stack=_standby,
    ),
    Rule(
        id="region-reports-once",
        promise="Reports are made in the region that is primary, and in no standby.",
        why="People would get each report twice, or none; Low alerts reach them by the daily one only.",
        sources=("R1", "D3"),
        stack=_reports,
    ),
    Rule(
        id="region-guard-settings",
        promise="The guard knows the pagers and every Alertmanager, compares definitions, and acts within seconds.",
        why="A region that is cut off, or an Alertmanager that is left out, would go on telling people.",
        sources=("D3", "A2"),
        options=_TIMES,
        stack=_settings,
    ),
    Rule(
        id="region-witness-apart",
        promise="The lease lies in a bucket that the region uses for nothing else, and is read over TLS.",
        why="With the lease in one of the regions, that region's loss takes along who may tell people.",
        sources=("D3",),
        stack=_witness,
    ),
)
