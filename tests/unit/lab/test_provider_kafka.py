"""The Kafka plugin's decisions, against a fake of the brokers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import grpc
import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import ScramMechanism
from kafka.errors import KafkaError as QuotaError

from lab.pulumi_host.kafka_client import Brokers, client_configuration
from lab.pulumi_host.kafka_provider import KafkaProvider
from lab.pulumi_host.provider import UNKNOWN, ProviderError
from tests.support.kafka_admin_fake import AdminFake, QuotasFake
from tests.support.provider import Engine, engine_of

TOPIC = "kafka:index/topic:Topic"
ACL = "kafka:index/acl:Acl"
USER = "kafka:index/userScramCredential:UserScramCredential"
QUOTA = "kafka:index/quota:Quota"
METRICS = {
    "name": "telemetry-metrics",
    "partitions": 3,
    "replicationFactor": 3,
    "config": {"retention.ms": "1", "a": "b"},
}
WRITE = {
    "aclHost": "*",
    "aclOperation": "Write",
    "aclPermissionType": "Allow",
    "aclPrincipal": "User:gateway",
    "aclResourceName": "telemetry-",
    "aclResourceType": "Topic",
    "resourcePatternTypeFilter": "Prefixed",
}
GATEWAY = {"username": "gateway", "scramMechanism": "SCRAM-SHA-512", "scramIterations": 4096, "password": "hunter2"}
SETTINGS = {
    "bootstrapServers": json.dumps(["a:9094", "b:9094"]),
    "caCert": "PEM",
    "saslUsername": "admin",
    "saslPassword": "adminpw",
    "saslMechanism": "scram-sha512",
    "tlsEnabled": "true",
    "timeout": "2",
}


@pytest.fixture
def brokers() -> AdminFake:
    return AdminFake()


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def quotas() -> QuotasFake:
    return QuotasFake()


@pytest.fixture
def engine(brokers: AdminFake, quotas: QuotasFake, stopping: threading.Event) -> Iterator[Engine]:
    connection = Brokers(stopping, brokers.connect, brokers.dial, quotas.connect)
    with engine_of(KafkaProvider("0.0.0", connection, stopping)) as provider_engine:
        provider_engine.configure(SETTINGS, ("saslPassword",))
        yield provider_engine


def failure(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(error.value.details())


def test_settings_become_a_tls_and_scram_client() -> None:
    configuration, timeout = client_configuration(SETTINGS)
    assert timeout == 2
    assert configuration["bootstrap.servers"] == "a:9094,b:9094"
    assert configuration["security.protocol"] == "sasl_ssl"
    assert configuration["sasl.mechanism"] == "SCRAM-SHA-512"
    assert configuration["ssl.ca.pem"] == "PEM"
    assert "enable.ssl.certificate.verification" not in configuration


def test_certificates_are_checked_unless_switched_off_explicitly() -> None:
    configuration, _ = client_configuration({**SETTINGS, "skipTlsVerify": "true"})
    assert configuration["enable.ssl.certificate.verification"] is False


def test_a_client_certificate_is_handed_on() -> None:
    configuration, _ = client_configuration({"bootstrapServers": '["a:1"]', "clientCert": "C", "clientKey": "K"})
    assert (configuration["ssl.certificate.pem"], configuration["ssl.key.pem"], configuration["security.protocol"]) == (
        "C",
        "K",
        "ssl",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bootstrapServers": "[]"}, "bootstrapServers must be a list"),
        ({**SETTINGS, "saslMechanism": "aws-iam"}, "saslMechanism is aws-iam; allowed here: plain"),
        ({**SETTINGS, "saslTokenUrl": "x"}, "saslTokenUrl is not supported"),
        ({**SETTINGS, "caCert": UNKNOWN}, "caCert not known yet"),
    ],
)
def test_settings_that_make_no_client_are_one_clear_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        client_configuration(settings)


@pytest.mark.parametrize(("key", "value"), [("saslMechanism", "SCRAM"), ("bootstrapServer", "a:1")])
def test_mistaken_settings_are_told_in_the_preview(engine: Engine, key: str, value: str) -> None:
    with pytest.raises(grpc.RpcError, match=key):
        engine.configure({**SETTINGS, key: value})


def test_configuring_connects_to_nothing(engine: Engine, brokers: AdminFake) -> None:
    engine.configure({**SETTINGS, "caCert": UNKNOWN})
    identity, _, _ = engine.create(TOPIC, METRICS, preview=True)
    assert (identity, brokers.configurations) == ("", [])


def test_a_topic_without_a_name_takes_the_resource_s(engine: Engine) -> None:
    answer = engine.check(TOPIC, {"partitions": 1, "replicationFactor": 1}, name="t")
    assert answer.inputs["name"] == "t"


def test_a_topic_is_made_as_asked_and_named_by_its_id(engine: Engine, brokers: AdminFake) -> None:
    identity, _, _ = engine.create(TOPIC, METRICS)
    assert identity == "telemetry-metrics"
    assert brokers.topics[identity] == {"partitions": 3, "factor": 3, "config": METRICS["config"]}


def test_a_topic_that_exists_already_is_not_taken_over(engine: Engine) -> None:
    engine.create(TOPIC, METRICS)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOPIC, METRICS)
    assert "pulumi import kafka:index/topic:Topic NAME telemetry-metrics" in failure(caught)


def test_partitions_grow_in_place_and_the_configuration_is_set_as_a_whole(engine: Engine, brokers: AdminFake) -> None:
    engine.create(TOPIC, METRICS)
    brokers.topics["telemetry-metrics"]["config"]["by.hand"] = "goes"
    new = {**METRICS, "partitions": 6, "config": {"retention.ms": "2"}}
    assert list(engine.diff(TOPIC, METRICS, new).replaces) == []
    engine.update(TOPIC, "telemetry-metrics", METRICS, new)
    assert brokers.topics["telemetry-metrics"] == {
        "partitions": 6,
        "factor": 3,
        "config": {"retention.ms": "2"},
    }


def test_fewer_partitions_replace_the_topic_and_the_old_one_goes_first(engine: Engine) -> None:
    new = {**METRICS, "partitions": 2}
    assert engine.refusals(TOPIC, new, METRICS) == {}
    answer = engine.diff(TOPIC, METRICS, new)
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["partitions"], True)


def test_copies_are_not_moved_here_as_the_vendors_plugin_would(engine: Engine) -> None:
    assert list(engine.refusals(TOPIC, {**METRICS, "replicationFactor": 2}, METRICS)) == ["replicationFactor"]


def test_another_name_may_have_fewer_partitions(engine: Engine) -> None:
    new = {**METRICS, "name": "other", "partitions": 1}
    assert engine.refusals(TOPIC, new, METRICS) == {}
    answer = engine.diff(TOPIC, METRICS, new)
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["name", "partitions"], False)


def test_a_topic_needs_a_partition(engine: Engine) -> None:
    assert list(engine.refusals(TOPIC, {**METRICS, "partitions": 0})) == ["partitions"]


def test_drift_of_a_topic_is_seen(engine: Engine, brokers: AdminFake) -> None:
    engine.create(TOPIC, METRICS)
    brokers.topics["telemetry-metrics"]["config"] = {"retention.ms": "777"}
    _, _, inputs = engine.read(TOPIC, "telemetry-metrics", METRICS, METRICS)
    assert inputs == {**METRICS, "config": {"retention.ms": "777"}}


def test_a_topic_that_is_gone_reads_as_gone_and_deletes_without_error(engine: Engine) -> None:
    assert engine.read(TOPIC, "telemetry-metrics", METRICS, METRICS)[0] == ""
    engine.delete(TOPIC, "telemetry-metrics", METRICS)


def test_a_refused_first_connection_is_final_for_the_run(engine: Engine, brokers: AdminFake) -> None:
    brokers.refuse = lambda: ConnectionRefusedError("a:9094: Connection refused")
    with pytest.raises(grpc.RpcError) as first:
        engine.create(TOPIC, METRICS)
    brokers.refuse = None
    with pytest.raises(grpc.RpcError) as second:
        engine.create(USER, GATEWAY)
    reason = "cannot connect to a:9094,b:9094: a:9094: Connection refused. The provider does not try again in this run"
    assert failure(first).startswith(f"kafka: create topic telemetry-metrics: {reason}: check bootstrapServers")
    assert reason in failure(second)
    assert (brokers.dialled, brokers.topics, brokers.users) == (1, {}, {})


def test_another_run_connects_again(engine: Engine, brokers: AdminFake) -> None:
    brokers.refuse = lambda: ConnectionRefusedError("a:9094: Connection refused")
    with pytest.raises(grpc.RpcError):
        engine.create(TOPIC, METRICS)
    brokers.refuse = None
    engine.configure(SETTINGS)
    assert engine.create(TOPIC, METRICS)[0] == "telemetry-metrics"


def test_a_refused_login_points_at_the_credentials_and_is_final(engine: Engine, brokers: AdminFake) -> None:
    brokers.fail_next = [KafkaError._AUTHENTICATION]
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(TOPIC, METRICS)
        assert "check caCert, saslUsername, saslPassword" in failure(caught)
        assert "adminpw" not in failure(caught)
    assert len(brokers.configurations) == 1


def test_brokers_that_never_answer_are_given_up_at_the_timeout(engine: Engine, brokers: AdminFake) -> None:
    engine.configure({**SETTINGS, "timeout": "0"})
    brokers.fail_next = [KafkaError._TIMED_OUT] * 10_000
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOPIC, METRICS)
    assert "check bootstrapServers" in failure(caught)


def test_what_brokers_refuse_is_not_asked_again(engine: Engine, brokers: AdminFake) -> None:
    engine.create(ACL, WRITE)
    for code in (KafkaError.INVALID_CONFIG, KafkaError.NOT_CONTROLLER, KafkaError.INVALID_REPLICATION_FACTOR):
        brokers.fail_next = [code, code]
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(TOPIC, METRICS)
        assert failure(caught) == "kafka: create topic telemetry-metrics: refused"
        assert len(brokers.fail_next) == 1


def test_a_cancelled_wait_ends_at_once(engine: Engine, brokers: AdminFake, stopping: threading.Event) -> None:
    brokers.fail_next = [KafkaError._TIMED_OUT] * 1000
    stopping.set()
    with pytest.raises(grpc.RpcError):
        engine.create(TOPIC, METRICS)
    assert len(brokers.fail_next) == 999


def test_an_acl_has_upstream_s_id_and_can_be_read_and_deleted_by_it(engine: Engine, brokers: AdminFake) -> None:
    identity, _, _ = engine.create(ACL, WRITE)
    assert identity == "User:gateway|*|Write|Allow|Topic|telemetry-|Prefixed"
    assert engine.read(ACL, identity, {}, {}) == (identity, WRITE, WRITE)
    engine.delete(ACL, identity, WRITE)
    assert brokers.acls == []
    assert engine.read(ACL, identity, WRITE, WRITE)[0] == ""


def test_deleting_one_acl_leaves_the_others(engine: Engine, brokers: AdminFake) -> None:
    identity, _, _ = engine.create(ACL, WRITE)
    engine.create(ACL, {**WRITE, "aclOperation": "Describe"})
    engine.delete(ACL, identity, WRITE)
    assert len(brokers.acls) == 1


def test_an_acl_is_literal_unless_told_otherwise_and_never_changes_in_place(engine: Engine) -> None:
    inputs = {key: value for key, value in WRITE.items() if key != "resourcePatternTypeFilter"}
    assert engine.check(ACL, inputs).inputs["resourcePatternTypeFilter"] == "Literal"
    assert list(engine.diff(ACL, WRITE, {**WRITE, "aclOperation": "Read"}).replaces) == ["aclOperation"]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("aclOperation", "Wirte", "is Wirte; allowed: All, Read, Write"),
        ("aclResourceType", "Queue", "is Queue; allowed: Topic"),
        ("aclPermissionType", "Maybe", "is Maybe; allowed: Allow, Deny"),
        ("resourcePatternTypeFilter", "Match", "is Match; allowed: Literal, Prefixed"),
        ("aclPrincipal", "gateway", 'it must be like "User:name"'),
    ],
)
def test_a_mistaken_acl_is_refused_with_what_is_allowed(engine: Engine, key: str, value: str, reason: str) -> None:
    assert reason in engine.refusals(ACL, {**WRITE, key: value})[key]


def test_an_acl_on_the_cluster_must_name_it(engine: Engine) -> None:
    refusals = engine.refusals(ACL, {**WRITE, "aclResourceType": "Cluster"})
    assert refusals == {"aclResourceName": "is telemetry-; for the cluster it must be kafka-cluster"}


def test_a_user_is_made_changed_and_removed_and_the_password_stays_secret(engine: Engine, brokers: AdminFake) -> None:
    identity, _, secrets = engine.create(USER, GATEWAY)
    assert identity == "gateway|SCRAM-SHA-512"
    assert "password" in secrets
    engine.update(USER, identity, GATEWAY, {**GATEWAY, "password": "other"})
    assert brokers.users == {("gateway", ScramMechanism.SCRAM_SHA_512): (4096, b"other")}
    assert engine.read(USER, identity, GATEWAY, GATEWAY) == (identity, GATEWAY, GATEWAY)
    engine.delete(USER, identity, GATEWAY)
    assert engine.read(USER, identity, GATEWAY, GATEWAY)[0] == ""
    engine.delete(USER, identity, GATEWAY)


def test_a_user_s_changed_iterations_are_seen_as_drift(engine: Engine, brokers: AdminFake) -> None:
    identity, _, _ = engine.create(USER, GATEWAY)
    brokers.users["gateway", ScramMechanism.SCRAM_SHA_512] = (8192, b"x")
    assert engine.read(USER, identity, GATEWAY, GATEWAY)[2]["scramIterations"] == 8192


@pytest.mark.parametrize(
    ("inputs", "key"),
    [
        ({**GATEWAY, "passwordWo": "x"}, "password"),
        ({**GATEWAY, "password": ""}, "password"),
        ({**GATEWAY, "scramIterations": 100}, "scramIterations"),
        ({**GATEWAY, "scramMechanism": "SCRAM-SHA-1"}, "scramMechanism"),
    ],
)
def test_a_mistaken_user_is_refused_without_showing_the_password(
    engine: Engine, inputs: dict[str, object], key: str
) -> None:
    refusals = engine.refusals(USER, inputs)
    assert list(refusals) == [key]
    assert "hunter2" not in str(refusals)


def test_no_password_reaches_standard_error(
    engine: Engine, brokers: AdminFake, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.create(USER, GATEWAY, secrets=("password",))
    brokers.fail_next = [KafkaError.NOT_CONTROLLER]
    with pytest.raises(grpc.RpcError):
        engine.create(USER, GATEWAY, secrets=("password",))
    shown = capfd.readouterr()
    assert "hunter2" not in shown.out + shown.err
    assert "adminpw" not in shown.out + shown.err


BOUNDED = {
    "entityName": "gateway",
    "entityType": "user",
    "config": {"producer_byte_rate": "1048576", "request_percentage": "12.5"},
}


def test_a_quota_is_made_seen_and_removed(engine: Engine, quotas: QuotasFake) -> None:
    identity, _, _ = engine.create(QUOTA, BOUNDED)
    assert identity == "gateway|user"
    assert quotas.values == {("user", "gateway"): {"producer_byte_rate": 1048576.0, "request_percentage": 12.5}}
    assert engine.read(QUOTA, identity, BOUNDED, BOUNDED) == (identity, BOUNDED, BOUNDED)
    engine.delete(QUOTA, identity, BOUNDED)
    assert quotas.values == {}
    assert engine.read(QUOTA, identity, BOUNDED, BOUNDED)[0] == ""
    engine.delete(QUOTA, identity, BOUNDED)
    assert quotas.connected == 1


def test_a_changed_quota_is_made_anew_and_lost_unless_the_old_one_goes_first(
    engine: Engine, quotas: QuotasFake
) -> None:
    more = {**BOUNDED, "config": {"producer_byte_rate": "2097152", "request_percentage": "12.5"}}
    answer = engine.diff(QUOTA, BOUNDED, more)
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["config"], False)
    identity, _, _ = engine.create(QUOTA, BOUNDED)
    engine.create(QUOTA, more)
    engine.delete(QUOTA, identity, BOUNDED)
    assert quotas.values == {}


def test_a_quota_that_was_changed_by_hand_is_seen_as_drift(engine: Engine, quotas: QuotasFake) -> None:
    identity, _, _ = engine.create(QUOTA, BOUNDED)
    quotas.values["user", "gateway"] = {"producer_byte_rate": 5e9}
    assert engine.read(QUOTA, identity, BOUNDED, BOUNDED)[2]["config"] == {"producer_byte_rate": "5000000000"}


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"entityType": "group"}, {"entityType": "is group; allowed: client-id, user, ip"}),
        (
            {"config": {"producer_byte_rate": "1Mi"}},
            {"config": "producer_byte_rate is 1Mi; it must be a number"},
        ),
        ({"config": {"request_percentage": "inf"}}, {"config": "request_percentage is inf; it must be a number"}),
    ],
)
def test_a_mistaken_quota_is_refused(engine: Engine, changes: dict[str, object], refused: dict[str, str]) -> None:
    assert engine.refusals(QUOTA, {**BOUNDED, **changes}) == refused


def test_what_brokers_say_against_a_quota_is_told_and_the_next_try_has_a_new_client(
    engine: Engine, quotas: QuotasFake
) -> None:
    quotas.refuse = QuotaError("Unknown quota key fast")
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(QUOTA, BOUNDED)
    assert failure(caught) == "kafka: create quota gateway|user: Unknown quota key fast"
    engine.create(QUOTA, BOUNDED)
    assert (quotas.connected, quotas.closed) == (2, 1)


def test_quotas_need_a_login_that_the_plugin_can_use(brokers: AdminFake, stopping: threading.Event) -> None:
    connection = Brokers(stopping, brokers.connect, brokers.dial)
    with engine_of(KafkaProvider("0.0.0", connection, stopping)) as plain:
        plain.configure({**SETTINGS, "saslMechanism": "plain"})
        with pytest.raises(grpc.RpcError, match="caCert and saslMechanism scram-sha512 only"):
            plain.create(QUOTA, BOUNDED)


def test_an_id_of_a_quota_that_is_none_is_told(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError, match=r'quota id gateway is not like "name\|client-id'):
        engine.read(QUOTA, "gateway", {}, {})


def test_what_the_plugin_does_not_have_is_a_clear_error(engine: Engine) -> None:
    missing = "kafka:index/delegationToken:DelegationToken"
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(missing, {})
    assert f"{missing} is not offered" in failure(caught)
