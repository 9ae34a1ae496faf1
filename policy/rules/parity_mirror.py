"""MirrorMaker 2: both sides encrypted and authenticated, whole copies, and group offsets that are seconds old.

It is a guest in the region that it copies: it changes nothing there, and takes what it was told to. How its clients
verify the brokers, and where its passwords lie, is guarded by the rules for every Kafka client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from policy.documents import files
from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules import _values
from policy.rules._kubernetes import Files, Process, processes
from policy.rules._values import FILES, SAFE_VERSIONS, Mirror, each_known, finding

_IDENTITY: Final = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy"
_COPIES: Final = {
    "replication.factor": "2",
    "checkpoints.topic.replication.factor": "3",
    "heartbeats.topic.replication.factor": "3",
    "offset-syncs.topic.replication.factor": "3",
    "config.storage.replication.factor": "3",
    "offset.storage.replication.factor": "3",
    "status.storage.replication.factor": "3",
}


def _mirrors(resource: Resource) -> Iterator[tuple[str, Mirror]]:
    for name, text in files(resource):
        if name.endswith((".properties", ".config", ".conf")):
            mirror = _values.mirror(text)
            if mirror:
                yield name, mirror


def _secured(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, mirror in _mirrors(resource):
        for alias in mirror.clusters:
            key, protocol = mirror.of(alias, "security.protocol", default="PLAINTEXT")
            if protocol != "SASL_SSL":
                yield finding(
                    resource,
                    f"{name}: {key}",
                    f"MirrorMaker talks to {alias} with {protocol}",
                    f"set {alias}.security.protocol to SASL_SSL",
                )
            key, mechanism = mirror.of(alias, "sasl.mechanism", default="GSSAPI")
            if mechanism != "SCRAM-SHA-512":
                yield finding(
                    resource,
                    f"{name}: {key}",
                    f"MirrorMaker logs in at {alias} with {mechanism}",
                    f"set {alias}.sasl.mechanism to SCRAM-SHA-512",
                )
            key, login = mirror.of(alias, "sasl.jaas.config")
            if not login:
                yield finding(
                    resource, f"{name}: {key}", f"MirrorMaker has no login for {alias}", f"set {alias}.sasl.jaas.config"
                )


def _faithful(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, mirror in _mirrors(resource):
        if not mirror.flows:
            yield finding(resource, f"{name}: clusters", "MirrorMaker copies nothing: no flow is enabled", "enable one")
        for source, target in mirror.flows:
            flow = f"{source}->{target}"
            for setting, default in _COPIES.items():
                scope = target if ".storage." in setting else flow
                key, value = mirror.of(scope, setting, default=default)
                if not value.isdigit() or int(value) < options["replicas"]:
                    yield finding(
                        resource,
                        f"{name}: {key}",
                        f"{flow} keeps {value} copies, less than {options['replicas']}",
                        f"set {setting} to {options['replicas']}",
                    )
            key, policy = mirror.of(flow, "replication.policy.class", default="DefaultReplicationPolicy")
            if policy != _IDENTITY:
                yield finding(
                    resource,
                    f"{name}: {key}",
                    f"topics get other names in {target}: replication.policy.class is {policy}",
                    f"set replication.policy.class to {_IDENTITY}",
                )
            yield from _acknowledged(resource, name, mirror, flow, options)


def _acknowledged(resource: Resource, name: str, mirror: Mirror, flow: str, options: Options) -> Iterator[Finding]:
    target = flow.split("->")[1]
    for key, acks in mirror.content.items():
        scope, _, setting = key.rpartition("producer.")
        if (
            setting in ("acks", "override.acks")
            and scope in ("", f"{target}.", f"{flow}.")
            and acks not in ("all", "-1")
        ):
            yield finding(
                resource,
                f"{name}: {key}",
                f"records count as copied before they are replicated in {target}: acks is {acks}",
                f"set {key} to all",
            )
    key, once = mirror.of(target, "exactly.once.source.support", default="disabled")
    if options["exactly_once"] and once != "enabled":
        yield finding(
            resource,
            f"{name}: {key}",
            f"a restart copies records twice: exactly.once.source.support is {once}",
            f"set {target}.exactly.once.source.support to enabled, and dedicated.mode.enable.internal.rest to true",
        )


def _offsets(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, mirror in _mirrors(resource):
        for source, target in mirror.flows:
            flow = f"{source}->{target}"
            for setting, default in (("sync.group.offsets.enabled", "false"), ("emit.checkpoints.enabled", "true")):
                key, value = mirror.of(flow, setting, default=default)
                if value.lower() != "true":
                    yield finding(
                        resource,
                        f"{name}: {key}",
                        f"{target} does not know how far groups have read: {setting} is {value}",
                        f"set {setting} to true",
                    )
            for setting in ("sync.group.offsets.interval.seconds", "emit.checkpoints.interval.seconds"):
                key, value = mirror.of(flow, setting, default="60")
                if not value.isdigit() or not 0 < int(value) <= options["seconds"]:
                    yield finding(
                        resource,
                        f"{name}: {key}",
                        f"group offsets in {target} are up to {value} s old, more than {options['seconds']} s",
                        f"set {setting} to {options['seconds']} or less",
                    )


_MAIN: Final = "org.apache.kafka.connect.mirror.MirrorMaker"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\[\.\][A-Za-z0-9_-]+)*")
"""A pattern that fits one name only: letters, digits, dashes, and dots in brackets."""


def _untouched(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, mirror in _mirrors(resource):
        for source, target in mirror.flows:
            flow, back = f"{source}->{target}", f"{target}->{source}"
            key, place = mirror.of(flow, "offset-syncs.topic.location", default="source")
            if place != "target":
                problem = f"{flow} writes its offset syncs into {source}"
                yield finding(resource, f"{name}: {key}", problem, "set offset-syncs.topic.location to target")
            key, beats = mirror.of(back, "emit.heartbeats.enabled", default="true")
            if beats.lower() != "false":
                problem = f"heartbeats are written into {source}: emit.heartbeats.enabled of {back} is {beats}"
                yield finding(resource, f"{name}: {key}", problem, f"set {back}.emit.heartbeats.enabled to false")
            if (target, source) in mirror.flows:
                problem = f"{source} and {target} are copied into each other under the same names, for ever"
                yield finding(resource, f"{name}: {back}.enabled", problem, f"set {back}.enabled to false")


def _named(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, mirror in _mirrors(resource):
        for source, target in mirror.flows:
            for setting, what in (("topics", "topic"), ("groups", "group")):
                key, listed = mirror.of(f"{source}->{target}", setting, default=".*")
                for pattern in (part.strip() for part in listed.split(",")):
                    if not _NAME.fullmatch(pattern):
                        yield finding(
                            resource,
                            f"{name}: {key}",
                            f"{setting} has {pattern or 'an empty entry'}, which is not one {what}",
                            f"name every {what}; write a dot as [.]",
                        )


def _versions(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, mirror in _mirrors(resource):
        for alias in mirror.clusters:
            key, listed = mirror.of(alias, "ssl.enabled.protocols", default="TLSv1.2,TLSv1.3")
            broken = [
                version for version in (word.strip() for word in listed.split(",")) if version not in SAFE_VERSIONS
            ]
            if broken:
                problem = f"MirrorMaker may talk to {alias} with {', '.join(broken)}, which is broken"
                yield finding(resource, f"{name}: {key}", problem, "set it to TLSv1.3,TLSv1.2")


def _run(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    held = Files(resources)
    yield from each_known(_workload(held, resource) for resource in resources)


def _workload(held: Files, workload: Resource) -> Iterator[Finding]:
    for process in processes(workload):
        if _MAIN in process.words:
            yield from _process(held, process)


def _process(held: Files, process: Process) -> Iterator[Finding]:
    rest = process.words[process.words.index(_MAIN) + 1 :]
    path = rest[0] if rest else ""
    mirrors = [mirror for located in held.at(process, path) if (mirror := _values.mirror(located.text))]
    if not mirrors:
        problem = f"MirrorMaker reads {path or 'no file'}, which is in no ConfigMap or Secret of this stack"
        yield finding(process.resource, process.where, problem, "mount its properties there and name them")
        return
    [mirror] = mirrors[:1]
    targets = {target for _, target in mirror.flows}
    served = set(rest[rest.index("--clusters") + 1 :]) if "--clusters" in rest else set(mirror.clusters)
    if served - targets:
        problem = f"MirrorMaker serves {', '.join(sorted(served - targets))}, into which nothing is copied"
        yield finding(process.resource, process.where, problem, f"add --clusters {' '.join(sorted(targets))}")
    yield from _together(process, mirror)


def _together(process: Process, mirror: Mirror) -> Iterator[Finding]:
    """Several workers that cannot talk to each other leave changes of the flow undone."""
    if mirror.content.get("dedicated.mode.enable.internal.rest", "false").lower() == "true":
        return
    spec = process.resource.node["spec"]
    count = spec["replicas"].value if spec["replicas"].exists else 1
    if count > 1:
        problem = f"{count:g} MirrorMakers share a flow, and have no interface to each other"
        fix = "run one, or set dedicated.mode.enable.internal.rest to true with TLS"
        yield finding(process.resource, spec["replicas"], problem, fix)
    if process.resource.kind == "Deployment" and spec["strategy"]["type"].text() != "Recreate":
        problem = "a new MirrorMaker starts beside the old one, and they have no interface to each other"
        yield finding(process.resource, spec["strategy"]["type"], problem, "set it to Recreate")


RULES: tuple[Rule, ...] = (
    Rule(
        id="mirror-secured",
        promise="MirrorMaker talks to both regions over TLS with a SCRAM login.",
        why="The copy crosses between regions, where it could be read or replaced.",
        sources=("D2", "K5"),
        kinds=FILES,
        resource=_secured,
    ),
    Rule(
        id="mirror-faithful",
        promise="The copy has the same names, as many replicas, and loses nothing that was acknowledged.",
        why="After a failover clients would not find their topics, or miss records.",
        sources=("D2", "K1"),
        options={
            "replicas": Option(
                default=3, schema={"type": "integer", "minimum": 1}, meaning="Copies in the other region."
            ),
            "exactly_once": Option(
                default=False, schema={"type": "boolean"}, meaning="Whether exactly-once copying must be switched on."
            ),
        },
        kinds=FILES,
        resource=_faithful,
    ),
    Rule(
        id="mirror-offsets",
        promise="The other region knows within seconds how far every group has read.",
        why="After a failover groups would read minutes again, or skip records.",
        sources=("D2", "D3"),
        options={
            "seconds": Option(
                default=5, schema={"type": "integer", "minimum": 1}, meaning="Age of group offsets, at most."
            )
        },
        kinds=FILES,
        resource=_offsets,
    ),
    Rule(
        id="mirror-source-untouched",
        promise="MirrorMaker writes nothing into the region that it copies.",
        why="What is copied must not depend on its copy, and records that are copied back would never come to rest.",
        sources=("D2", "K5"),
        kinds=FILES,
        resource=_untouched,
    ),
    Rule(
        id="mirror-named",
        promise="MirrorMaker copies topics and groups that are named one by one.",
        why="A pattern takes along what somebody makes later, and what was never meant to leave its region.",
        sources=("D2", "K2"),
        kinds=FILES,
        resource=_named,
    ),
    Rule(
        id="mirror-tls-versions",
        promise="MirrorMaker uses versions of TLS that nobody has broken.",
        why="Between regions the copy passes through networks of others.",
        sources=("D2", "K5"),
        kinds=FILES,
        resource=_versions,
    ),
    Rule(
        id="mirror-runs-checked-file",
        promise="MirrorMaker reads the file that rules have checked, serves its target only, and runs once.",
        why="With another file none of the promises about the copy holds, and two that cannot talk hinder each other.",
        sources=("D2", "K5"),
        stack=_run,
    ),
)
