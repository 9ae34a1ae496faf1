"""Every client of Kafka, with the least that it needs."""

from __future__ import annotations

from components.alertevents.component import WORKLOAD as ALERT_EVENTS
from components.backups.config import ARCHIVE_USER
from components.consumers.component import consumer_name
from components.gateway.component import WORKLOAD as GATEWAY
from components.kafka.access import User
from components.kafka.lag import WORKLOAD as KAFKA_LAG
from components.reports.config import USER as REPORTS
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from stacks.recovery import users as recovery_users
from stacks.settings import Settings
from stacks.traces import GROUPS as TRACE_GROUPS


def own_users(settings: Settings) -> tuple[User, ...]:
    """Clients inside this region; both regions have the same."""
    return (
        User(name=GATEWAY, writes=tuple(TOPIC_OF_SIGNAL[signal] for signal in Signal)),
        *(
            User(name=consumer_name(replica), reads=(TOPIC_OF_SIGNAL[Signal.METRICS],))
            for replica in settings.prometheus.replicas
        ),
        *(User(name=group, reads=(TOPIC_OF_SIGNAL[signal],)) for group, signal in TRACE_GROUPS.items()),
        User(name=ALERT_EVENTS, writes=(ALERTS_RAW_TOPIC.name, ALERTS_PROCESSED_TOPIC.name)),
        User(name=REPORTS, reads=(ALERTS_PROCESSED_TOPIC.name,)),
        User(name=KAFKA_LAG, describes_all=True),
        *recovery_users(),
    )


def groups(settings: Settings) -> tuple[str, ...]:
    """Consumer groups whose lag is measured."""
    return (*(consumer_name(replica) for replica in settings.prometheus.replicas), *TRACE_GROUPS, ARCHIVE_USER)
