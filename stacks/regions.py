"""The pair of regions: which of the two is active, and what is copied from the other one."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.contracts import KafkaEndpoint, ObjectStorage
from components.mirror.component import Mirror, MirrorArgs, MirrorKeystore, MirrorSource
from components.mirror.config import WORKLOAD as MIRROR
from components.regions import WORKLOAD as FAILOVER_AGENT
from components.regions import FailoverAgent, FailoverAgentArgs
from stacks.endpoints import PlatformInputs
from stacks.kafka_quotas import COPIED_TOPICS, copied_groups
from stacks.secrets import witness
from stacks.settings import Role, Settings, SettingsError

TOKEN = "obs:platform:Regions"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class RegionsArgs:
    """What joins this region to the other one.

    Attributes:
        inputs: What every part is built from.
        kafka: What is copied into.
    """

    inputs: PlatformInputs
    kafka: KafkaEndpoint


class Regions(pulumi.ComponentResource):
    """Failover agent, and in a standby the mirror.

    Attributes:
        failover_agent: Decides whether this region is active; None where it is the only one and no lease says so.
        mirror: Copies the other region's Kafka, or None.
    """

    failover_agent: FailoverAgent | None
    mirror: Mirror | None

    def __init__(self, name: str, args: RegionsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        inputs, parent = args.inputs, pulumi.ResourceOptions(parent=self)
        place = witness(inputs.settings)
        if place is None and inputs.role is Role.STANDBY:
            raise SettingsError(
                f"{inputs.settings.region} is a standby without a lease: allowed is role {Role.PRIMARY} where "
                "regions.witness is null; set it, or name witness and peer"
            )
        self.failover_agent = FailoverAgent(FAILOVER_AGENT, _failover_agent(inputs, place), parent) if place else None
        paired, source = inputs.settings.regions.peer is not None, inputs.endpoints.mirror_source
        keystore = MirrorKeystore(f"{MIRROR}-keystore", inputs.context, parent) if paired else None
        self.mirror = (
            Mirror(MIRROR, _mirror(inputs, args.kafka, keystore, source), parent) if keystore and source else None
        )
        self.register_outputs({})


def _failover_agent(inputs: PlatformInputs, place: ObjectStorage) -> FailoverAgentArgs:
    settings, endpoints = inputs.settings, inputs.endpoints
    peer, alerting = settings.regions.peer, settings.alerting
    return FailoverAgentArgs(
        context=inputs.context,
        scrape=endpoints.scrapes[FAILOVER_AGENT],
        leads=inputs.role is Role.PRIMARY,
        peer=peer.region if peer else None,
        witness=place,
        alertmanager=endpoints.alertmanager,
        egress_targets=_outside(settings),
        networks=alerting.networks,
        ports=alerting.ports,
        fingerprints=endpoints.fingerprints,
        resources=inputs.sizing.regions.failover_agent,
    )


def _mirror(inputs: PlatformInputs, kafka: KafkaEndpoint, keystore: MirrorKeystore, source: MirrorSource) -> MirrorArgs:
    sizing = inputs.sizing
    return MirrorArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[MIRROR],
        keystore=keystore,
        source=source,
        kafka=kafka,
        topics=COPIED_TOPICS,
        groups=copied_groups(inputs.settings),
        replication_factor=sizing.replication_factor,
        max_message_bytes=sizing.max_message_bytes,
        tasks=sizing.regions.mirror_tasks,
        heap=sizing.regions.mirror_heap,
        jvm_flags=sizing.regions.mirror_flags,
        resources=sizing.regions.mirror,
    )


def _outside(settings: Settings) -> tuple[str, ...]:
    """``host:port`` of the pager's and the mail server's address: where a region is active."""
    return settings.alerting.channels.addresses
