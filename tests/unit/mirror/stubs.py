"""A mirror between two regions, as plain values."""

from __future__ import annotations

import pulumi

from components.contracts import Credential, KafkaEndpoint
from components.k8s import Resources
from components.mirror.component import Mirror, MirrorArgs, MirrorKeystore, MirrorSource
from components.mirror.config import METRICS_PORT, WORKLOAD, MirrorFlow
from tests.support.deployment_context import deployment_context, metrics
from tests.support.engine import Recording, run

TOPICS = ("telemetry-metrics", "telemetry-traces", "telemetry-logs", "alerts-raw", "alerts-processed")
GROUPS = ("metrics-consumer-primary", "sampler")
SOURCE_PASSWORD = "a1" * 16
TARGET_PASSWORD = "b2" * 16
AUTHORITY = "-----BEGIN CERTIFICATE-----\nregion-a\n-----END CERTIFICATE-----\n"


def flow(**changes: object) -> MirrorFlow:
    """A flow from region a to region b, with some fields changed."""
    usual: dict[str, object] = {
        "source": "region-a",
        "target": "region-b",
        "source_bootstrap": ("198.51.100.1:9094", "198.51.100.2:9094"),
        "target_bootstrap": ("kafka.obs.svc.cluster.local:9092",),
        "target_user": WORKLOAD,
        "topics": TOPICS,
        "groups": GROUPS,
        "replication_factor": 3,
        "max_message_bytes": 8 * 2**20,
        "tasks": 2,
    }
    return MirrorFlow(**{**usual, **changes})  # type: ignore[arg-type]


def arguments() -> MirrorArgs:
    """What the component is given in region b."""
    secret = pulumi.Output.secret(TARGET_PASSWORD)
    here = deployment_context(platform="obs", region="region-b", namespace="obs", storage_class="standard")
    return MirrorArgs(
        context=here,
        scrape=metrics(here, WORKLOAD, METRICS_PORT),
        keystore=MirrorKeystore("mirror-keystore", here),
        source=MirrorSource(
            region="region-a",
            bootstrap=("198.51.100.1:9094", "198.51.100.2:9094"),
            networks=("198.51.100.0/24",),
            authority=AUTHORITY,
            password=pulumi.Output.secret(SOURCE_PASSWORD),
        ),
        kafka=KafkaEndpoint(
            bootstrap="kafka.obs.svc.cluster.local:9092",
            port=9092,
            external=(),
            access_label="obs.access/kafka",
            users={WORKLOAD: Credential(username=WORKLOAD, password=secret, bcrypt=secret)},
        ),
        topics=TOPICS,
        groups=GROUPS,
        replication_factor=3,
        max_message_bytes=8 * 2**20,
        tasks=2,
        heap="256m",
        jvm_flags=("-XX:+UseSerialGC",),
        resources=Resources(cpu="200m", memory="448Mi", memory_limit="640Mi"),
    )


def recorded() -> Recording:
    """What the component makes."""
    recording = Recording()
    run(recording, "unit", lambda: (Mirror("mirror", arguments()), None)[1])
    return recording
