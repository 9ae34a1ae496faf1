"""MirrorMaker 2 (requirement D2): its configuration, built as data and serialised once, and how its process is
started, logged and measured.

It runs in the region that it copies into. There it writes; in the other region it only reads:

* bookkeeping (``mm2-*``, checkpoints, offset syncs) lies in the target, and no heartbeats are sent, since real ones
  would have to be written into the source;
* the flow back is off, and the process is told to serve the target only.

Topics keep their names, so clients find them after a failover. Which record of the target a group's offset in the
source means is known by *offset syncs*: a pair of offsets per partition, sent after ``offset.lag.max`` records and with
every flush. Passwords are not here: Kafka's own file provider reads them from a Secret when the process starts, and
its configuration topic holds only the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from components import java

WORKLOAD = "mirror-maker"
"""Workload, certificate and, in the target, user."""
SOURCE_USER = "mirror"
"""User in the source: reads the topics and sees the groups, and changes nothing."""

CONFIG_DIRECTORY = "/etc/mirror-maker"
AUTH_DIRECTORY = "/etc/mirror-maker-auth"
TLS_DIRECTORY = "/etc/tls"
SOURCE_AUTHORITY = "source-ca.crt"
PROPERTIES = "mm2.properties"
PASSWORDS = "passwords.properties"

CHECKPOINT_INTERVAL_S = 2
"""How often groups' offsets are looked up in the source and translated."""
SYNC_INTERVAL_S = 2
"""How often translated offsets are written into the target's groups."""
FLUSH_INTERVAL_MS = 2000
"""How often the mirror notes how far it has copied: after a crash, so much is copied again."""
OFFSET_LAG_MAX = 0
"""Records without an offset sync: each gets one, unless many are copied at once. A group that keeps up reads again,
after a failover, what it had read in the last seconds. Kafka keeps few of the older syncs, so a group that was behind
before the mirror first knew it may begin much earlier than where it was; never later.
"""
REFRESH_INTERVAL_S = 10
"""How often topics, partitions and groups of the source are listed."""

_SCRAM = "SCRAM-SHA-512"
_ALIAS = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_COMPRESSION = 4
"""How much larger than the topics' limit a record may be before it is compressed."""

Properties = dict[str, str]


class Permission(NamedTuple):
    """One access rule that a user of the mirror needs, named as Kafka names it."""

    operation: str
    resource_type: str
    resource: str


@dataclass(frozen=True, kw_only=True)
class MirrorFlow:
    """What is copied from where to where.

    Attributes:
        source: Name of the region that is copied; part of the names of bookkeeping topics.
        target: Name of the region that is copied into.
        source_bootstrap: ``host:port`` of the source's brokers (external listeners).
        target_bootstrap: ``host:port`` of the target's brokers.
        target_user: User in the target.
        topics: Topics, each by its full name.
        groups: Consumer groups whose offsets are kept in step, each by its full name.
        replication_factor: Copies of bookkeeping topics in the target.
        max_message_bytes: Largest record batch of the topics.
        tasks: Tasks that share the partitions.
    """

    source: str
    target: str
    source_bootstrap: tuple[str, ...]
    target_bootstrap: tuple[str, ...]
    target_user: str
    topics: tuple[str, ...]
    groups: tuple[str, ...]
    replication_factor: int
    max_message_bytes: int
    tasks: int

    def __post_init__(self) -> None:
        """Check what would make another flow than the one that is meant.

        Raises:
            ValueError: A name is missing, double, or not fit for a key of the properties.
        """
        for key, alias in (("source", self.source), ("target", self.target)):
            if not _ALIAS.fullmatch(alias):
                raise ValueError(f"mirror.{key} is {alias!r}: use lower-case letters, digits and dashes")
        if self.source == self.target:
            raise ValueError(f"mirror.source is {self.source!r}, which is the target too: name the other region")
        for key in ("source_bootstrap", "target_bootstrap", "topics", "groups"):
            names = getattr(self, key)
            if not names or len(set(names)) != len(names):
                raise ValueError(f"mirror.{key} is {list(names)}: name at least one, and each only once")
        for name in (*self.topics, *self.groups):
            if not _NAME.fullmatch(name):
                raise ValueError(f"mirror copies {name!r}: use a full name, without patterns")

    @property
    def name(self) -> str:
        """The flow as MirrorMaker names it."""
        return f"{self.source}->{self.target}"


