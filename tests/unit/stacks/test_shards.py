"""Metrics in shards: who holds, reads, scrapes and evaluates what (requirement P4)."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from components.rules import Reads
from components.rules import Recording as RecordingRule
from components.shards import largest_share, replica_and_shard, server_name, server_names
from components.telemetry.catalogue import METRICS
from components.telemetry.thresholds import THRESHOLDS
from stacks import rules
from stacks.settings import SettingsError, parse
from stacks.sizing import PROFILES
from tests.support import engine
from tests.support.engine import Recording

REPLICAS = ("primary", "secondary")
SERVERS = ("primary", "secondary", "primary-shard-1", "secondary-shard-1", "primary-shard-2", "secondary-shard-2")


@pytest.fixture(scope="module")
def three() -> Recording:
    return engine.sharded(3)


def prometheus(recording: Recording, server: str) -> dict[str, Any]:
    files: dict[str, str] = {}
    for volume in recording.one("StatefulSet", f"prometheus-{server}")["spec"]["template"]["spec"]["volumes"]:
        if "configMap" in volume:
            files |= recording.one("ConfigMap", volume["configMap"]["name"])["data"]
    return {"config": yaml.safe_load(files["prometheus.yml"]), "rules": yaml.safe_load(files["rules.yml"])["groups"]}


def consumer(recording: Recording, server: str) -> dict[str, Any]:
    text: str = recording.one("ConfigMap", f"metrics-consumer-{server}")["data"]["config.yaml"]
    receiver: dict[str, Any] = yaml.safe_load(text)["receivers"]["kafkarecords"]
    return receiver


def ruler(recording: Recording, replica: str) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(
        recording.one("ConfigMap", f"thanos-rule-{replica}")["data"]["rules.yml"]
    )["groups"]
    return groups


def names(groups: list[dict[str, Any]]) -> set[str]:
    return {group["name"] for group in groups}


def test_names_tell_replica_and_shard() -> None:
    assert server_names(REPLICAS, 3) == SERVERS
    for server in SERVERS:
        assert server_name(*replica_and_shard(server)) == server


@pytest.mark.parametrize(("partitions", "shards", "share"), [(12, 1, 1), (12, 3, 1 / 3), (12, 5, 3 / 12), (2, 2, 0.5)])
def test_the_fullest_shard_has_its_partitions_part(partitions: int, shards: int, share: float) -> None:
    assert largest_share(partitions, shards) == pytest.approx(share)


def test_one_shard_is_what_there_was_before() -> None:
    recording = engine.recorded("local")
    assert not [name for name in recording.outputs["prometheus_credentials"] if "shard" in name]
    assert consumer(recording, "primary")["shard"] == {"index": 0, "count": 1}
    config = prometheus(recording, "primary")["config"]
    assert "prometheus_shard" not in config["global"]["external_labels"]
    with pytest.raises(AssertionError):
        recording.one("StatefulSet", "thanos-rule-primary")


def test_every_replica_has_a_server_and_a_consumer_for_each_shard(three: Recording) -> None:
    assert set(three.outputs["prometheus_credentials"]) == set(SERVERS)
    assert three.outputs["prometheus_shards"] == 3
    for server in SERVERS:
        replica, shard = replica_and_shard(server)
        receiver = consumer(three, server)
        assert receiver["group_rebalance_strategy"] == "sharded"
        assert receiver["shard"] == {"index": shard, "count": 3}
        assert receiver["group_id"] == f"metrics-consumer-{replica}"
        assert receiver["group_instance_id"] == f"metrics-consumer-{server}"
        assert receiver["auth"]["sasl"]["username"] == f"metrics-consumer-{replica}"
        labels = prometheus(three, server)["config"]["global"]["external_labels"]
        assert labels["prometheus_replica"] == replica
        assert labels.get("prometheus_shard", "0") == str(shard)
    groups = three.outputs["consumer_groups"]
    assert [group for group in groups if group.startswith("metrics")] == [f"metrics-consumer-{r}" for r in REPLICAS]


def test_the_first_shard_scrapes_and_tells_and_the_others_hold_series(three: Recording) -> None:
    for server in SERVERS:
        _, shard = replica_and_shard(server)
        config, groups = prometheus(three, server)["config"], prometheus(three, server)["rules"]
        assert bool(config["scrape_configs"]) is (shard == 0), server
        assert bool(config["alerting"]["alertmanagers"]) is (shard == 0), server
        pod = three.one("StatefulSet", f"prometheus-{server}")["spec"]["template"]
        access = {label for label in pod["metadata"]["labels"] if label.startswith("obs.access/")}
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        if shard:
            assert names(groups) == {"pair-senders"}, server
            assert not access, server
            assert "scrape" not in volumes, server
        else:
            jobs = {job["job_name"] for job in config["scrape_configs"]}
            assert {f"prometheus-{one}" for one in SERVERS} <= jobs
            assert {f"thanos-rule-{replica}" for replica in REPLICAS} <= jobs


def test_rules_about_layers_are_the_rulers_and_nobody_elses(three: Recording) -> None:
    whole = {group["name"] for server in REPLICAS for group in prometheus(engine.recorded("local"), server)["rules"]}
    ruled = names(ruler(three, "primary"))
    assert ruled == names(ruler(three, "secondary"))
    for replica in REPLICAS:
        own = names(prometheus(three, replica)["rules"])
        assert not own & ruled
        assert own | ruled == whole | {"rulers"}
    alerts = {rule.get("alert") for group in ruler(three, "primary") for rule in group["rules"]}
    assert {threshold.alert for threshold in THRESHOLDS} <= alerts
    assert all(group["partial_response_strategy"] == "warn" for group in ruler(three, "primary"))


def test_no_rule_of_the_platform_reads_what_only_all_shards_have() -> None:
    """Metrics that layers send, and what rules about them record."""
    settings = parse(engine.stack_settings("local-dr"), "Pulumi.local-dr.yaml")
    groups = rules.groups(["gateway"], settings, PROFILES[settings.profile], mirrored=True, ruled=True)
    divided = {name for metric in METRICS for name in metric.series} | {"target_info"}
    divided |= {
        rule.record
        for group in groups
        for rule in group.rules
        if group.reads is Reads.LAYERS and isinstance(rule, RecordingRule)
    }
    for group in groups:
        if group.reads is not Reads.PLATFORM:
            continue
        for rule in group.rules:
            words = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", rule.expr))
            assert not words & divided, f"{group.name}: {words & divided}"


def test_the_read_address_reads_every_server_and_ruler_and_knows_the_rulers(three: Recording) -> None:
    stores = three.one("ConfigMap", "thanos-query")["data"]["endpoints.yml"]
    for server in SERVERS:
        assert f"prometheus-{server}-headless" in stores
    for replica in REPLICAS:
        assert f"thanos-rule-{replica}-headless" in stores
    command = three.one("Deployment", "thanos-query")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "--query.replica-label=prometheus_shard" in command
    users = yaml.safe_load(three.one("Secret", "thanos-query-web")["stringData"]["web.yml"])["basic_auth_users"]
    assert set(users) == {"people", "reader", "ruler", "scrape-thanos-query"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shards": 0}, "prometheus.shards"),
        ({"shards": 13}, "at most 12 for prometheus.shards, which is 13"),
        ({"replicas": ["primary", "primary-shard-1"]}, "replica names that are no name of a shard"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    settings = engine.stack_settings("local")
    settings["prometheus"].update(change)
    with pytest.raises(SettingsError, match=re.escape(message)):
        parse(settings, "Pulumi.local.yaml")


def test_shards_divide_what_a_volume_has_to_hold() -> None:
    settings = engine.stack_settings("prod")
    settings["load"]["points"] *= 3
    settings["gateway"]["peak"]["points"] = max(settings["gateway"]["peak"]["points"], settings["load"]["points"])
    settings["storage"]["kafka"] = "64Ti"
    with pytest.raises(SettingsError, match=re.escape("more than 1 prometheus.shards")):
        parse(settings, "Pulumi.prod.yaml")
    settings["prometheus"]["shards"] = 3
    assert parse(settings, "Pulumi.prod.yaml").prometheus.shards == 3
