"""A small data plane that keeps every promise, and the means to break one thing in it and hear what is said."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from policy.model import Finding, Resource, Rule
from policy.rules import RULES
from tests.policy.data_dataplane import (
    AGENT,
    CONSUMER,
    DOOR,
    GATEWAY,
    HELPER,
    JAVA_CLIENT,
    NODE,
    PROMETHEUS,
    SERVICE,
    STORES,
    WEB,
    Data,
)

GONE: Final = object()
"""Stands for a key that is taken away."""


def broken(data: Mapping[str, Any], path: Sequence[str | int], value: object) -> Data:
    """The data with one value changed, added, or taken away (``GONE``)."""
    result: Any = json.loads(json.dumps(data))
    inner = result
    for key in path[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return result


def text(name: str, content: Any) -> str:
    """A file as its server reads it."""
    if name.endswith(".properties"):
        return "".join(f"{key}={value}\n" for key, value in content.items())
    if isinstance(content, str):
        return content
    return json.dumps(content) if name.endswith(".json") else str(yaml.safe_dump(content))


def held(kind: str, name: str, files: Mapping[str, Any]) -> Resource:
    """A ConfigMap or Secret of namespace ``ns``."""
    field = "data" if kind == "ConfigMap" else "stringData"
    props = {
        "kind": kind,
        "metadata": {"name": name, "namespace": "ns"},
        field: {key: text(key, content) for key, content in files.items()},
    }
    return Resource(f"kubernetes:core/v1:{kind}", name, props)


def config_map(files: Mapping[str, Any], name: str = "files") -> Resource:
    """A ConfigMap."""
    return held("ConfigMap", name, files)


def secret(files: Mapping[str, Any], name: str = "files") -> Resource:
    """A Secret."""
    return held("Secret", name, files)


def workload(
    command: Sequence[str],
    *,
    name: str = "server",
    image: str = "registry.example/some/program:1",
    mounts: Mapping[str, Data] | None = None,
    claims: Mapping[str, tuple[str, str]] | None = None,
    memory: str = "",
) -> Resource:
    """A StatefulSet with one container.

    Args:
        command: What it runs.
        name: Its name.
        image: Image of the container.
        mounts: Path -> volume (without name) that is mounted there.
        claims: Path -> name and size of the claim that is mounted there.
        memory: Its limit; empty: none.
    """
    volumes = [{"name": f"v{index}", **volume} for index, volume in enumerate((mounts or {}).values())]
    points = [{"name": f"v{index}", "mountPath": path} for index, path in enumerate(mounts or {})]
    points += [{"name": claim, "mountPath": path} for path, (claim, _) in (claims or {}).items()]
    container = {"name": "main", "image": image, "command": list(command), "volumeMounts": points}
    if memory:
        container["resources"] = {"limits": {"memory": memory}}
    templates = [
        {"metadata": {"name": claim}, "spec": {"resources": {"requests": {"storage": size}}}}
        for claim, size in (claims or {}).values()
    ]
    props = {
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {
            "template": {"spec": {"containers": [container], "volumes": volumes}},
            "volumeClaimTemplates": templates,
        },
    }
    return Resource("kubernetes:apps/v1:StatefulSet", name, props)


def topic(name: str = "numbers", **changes: Any) -> Resource:
    """A topic; ``config`` replaces single settings, and ``GONE`` takes one away."""
    config = {
        "min.insync.replicas": "2",
        "retention.ms": str(30 * 86_400_000),
        "max.message.bytes": "4194304",
        "cleanup.policy": "delete",
        "unclean.leader.election.enable": "false",
        **changes.pop("config", {}),
    }
    props = {"name": name, "partitions": 12.0, "replicationFactor": 3.0, **changes}
    return Resource("kafka:index/topic:Topic", name, {**_kept(props), "config": _kept(config)})


def acl(
    user: str = "door", operation: str = "Write", kind: str = "Topic", name: str = "numbers", **more: Any
) -> Resource:
    """An access rule."""
    props = {
        "aclPrincipal": f"User:{user}",
        "aclHost": "*",
        "aclOperation": operation,
        "aclPermissionType": "Allow",
        "aclResourceType": kind,
        "aclResourceName": name,
        "resourcePatternTypeFilter": "Literal",
        **more,
    }
    return Resource("kafka:index/acl:Acl", f"{user}-{operation}-{kind}-{name}".lower(), _kept(props))


def user(name: str = "door", **changes: Any) -> Resource:
    """A SCRAM user."""
    props = {"username": name, "scramMechanism": "SCRAM-SHA-512", "scramIterations": 4096.0, **changes}
    return Resource("kafka:index/userScramCredential:UserScramCredential", name, _kept(props))


def quota(name: str = "door", **changes: Any) -> Resource:
    """What a user may take of a broker, with numbers as the engine writes them: texts."""
    config = {"producer_byte_rate": "2097152", "consumer_byte_rate": "2097152", "request_percentage": "300"}
    props = {"entityName": name, "entityType": "user", **changes, "config": _kept(config | changes.pop("config", {}))}
    return Resource("kafka:index/quota:Quota", name, _kept(props))


def provider(**changes: Any) -> Resource:
    """The administrator's connection, with values as the engine writes them: texts."""
    props = {
        "bootstrapServers": '["kafka:9094"]',
        "tlsEnabled": "true",
        "skipTlsVerify": "false",
        "caCert": "-----BEGIN CERTIFICATE-----",
        "saslMechanism": "scram-sha512",
        "saslUsername": "operator",
        "saslPassword": "long",
        **changes,
    }
    return Resource("pulumi:providers:kafka", "operator", _kept(props))


