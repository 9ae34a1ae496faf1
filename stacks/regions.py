"""The pair of regions: what is copied from the other one, and which of the two is active."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pulumi

from components.contracts import AlertmanagerEndpoint, KafkaEndpoint, ScrapeTarget
from components.gateway.component import IDS
from components.k8s import DeploymentContext
from components.kafka.access import AclRule, User
from components.mirror.component import Mirror, MirrorArgs, MirrorKeystore, MirrorSource
from components.mirror.config import SOURCE_USER, Permission, source_permissions, target_permissions
from components.mirror.config import WORKLOAD as MIRROR
from components.regions.component import FailoverAgent, FailoverAgentArgs
from components.regions.config import WORKLOAD as FAILOVER_AGENT
from components.telemetry.layers import LAYERS
from components.telemetry.topics import TOPICS
from stacks.kafka_users import groups
from stacks.object_storage import witness
from stacks.parity_fingerprints import parity_fingerprints
from stacks.settings import Role, Settings, SettingsError
from stacks.sizing import Sizing

_UNKNOWN = "unknownbeforetheotherregionisthere"
_TOPICS = tuple(topic.name for topic in TOPICS)


class Regions:
    """Made in two steps: what Kafka and the gateways have to know first, the rest once there is an Alertmanager.

    Attributes:
        mirrored: Whether the other region's Kafka is copied into this one.
        names: Names that move from region to region, for certificates.
        credentials: Layer -> password, and the key of hashed ids, from the other region; None: made here.
        fingerprints: Kind -> digest of what both regions have to agree on.
        failover_agent: Decides whether this region is active.
        mirror: Copies the other region's Kafka, or None.
    """

    failover_agent: FailoverAgent
    mirror: Mirror | None

    def __init__(
        self, parent: pulumi.Resource, settings: Settings, sizing: Sizing, context: DeploymentContext, role: Role
    ) -> None:
        self._options = pulumi.ResourceOptions(parent=parent)
        self._settings, self._sizing, self._context, self._role = settings, sizing, context, role
        self._known: dict[str, pulumi.StackReference] = {}
        regions = settings.regions
        self.mirrored = regions.peer is not None and role is Role.STANDBY
        self.names: tuple[str, ...] = tuple(regions.dns.names.values()) if regions.dns else ()
        self.credentials = None if regions.credentials is None else self._peer_credentials(regions.credentials)
        self.fingerprints = parity_fingerprints(settings)
        if self.mirrored:
            self._agreed()

    def users(self) -> tuple[User, ...]:
        """Clients of Kafka: the other region's mirror, and this one's; both in both roles, so that no failover waits
        for permissions.
        """
        peer = self._settings.regions.peer
        if peer is None:
            return ()
        return (
            User(name=SOURCE_USER, grants=_rules(source_permissions(_TOPICS, self._groups))),
            User(name=MIRROR, grants=_rules(target_permissions(peer.region, _TOPICS, self._groups))),
        )

    def connect(self, *, kafka: KafkaEndpoint, alertmanager: AlertmanagerEndpoint) -> None:
        """Make failover agent and mirror.

        Args:
            kafka: What is copied into.
            alertmanager: What the failover agent keeps silent, or lets speak.
        """
        settings, sizing = self._settings, self._sizing.regions
        peer, alerting = settings.regions.peer, settings.alerting
        self.failover_agent = FailoverAgent(
            FAILOVER_AGENT,
            FailoverAgentArgs(
                context=self._context,
                leads=self._role is Role.PRIMARY,
                peer=peer.region if peer else None,
                witness=witness(settings),
                alertmanager=alertmanager,
                egress_targets=_outside(settings),
                networks=alerting.networks,
                ports=alerting.ports,
                fingerprints=self.fingerprints,
                resources=sizing.failover_agent,
            ),
            self._options,
        )
        keystore = MirrorKeystore(f"{MIRROR}-keystore", self._context, self._options) if peer else None
        self.mirror = self._mirror(kafka, keystore) if keystore and self.mirrored else None

    @property
    def scrapes(self) -> tuple[ScrapeTarget, ...]:
        """Metrics of both."""
        return (self.failover_agent.scrape, *([self.mirror.scrape] if self.mirror else []))

    @cached_property
    def _groups(self) -> tuple[str, ...]:
        return (*groups(self._settings), *self._settings.regions.groups)

    def _mirror(self, kafka: KafkaEndpoint, keystore: MirrorKeystore) -> Mirror:
        peer, sizing = self._settings.regions.peer, self._sizing.regions
        assert peer is not None
        other = self._reference(peer.stack)
        return Mirror(
            MIRROR,
            MirrorArgs(
                context=self._context,
                keystore=keystore,
                source=MirrorSource(
                    region=peer.region,
                    bootstrap=peer.bootstrap,
                    networks=peer.networks,
                    authority=self._needed(other, peer.stack, "ca_certificate"),
                    password=self._needed(other, peer.stack, "kafka_users", SOURCE_USER),
                ),
                kafka=kafka,
                topics=_TOPICS,
                groups=self._groups,
                replication_factor=self._sizing.replication_factor,
                max_message_bytes=self._sizing.max_message_bytes,
                tasks=sizing.mirror_tasks,
                heap=sizing.mirror_heap,
                jvm_flags=sizing.mirror_flags,
                resources=sizing.mirror,
            ),
            self._options,
        )

    def _peer_credentials(self, stack: str) -> Mapping[str, pulumi.Output[str]]:
        other = self._reference(stack)
        return {
            **{layer.name: self._needed(other, stack, "otlp_credentials", layer.name, "password") for layer in LAYERS},
            IDS: self._needed(other, stack, "id_hash_key"),
        }

    def _agreed(self) -> None:
        """Fail, already in a preview, where the two regions would not do the same.

        Only a region that stands by: one that had to take over is not to wait for one that is gone.
        """
        peer = self._settings.regions.peer
        assert peer is not None
        peer_definitions = self._reference(peer.stack).get_output("fingerprints")
        pulumi.Output.all(peer_definitions).apply(lambda all_: check_agreed(self.fingerprints, all_[0], peer.stack))

    def _reference(self, stack: str) -> pulumi.StackReference:
        if stack not in self._known:
            self._known[stack] = pulumi.StackReference(stack, opts=self._options)
        return self._known[stack]

    def _needed(self, other: pulumi.StackReference, stack: str, name: str, *path: str) -> pulumi.Output[str]:
        """An output of the other stack; a preview may do without."""
        return pulumi.Output.secret(other.get_output(name).apply(lambda output: needed(output, stack, name, *path)))


def needed(output: Any, stack: str, name: str, *path: str) -> str:
    """A text in the outputs of another stack.

    Raises:
        SettingsError: It is not there, and this is no preview.
    """
    for key in path:
        output = output.get(key) if isinstance(output, Mapping) else None
    if isinstance(output, str) and output:
        return output
    where = ".".join((name, *path))
    told = f"the stack {stack} has no output {where}: run `pulumi up` of it first, as this region takes it from there"
    if not pulumi.runtime.is_dry_run():
        raise SettingsError(told)
    pulumi.log.warn(told)
    return _UNKNOWN


def check_agreed(own: Mapping[str, str], other: Any, stack: str) -> None:
    """Compare what both regions have to agree on.

    Raises:
        SettingsError: They do not; the message names what differs.
    """
    if other is None:
        pulumi.log.warn(f"the stack {stack} has no output fingerprints yet: nothing could be compared")
        return
    differing = sorted(kind for kind in {*own, *other} if own.get(kind) != other.get(kind))
    if differing:
        raise SettingsError(
            f"the two regions differ in {', '.join(differing)}: this stack and {stack} must say the same; run "
            f"`pulumi up` of {stack} from the same revision first, or take the change back"
        )


def _rules(permissions: tuple[Permission, ...]) -> tuple[AclRule, ...]:
    return tuple(AclRule(**permission._asdict()) for permission in permissions)


def _outside(settings: Settings) -> tuple[str, ...]:
    """``host:port`` of the pager's and the mail server's address: where a region is active."""
    return (host_port(settings.alerting.channels.phone.url), settings.alerting.channels.mail.server)


def host_port(url: str) -> str:
    """``host:port`` of an address that begins with https://."""
    place = url.partition("://")[2].partition("/")[0]
    return place if ":" in place else f"{place}:443"
