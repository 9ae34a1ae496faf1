"""Every client of Kafka, with the least that it needs, the consumer groups among them, and what each login may take of
a broker, from the peak that gateways take in (requirement S2, ADR 0051).

A login that writes or reads a topic may move three times the topic's peak, also while one broker is away: what waited
for ten minutes is caught up in five, and who reads a topic from its beginning takes no more than that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import pulumi

from components.alertevents import WORKLOAD as ALERT_EVENTS
from components.audit import READER as AUDIT_READER
from components.audit import WORKLOAD as AUDIT
from components.backups.config import ARCHIVE_USER
from components.backups.config import USER as BACKUP_USER
from components.consumers import consumer_name
from components.gateway.component import WORKLOAD as GATEWAY
from components.kafka.access import AclRule, Quota, User, acl_rules
from components.kafka.component import WORKLOAD as KAFKA_LAG
from components.logs import WORKLOAD as LOG_INDEXER
from components.mirror.config import SOURCE_USER, Permission, source_permissions, target_permissions
from components.mirror.config import WORKLOAD as MIRROR
from components.naming import size_of, size_text
from components.reports import USER as REPORTS
from components.sampler import WORKLOAD as SAMPLER
from components.servicegraph import WORKLOAD as SERVICE_GRAPH
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC, AUDIT_TOPIC, KAFKA_BYTES, TOPICS
from stacks.part_settings import KafkaQuota
from stacks.settings import Settings, SettingsError
from stacks.sizing import PROFILES

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


CATCH_UP: Final = 3
"""Multiple of a topic's peak that a login may move."""
LEAST: Final = 2 * 2**20
"""Bytes a second that every login may move: topics of alerts, offsets, answers about the cluster."""
BULK_PART: Final = 2
"""A login that moves telemetry may use one of so many parts of the threads' time."""
ONE_THREAD: Final = 100
"""Percent of a thread for any other login."""


def quotas(settings: Settings) -> Mapping[str, Quota]:
    """Login -> its quotas.

    Raises:
        SettingsError: The stack file has quotas of nobody, or too small ones.
    """
    logins = {user.name: user for user in users(settings)}
    problems = [
        f"settings.kafka.quotas.{name} is no login of Kafka: allowed are {', '.join(logins)}; correct or remove it"
        for name in settings.kafka.quotas
        if name not in logins
    ]
    chosen: dict[str, Quota] = {}
    for name, user in logins.items():
        given = settings.kafka.quotas.get(name, KafkaQuota())
        problems += _too_small(settings, user, given)
        worked_out = derived(settings, user)
        chosen[name] = Quota(
            produce=size_of(given.produce) if given.produce else worked_out.produce,
            fetch=size_of(given.fetch) if given.fetch else worked_out.fetch,
            requests=given.requests or worked_out.requests,
        )
    if problems:
        raise SettingsError("\n".join(f"Pulumi.{pulumi.get_stack()}.yaml: {problem}" for problem in problems))
    return MappingProxyType(chosen)


def derived(settings: Settings, user: User) -> Quota:
    """What a login may take where the stack file does not say."""
    writes, reads = _peak(settings, user, "Write"), _peak(settings, user, "Read")
    return Quota(
        produce=max(LEAST, CATCH_UP * writes),
        fetch=max(LEAST, CATCH_UP * reads),
        requests=_threads(settings) * ONE_THREAD // BULK_PART if writes or reads else ONE_THREAD,
    )


def _peak(settings: Settings, user: User, operation: str) -> int:
    """Bytes a second that a login moves at each broker at the peak, while one broker is away."""
    topics = _topics(acl_rules(user), operation)
    peak = settings.gateway.peak.by_signal
    in_all = sum(KAFKA_BYTES[signal] * peak[signal] for signal, topic in TOPIC_OF_SIGNAL.items() if topic in topics)
    return -int(-in_all // (len(settings.kafka.brokers) - 1))


def _topics(rules: Collection[AclRule], operation: str) -> frozenset[str]:
    return frozenset(rule.resource for rule in rules if (rule.resource_type, rule.operation) == ("Topic", operation))


def _threads(settings: Settings) -> int:
    sizing = PROFILES[settings.profile]
    return sizing.network_threads + sizing.io_threads


def _too_small(settings: Settings, user: User, given: KafkaQuota) -> list[str]:
    """What the stack file gives a login that would be throttled at the peak, or could take all of the threads."""
    where = f"settings.kafka.quotas.{user.name}"
    rates = (("produce", given.produce, "Write"), ("fetch", given.fetch, "Read"))
    problems = [
        f"{where}.{key} is {size}: allowed is at least {size_text(least)}, which the login moves at each broker at "
        "gateway.peak while one is away; correct it"
        for key, size, operation in rates
        if size and size_of(size) < (least := max(2**20, _peak(settings, user, operation)))
    ]
    most = _threads(settings) * ONE_THREAD
    if given.requests and given.requests >= most:
        problems.append(
            f"{where}.requests is {given.requests}: allowed is less than {most}, all the time of a broker's threads; "
            "correct it"
        )
    return problems
