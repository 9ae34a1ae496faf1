"""A region takes over the telling: real Alertmanagers, broker, object storage and failover agent.

Nobody hears twice what the lost region told, and everybody hears what it did not tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from ops.core.kafka import client_settings
from ops.core.platform import Platform, parse
from ops.regions.journal import FailoverContext
from ops.regions.region import opened, witness_of
from ops.regions.silence_handover import hand_over_silences
from ops.regions.steps import FAILOVER, run
from services.alert_events.events import AlertEvent
from services.regions import FAILOVER_AGENT, HANDOVER_AUTHOR
from services.regions.witness import Heartbeat, Silence, SilenceMatcher, region_key
from tests.config import alertmanager_process, failover_agent_process
from tests.config.alertmanager_files import USERS
from tests.config.alertmanager_process import Pair
from tests.config.failover_agent_process import Harness
from tests.config.servers import eventually
from tests.config.storage_process import BUCKET, StorageProcess, storage_process
from tests.support import kafka_broker
from tests.unit.ops.regions_alerts import notification, raised
from tests.unit.ops.regions_harness import STACKS, A, B, operation

pytestmark = pytest.mark.timed
TELLING = tuple(step for step in FAILOVER if step.name in ("fence", "silence-handover", "notify"))
TOPICS = ("alerts-raw", "alerts-processed")
QUIET_S = 20.0
"""Longer than a Critical alert's group waits before it is looked at again."""


@dataclass
class Region:
    """Region B, whose rules fire like those of A, which was lost 40 s ago."""

    agents: Harness
    platform: Platform

    @property
    def pair(self) -> Pair:
        """Its Alertmanagers."""
        return self.agents.pair

    def wrote(self, *events: AlertEvent) -> None:
        """Copy alert events of region A."""
        producer = Producer({**client_settings(self.platform, self.platform.kafka_admin), "acks": "all"})
        for event in events:
            topic = "alerts-processed" if hasattr(event, "receiver") else "alerts-raw"
            at = int(event.received_at.timestamp() * 1000)
            producer.produce(topic, key=event.key, value=event.value(), timestamp=at)
        assert producer.flush(60) == 0

    def fires(self, name: str, **labels: str) -> None:
        """An alert of telemetry fires in region B."""
        self.pair.raise_alert(name, layer="device", region=B, **labels)

    def silences(self, author: str) -> list[dict[str, Any]]:
        """Silences of somebody that hold, at the first member."""
        silence_list = self.pair.members[0].call("GET", "/api/v2/silences").json()
        return [
            silence
            for silence in silence_list
            if silence["createdBy"] == author and silence["status"]["state"] == "active"
        ]


def identity(name: str) -> str:
    return f"{name.removesuffix('Escalated')}/instance=kafka-1/job=kafka"


def told(name: str, at: datetime, status: str = "firing", **labels: str) -> AlertEvent:
    return notification(at, status, alertname=name, alert_id=identity(name), **labels)


def outputs(broker: kafka_broker.Broker, both: Pair, storage: StorageProcess) -> dict[str, Any]:
    login = {"username": broker.username, "password": broker.password}
    return {
        "namespace": "none",
        "platform": "obs",
        "region": B,
        "ca_certificate": broker.ca + (both.folder / "ca.crt").read_text(),
        "otlp_grpc": "localhost:1",
        "otlp_http": "https://localhost:1",
        "otlp_credentials": {},
        "kafka_bootstrap": broker.bootstrap,
        "kafka_admin": login,
        "kafka_users": {},
        "query_url": "https://localhost:1",
        "query_reader": login,
        "prometheus_replicas": ["primary"],
        "prometheus_credentials": {},
        "scrape_credentials": {},
        "consumer_groups": [],
        "topics": list(TOPICS),
        "alertmanager_url": f"https://localhost:{both.members[0].web}",
        "alertmanager_operator": {"username": "operator", "password": USERS["operator"]},
        "regions": {
            "role": "standby",
            "region": B,
            "peer": {"stack": STACKS[A], "region": A},
            "witness": {
                "endpoint": storage.url,
                "region": storage.settings("")["region"],
                "bucket": BUCKET,
                "access_key_id": storage.secrets.key,
                "secret_access_key": storage.secrets.secret,
                "authority": storage.ca_file.read_text(),
            },
            "fingerprints": {},
            "mirror": {"source": A, "topics": list(TOPICS), "groups": []},
        },
    }


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with ExitStack() as stack:
        both = stack.enter_context(alertmanager_process.pair(tmp_path_factory.mktemp("pair")))
        storage = stack.enter_context(storage_process(tmp_path_factory.mktemp("storage") / "new"))
        broker = stack.enter_context(kafka_broker.running(tmp_path_factory.mktemp("broker")))
        agents = stack.enter_context(failover_agent_process.harness(both, storage))
        platform = parse(outputs(broker, both, storage))
        broker.create_topics(TOPICS, 2, **{"min.insync.replicas": "1"})
        agents.lease(A)
        agents.agent(region=B, peer=A, role="standby")
        agents.until(True, 20, "region B is silent while A has the lease")
        yield Region(agents, platform)


