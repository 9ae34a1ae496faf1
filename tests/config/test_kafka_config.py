"""Kafka's configuration on real Kafka: formatted by its own tool, started, and tried from all sides."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from requests.auth import HTTPBasicAuth

from components.k8s import pods
from components.kafka import config
from components.kafka import nodes as process
from components.kafka.access import Topic, topic_config
from components.kafka.rules import RULES
from components.rules import Alert
from tests.support import kafka_nodes
from tests.support.kafka_nodes import RealNode

ANSWER_S = 60.0


def _start(nodes: list[RealNode]) -> None:
    for node in nodes:
        node.serve()
    for node in nodes:
        node.wait_for_port(config.CLIENT_PORT)


def _client(node: RealNode, **changes: str) -> dict[str, str]:
    return {
        "bootstrap.servers": f"{node.node.host}:{config.EXTERNAL_PORT}",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": config.ADMIN,
        "sasl.password": kafka_nodes.ADMIN_PASSWORD,
        "ssl.ca.location": str(node.folder / "tls/ca.crt"),
        **changes,
    }


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealNode]]:
    """Three brokers that vote, as in the small profile; each volume is formatted by Kafka's own tool."""
    nodes = kafka_nodes.prepare(kafka_nodes.small_cluster(kafka_nodes.loopback(3)), tmp_path_factory.mktemp("combined"))
    try:
        for node in nodes:
            kafka_nodes.format_volume(node)
        _start(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture
def cluster(nodes: list[RealNode]) -> list[RealNode]:
    """The brokers, of which all run."""
    _start([node for node in nodes if node.process is None])
    return nodes


@pytest.fixture(scope="module")
def topic(nodes: list[RealNode]) -> str:
    """A topic with the configuration that the platform gives its topics."""
    wanted = Topic(name="telemetry-metrics", partitions=3, retention_ms=1000 * 3600)
    admin = AdminClient(_client(nodes[0]))
    futures = admin.create_topics(
        [
            NewTopic(
                wanted.name,
                num_partitions=wanted.partitions,
                replication_factor=3,
                config=topic_config(wanted, min_insync_replicas=2, max_message_bytes=4 * 1024 * 1024),
            )
        ],
        request_timeout=ANSWER_S,
        operation_timeout=ANSWER_S,
    )
    futures[wanted.name].result(timeout=ANSWER_S)
    return wanted.name


def test_a_formatted_folder_is_left_alone_and_a_second_format_succeeds(cluster: list[RealNode]) -> None:
    identity = (cluster[0].folder / "data/meta.properties").read_text()
    assert cluster[0].run(process.format_command(kafka_nodes.PROPERTIES)).returncode == 0
    assert (cluster[0].folder / "data/meta.properties").read_text() == identity


def test_cluster_and_directory_ids_are_those_that_the_platform_name_decides(cluster: list[RealNode]) -> None:
    for node in cluster:
        text = (node.folder / "data/meta.properties").read_text()
        assert f"cluster.id={config.kafka_uuid('test/cluster')}" in text
        assert f"directory.id={config.kafka_uuid(f'test/{node.node.identity}')}" in text


def test_the_administrator_sees_three_brokers_with_scram_over_tls(cluster: list[RealNode]) -> None:
    metadata = AdminClient(_client(cluster[0])).list_topics(timeout=ANSWER_S)
    assert sorted(metadata.brokers) == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"sasl.password": "wrong"},
        {"sasl.username": "nobody"},
        {"security.protocol": "SSL"},
        {"security.protocol": "PLAINTEXT"},
        {"security.protocol": "SASL_PLAINTEXT"},
        {"sasl.mechanism": "PLAIN"},
    ],
    ids=["wrong password", "unknown user", "no SASL", "no TLS, no SASL", "no TLS", "PLAIN"],
)
def test_a_client_that_does_not_identify_itself_is_refused(cluster: list[RealNode], change: dict[str, str]) -> None:
    with pytest.raises(KafkaException):
        AdminClient(_client(cluster[0], log_level="0", **change)).list_topics(timeout=2)


@pytest.mark.parametrize("port", [config.INTERNAL_PORT, config.CONTROLLER_PORT])
def test_internal_listeners_refuse_a_client_without_certificate(cluster: list[RealNode], port: int) -> None:
    assert not _talks(cluster[0], port, certificate=False)
    assert _talks(cluster[0], port, certificate=True), "refused the node's own certificate: the test shows nothing"


