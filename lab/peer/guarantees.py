"""What holds of a signal on either side: here, and with the stock settings."""

from __future__ import annotations

from collections.abc import Mapping

from components.telemetry.layers import Signal

Pairs = Mapping[str, tuple[str, str]]
"""Case -> what holds here, and with the stock settings."""

_ALL: Pairs = {
    "acknowledged means": ("in Kafka; while Kafka is away, on the gateway's disk, synced", "in the gateway's memory"),
    "in Kafka": ("acks=all: in at least two of three brokers", "acks=1: in the leader's memory"),
    "a gateway is killed": ("nothing is lost: what it has in memory, no client was told of", "its queue is lost"),
    "Kafka is away": ("the queue on disk takes it", "lost when the queue in memory is full, or after 5 min"),
    "a batch above 1 MB": ("divided into records that Kafka takes", "lost: it is one message, which is refused"),
    "clients": ("TLS, a password for each layer, layers checked", "plaintext, anybody"),
    "personal data": ("ids hashed, masked", "as it was sent"),
}
_READ_ONCE = "lost what it has read and not written: offsets are committed when it reads"

GUARANTEES: Mapping[Signal, Pairs] = {
    Signal.METRICS: {
        **_ALL,
        "a consumer is killed": ("it reads again what Prometheus has not taken", _READ_ONCE),
        "Prometheus is away": ("the consumer waits, Kafka keeps it", "lost after 5 min of retries"),
        "order of one device": ("kept: keyed by device", "not kept: no key"),
        "copies that can be read": ("two consumer groups, two Prometheus", "one of each"),
        "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
    },
    Signal.TRACES: {
        **_ALL,
        "what is stored": ("every failed and every slow trace, of the others a tenth, less under load", "every span"),
        "the sampler is killed": ("lost the traces that waited for their decision", "there is none"),
        "Jaeger is killed": ("lost at most a bulk of each class", _READ_ONCE),
        "the search cluster is away": (
            "samplers wait, Kafka keeps it",
            "Jaeger waits, Kafka keeps what it has not read",
        ),
        "who reads what": ("spans of each class in indices of their own, read by clearance", "one index for all"),
        "old spans": ("removed after their days by the index manager", "kept: removing is left to another program"),
        "between the parts": (
            "TLS and a login everywhere",
            "TLS and a login at Kafka and the search cluster only",
        ),
    },
    Signal.LOGS: {
        **_ALL,
        "the reader is killed": ("it reads again what the store has not taken", _READ_ONCE),
        "the store is away": ("the indexer waits, Kafka keeps it", "lost after 5 min of retries"),
        "a record is read twice": ("stored once: its id follows from what it is", "stored twice"),
        "order of one device": ("kept: keyed by device", "not kept: no key"),
        "the store": ("a search cluster of three nodes, two copies", "one VictoriaLogs, one copy"),
        "between the parts": ("TLS and a login everywhere", "TLS and a login at Kafka only"),
    },
}