def source_permissions(topics: Sequence[str], groups: Sequence[str]) -> tuple[Permission, ...]:
    """All that ``SOURCE_USER`` may do in the source: nothing that changes anything."""
    return (
        *(Permission("Read", "Topic", topic) for topic in topics),
        *(Permission("Describe", "Group", group) for group in groups),
    )


def target_permissions(source: str, topics: Sequence[str], groups: Sequence[str]) -> tuple[Permission, ...]:
    """All that the mirror's user may do in the target.

    It may not make or change one of the copied topics: both regions have them from the same code. To set a group's
    offset, Kafka asks for Read on the group and on the topic.

    Args:
        source: Region that is copied; its name is part of those of the mirror's own topics, by which it keeps what it
            is to do, how far it is and how it fares, and translates groups' offsets.
        topics: Topics that are copied.
        groups: Groups whose offsets are kept in step.
    """
    kept = (f"mm2-{kind}.{source}.internal" for kind in ("configs", "offsets", "status", "offset-syncs"))
    own = (*kept, f"{source}.checkpoints.internal")
    return (
        *(Permission(operation, "Topic", topic) for topic in topics for operation in ("Write", "Read")),
        *(Permission(operation, "Topic", topic) for topic in own for operation in ("Create", "Write", "Read")),
        *(Permission("Read", "Group", group) for group in (f"{source}-mm2", *groups)),
    )


def mirror_properties(flow: MirrorFlow) -> Properties:
    """The complete ``mm2.properties``."""
    return {
        "clusters": f"{flow.source},{flow.target}",
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": AUTH_DIRECTORY,
        **_cluster(
            flow.source,
            flow.source_bootstrap,
            user=SOURCE_USER,
            entry="source",
            authority=f"{CONFIG_DIRECTORY}/{SOURCE_AUTHORITY}",
        ),
        **_cluster(
            flow.target,
            flow.target_bootstrap,
            user=flow.target_user,
            entry="target",
            authority=f"{TLS_DIRECTORY}/ca.crt",
        ),
        **_flow(flow),
        **_reading(flow),
        **_writing(flow),
        **_bookkeeping(flow),
    }


def _cluster(alias: str, bootstrap: Sequence[str], *, user: str, entry: str, authority: str) -> Properties:
    """How a cluster is reached: TLS with its own authority, and a login whose password is a reference."""
    reference = f"${{file:{AUTH_DIRECTORY}/{PASSWORDS}:{entry}}}"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    settings = {
        "bootstrap.servers": ",".join(bootstrap),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": _SCRAM,
        "sasl.jaas.config": f'{module} required username="{user}" password="{reference}";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority,
        "ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
        "ssl.endpoint.identification.algorithm": "https",
    }
    return {f"{alias}.{key}": value for key, value in settings.items()}


def _flow(flow: MirrorFlow) -> Properties:
    """What is copied, and what of it is kept in step; nothing else, and nothing back."""
    own = {
        "enabled": "true",
        "topics": _exactly(flow.topics),
        "groups": _exactly(flow.groups),
        "offset-syncs.topic.location": "target",
        "sync.group.offsets.enabled": "true",
        "sync.group.offsets.interval.seconds": str(SYNC_INTERVAL_S),
        "emit.checkpoints.enabled": "true",
        "emit.checkpoints.interval.seconds": str(CHECKPOINT_INTERVAL_S),
        "emit.heartbeats.enabled": "false",
        "heartbeats.replication.enabled": "false",
        "emit.offset-syncs.enabled": "true",
        "offset.lag.max": str(OFFSET_LAG_MAX),
        "refresh.topics.interval.seconds": str(REFRESH_INTERVAL_S),
        "refresh.groups.interval.seconds": str(REFRESH_INTERVAL_S),
        # Topics, their settings and access rules come from code, in both regions.
        "sync.topic.configs.enabled": "false",
        "sync.topic.acls.enabled": "false",
    }
    back = f"{flow.target}->{flow.source}"
    return {
        **{f"{flow.name}.{key}": value for key, value in own.items()},
        f"{back}.enabled": "false",
        f"{back}.emit.heartbeats.enabled": "false",
        "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
        "tasks.max": str(flow.tasks),
    }


