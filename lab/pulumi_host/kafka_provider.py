"""Provider plugin for ``pulumi-kafka`` against real brokers: topics, ACLs, SCRAM users and quotas.

Configuring it never connects, so a preview works before the brokers exist. It is the lab's stand-in for the vendor's
plugin, which no package registry serves, and keeps to its ids and property names.

A replaced topic is deleted first, since its name is fixed, and its records are gone. What keeps the platform from that
is ``protect`` on every topic (``components/kafka/access.py``), not this plugin.

A quota, as upstream's, does not change in place: every changed input replaces it, and the new one is made before the
old one is removed. Both have the same name, so a program that does not ask for ``delete_before_replace`` loses it.
"""

from __future__ import annotations

import importlib.metadata
import math
import threading
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from lab.pulumi_host.kafka_client import REQUEST_S, Brokers, only, result
from lab.pulumi_host.provider import Handler, Properties, Provider, ProviderError, Refusal, run

_KINDS: Final = ("client-id", "user", "ip")


class Quota(Handler):
    """One entity's quotas; the id is ``name|type``, as upstream's import lines have it."""

    resource_type: ClassVar[str] = "kafka:index/quota:Quota"
    inputs: ClassVar[frozenset[str]] = frozenset({"entityName", "entityType", "config"})
    # Upstream takes a quota without a name as that of everybody who has none: not needed here.
    required: ClassVar[frozenset[str]] = frozenset({"entityName", "entityType"})
    replace_on: ClassVar[frozenset[str]] = inputs

    def __init__(self, brokers: Brokers) -> None:
        """Keep quotas on ``brokers``."""
        self._brokers = brokers

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        kind, config = inputs["entityType"], inputs.get("config")
        refusals = []
        if isinstance(kind, str) and kind not in _KINDS:
            refusals.append(Refusal("entityType", f"is {kind}; allowed: {', '.join(_KINDS)}"))
        if isinstance(config, dict):
            refusals += [
                Refusal("config", f"{key} is {value}; it must be a number")
                for key, value in sorted(config.items())
                if isinstance(value, str) and _number(value) is None
            ]
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        kind, name = str(inputs["entityType"]), str(inputs["entityName"])
        wanted = {key: float(value) for key, value in (inputs.get("config") or {}).items()}
        self._brokers.ask_quotas(
            f"create quota {name}|{kind}", lambda admin: admin.set_quotas(kind, name, dict(wanted))
        )
        # Upstream waits as long: a quota without any value is never seen.
        self._brokers.until(
            f"wait for quota {name}|{kind}",
            lambda admin: admin.quotas(kind).get(name, {}).keys() >= wanted.keys() > set(),
            self._brokers.ask_quotas,
        )
        return f"{name}|{kind}", inputs

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        name, kind = _parse(identity)
        values = self._brokers.ask_quotas(f"read quota {identity}", lambda admin: admin.quotas(kind).get(name))
        if not values:
            return None
        seen = {"entityName": name, "entityType": kind, "config": {key: _text(value) for key, value in values.items()}}
        return seen, seen

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        raise ProviderError(f"quota {identity} cannot change in place: every input replaces it")

    def delete(self, identity: str, state: Properties) -> None:
        name, kind = _parse(identity)
        keys = (state.get("config") or {}).keys()
        self._brokers.ask_quotas(
            f"delete quota {identity}", lambda admin: admin.set_quotas(kind, name, dict.fromkeys(keys))
        )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _parse(identity: str) -> tuple[str, str]:
    name, _, kind = identity.rpartition("|")
    if not name or kind not in _KINDS:
        raise ProviderError(f'quota id {identity} is not like "name|{"|".join(_KINDS)}"')
    return name, kind