def platform() -> list[Resource]:
    """Everything that belongs together: brokers, topic, users, rules and clients."""
    return [
        config_map({"server.properties": NODE}, name="kafka"),
        provider(),
        topic(),
        user("door"),
        acl("door"),
        user("reader"),
        acl("reader", "Read"),
        acl("reader", "Read", "Group", "reader"),
        user("watcher"),
        acl("watcher", "Describe", name="*"),
        acl("watcher", "Describe", "Group", "*"),
        *(quota(name) for name in ("door", "reader", "watcher")),
        config_map({"config.yaml": GATEWAY}, name="door"),
        config_map({"config.yaml": CONSUMER}, name="reader"),
        config_map({"config.yaml": SERVICE}, name="watcher"),
    ]


def without(resources: Sequence[Resource], *names: str, kind: str = "") -> list[Resource]:
    """The resources less some, by Pulumi name and, if given, kind."""
    return [resource for resource in resources if resource.name not in names or (kind and resource.kind != kind)]


@functools.cache
def rule(identity: str) -> Rule:
    """A rule of the pack."""
    return next(known_rule for known_rule in RULES if known_rule.id == identity)


def said(identity: str, subject: Resource | Sequence[Resource], **options: Any) -> list[str]:
    """What a rule says about a resource or a stack, one line per finding."""
    checked = rule(identity)
    chosen = {**checked.defaults(), **options}
    if isinstance(subject, Resource):
        assert checked.resource is not None
        assert not checked.kinds or subject.kind in checked.kinds
        findings = list(checked.resource(subject, chosen))
    else:
        assert checked.stack is not None
        findings = list(checked.stack(subject, chosen))
    return [_line(finding) for finding in findings]


def _line(finding: Finding) -> str:
    label = finding.resource.label if finding.resource else "stack"
    return f"{label}, {finding.where.replace(':.', ': ')}: {finding.problem} | {finding.fix}"


def _kept(values: Mapping[str, Any]) -> Data:
    return {key: value for key, value in values.items() if value is not GONE}


@dataclass(frozen=True)
class Case:
    """One thing that is broken, and what is said about it.

    Attributes:
        rule: The rule that must notice.
        base: Which file is broken (a key of ``FILES``), or which resource.
        path: Where.
        value: What is put there.
        says: ``where: problem | fix`` of each finding.
    """

    rule: str
    base: str
    path: tuple[str | int, ...]
    value: object
    says: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule}-{self.base}-{'.'.join(map(str, self.path))}"

    @property
    def subject(self) -> Resource:
        """The broken file or resource."""
        return _subject(self.base, self.path, self.value)

    @property
    def twin(self) -> Resource:
        """The same as it should be."""
        return _subject(self.base, (), GONE)

    @property
    def lines(self) -> list[str]:
        """What is to be said, with the name of the resource."""
        return [f"{self.subject.label}, {line}" for line in self.says]


FILES: dict[str, tuple[str, Data]] = {
    "node": ("server.properties", NODE),
    "java client": ("client.properties", JAVA_CLIENT),
    "service": ("config.yaml", SERVICE),
    "gateway": ("config.yaml", GATEWAY),
    "door": ("config.yaml", DOOR),
    "consumer": ("config.yaml", CONSUMER),
    "prometheus": ("prometheus.yml", PROMETHEUS),
    "web": ("web.yml", WEB),
    "helper": ("client.yml", HELPER),
    "stores": ("stores.yml", STORES),
    "agent": ("agent.yaml", AGENT),
}


def _subject(base: str, path: tuple[str | int, ...], value: object) -> Resource:
    if base in FILES:
        name, content = FILES[base]
        return config_map({name: broken(content, path, value) if path else content})
    resource: Resource = {"topic": topic, "acl": acl, "user": user, "quota": quota, "provider": provider}[base]()
    return Resource(resource.type, resource.name, broken(resource.props, path, value)) if path else resource


def cases(concern: str) -> list[Case]:
    """What is broken in ``cases_<concern>.yaml``."""
    content = yaml.safe_load((Path(__file__).parent / f"cases_{concern}.yaml").read_text())
    return [
        Case(identity, case["of"], tuple(case["at"]), case.get("becomes", GONE), tuple(case["says"]))
        for identity, broken_ones in content.items()
        for case in broken_ones
    ]