def beat(age_s: float, *silences: Silence) -> Heartbeat:
    return Heartbeat(
        region=A,
        role="primary",
        at=datetime.now(UTC) - timedelta(seconds=age_s),
        epoch=1,
        holder=A,
        notifies=True,
        isolated=False,
        fingerprints={},
        silences=silences,
    )


def acknowledgement(name: str) -> Silence:
    now = datetime.now(UTC)
    return Silence(
        id="of-region-a",
        matchers=(SilenceMatcher(name="alert_id", value=identity(name), is_regex=False, is_equal=True),),
        starts_at=now - timedelta(minutes=5),
        ends_at=now + timedelta(hours=2),
        created_by="jo",
        comment="on it",
    )


def test_what_was_told_is_not_told_again_and_what_was_not_told_is(region: Region) -> None:
    lost = datetime.now(UTC) - timedelta(seconds=40)

    def before(seconds: float) -> datetime:
        return lost - timedelta(seconds=seconds)

    region.wrote(
        told("AlphaTold", before(300)),
        told("BetaEnded", before(300)),
        told("BetaEnded", before(200), "resolved"),
        told("GammaLate", before(2)),
        told("EpsilonOver", before(300)),
        raised(before(30), "resolved", ended=before(40), alertname="EpsilonOver", alert_id=identity("EpsilonOver")),
        told("ZetaBoth", before(300)),
        told("ZetaBothEscalated", before(250), escalation="senior-manager"),
    )
    region.agents.witness.beat(beat(40, acknowledgement("EtaTaken")))
    region.agents.storage.age(region_key(A), 40)
    for name in ("AlphaTold", "BetaEnded", "GammaLate", "DeltaUntold", "EpsilonOver", "ZetaBoth", "EtaTaken"):
        region.fires(name)
    for name in ("AlphaToldEscalated", "ZetaBothEscalated"):
        region.fires(name, escalation="senior-manager")
    time.sleep(QUIET_S / 2)
    assert region.pair.brokers.records == [], "nobody is notified by the region that has no lease"

    with opened(platform=region.platform) as target, witness_of(target.access) as witness:
        journal = operation(witness)
        context = FailoverContext(target=target, source=A, witness=witness, journal=journal, by="test", tell=print)
        run(TELLING, context)
        handed_over = len(region.silences(HANDOVER_AUTHOR))
        hand_over_silences(context)
        assert len(region.silences(HANDOVER_AUTHOR)) == handed_over, "a repeated command makes no silence twice"

    figures = journal.operation.figures("silence-handover")
    assert figures["handed_over"] == [
        identity("AlphaTold"),
        identity("ZetaBoth"),
        f"{identity('ZetaBoth')} (senior-manager)",
    ]
    assert [entry.partition("/")[0] for entry in figures["again"]] == ["EpsilonOver", "GammaLate"]
    assert journal.operation.figures("notify")["notifies"], "the failover agent says that the region is active"
    assert region.silences(FAILOVER_AGENT) == []
    [taken] = region.silences("jo")
    assert taken["comment"] == f"on it (handed over from {A})"

    again = ("BetaEnded", "GammaLate", "DeltaUntold", "EpsilonOver", "AlphaToldEscalated")
    eventually(lambda: all(region.pair.events(alert_name) for alert_name in again), 40, "who was not told is told")
    time.sleep(QUIET_S)
    for name in ("AlphaTold", "ZetaBoth", "ZetaBothEscalated", "EtaTaken"):
        assert region.pair.events(name) == [], f"{name} was told by the other region, or is taken"