class Topic(Handler):
    """``kafka:index/topic:Topic``; its id is its name."""

    resource_type: ClassVar[str] = "kafka:index/topic:Topic"
    inputs: ClassVar[frozenset[str]] = frozenset({"name", "partitions", "replicationFactor", "config"})
    required: ClassVar[frozenset[str]] = frozenset({"partitions", "replicationFactor"})
    replace_on: ClassVar[frozenset[str]] = frozenset({"name"})

    def __init__(self, brokers: Brokers) -> None:
        """Keep topics on ``brokers``."""
        self._brokers = brokers

    def defaults(self, inputs: Properties, name: str) -> Properties:
        return {"name": name, "config": {}, **inputs}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = [
            Refusal(key, f"is {value}; it must be a whole number of at least 1")
            for key in ("partitions", "replicationFactor")
            if isinstance(value := inputs[key], int | float | str) and (not isinstance(value, int) or value < 1)
        ]
        if refusals or old is None or old.get("name") != inputs.get("name", old.get("name")):
            return refusals
        before, after = old.get("replicationFactor"), inputs["replicationFactor"]
        if isinstance(before, int) and isinstance(after, int) and after != before:
            # The vendor's plugin moves the replicas itself; librdkafka has no such request.
            remedy = "move the replicas with Kafka's own reassignment first, then refresh"
            refusals.append(Refusal("replicationFactor", f"cannot change from {before} to {after} here: {remedy}"))
        return refusals

    def replaced_by(self, key: str, old: Properties, new: Properties) -> bool:
        if key == "partitions":
            before, after = old.get(key), new.get(key)
            return isinstance(before, int) and isinstance(after, int) and after < before
        return super().replaced_by(key, old, new)

    def deleted_first(self, replaces: Sequence[str]) -> bool:
        return "name" not in replaces

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        name, partitions, factor = str(inputs["name"]), int(inputs["partitions"]), int(inputs["replicationFactor"])
        new = NewTopic(name, num_partitions=partitions, replication_factor=factor, config=_config(inputs))
        purpose = f"create topic {name}"

        def make(admin: Any) -> bool:
            only(admin.create_topics([new], request_timeout=REQUEST_S, operation_timeout=REQUEST_S))
            return True

        created = self._brokers.call(purpose, make, accept={KafkaError.TOPIC_ALREADY_EXISTS: False})
        if not created:
            raise ProviderError(
                f"kafka: {purpose}: it exists already. Import it: pulumi import kafka:index/topic:Topic NAME {name}"
            )
        self._brokers.until(
            f"wait for topic {name} to have {partitions} partitions",
            lambda admin: _partitions(admin, name) == partitions,
        )
        return name, inputs

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        def describe(admin: Any) -> Properties | None:
            topic = _metadata(admin, identity)
            if topic is None:
                return None
            own = _own_config(admin, identity)
            factor = min(len(partition.replicas) for partition in topic.partitions.values())
            seen = {"name": identity, "partitions": len(topic.partitions), "replicationFactor": factor}
            return {**seen, "config": own}

        gone = {KafkaError.UNKNOWN_TOPIC_OR_PART: None}
        properties = self._brokers.call(f"read topic {identity}", describe, accept=gone)
        return None if properties is None else (properties, properties)

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        partitions = int(new["partitions"])
        if partitions > int(old["partitions"]):
            grow = NewPartitions(identity, partitions)

            def enlarge(admin: Any) -> None:
                if _partitions(admin, identity) < partitions:
                    only(admin.create_partitions([grow], request_timeout=REQUEST_S, operation_timeout=REQUEST_S))

            self._brokers.call(f"grow topic {identity} to {partitions} partitions", enlarge)
            self._brokers.until(
                f"wait for topic {identity} to have {partitions} partitions",
                lambda admin: _partitions(admin, identity) == partitions,
            )

        def alter(admin: Any) -> None:
            # As upstream: the whole configuration is set, so what somebody set by hand goes back to its default.
            changes = config_changes(_own_config(admin, identity), _config(new))
            if changes:
                only(admin.incremental_alter_configs([_resource(identity, changes)], request_timeout=REQUEST_S))

        self._brokers.call(f"change the configuration of topic {identity}", alter)
        self._brokers.until(
            f"wait for topic {identity} to show its configuration",
            lambda admin: not config_changes(_own_config(admin, identity), _config(new)),
        )
        return new

    def delete(self, identity: str, state: Properties) -> None:
        def remove(admin: Any) -> None:
            only(admin.delete_topics([identity], request_timeout=REQUEST_S, operation_timeout=REQUEST_S))

        self._brokers.call(f"delete topic {identity}", remove, accept={KafkaError.UNKNOWN_TOPIC_OR_PART: None})
        self._brokers.until(f"wait for topic {identity} to be gone", lambda admin: _metadata(admin, identity) is None)


def config_changes(old: dict[str, str], new: dict[str, str]) -> list[ConfigEntry]:
    """Return the entries that turn one topic configuration into the other; what is dropped goes back to the default."""
    sets = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in sorted(new.items())
        if old.get(key) != value
    ]
    drops = [
        ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
        for key in sorted(old.keys() - new.keys())
    ]
    return sets + drops


def _config(properties: Properties) -> dict[str, str]:
    return {key: str(value) for key, value in (properties.get("config") or {}).items()}


def _resource(name: str, changes: list[ConfigEntry] | None = None) -> ConfigResource:
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)


def _own_config(admin: Any, name: str) -> dict[str, str]:
    """Return what is configured on the topic itself."""
    entries = only(admin.describe_configs([_resource(name)], request_timeout=REQUEST_S))
    dynamic = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {key: entry.value for key, entry in entries.items() if entry.source == dynamic}


def _metadata(admin: Any, name: str) -> Any:
    """Return the topic's metadata, or nothing if there is none. Asks for all topics: asking for one could create it."""
    return admin.list_topics(timeout=REQUEST_S).topics.get(name)


