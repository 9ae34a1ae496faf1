"""A fake of confluent_kafka's AdminClient: keeps topics, ACLs and users in memory and fails on demand.

For the logic of the provider plugin only; what brokers really do is tested in tests/config/test_kafka_provider_real.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigSource


def refused(code: int, reason: str = "refused") -> KafkaException:
    """Return the exception that a broker's refusal becomes."""
    return KafkaException(KafkaError(code, reason))


def _answer(work: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(work())
    except KafkaException as error:
        future.set_exception(error)
    return future


class AdminFake:
    """In-memory brokers. ``fail_next`` holds error codes that the next calls meet, the first first."""

    def __init__(self) -> None:
        """Begin with nothing on the brokers."""
        self.topics: dict[str, dict[str, Any]] = {}
        self.acls: list[Any] = []
        self.users: dict[tuple[str, Any], tuple[int, bytes]] = {}
        self.fail_next: list[int] = []
        self.refuse: Callable[[], OSError] | None = None
        self.dialled = 0
        self.configurations: list[dict[str, Any]] = []

    def connect(self, configuration: dict[str, Any]) -> AdminFake:
        """Stand in for the client's constructor."""
        self.configurations.append(configuration)
        return self

    def dial(self, configuration: Mapping[str, Any], timeout_s: float) -> None:
        """Stand in for the TCP connection; refuses while ``refuse`` is set."""
        self.dialled += 1
        if self.refuse:
            raise self.refuse()

    def poll(self, timeout: float) -> int:
        """Serve no callbacks."""
        return 0

    def _do(self, work: Callable[[], Any]) -> Future[Any]:
        def attempt() -> Any:
            if self.fail_next:
                raise refused(self.fail_next.pop(0))
            return work()

        return _answer(attempt)

    def list_topics(self, timeout: float) -> Any:
        """Return metadata of all topics."""
        if self.fail_next:
            raise refused(self.fail_next.pop(0))
        return SimpleNamespace(
            topics={
                name: SimpleNamespace(
                    partitions={
                        number: SimpleNamespace(replicas=list(range(topic["factor"])))
                        for number in range(topic["partitions"])
                    }
                )
                for name, topic in self.topics.items()
            }
        )

    def create_topics(self, new: list[Any], **_: Any) -> dict[str, Future[Any]]:
        """Add a topic."""
        (topic,) = new

        def work() -> None:
            if topic.topic in self.topics:
                raise refused(KafkaError.TOPIC_ALREADY_EXISTS)
            self.topics[topic.topic] = {
                "partitions": topic.num_partitions,
                "factor": topic.replication_factor,
                "config": dict(topic.config),
            }

        return {topic.topic: self._do(work)}

    def create_partitions(self, new: list[Any], **_: Any) -> dict[str, Future[Any]]:
        """Grow a topic."""
        (change,) = new
        return {change.topic: self._do(lambda: self.topics[change.topic].update(partitions=change.new_total_count))}

    def delete_topics(self, names: list[str], **_: Any) -> dict[str, Future[Any]]:
        """Remove a topic."""
        (name,) = names

        def work() -> None:
            if self.topics.pop(name, None) is None:
                raise refused(KafkaError.UNKNOWN_TOPIC_OR_PART)

        return {name: self._do(work)}

    def describe_configs(self, resources: list[Any], **_: Any) -> dict[Any, Future[Any]]:
        """Return a topic's own configuration beside a broker default."""
        (resource,) = resources

        def work() -> dict[str, Any]:
            own = {
                key: SimpleNamespace(value=value, source=ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
                for key, value in self.topics[resource.name]["config"].items()
            }
            default = SimpleNamespace(value="x", source=ConfigSource.DEFAULT_CONFIG.value)
            return {"segment.bytes": default, **own}

        return {resource: self._do(work)}

    def incremental_alter_configs(self, resources: list[Any], **_: Any) -> dict[Any, Future[Any]]:
        """Change a topic's configuration entry by entry."""
        (resource,) = resources

        def work() -> None:
            config = self.topics[resource.name]["config"]
            for entry in resource.incremental_configs:
                if entry.incremental_operation == AlterConfigOpType.DELETE:
                    config.pop(entry.name, None)
                else:
                    config[entry.name] = entry.value

        return {resource: self._do(work)}

    def create_acls(self, acls: list[Any], **_: Any) -> dict[Any, Future[Any]]:
        """Add a permission."""
        return {acls[0]: self._do(lambda: self.acls.append(acls[0]))}

    def _matching(self, wanted: Any) -> list[Any]:
        fields = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
        return [acl for acl in self.acls if all(getattr(acl, key) == getattr(wanted, key) for key in fields)]

    def describe_acls(self, wanted: Any, **_: Any) -> Future[Any]:
        """Return matching permissions."""
        return self._do(lambda: self._matching(wanted))

    def delete_acls(self, filters: list[Any], **_: Any) -> dict[Any, Future[Any]]:
        """Remove matching permissions."""

        def work() -> list[Any]:
            gone = self._matching(filters[0])
            self.acls = [acl for acl in self.acls if acl not in gone]
            return gone

        return {filters[0]: self._do(work)}

    def describe_user_scram_credentials(self, users: list[str], **_: Any) -> dict[str, Future[Any]]:
        """Return a user's mechanisms."""
        (user,) = users

        def work() -> Any:
            infos = [
                SimpleNamespace(mechanism=mechanism, iterations=iterations)
                for (name, mechanism), (iterations, _) in self.users.items()
                if name == user
            ]
            if not infos:
                raise refused(KafkaError.RESOURCE_NOT_FOUND)
            return SimpleNamespace(user=user, scram_credential_infos=infos)

        return {user: self._do(work)}

    def alter_user_scram_credentials(self, changes: list[Any], **_: Any) -> dict[str, Future[Any]]:
        """Set or remove a user's password."""
        (change,) = changes

        def work() -> None:
            if hasattr(change, "password"):
                info = change.scram_credential_info
                self.users[change.user, info.mechanism] = (info.iterations, change.password)
            elif self.users.pop((change.user, change.mechanism), None) is None:
                raise refused(KafkaError.RESOURCE_NOT_FOUND)

        return {change.user: self._do(work)}


class QuotasFake:
    """In-memory quotas, as the client for quotas shows them."""

    def __init__(self) -> None:
        """Begin with none; ``refuse`` is raised by the next request."""
        self.values: dict[tuple[str, str], dict[str, float]] = {}
        self.refuse: Exception | None = None
        self.connected = self.closed = 0

    def connect(self, settings: Mapping[str, Any]) -> QuotasFake:
        """Stand in for the client's constructor."""
        del settings
        self.connected += 1
        return self

    def close(self) -> None:
        """Count."""
        self.closed += 1

    def quotas(self, kind: str) -> dict[str, dict[str, float]]:
        """Quotas by name."""
        self._meet()
        return {name: dict(values) for (of, name), values in self.values.items() if of == kind}

    def set_quotas(self, kind: str, name: str, values: Mapping[str, float | None]) -> None:
        """Change some."""
        self._meet()
        stored = self.values.setdefault((kind, name), {})
        stored.update({key: value for key, value in values.items() if value is not None})
        for key in [key for key, value in values.items() if value is None]:
            stored.pop(key, None)
        if not stored:
            del self.values[kind, name]

    def _meet(self) -> None:
        refusal, self.refuse = self.refuse, None
        if refusal:
            raise refusal
