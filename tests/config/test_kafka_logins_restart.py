"""A real broker that starts again after logins were removed, with and without a snapshot of its metadata (ADR 62)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from components.kafka import config
from ops.core.kafka import ADMIN, KafkaAdmin
from ops.core.platform import Login
from ops.kafka.command import sign_in
from stacks import kafka_quotas
from stacks.settings import parse
from tests.config.servers import eventually
from tests.support import engine, kafka_nodes
from tests.support.kafka_nodes import RealNode

SCRAM = ADMIN.ScramMechanism.SCRAM_SHA_512
LATER = "-g2"
INTERVAL = "metadata.log.max.snapshot.interval.ms"


def login(name: str) -> Login:
    return Login.model_validate({"username": name, "password": f"password-of-{name}"})


def altered(kafka: KafkaAdmin, change: object) -> None:
    [answer] = kafka.client.alter_user_scram_credentials([change]).values()
    answer.result(60)


def create_login(kafka: KafkaAdmin, name: str) -> None:
    how = ADMIN.ScramCredentialInfo(SCRAM, 4096)
    altered(kafka, ADMIN.UserScramCredentialUpsertion(name, how, login(name).pair[1].encode()))


def with_snapshots_every(node: RealNode, milliseconds: int) -> None:
    [file] = (node.folder / "config").glob("server*.properties")
    before = f"{INTERVAL}={config.SNAPSHOT_S * 1000}\n"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, f"{INTERVAL}={milliseconds}\n"))


def snapshots(node: RealNode) -> int:
    """Snapshots that the node took, the one of its formatting left out."""
    return sum(not file.name.startswith("0" * 20) for file in (node.folder / "data").rglob("0*.checkpoint"))


@pytest.mark.parametrize("snapshot", [True, False], ids=["with a snapshot", "without one"])
def test_logins_that_stay_are_known_after_a_restart_where_a_snapshot_was_taken_before(
    tmp_path: Path, snapshot: bool
) -> None:
    """Without one this shows the defect of Kafka: where it fails, Kafka has mended it, and the setting may go."""
    clients = [user.name for user in kafka_quotas.own_users(parse(engine.stack_settings("local"), "Pulumi.local.yaml"))]
    cluster = kafka_nodes.small_cluster(kafka_nodes.loopback(1))
    with kafka_nodes.formatted(cluster, tmp_path, metrics=False) as [node]:
        if snapshot:
            with_snapshots_every(node, 1000)
        node.serve()
        node.wait_for_port(config.EXTERNAL_PORT)
        platform = kafka_nodes.platform([node])
        kafka = KafkaAdmin(platform)
        eventually(lambda: len(kafka.brokers()) == 1, 60, "the broker is there")
        for generation in ("", LATER):
            for client in clients:
                create_login(kafka, f"{client}{generation}")
        taken = snapshots(node)
        if snapshot:
            eventually(lambda: snapshots(node) > taken, 60, "a snapshot with logins")
        for client in clients:
            altered(kafka, ADMIN.UserScramCredentialDeletion(client, SCRAM))
        kafka.close()
        node.kill()
        node.serve()
        node.wait_for_port(config.EXTERNAL_PORT)

        def known(who: Login) -> bool:
            return not sign_in(platform, who, platform.kafka_bootstrap).problem

        def refused(who: Login) -> bool:
            return sign_in(platform, who, platform.kafka_bootstrap).refused

        if snapshot:
            eventually(lambda: known(platform.kafka_admin), 60, "the administrator is known")
            eventually(lambda: known(login(f"gateway{LATER}")), 60, "so is a login that stays")
            eventually(lambda: refused(login("gateway")), 60, "one that was removed is refused")
        else:
            time.sleep(5)
            eventually(lambda: refused(platform.kafka_admin), 60, "the administrator is refused")
            eventually(lambda: refused(login(f"gateway{LATER}")), 60, "so is a login that stays")
