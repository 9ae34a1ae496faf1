"""Every client of Kafka, with the least that it needs, and the consumer groups among them."""

from __future__ import annotations

from dataclasses import replace

from components.alertevents import WORKLOAD as ALERT_EVENTS
from components.audit import READER as AUDIT_READER
from components.audit import WORKLOAD as AUDIT
from components.backups.config import ARCHIVE_USER
from components.backups.config import USER as BACKUP_USER
from components.consumers import consumer_name
from components.gateway.component import WORKLOAD as GATEWAY
from components.kafka.access import AclRule, User
from components.kafka.component import WORKLOAD as KAFKA_LAG
from components.logs import WORKLOAD as LOG_INDEXER
from components.mirror.config import SOURCE_USER, Permission, source_permissions, target_permissions
from components.mirror.config import WORKLOAD as MIRROR
from components.reports import USER as REPORTS
from components.sampler import WORKLOAD as SAMPLER
from components.servicegraph import WORKLOAD as SERVICE_GRAPH
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC, AUDIT_TOPIC, TOPICS
from stacks.settings import Settings

TRACE_GROUPS = {SAMPLER: Signal.TRACES, SERVICE_GRAPH: Signal.TRACES, LOG_INDEXER: Signal.LOGS}
"""Consumer group of traces and logs -> the signal that it reads."""
COPIED_TOPICS = tuple(topic.name for topic in TOPICS)
"""Topics that a standby copies from the other region: all."""


def own_users(settings: Settings) -> tuple[User, ...]:
    """Clients inside this region, those of a newer generation first; both regions have the same."""
    clients = (
        User(name=GATEWAY, writes=tuple(TOPIC_OF_SIGNAL[signal] for signal in Signal)),
        *(
            User(name=consumer_name(replica), reads=(TOPIC_OF_SIGNAL[Signal.METRICS],))
            for replica in settings.prometheus.replicas
        ),
        *(User(name=group, reads=(TOPIC_OF_SIGNAL[signal],)) for group, signal in TRACE_GROUPS.items()),
        User(name=ALERT_EVENTS, writes=(ALERTS_RAW_TOPIC.name, ALERTS_PROCESSED_TOPIC.name)),
        User(name=AUDIT, writes=(AUDIT_TOPIC.name,), reads=(AUDIT_TOPIC.name,)),
        User(name=AUDIT_READER, reads=(AUDIT_TOPIC.name,)),
        User(name=REPORTS, reads=(ALERTS_RAW_TOPIC.name, ALERTS_PROCESSED_TOPIC.name)),
        User(name=KAFKA_LAG, describes_all=True),
        # One sees what there is, one reads every topic.
        User(
            name=BACKUP_USER,
            describes_all=True,
            grants=(
                AclRule(operation="Describe", resource_type="Cluster", resource="kafka-cluster"),
                AclRule(operation="DescribeConfigs", resource_type="Topic", resource="*"),
            ),
        ),
        User(name=ARCHIVE_USER, reads=tuple(topic.name for topic in TOPICS)),
    )
    return tuple(
        replace(client, generation=generation) for generation in settings.kafka.login_generations for client in clients
    )


def former_logins(settings: Settings) -> tuple[str, ...]:
    """Logins that are good while clients change over, and end then."""
    newest = settings.kafka.login_generations[0]
    return tuple(user.login for user in own_users(settings) if user.generation != newest)


def mirror_users(settings: Settings) -> tuple[User, ...]:
    """The other region's mirror, and this one's; both in both roles, so that no failover waits for permissions.

    Their logins have one generation: the other region hears of a new one with its own next update only.
    """
    peer = settings.regions.peer
    if peer is None:
        return ()
    groups = copied_groups(settings)
    return (
        User(name=SOURCE_USER, grants=_rules(source_permissions(COPIED_TOPICS, groups))),
        User(name=MIRROR, grants=_rules(target_permissions(peer.region, COPIED_TOPICS, groups))),
    )


def users(settings: Settings) -> tuple[User, ...]:
    """Every client of this region's Kafka."""
    return (*own_users(settings), *mirror_users(settings))


def groups(settings: Settings) -> tuple[str, ...]:
    """Consumer groups whose lag is measured."""
    return (*(consumer_name(replica) for replica in settings.prometheus.replicas), *TRACE_GROUPS, ARCHIVE_USER)


def copied_groups(settings: Settings) -> tuple[str, ...]:
    """Consumer groups whose place a standby keeps in step with the other region."""
    return (*groups(settings), *settings.regions.groups)


def _rules(permissions: tuple[Permission, ...]) -> tuple[AclRule, ...]:
    return tuple(AclRule(**permission._asdict()) for permission in permissions)
