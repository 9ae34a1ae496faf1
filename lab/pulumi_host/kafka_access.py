"""Who may do what: SCRAM users and ACLs. Passwords pass through here and are neither printed nor put in messages."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from lab.pulumi_host.kafka_client import REQUEST_S, Brokers, only, result
from lab.pulumi_host.provider import Handler, ProviderError, Refusal
from lab.pulumi_host.values import Properties

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