def _partitions(admin: Any, name: str) -> int:
    topic = _metadata(admin, name)
    return 0 if topic is None else len(topic.partitions)


_RESOURCES: Final = {
    "Topic": ResourceType.TOPIC,
    "Group": ResourceType.GROUP,
    "Cluster": ResourceType.BROKER,
    "TransactionalID": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS: Final = {
    "All": AclOperation.ALL,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Alter": AclOperation.ALTER,
    "Describe": AclOperation.DESCRIBE,
    "ClusterAction": AclOperation.CLUSTER_ACTION,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "IdempotentWrite": AclOperation.IDEMPOTENT_WRITE,
}
_PERMISSIONS: Final = {"Allow": AclPermissionType.ALLOW, "Deny": AclPermissionType.DENY}
_PATTERNS: Final = {"Literal": ResourcePatternType.LITERAL, "Prefixed": ResourcePatternType.PREFIXED}
_CLUSTER_NAME: Final = "kafka-cluster"
# The order of an id's parts is upstream's, so that its import lines work here.
_ID_PARTS: Final = (
    "aclPrincipal", "aclHost", "aclOperation", "aclPermissionType",
    "aclResourceType", "aclResourceName", "resourcePatternTypeFilter",
)  # fmt: skip
_CHOICES: Final[dict[str, dict[str, Any]]] = {
    "aclResourceType": _RESOURCES,
    "aclOperation": _OPERATIONS,
    "aclPermissionType": _PERMISSIONS,
    "resourcePatternTypeFilter": _PATTERNS,
}


def _choice_refusals(inputs: Properties, choices: dict[str, dict[str, Any]]) -> list[Refusal]:
    return [
        Refusal(key, f"is {value}; allowed: {', '.join(allowed)}")
        for key, allowed in choices.items()
        if isinstance(value := inputs.get(key), str) and value not in allowed
    ]


def _binding(kind: type[Any], properties: Properties) -> Any:
    return kind(
        restype=_RESOURCES[properties["aclResourceType"]],
        name=properties["aclResourceName"],
        resource_pattern_type=_PATTERNS[properties["resourcePatternTypeFilter"]],
        principal=properties["aclPrincipal"],
        host=properties["aclHost"],
        operation=_OPERATIONS[properties["aclOperation"]],
        permission_type=_PERMISSIONS[properties["aclPermissionType"]],
    )


class Acl(Handler):
    """``kafka:index/acl:Acl``: one permission. It has no parts that could change, so every change replaces it."""

    resource_type: ClassVar[str] = "kafka:index/acl:Acl"
    inputs: ClassVar[frozenset[str]] = frozenset(_ID_PARTS)
    required: ClassVar[frozenset[str]] = inputs - {"resourcePatternTypeFilter"}
    replace_on: ClassVar[frozenset[str]] = inputs

    def __init__(self, brokers: Brokers) -> None:
        """Keep permissions on ``brokers``."""
        self._brokers = brokers

    def defaults(self, inputs: Properties, name: str) -> Properties:
        return {"resourcePatternTypeFilter": "Literal", **inputs}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = _choice_refusals(inputs, _CHOICES)
        principal, name = inputs["aclPrincipal"], inputs["aclResourceName"]
        if isinstance(principal, str) and ":" not in principal:
            refusals.append(Refusal("aclPrincipal", f'is {principal}; it must be like "User:name"'))
        if inputs["aclResourceType"] == "Cluster" and isinstance(name, str) and name != _CLUSTER_NAME:
            refusals.append(Refusal("aclResourceName", f"is {name}; for the cluster it must be {_CLUSTER_NAME}"))
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        identity = "|".join(str(inputs[part]) for part in _ID_PARTS)
        binding = _binding(AclBinding, inputs)
        self._brokers.call(
            f"create ACL {identity}", lambda admin: only(admin.create_acls([binding], request_timeout=REQUEST_S))
        )
        return identity, inputs

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        properties = self._parse(identity)
        wanted = _binding(AclBindingFilter, properties)
        acls = self._brokers.call(
            f"read ACL {identity}", lambda admin: result(admin.describe_acls(wanted, request_timeout=REQUEST_S))
        )
        return (properties, properties) if acls else None

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        raise ProviderError(f"ACL {identity} cannot change in place: every input replaces it")

    def delete(self, identity: str, state: Properties) -> None:
        wanted = _binding(AclBindingFilter, self._parse(identity))
        self._brokers.call(
            f"delete ACL {identity}", lambda admin: only(admin.delete_acls([wanted], request_timeout=REQUEST_S))
        )

    def _parse(self, identity: str) -> Properties:
        parts = identity.split("|")
        properties = dict(zip(_ID_PARTS, parts, strict=False))
        if len(parts) != len(_ID_PARTS) or _choice_refusals(properties, _CHOICES):
            raise ProviderError(f'ACL id {identity} is not like "{"|".join(_ID_PARTS)}"')
        return dict(properties)


_MECHANISMS: Final = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
_ITERATIONS: Final = 4096
_ITERATION_RANGE: Final = range(4096, 16385)


class UserScramCredential(Handler):
    """``kafka:index/userScramCredential:UserScramCredential``: a user's salted password for one mechanism."""

    resource_type: ClassVar[str] = "kafka:index/userScramCredential:UserScramCredential"
    inputs: ClassVar[frozenset[str]] = frozenset(
        {"username", "scramMechanism", "scramIterations", "password", "passwordWo", "passwordWoVersion"}
    )
    required: ClassVar[frozenset[str]] = frozenset({"username", "scramMechanism"})
    replace_on: ClassVar[frozenset[str]] = required
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"password", "passwordWo"})

    def __init__(self, brokers: Brokers) -> None:
        """Keep users on ``brokers``."""
        self._brokers = brokers

    def defaults(self, inputs: Properties, name: str) -> Properties:
        return {"scramIterations": _ITERATIONS, **inputs}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = _choice_refusals(inputs, {"scramMechanism": _MECHANISMS})
        given = {"password", "passwordWo"} & inputs.keys()
        if len(given) != 1:
            refusals.append(Refusal("password", "exactly one of password and passwordWo must be given"))
        if any(inputs[key] == "" for key in given):
            refusals.append(Refusal(min(given), "is empty"))
        iterations = inputs.get("scramIterations", _ITERATIONS)
        if isinstance(iterations, int) and iterations not in _ITERATION_RANGE:
            allowed = f"{_ITERATION_RANGE.start} to {_ITERATION_RANGE.stop - 1}"
            refusals.append(Refusal("scramIterations", f"is {iterations}; Kafka takes {allowed}"))
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        identity = f"{inputs['username']}|{inputs['scramMechanism']}"
        self._upsert(f"create SCRAM user {inputs['username']}", inputs)
        return identity, inputs

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        user, mechanism = self._parse(identity)

        def describe(admin: Any) -> int | None:
            described = only(admin.describe_user_scram_credentials([user], request_timeout=REQUEST_S))
            for info in described.scram_credential_infos:
                if info.mechanism == _MECHANISMS[mechanism]:
                    return int(info.iterations)
            return None

        iterations = self._brokers.call(
            f"read SCRAM user {user}", describe, accept={KafkaError.RESOURCE_NOT_FOUND: None}
        )
        if iterations is None:
            return None
        seen = {**state, "username": user, "scramMechanism": mechanism, "scramIterations": iterations}
        return seen, {key: value for key, value in seen.items() if key in self.inputs}

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        self._upsert(f"change SCRAM user {new['username']}", new)
        return new

    def delete(self, identity: str, state: Properties) -> None:
        user, mechanism = self._parse(identity)
        deletion = UserScramCredentialDeletion(user, _MECHANISMS[mechanism])
        self._brokers.call(
            f"delete SCRAM user {user}",
            lambda admin: only(admin.alter_user_scram_credentials([deletion], request_timeout=REQUEST_S)),
            accept={KafkaError.RESOURCE_NOT_FOUND: None},
        )

    def _upsert(self, purpose: str, inputs: Properties) -> None:
        password = str(inputs.get("password") or inputs["passwordWo"]).encode()
        info = ScramCredentialInfo(_MECHANISMS[inputs["scramMechanism"]], int(inputs["scramIterations"]))
        change = UserScramCredentialUpsertion(str(inputs["username"]), info, password)
        self._brokers.call(
            purpose, lambda admin: only(admin.alter_user_scram_credentials([change], request_timeout=REQUEST_S))
        )

    def _parse(self, identity: str) -> tuple[str, str]:
        user, _, mechanism = identity.partition("|")
        if not user or mechanism not in _MECHANISMS:
            raise ProviderError(f'SCRAM user id is not like "name|{"|".join(_MECHANISMS)}"')
        return user, mechanism


class KafkaProvider(Provider):
    """The handlers, on one shared connection."""

    def __init__(self, version: str, brokers: Brokers, stopping: threading.Event) -> None:
        """Serve the Kafka resources on ``brokers``."""
        super().__init__(
            version, [Topic(brokers), Acl(brokers), UserScramCredential(brokers), Quota(brokers)], stopping
        )
        self._brokers = brokers

    def configure(self, configuration: Properties) -> None:
        self._brokers.configure(configuration)


def main() -> None:
    """Run as ``pulumi-resource-kafka``."""
    stopping = threading.Event()
    run(KafkaProvider(importlib.metadata.version("pulumi-kafka"), Brokers(stopping), stopping), stopping)
