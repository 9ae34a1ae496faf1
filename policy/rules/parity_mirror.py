"""MirrorMaker 2: both sides encrypted and authenticated, whole copies, and group offsets that are seconds old.

How its clients verify the brokers, and where its passwords lie, is guarded by the rules for every Kafka client.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy.documents import files
from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._formats import Mirror
from policy.rules._values import finding

_FILES = frozenset({"ConfigMap", "Secret"})
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
            mirror = _formats.mirror(text)
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


RULES: tuple[Rule, ...] = (
    Rule(
        id="mirror-secured",
        promise="MirrorMaker talks to both regions over TLS with a SCRAM login.",
        why="The copy crosses between regions, where it could be read or replaced.",
        sources=("D2", "K5"),
        kinds=_FILES,
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
        kinds=_FILES,
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
        kinds=_FILES,
        resource=_offsets,
    ),
)
