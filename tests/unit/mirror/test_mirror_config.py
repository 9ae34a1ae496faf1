"""The mirror's properties, permissions and metrics, as data (requirement D2)."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from components.kafka.access import AclRule, User, acl_rules
from components.mirror import config
from components.mirror.config import (
    CHECKPOINT_INTERVAL_S,
    FLUSH_INTERVAL_MS,
    SOURCE_USER,
    SYNC_INTERVAL_S,
    Permission,
    mirror_properties,
    passwords,
    render,
    source_permissions,
    target_permissions,
)
from policy.rules import RULES as POLICIES
from tests.unit.mirror.stubs import GROUPS, TOPICS, flow

FLOW = "region-a->region-b"


def test_both_sides_are_encrypted_verified_and_logged_in_to() -> None:
    properties = mirror_properties(flow())
    for alias, user, authority in (
        ("region-a", "mirror", "/etc/mirror-maker/source-ca.crt"),
        ("region-b", "mirror-maker", "/etc/tls/ca.crt"),
    ):
        assert properties[f"{alias}.security.protocol"] == "SASL_SSL"
        assert properties[f"{alias}.sasl.mechanism"] == "SCRAM-SHA-512"
        assert properties[f"{alias}.ssl.truststore.location"] == authority
        assert properties[f"{alias}.ssl.endpoint.identification.algorithm"] == "https"
        assert f'username="{user}"' in properties[f"{alias}.sasl.jaas.config"]


def test_passwords_are_references_into_the_one_folder_that_the_provider_may_read() -> None:
    properties = mirror_properties(flow())
    logins = [value for key, value in properties.items() if key.endswith("sasl.jaas.config")]
    for login, entry in zip(logins, ("source", "target"), strict=True):
        assert f'password="${{file:/etc/mirror-maker-auth/passwords.properties:{entry}}}"' in login
    assert properties["config.providers.file.param.allowed.paths"] == "/etc/mirror-maker-auth"


def test_the_source_is_never_written() -> None:
    properties = mirror_properties(flow())
    assert properties[f"{FLOW}.offset-syncs.topic.location"] == "target"
    assert properties[f"{FLOW}.emit.heartbeats.enabled"] == "false"
    assert properties["region-b->region-a.enabled"] == "false"
    assert properties["region-b->region-a.emit.heartbeats.enabled"] == "false"
    assert not [key for key in properties if key.startswith("region-a.producer.")]
    command = config.mirror_command(flow(), "256m", ())
    assert command[-2:] == ["--clusters", "region-b"]


def test_topics_keep_their_names_and_are_exactly_those_that_are_named() -> None:
    properties = mirror_properties(flow(topics=(*TOPICS, "a.b")))
    assert properties["replication.policy.class"].endswith(".IdentityReplicationPolicy")
    patterns = properties[f"{FLOW}.topics"].split(",")
    assert patterns == [*TOPICS, "a[.]b"]
    assert not any(re.fullmatch(pattern, "axb") for pattern in patterns)
    assert properties[f"{FLOW}.groups"] == ",".join(GROUPS)


def test_a_group_that_reads_seconds_ago_is_known_within_five_seconds() -> None:
    properties = mirror_properties(flow())
    assert properties[f"{FLOW}.sync.group.offsets.enabled"] == "true"
    assert int(properties[f"{FLOW}.sync.group.offsets.interval.seconds"]) == SYNC_INTERVAL_S <= 5
    assert int(properties[f"{FLOW}.emit.checkpoints.interval.seconds"]) == CHECKPOINT_INTERVAL_S <= 5
    assert int(properties["region-b.offset.flush.interval.ms"]) == FLUSH_INTERVAL_MS <= 5000


def test_what_is_written_has_its_copies_and_no_retry_doubles_or_reorders_it() -> None:
    properties = mirror_properties(flow())
    assert properties["region-b.producer.acks"] == "all"
    assert properties["region-b.producer.enable.idempotence"] == "true"
    assert int(properties["region-b.producer.max.in.flight.requests.per.connection"]) <= 5
    assert {value for key, value in properties.items() if key.endswith("replication.factor")} == {"3"}


def test_the_largest_record_of_the_topics_can_be_written() -> None:
    properties = mirror_properties(flow(max_message_bytes=1000))
    assert int(properties["region-b.producer.max.request.size"]) >= 4000


def test_what_a_task_holds_of_a_long_backlog_is_bounded() -> None:
    most = 8 * 2**20
    properties = mirror_properties(flow(max_message_bytes=most))
    assert int(properties["region-a.consumer.fetch.max.bytes"]) < most
    assert int(properties["region-a.consumer.max.partition.fetch.bytes"]) < most
    assert int(properties["region-a.consumer.max.poll.records"]) <= 50


def test_the_user_of_the_source_only_reads() -> None:
    permissions = source_permissions(TOPICS, GROUPS)
    assert {(permission.operation, permission.resource_type) for permission in permissions} == {
        ("Read", "Topic"),
        ("Describe", "Group"),
    }
    assert {permission.resource for permission in permissions} == {*TOPICS, *GROUPS}


def test_the_user_of_the_target_neither_makes_nor_changes_the_copied_topics() -> None:
    permissions = target_permissions("region-a", TOPICS, GROUPS)
    assert {permission.operation for permission in permissions if permission.resource in TOPICS} == {"Read", "Write"}
    created = {permission.resource for permission in permissions if permission.operation == "Create"}
    assert created == {
        "mm2-configs.region-a.internal",
        "mm2-offsets.region-a.internal",
        "mm2-status.region-a.internal",
        "mm2-offset-syncs.region-a.internal",
        "region-a.checkpoints.internal",
    }
    assert {permission.resource for permission in permissions if permission.resource_type == "Group"} == {
        "region-a-mm2",
        *GROUPS,
    }
    assert not {permission.operation for permission in permissions} & {
        "Alter",
        "AlterConfigs",
        "Delete",
        "All",
        "ClusterAction",
    }
    assert not [permission for permission in permissions if "*" in permission.resource]


def test_permissions_are_what_kafka_access_takes() -> None:
    grants = tuple(AclRule(**source_permission._asdict()) for source_permission in source_permissions(("t",), ("g",)))
    rules = acl_rules(User(name=SOURCE_USER, grants=grants))
    assert rules == list(grants)
    assert Permission("Read", "Topic", "t") in source_permissions(("t",), ("g",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "Region A"}, "mirror.source is 'Region A': use lower-case letters, digits and dashes"),
        ({"source": "region-b"}, "mirror.source is 'region-b', which is the target too: name the other region"),
        ({"topics": ()}, "mirror.topics is []: name at least one, and each only once"),
        ({"groups": ("a", "a")}, "mirror.groups is ['a', 'a']: name at least one, and each only once"),
        ({"topics": ("telemetry-.*",)}, "mirror copies 'telemetry-.*': use a full name, without patterns"),
    ],
)
def test_a_flow_that_is_not_what_was_meant_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        flow(**change)


def test_what_a_file_cannot_carry_is_refused() -> None:
    assert passwords("abc", "1d2") == "source=abc\ntarget=1d2\n"
    with pytest.raises(ValueError, match="password in the source must be letters and digits"):
        passwords('a"b', "c")
    with pytest.raises(ValueError, match="holds a line break or a backslash"):
        render({"key": "a\\b"})


def test_metrics_need_tls_and_a_password_that_is_not_in_the_file() -> None:
    text = config.jmx_exporter(user="scrape-mirror-maker", password="secret1", keystore_password="keystore-password")
    server = yaml.safe_load(text)["httpServer"]
    assert server["ssl"]["keyStore"] == {"filename": "/etc/tls/keystore.p12", "password": "keystore-password"}
    assert server["authentication"]["basic"]["username"] == "scrape-mirror-maker"
    assert "secret1" not in text


def test_the_policies_of_mirrors_are_there() -> None:
    """The rules that guard these files; the component's own test runs them."""
    assert {"mirror-secured", "mirror-faithful", "mirror-offsets", "mirror-source-untouched"} <= {
        policy.id for policy in POLICIES
    }