def test_an_acknowledged_record_has_its_copies(cluster: list[RealNode], topic: str) -> None:
    errors: list[object] = []
    producer = Producer({**_client(cluster[0]), "acks": "all", "compression.type": "snappy"})
    producer.produce(topic, b"value", key=b"key", on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(ANSWER_S) == 0
    assert errors == [None]
    partitions = AdminClient(_client(cluster[0])).list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
    assert all(len(partition.isrs) == 3 for partition in partitions.values())


def test_the_readiness_probe_passes_on_a_broker_in_sync(cluster: list[RealNode], topic: str) -> None:
    del topic
    done = _probe(cluster[1])
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_need_tls_and_the_scrape_password(cluster: list[RealNode]) -> None:
    assert _metrics(cluster[0], kafka_nodes.SCRAPE_PASSWORD).status_code == 200
    assert _metrics(cluster[0], "wrong").status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{cluster[0].node.host}:{config.METRICS_PORT}/metrics", timeout=60)


OF_QUOTAS = {"kafka_server_quota_throttle_milliseconds"}
"""There are none of a user without a quota: test_quotas.py sees them."""


def test_every_broker_metric_that_a_rule_uses_is_there(cluster: list[RealNode], topic: str) -> None:
    del topic
    served = _metrics(cluster[0], kafka_nodes.SCRAPE_PASSWORD).text
    used = {
        name
        for group in RULES
        for rule in group.rules
        if isinstance(rule, Alert)
        for name in re.findall(r"kafka_(?:server|controller|log|network)_\w+", rule.expr)
    }
    assert used, "no rule uses a broker metric"
    for name in sorted(used - OF_QUOTAS):
        assert re.search(rf"^{name}[ {{]", served, re.MULTILINE), f"{name} is not served"


def test_the_readiness_probe_fails_while_a_broker_is_behind(cluster: list[RealNode], topic: str) -> None:
    """The others have dropped it from the in-sync copies; asked through one of them, as its own port is closed."""
    down = cluster[2]
    down.stop()
    admin = AdminClient(_client(cluster[0]))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        partitions = admin.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
        if all(2 not in partition.isrs for partition in partitions.values()):
            break
        time.sleep(1)
    closed = _probe(down)
    behind = _probe(cluster[0], index=2)
    assert closed.returncode != 0, "passed although the client port is closed"
    assert behind.returncode == 1
    assert behind.stdout.startswith("broker 2 is behind in"), behind.stdout + behind.stderr


def _probe(node: RealNode, index: int | None = None) -> subprocess.CompletedProcess[str]:
    number = node.node.identity if index is None else index
    state = Path(f"{node.folder}/caught-up-{number}")
    state.unlink(missing_ok=True)
    question = ("bash", f"{config.CONFIG_DIRECTORY}/in-sync.sh")
    probe = pods.readiness_probe(config.CLIENT_PORT, config.CONFIG_DIRECTORY, question, 30)
    assert probe.command is not None
    return node.run([str(state) if word == pods.STATE else word for word in probe.command], {"POD_INDEX": str(number)})


def _metrics(node: RealNode, password: str) -> requests.Response:
    return requests.get(
        f"https://{node.node.host}:{config.METRICS_PORT}/metrics",
        auth=HTTPBasicAuth("scrape-kafka", password),
        verify=str(node.folder / "tls/ca.crt"),
        timeout=60,
    )


def _talks(node: RealNode, port: int, *, certificate: bool) -> bool:
    """Whether the listener answers Kafka's first request (ApiVersions, version 0)."""
    context = ssl.create_default_context(cafile=str(node.folder / "tls/ca.crt"))
    if certificate:
        context.load_cert_chain(node.folder / "tls/tls.crt", node.folder / "tls/tls.key")
    request = b"\0\x12\0\0\0\0\0\1\xff\xff"
    try:
        with (
            socket.create_connection((node.node.host, port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname=node.node.host) as connection,
        ):
            connection.sendall(len(request).to_bytes(4, "big") + request)
            return bool(connection.recv(4))
    except (ssl.SSLError, ConnectionError):
        return False
