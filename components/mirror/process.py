"""How the mirror's process is started, logged and measured: commands and files as data."""

from __future__ import annotations

from typing import Any

from components import java
from components.mirror.config import CONFIG_DIRECTORY, PROPERTIES, TLS_DIRECTORY, MirrorFlow

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


def jmx_exporter(*, user: str, password: str, keystore_password: str) -> str:
    """Configuration of the metrics agent: HTTPS with a password of its own (requirement P2).

    Args:
        user: Scrape user.
        password: Its password; only a salted hash of it is kept in the file.
        keystore_password: Opens the mirror's key.
    """
    return java.jmx_exporter(
        user=user,
        password=password,
        keystore=KEYSTORE,
        keystore_password=keystore_password,
        objects=METRIC_OBJECTS,
        rules=_jmx_rules(),
    )


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
