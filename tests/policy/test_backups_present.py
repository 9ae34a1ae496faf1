"""Backups are there, encrypted, watched and kept: each promise broken once, from the platform's own component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from components.backups.component import Backups
from components.telemetry.topics import TOPIC_NAMES
from policy.model import UNKNOWN, Resource, UnknownValueError
from policy.rules import RULES as RULE_PACK
from policy.rules.backups_present import RULES
from tests.policy import fixtures_dataplane as dataplane
from tests.policy.fixtures_servers import config_map, rule, said, secret, workload
from tests.support.mutations import mutations
from tests.unit.backups.stubs import arguments
from tests.unit.sampler.stubs import deployment_context, record

TOPIC = "kafka:index/topic:Topic"
TOPICS = [Resource(TOPIC, name, {"name": name}) for name in TOPIC_NAMES]
KEEPS = [
    workload("StatefulSet", "postgres", "postgres:15"),
    workload("StatefulSet", "grafana", "grafana/grafana:12.3.1"),
    workload("StatefulSet", "search", "opensearchproject/opensearch:2.19.4"),
    *TOPICS,
]
"""What keeps data."""


@pytest.fixture(scope="module")
def good() -> list[Resource]:
    def program() -> None:
        Backups("backups", arguments(deployment_context()))

    return [
        *KEEPS,
        *(Resource(resource.token, resource.name, resource.inputs) for resource in record(program).resources),
    ]


def without(resources: list[Resource], kind: str, name: str) -> list[Resource]:
    """The stack without one object."""
    return [resource for resource in resources if (resource.kind, resource.object_name) != (kind, name)]


def told(resources: list[Resource], name: str, change: Callable[[dict[str, Any]], Any]) -> list[Resource]:
    """The stack with a changed settings file."""

    def changed(resource: Resource) -> Resource:
        if (resource.kind, resource.object_name) != ("ConfigMap", name):
            return resource
        content = yaml.safe_load(resource.props["data"]["config.yaml"])
        change(content)
        data = {"config.yaml": yaml.safe_dump(content)}
        return Resource(resource.type, resource.name, {**resource.props, "data": data})

    return [changed(resource) for resource in resources]


@pytest.mark.parametrize("checked", RULES, ids=lambda checked_rule: checked_rule.id)
def test_the_platforms_own_backups_keep_every_promise(checked: Any, good: list[Resource]) -> None:
    assert said(checked, good) == []


@pytest.mark.parametrize(
    ("job", "name", "fix"),
    [
        ("database", "PostgreSQL", "add a CronJob with services.backup database, pg_dump or pg_basebackup"),
        ("grafana", "Grafana definitions", "add a CronJob with services.backup grafana"),
        ("kafka-metadata", "Kafka metadata", "add a CronJob with services.backup kafka-metadata"),
    ],
)
def test_a_job_that_is_taken_away_or_has_nothing_to_do_is_noticed(
    good: list[Resource], job: str, name: str, fix: str
) -> None:
    message = f"stack, backups: nothing in the stack backs up the {name}. Fix: {fix}."
    assert said(rule("backup-exists"), without(good, "CronJob", f"backup-{job}")) == [message]
    idle = told(good, f"backup-{job}", lambda content: content.pop(job.replace("-", "_")))
    assert said(rule("backup-exists"), idle) == [message]
    assert said(rule("backup-exists"), idle, elsewhere=[name]) == []


def test_an_archive_that_is_taken_away_or_leaves_a_topic_out_is_noticed(good: list[Resource]) -> None:
    message = (
        "stack, backups: nothing in the stack backs up the topics. "
        "Fix: run services.kafka_archive, or a collector with the awss3 exporter, that reads every topic."
    )
    assert said(rule("backup-exists"), without(good, "Deployment", "kafka-archive")) == [message]
    fewer = told(good, "kafka-archive", lambda content: content["kafka"]["topics"].remove("alerts-raw"))
    assert said(rule("backup-exists"), fewer) == [message]


def test_metrics_that_no_sidecar_ships_are_noticed() -> None:
    prometheus = workload("StatefulSet", "p", "prom/prometheus:v3.16.0")
    shipper = workload("StatefulSet", "t", "thanosio/thanos:v0.42.0", args=["sidecar", "--objstore.config-file=/x"])
    message = (
        "stack, backups: nothing in the stack backs up the metrics. Fix: give every Thanos sidecar an object store."
    )
    assert said(rule("backup-exists"), [prometheus]) == [message]
    assert said(rule("backup-exists"), [prometheus, shipper]) == []


def test_other_programs_that_back_up_count_too() -> None:
    dump = workload("CronJob", "dump", "postgres:16.4", command=["/bin/sh", "-c", "pg_dump --dbname=x | gzip > /x"])
    exporter = {
        "receivers": {"kafka": {}},
        "exporters": {"awss3": {}},
        "service": {"pipelines": {"metrics": {"receivers": ["kafka"], "exporters": ["awss3"]}}},
    }
    assert said(rule("backup-exists"), [KEEPS[0], *TOPICS, dump, config_map("archive", **{"a.yaml": exporter})]) == []
    assert len(said(rule("backup-exists"), [KEEPS[0], *TOPICS])) == 2


def test_a_search_cluster_needs_an_export_or_snapshots(good: list[Resource]) -> None:
    message = (
        "stack, backups: nothing in the stack backs up the search cluster. "
        "Fix: add a CronJob with services.backup search, or one that takes snapshots."
    )
    fewer = without(good, "CronJob", "backup-search")
    assert said(rule("backup-search-exists"), fewer) == [message]
    for image in ("obs/opensearch:2.19.4", "elasticsearch/elasticsearch:8.19.21"):
        ours = workload("StatefulSet", "search", image, command=["java", "-Xms1g", "org.example.Main"])
        changed = [*without(fewer, "StatefulSet", "search"), ours]
        assert said(rule("backup-search-exists"), changed) == [message], "a server that starts as java"
    assert said(rule("backup-search-exists"), fewer, needed=False) == []
    snap = workload("CronJob", "snap", "example/tools:1", command=["python", "-m", "snapshot"])
    assert said(rule("backup-search-exists"), [*fewer, snap]) == []


@pytest.mark.parametrize("name", ["backup-database", "kafka-archive"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.pop("recipients"),
            "recipients: nobody could open the backups: recipients is not set. Fix: name public keys of operators",
        ),
        (lambda content: content.update(recipients=[]), "recipients: nobody could open the backups"),
        (
            lambda content: content.update(recipients=["ssh-rsa AAAA"]),
            "recipients[0]: this is no public key of age. Fix: name public keys of operators (age1...).",
        ),
        (
            lambda content: content["storage"].update(endpoint="http://storage:80"),
            "storage.endpoint: backups travel in clear text: endpoint is http://storage:80. Fix: use https://.",
        ),
    ],
)
def test_a_backup_that_nobody_or_everybody_can_open_is_noticed(
    good: list[Resource], name: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    [finding] = said(rule("backup-encrypted"), told(good, name, change))
    assert finding.startswith(f"ConfigMap obs/{name}, config.yaml:.{message}")


def test_settings_that_are_not_mounted_encrypt_nothing(good: list[Resource]) -> None:
    [finding] = said(rule("backup-encrypted"), without(good, "ConfigMap", "backup-database"))
    assert finding.startswith("CronJob obs/backup-database, ")
    assert "recipients is not set" in finding


def test_every_weakened_setting_of_the_component_is_noticed(good: list[Resource]) -> None:
    """The mutation run does this for whole platforms; here only what the component brings is changed."""
    looked = [
        pack_rule
        for pack_rule in RULE_PACK
        if pack_rule.level == "mandatory" and pack_rule.stack and pack_rule in RULES
    ]
    at_resource = [pack_rule for pack_rule in RULE_PACK if pack_rule.level == "mandatory" and pack_rule.resource]
    shipper = workload("StatefulSet", "t", "thanosio/thanos:v0.42.0", args=["sidecar", "--objstore.config-file=/x"])
    stack = [*good, shipper]
    wanted = [
        mutation
        for mutation in mutations(stack)
        if stack[mutation.index].kind in ("ConfigMap", "CronJob")
        or (mutation.changed is None and mutation.index >= len(KEEPS))
    ]
    survivors = []
    for mutation in wanted:
        kind = stack[mutation.index].kind
        if mutation.changed is None and kind not in ("CronJob", "Deployment"):
            continue
        seen = mutation.changed is not None and any(said(one, [mutation.changed]) for one in at_resource)
        if not seen and not any(said(one, mutation.applied(stack)) for one in looked):
            survivors.append(mutation.name)
    assert survivors == []
    assert len(wanted) > 100


IDENTITY = "AGE-SECRET-KEY-1QQQQ"


@pytest.mark.parametrize(
    ("resource", "where"),
    [
        (secret("keys", identity=IDENTITY), "Secret mon/keys, identity:"),
        (config_map("keys", identity=IDENTITY.lower()), "ConfigMap mon/keys, identity:"),
        (
            workload("Deployment", "a", "example/a:1", command=["run", IDENTITY]),
            "Deployment mon/a, spec.template.spec.containers[0].command[1]",
        ),
    ],
)
def test_an_identity_in_the_cluster_is_noticed_and_not_shown(resource: Resource, where: str) -> None:
    [finding] = said(rule("backup-identities-away"), [resource])
    assert finding.startswith(f"{where}: an identity of age lies here: whoever reads it opens every backup.")
    assert IDENTITY not in finding.upper()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ages: ages.pop("grafana"),
            "most_age_s: nobody is notified when the grafana backup is missing. Fix: set most_age_s.grafana.",
        ),
        (
            lambda ages: ages.update(other=60),
            "most_age_s.other: no CronJob makes the other backup, which is expected. "
            "Fix: add a CronJob with services.backup other, or remove it here.",
        ),
        (
            lambda ages: ages.update(database=10**9),
            "most_age_s.database: nobody is notified of an old database backup in time: its limit is 1000000000 "
            "seconds. Fix: set it to 259200 or less.",
        ),
    ],
)
def test_a_backup_that_nobody_misses_is_noticed(
    good: list[Resource], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    changed = told(good, "backup-exporter", lambda content: change(content["most_age_s"]))
    assert said(rule("backup-watched"), changed) == [f"ConfigMap obs/backup-exporter, config.yaml:.{message}"]


def test_backups_without_an_exporter_and_a_missing_job_are_noticed(good: list[Resource]) -> None:
    assert said(rule("backup-watched"), without(good, "Deployment", "backup-exporter")) == [
        "stack, backups: nobody watches whether backups are made. Fix: run services.backup_exporter."
    ]
    [finding] = said(rule("backup-watched"), without(good, "CronJob", "backup-search"))
    assert "no CronJob makes the search backup, which is expected" in finding


def test_blocks_that_nobody_misses_are_noticed(good: list[Resource]) -> None:
    shipper = workload("StatefulSet", "t", "thanosio/thanos:v0.42.0", args=["sidecar", "--objstore.config-file=/x"])
    assert said(rule("backup-watched"), [*good, shipper]) == []
    fewer = told(good, "backup-exporter", lambda content: content.pop("blocks"))
    assert said(rule("backup-watched"), fewer) == []
    assert said(rule("backup-watched"), [*fewer, shipper]) == [
        "ConfigMap obs/backup-exporter, config.yaml:.blocks: nobody is notified when metrics are shipped no more. "
        "Fix: set blocks."
    ]
    slow = told(good, "backup-exporter", lambda content: content["blocks"].update(most_age_s=10**9))
    [finding] = said(rule("backup-watched"), slow)
    assert "blocks.most_age_s: nobody is notified of an old metrics backup in time" in finding


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "backup-exporter",
            lambda content: content["keep_days"]["runs"].update(database=1),
            "keep_days.runs.database: backups are",
        ),
        (
            "backup-exporter",
            lambda content: content["keep_days"]["runs"].pop("grafana"),
            "keep_days.runs.grafana: nobody removes what",
        ),
        (
            "backup-exporter",
            lambda content: content["keep_days"].update(archive=1),
            "keep_days.archive: backups are gone before",
        ),
        ("kafka-archive", lambda content: content.update(flush_s=3600), "flush_s: so many seconds of telemetry are"),
    ],
)
def test_backups_that_are_soon_gone_or_late_are_noticed(
    good: list[Resource], name: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    [finding] = said(rule("backup-kept"), told(good, name, change))
    assert finding.startswith(f"ConfigMap obs/{name}, config.yaml:.{message}")


@pytest.mark.parametrize("rule_id", ["backup-encrypted", "backup-watched", "backup-kept", "backup-exists"])
def test_settings_that_are_not_known_yet_are_not_called_missing(good: list[Resource], rule_id: str) -> None:
    unknown: list[Resource] = []
    for resource in good:
        props: Mapping[str, Any] = resource.props
        if (resource.kind, resource.object_name) == ("ConfigMap", "backup-database"):
            props = {**resource.props, "data": {"config.yaml": UNKNOWN}}
        unknown.append(Resource(resource.type, resource.name, props))
    with pytest.raises(UnknownValueError, match="ConfigMap obs/backup-database"):
        said(rule(rule_id), unknown)


METADATA = {
    "kafka_metadata": {
        "bootstrap": "kafka:9092",
        "ca_file": "/etc/trust/ca.crt",
        "user": "backup",
        "password_file": "/etc/backup-auth/password",
    }
}
SEEN = (("Describe", "Topic", "*"), ("Describe", "Group", "*"), ("DescribeConfigs", "Topic", "*"))
LOOKS = ("Describe", "Cluster", "kafka-cluster")


def test_who_backs_up_kafkas_metadata_may_see_all_of_it_and_nobody_needs_more_of_the_cluster() -> None:
    rules = [dataplane.acl("backup", *permission) for permission in (*SEEN, LOOKS)]
    files = dataplane.config_map({"config.yaml": METADATA}, name="backup-kafka-metadata")
    stack = [*dataplane.platform(), files, dataplane.user("backup")]
    assert dataplane.said("kafka-clients-allowed", [*stack, *rules]) == []
    assert [dataplane.said("kafka-acl-narrow", resource) for resource in rules] == [[]] * 4
    for left_out, (operation, kind, name) in zip(rules, (*SEEN, LOOKS), strict=True):
        assert dataplane.said(
            "kafka-clients-allowed", [*stack, *(resource for resource in rules if resource is not left_out)]
        ) == [
            f"ConfigMap ns/backup-kafka-metadata, config.yaml: kafka_metadata.user: backup needs {operation} on "
            f"{kind.lower()} {name}, and no rule allows it | add the access rule"
        ]


@pytest.mark.parametrize("changed", [("Alter", "Cluster", "kafka-cluster"), ("Describe", "Cluster", "*")])
def test_of_the_cluster_only_looking_is_allowed(changed: tuple[str, str, str]) -> None:
    assert dataplane.said("kafka-acl-narrow", dataplane.acl("backup", *changed))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "backup-database",
            lambda content: content.update(seal_key_file="/etc/backup-auth/none"),
            "seal_key_file: nobody signs the database backup: the file with its key is /etc/backup-auth/none, where",
        ),
        (
            "backup-exporter",
            lambda content: content["signing"]["seal_key_files"].pop("search"),
            "signing.seal_key_files.search: nobody signs the search backup: the file with its key is not set",
        ),
        (
            "backup-exporter",
            lambda content: content["signing"].pop("key_file"),
            "signing.key_file: no backup is signed: the file with its key is not set",
        ),
    ],
)
def test_a_backup_that_nobody_signs_is_noticed(
    good: list[Resource], name: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    [finding] = said(rule("backup-signed"), told(good, name, change))
    assert finding.startswith(f"ConfigMap obs/{name}, config.yaml:.{message}")


def test_the_key_that_signs_is_nobody_elses(good: list[Resource]) -> None:
    [held] = [one for one in good if (one.kind, one.object_name) == ("Secret", "backup-exporter-auth")]
    key = held.props["stringData"]["signing-key"]

    def leaked(resource: Resource) -> Resource:
        if (resource.kind, resource.object_name) != ("Secret", "kafka-archive-auth"):
            return resource
        data = {**resource.props["stringData"], "kafka-password": key}
        return Resource(resource.type, resource.name, {**resource.props, "stringData": data})

    [finding] = said(rule("backup-signed"), [leaked(resource) for resource in good])
    assert finding.startswith(
        "Deployment obs/kafka-archive, spec.template.spec.containers[0]: it has the key that signs"
    )
    assert key not in finding