def _exactly(names: Sequence[str]) -> str:
    """A list of patterns, each of which fits one name only."""
    return ",".join(name.replace(".", "[.]") for name in names)


_PARTITION_BYTES = 2**20
_POLL_RECORDS = 50


def _reading(flow: MirrorFlow) -> Properties:
    """The way from the other region: from the oldest record on, in large answers, with bounded memory.

    Each task holds an answer of every broker, and what it takes of them is unpacked: a record of a busy topic has
    hundreds of kilobytes then. A batch that is larger than the bounds comes all the same, alone.
    """
    settings = {
        "auto.offset.reset": "earliest",
        "max.partition.fetch.bytes": str(_PARTITION_BYTES),
        "fetch.max.bytes": str(flow.max_message_bytes // 2),
        "max.poll.records": str(_POLL_RECORDS),
        "receive.buffer.bytes": "1048576",
    }
    return {f"{flow.source}.consumer.{key}": value for key, value in settings.items()}


def _writing(flow: MirrorFlow) -> Properties:
    """Copied means: on every in-sync copy of the target, once and in order, whatever the network does.

    ``max.request.size`` counts a record before it is compressed, the topics' limit counts it compressed.
    """
    settings = {
        "acks": "all",
        "enable.idempotence": "true",
        "max.in.flight.requests.per.connection": "5",
        "compression.type": "snappy",
        "linger.ms": "20",
        "batch.size": "262144",
        "max.request.size": str(_COMPRESSION * flow.max_message_bytes),
    }
    return {f"{flow.target}.producer.{key}": value for key, value in settings.items()}


def _bookkeeping(flow: MirrorFlow) -> Properties:
    """The worker: its topics in the target, and one process, which needs no interface between workers."""
    copies = str(flow.replication_factor)
    topics = ("checkpoints.topic", "offset-syncs.topic", "heartbeats.topic")
    return {
        "replication.factor": copies,
        **{f"{topic}.replication.factor": copies for topic in topics},
        **{f"{kind}.storage.replication.factor": copies for kind in ("config", "offset", "status")},
        # By their manifests; opening every class of every jar takes ten seconds of each start.
        "plugin.discovery": "service_load",
        f"{flow.target}.plugin.discovery": "service_load",
        "offset.storage.partitions": "3",
        "status.storage.partitions": "1",
        f"{flow.target}.offset.flush.interval.ms": str(FLUSH_INTERVAL_MS),
        f"{flow.target}.offset.flush.timeout.ms": "10000",
        # What a lost process did is not kept for its return: the next one takes it at once.
        f"{flow.target}.scheduled.rebalance.max.delay.ms": "0",
        f"{flow.target}.task.shutdown.graceful.timeout.ms": "15000",
        "dedicated.mode.enable.internal.rest": "false",
    }


def passwords(source: str, target: str) -> str:
    """The file that the file provider reads.

    Raises:
        ValueError: A password has characters that the login line cannot carry.
    """
    for name, password in (("source", source), ("target", target)):
        if not password.isalnum():
            raise ValueError(f"the mirror's password in the {name} must be letters and digits")
    return render({"source": source, "target": target})


def render(properties: Mapping[str, str]) -> str:
    """Serialise as a Java properties file.

    Raises:
        ValueError: A value would not survive: it holds a line break or a backslash.
    """
    for key, value in properties.items():
        if "\n" in value or "\\" in value:
            raise ValueError(f"property {key} of the mirror holds a line break or a backslash")
    return "".join(f"{key}={value}\n" for key, value in properties.items())


METRICS_PORT = 9404
METRICS_DIRECTORY = "/etc/mirror-maker-metrics"
KEYSTORE = f"{TLS_DIRECTORY}/keystore.p12"
MAIN = "org.apache.kafka.connect.mirror.MirrorMaker"

METRIC_OBJECTS: tuple[str, ...] = (
    "kafka.connect.mirror:type=MirrorSourceConnector,*",
    "kafka.connect.mirror:type=MirrorCheckpointConnector,*",
    "kafka.connect:type=connect-worker-metrics,*",
    "kafka.connect:type=source-task-metrics,*",
    "kafka.consumer:type=consumer-fetch-manager-metrics,*",
)
"""JMX objects that become metrics."""


def mirror_command(flow: MirrorFlow, heap: str, jvm_flags: tuple[str, ...]) -> list[str]:
    """Start the mirror with its metrics agent, for the flow into the target only.

    Args:
        flow: The flow.
        heap: Java heap, for example ``256m``.
        jvm_flags: Garbage collector and compiler flags.
    """
    return java.command(
        heap=heap,
        flags=jvm_flags,
        log_file=f"{CONFIG_DIRECTORY}/log4j2.yaml",
        metrics=f"{METRICS_PORT}:{METRICS_DIRECTORY}/jmx-exporter.yaml",
        main=[MAIN, f"{CONFIG_DIRECTORY}/{PROPERTIES}", "--clusters", flow.target],
    )


def log_configuration() -> str:
    """Log4j2 to standard output, one line per event; clients do not list their settings at every start."""
    quiet = {
        "org.apache.kafka.clients": "warn",
        "org.apache.kafka.common.config.AbstractConfig": "warn",
        "org.apache.kafka.connect.runtime.WorkerSourceTask": "warn",
        "org.eclipse.jetty": "warn",
        "org.reflections": "error",
    }
    return java.log_configuration(quiet)


def _jmx_rules() -> list[dict[str, Any]]:
    """Names and labels of metrics; the first pattern that fits an attribute wins, and the rest is left out."""
    partition = {"topic": "$1", "partition": "$2"}
    source = r"kafka.connect.mirror<type=MirrorSourceConnector, .*topic=(.+), partition=(\d+)>"
    group = r"kafka.connect.mirror<type=MirrorCheckpointConnector, .*group=(.+), topic=(.+), partition=(\d+)>"
    connector = r"kafka.connect<type=connect-worker-metrics, connector=(\w+)>"
    task = r"kafka.connect<type=source-task-metrics, connector=(\w+), task=(\d+)>"
    fetched = (
        r"kafka.consumer<type=consumer-fetch-manager-metrics, client-id=\"?[^,]*MirrorSourceConnector-(\d+)\|[^,]*"
    )
    return [
        _rule(f"{source}<>record-count:", "records_total", partition, kind="COUNTER"),
        _rule(f"{source}<>byte-count:", "bytes_total", partition, kind="COUNTER"),
        _rule(
            f"{source}<>replication-latency-ms-(avg|max):",
            "replication_latency_milliseconds",
            {**partition, "statistic": "$3"},
        ),
        _rule(
            f"{group}<>checkpoint-latency-ms-(avg|max):",
            "checkpoint_latency_milliseconds",
            {"group": "$1", "topic": "$2", "partition": "$3", "statistic": "$4"},
        ),
        _rule(f"{connector}<>connector-(failed|running)-task-count:", "tasks", {"connector": "$1", "state": "$2"}),
        _rule(
            f"{task}<>source-record-write-total:",
            "written_total",
            {"connector": "$1", "task": "$2"},
            kind="COUNTER",
        ),
        _rule(
            rf"{fetched}, topic=(.+), partition=(\d+)><>records-lag:",
            "lag_records",
            {"topic": "$2", "partition": "$3"},
        ),
        _rule(rf"{fetched}><>fetch-total:", "fetches_total", {"task": "$1"}, kind="COUNTER"),
    ]


def _rule(pattern: str, name: str, labels: dict[str, str], *, kind: str = "GAUGE") -> dict[str, Any]:
    return {"pattern": pattern, "name": f"kafka_mirror_{name}", "type": kind, "labels": labels}


jmx_exporter = partial(java.jmx_exporter, keystore=KEYSTORE, objects=METRIC_OBJECTS, rules=_jmx_rules())
"""Configuration of the metrics agent, from its user, that one's password and the password of the key store."""
