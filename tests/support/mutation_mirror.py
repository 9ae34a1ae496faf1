"""How MirrorMaker's properties can be weakened: its logins, its copies, what it takes, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_CLUSTER = {
    "security.protocol": ("PLAINTEXT", "SASL_PLAINTEXT", "SSL"),
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256"),
    "sasl.jaas.config": (),
    "ssl.truststore.location": (),
}
"""Settings of a cluster: what they may not be; each may not be missing either."""
_FLOW = {
    "enabled": ("false",),
    "topics": (".*", "telemetry-.*"),
    "groups": (".*",),
    "offset-syncs.topic.location": ("source",),
    "sync.group.offsets.enabled": ("false",),
    "sync.group.offsets.interval.seconds": ("60",),
    "emit.checkpoints.interval.seconds": ("60",),
}
"""The same for the flow."""


def properties(content: Mapping[str, str], key: str, gone: Any) -> Iterator[Any]:
    """Bad values of one line; ``gone`` stands for a line that is taken away."""
    first, second = (alias.strip() for alias in content["clusters"].split(","))
    scope, _, setting = key.partition(".")
    if scope in (first, second):
        if setting in _CLUSTER:
            yield from (gone, *_CLUSTER[setting])
        elif setting == "ssl.endpoint.identification.algorithm":
            yield ""
        elif setting == "ssl.enabled.protocols":
            yield "TLSv1.2,TLSv1.1"
        elif setting == "producer.acks":
            yield from ("1", "0")
    elif scope == f"{first}->{second}":
        if setting in _FLOW:
            yield from (gone, *_FLOW[setting])
        elif setting == "emit.checkpoints.enabled":
            yield "false"
    elif scope == f"{second}->{first}":
        yield from {"enabled": ("true",), "emit.heartbeats.enabled": (gone, "true")}.get(setting, ())
    elif key == "replication.policy.class":
        yield from (gone, "org.apache.kafka.connect.mirror.DefaultReplicationPolicy")
    elif key.endswith("replication.factor"):
        yield from ("1", "2")
