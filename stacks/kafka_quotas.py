"""What each login may take of a broker, from the peak that gateways take in (requirement S2, ADR 0051).

A login that writes or reads a topic may move three times the topic's peak, also while one broker is away: what waited
for ten minutes is caught up in five, and who reads a topic from its beginning takes no more than that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import pulumi

from components.kafka.access import AclRule, Quota, User, acl_rules
from components.naming import size_of, size_text
from components.telemetry.layers import TOPIC_OF_SIGNAL
from components.telemetry.topics import KAFKA_BYTES
from stacks.kafka_users import users
from stacks.part_settings import KafkaQuota
from stacks.settings import Settings, SettingsError
from stacks.sizing import PROFILES

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
