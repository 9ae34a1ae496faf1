"""Two regions, of which one is active: each has a failover agent that sees everything, and a standby has its copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policy.documents import Format, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule, UnknownValueError
from policy.rules import _values
from policy.rules._servers import Container, containers, known_documents, replicas
from policy.rules._values import finding, flag, host_of, number, shown

FAILOVER_AGENT: Final = "services.failover_agent"
REPORTS: Final = "services.reports"
MIRROR: Final = "org.apache.kafka.connect.mirror.MirrorMaker"


@dataclass(frozen=True)
class FailoverAgent:
    """A failover agent.

    Attributes:
        container: Where it runs.
        held: ConfigMap or Secret of its settings; the workload itself where there are none.
        settings: Its settings, empty where there are none.
    """

    container: Container
    held: Resource
    settings: Node


@dataclass(frozen=True)
class Copy:
    """A flow of a MirrorMaker that runs.

    Attributes:
        workload: Where it runs.
        source: Region that is copied.
        target: Region that is copied into.
    """

    workload: Resource
    source: str
    target: str


def failover_agents(stack: Sequence[Resource]) -> tuple[list[FailoverAgent], UnknownValueError | None]:
    """Failover agents of a stack, and what of them is not known yet, to raise after the known ones were looked at."""
    guard_list: list[FailoverAgent] = []
    unknown: UnknownValueError | None = None
    for container in _running(stack, FAILOVER_AGENT):
        mounted, word = container.mounted(stack), container.flag("config")
        file = mounted.at(word.text) if word else None
        content = parse(file.name, file.text)[1] if file else None
        if file and isinstance(content, dict):
            guard_list.append(FailoverAgent(container, file.resource, Node(content, f"{file.name}:")))
        elif mounted.unknown:
            unknown = unknown or UnknownValueError(mounted.unknown)
        else:
            guard_list.append(
                FailoverAgent(container, container.resource, Node(None, word.where if word else container.node.path))
            )
    return guard_list, unknown


def copies(stack: Sequence[Resource]) -> tuple[list[Copy], UnknownValueError | None]:
    """What MirrorMakers of a stack copy, and what of them is not known yet."""
    copy_list: list[Copy] = []
    unknown: UnknownValueError | None = None
    for container in _running(stack, MIRROR):
        texts = [word.text for word in container.words]
        mounted, path = container.mounted(stack), "".join(texts[texts.index(MIRROR) + 1 :][:1])
        file = mounted.at(path) if path else None
        flows = _values.mirror(file.text) if file else None
        if flows:
            copy_list += [Copy(container.resource, *flow) for flow in flows.flows]
        elif mounted.unknown:
            unknown = unknown or UnknownValueError(mounted.unknown)
    return copy_list, unknown


def reports(resource: Resource) -> bool:
    """Whether a CronJob makes and sends reports."""
    return resource.kind == "CronJob" and bool(_running([resource], REPORTS))


def suspended(resource: Resource) -> bool:
    """Whether a CronJob does not run for now."""
    node = resource.node["spec"]["suspend"]
    return node.exists and flag(node) is not False


def _running(stack: Sequence[Resource], module: str) -> list[Container]:
    """Containers whose command line has that word."""
    return [
        container
        for resource in stack
        for container in containers(resource)
        if any(word.text == module for word in container.words)
    ]


_ROLES = ("primary", "standby")
_COMPARED = ("rules", "dashboards")


def _exists(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    if not _alertmanagers(resources):
        return
    guard_list, unknown = failover_agents(resources)
    if not guard_list and unknown:
        raise unknown
    if not guard_list and options["needed"]:
        yield _of_stack("nothing makes Alertmanager follow the lease", "run services.failover_agent")


def _standby(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    guard_list, unknown = failover_agents(resources)
    copied, also = copies(resources)
    unknown = unknown or also
    for agent in guard_list:
        own, role, peer = (agent.settings[key] for key in ("region", "role", "peer"))
        flows = [(copy.source, copy.target) for copy in copied]
        if role.text() not in _ROLES:
            yield finding(agent.held, role, f"the role of the region {shown(role)}", f"set it to {' or '.join(_ROLES)}")
        elif role.text() == "standby" and (peer.text(), own.text()) not in flows and not unknown:
            yield finding(
                agent.held,
                role,
                f"a standby has no copy of {peer.text() or 'the other region'}: nothing is copied into {own.text()}",
                "run MirrorMaker from the peer into this region",
            )
        elif role.text() == "primary" and own.text() in [target for _, target in flows]:
            yield finding(
                agent.held,
                role,
                f"{own.text()} is primary, and another region is copied into it",
                "take MirrorMaker away, or set the role to standby",
            )
    if unknown:
        raise unknown


def _reports(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    guard_list, unknown = failover_agents(resources)
    standby = any(agent.settings["role"].text() == "standby" for agent in guard_list)
    for job in (resource for resource in resources if reports(resource)):
        node = job.node["spec"]["suspend"]
        if suspended(job) and not standby and not unknown:
            yield finding(job, node, "nobody gets this report: suspend is true and no standby", "set suspend to false")
        elif standby and not suspended(job):
            yield finding(job, node, "a standby would send each report once more", "set suspend to true")
    if unknown:
        raise unknown


def _settings(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    guard_list, unknown = failover_agents(resources)
    for agent in guard_list:
        settings = agent.settings
        targets, peer = settings["egress_targets"], settings["peer"]
        if not [text for text in targets.texts() if text]:
            yield finding(
                agent.held,
                targets,
                f"a region that is cut off would never fall silent: egress_targets {_shown(targets)}",
                "name host:port of the pagers",
            )
        if peer.exists and peer.text() == settings["region"].text():
            yield finding(agent.held, peer, "the region is its own peer", "name the other region, or null")
        yield from _times(agent, options)
        yield from _agreed(agent)
        yield from _members(agent, resources)
    if unknown:
        raise unknown


def _times(agent: FailoverAgent, options: Options) -> Iterator[Finding]:
    limits = {
        "poll_interval_s": (options["most_poll_interval_s"], "a region that lost the lease goes on notifying for long"),
        "heartbeat_interval_s": (
            options["most_heartbeat_interval_s"],
            "the other region learns late that this one is gone",
        ),
        "isolated_s": (options["most_isolated_s"], "a region that is cut off falls silent late"),
    }
    for key, (most, problem) in limits.items():
        node = agent.settings[key]
        if not 0 < (number(node) or 0) <= most:
            yield finding(agent.held, node, f"{problem}: {key} {shown(node)}", f"set it to {most} or less")


def _agreed(agent: FailoverAgent) -> Iterator[Finding]:
    """What the other region has to have too: without its digest nobody sees a difference."""
    named = {key for key, node in agent.settings["fingerprints"].items() if node.text()}
    for definition in _COMPARED:
        if definition not in named:
            node = agent.settings["fingerprints"][definition]
            yield finding(
                agent.held, node, f"nobody would see that both regions have other {definition}", "set its digest"
            )


def _members(agent: FailoverAgent, resources: Sequence[Resource]) -> Iterator[Finding]:
    urls = agent.settings["alertmanagers"]["urls"]
    hosts = {host_of(text) for text in urls.texts()}
    for workload in _alertmanagers(resources):
        wanted = {f"{workload.object_name}-{index}" for index in range(replicas(workload))}
        missing = sorted(wanted - {host.split(".")[0] for host in hosts})
        if missing:
            yield finding(
                agent.held,
                urls,
                f"the failover agent does not reach {', '.join(missing)} by its own address",
                "name every pod: silences do not spread while gossip is cut",
            )
    for url in urls.elements():
        if not url.text().startswith("https://"):
            yield finding(
                agent.held, url, f"the operator's password travels in clear text: it {shown(url)}", "use https://"
            )


def _witness(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    guard_list, unknown = failover_agents(resources)
    own, also = _buckets(resources, {id(agent.held) for agent in guard_list})
    for agent in guard_list:
        witness = agent.settings["witness"]
        bucket, endpoint = witness["bucket"], witness["endpoint"]
        if not bucket.text():
            yield finding(
                agent.held, bucket, "the failover agent has no lease to follow: no bucket is named", "name the witness"
            )
        elif bucket.text() in own:
            yield finding(
                agent.held,
                bucket,
                f"the lease lies in {bucket.text()}, which {own[bucket.text()]} uses: it is lost with the region",
                "use a bucket of its own, in neither region",
            )
        if endpoint.exists and not endpoint.text().startswith("https://"):
            yield finding(
                agent.held, endpoint, f"the lease can be forged on its way: it {shown(endpoint)}", "use https://"
            )
    for error in (unknown, also):
        if error:
            raise error


def _buckets(resources: Sequence[Resource], but: set[int]) -> tuple[dict[str, str], UnknownValueError | None]:
    """Bucket -> who uses it, of everything but the failover agent."""
    known, unknown = known_documents(resources, Format.OBJECT_STORE, Format.OTHER)
    owners: dict[str, str] = {}
    for document in known:
        section = "config" if document.format is Format.OBJECT_STORE else "storage"
        content = document.node
        if id(document.resource) not in but and isinstance(content.value, Mapping):
            bucket = content[section]["bucket"].text()
            if bucket:
                owners.setdefault(bucket, document.resource.label)
    return owners, unknown


def _alertmanagers(resources: Sequence[Resource]) -> list[Resource]:
    return [
        resource for resource in resources if any(container.runs("alertmanager") for container in containers(resource))
    ]


def _of_stack(problem: str, fix: str) -> Finding:
    return Finding(resource=None, where="regions", problem=problem, fix=fix)


def _shown(node: Node) -> str:
    return shown(node) if node.texts() or not node.exists else "is empty"


def _most(default: int, meaning: str) -> Option:
    return Option(default=default, schema={"type": "number", "exclusiveMinimum": 0}, meaning=meaning)


_TIMES: Mapping[str, Any] = {
    "most_poll_interval_s": _most(5, "The longest time between two polls of the lease, in seconds."),
    "most_heartbeat_interval_s": _most(15, "The longest time between two heartbeats, in seconds."),
    "most_isolated_s": _most(30, "The longest time until a region that is cut off falls silent, in seconds."),
}


RULES: tuple[Rule, ...] = (
    Rule(
        id="failover-agent-exists",
        promise="Where there is an Alertmanager, a failover agent makes it follow the lease.",
        why="Two regions would notify about the same alert, and no failover could silence the old one.",
        sources=("D3", "A2"),
        options={
            "needed": Option(
                default=True,
                schema={"type": "boolean"},
                meaning="Whether there is a lease; with another profile than production a region may stand alone.",
            )
        },
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
        id="failover-agent-settings",
        promise="The failover agent has the pagers and all Alertmanagers, compares fingerprints, and acts in seconds.",
        why="A region that is cut off, or an Alertmanager that is left out, would go on notifying.",
        sources=("D3", "A2"),
        options=_TIMES,
        stack=_settings,
    ),
    Rule(
        id="region-witness-apart",
        promise="The lease lies in a bucket that the region uses for nothing else, and is read over TLS.",
        why="With the lease in one of the regions, that region's loss takes along who may notify.",
        sources=("D3",),
        stack=_witness,
    ),
)
