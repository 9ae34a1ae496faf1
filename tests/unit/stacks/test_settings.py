"""A stack file's mistakes: one clear line each; and the stack files themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.telemetry.topics import TOPIC_NAMES, TOPICS
from stacks.settings import SettingsError, parse
from tests.support import engine

FILE = "Pulumi.test.yaml"


def _keys(value: Any, path: str = "") -> set[str]:
    """Every path in nested data, without list positions."""
    paths = {path}
    if isinstance(value, dict):
        for key, inner in value.items():
            paths |= _keys(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            paths |= _keys(inner, f"{path}[]")
    return paths


def test_every_stack_file_is_accepted_and_has_the_same_keys() -> None:
    free = (
        ".load_balancers.annotations.",
        ".gateway.open_layers[",
        ".gateway.password_generations[",
        ".images.pull_secrets[",
        ".topics.",
        ".autoscaling.horizontal.",
        ".audit.cluster",
    )
    expected = _keys(engine.stack_settings("prod"))
    for stack in (*engine.STACKS, "local-dr"):
        settings = engine.stack_settings(stack)
        parse(settings, f"Pulumi.{stack}.yaml")
        keys = {key for key in _keys(settings) if not key.startswith(free)}
        wanted = {key for key in expected if not key.startswith(free)}
        assert keys == wanted, f"Pulumi.{stack}.yaml differs in {sorted(keys ^ wanted)}"


def test_a_topic_that_a_stack_file_leaves_out_is_as_the_catalogue_says() -> None:
    settings = engine.stack_settings("local")
    settings["topics"] = {"telemetry-logs": {"partitions": 9}}
    topics = {name: (topic.partitions, topic.retention_days) for name, topic in parse(settings, FILE).topics.items()}
    expected = {topic.name: (topic.partitions, topic.retention_days) for topic in TOPICS}
    assert topics == {**expected, "telemetry-logs": (9, 14)}
    assert list(topics) == list(TOPIC_NAMES)


def test_settings_are_frozen() -> None:
    settings = parse(engine.stack_settings("local"), FILE)
    with pytest.raises(ValueError, match="frozen"):
        settings.platform = "other"  # type: ignore[misc]


def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(settings: dict[str, Any]) -> None:
        target: Any = settings
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = to

    return change


def _drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(settings: dict[str, Any]) -> None:
        target: Any = settings
        for part in path[:-1]:
            target = target[part]
        del target[path[-1]]

    return change


def _nobody(settings: dict[str, Any]) -> None:
    """Production whose first contact has no channel."""
    settings["profile"] = "production"
    settings["alerting"]["contacts"]["operators"] = {"mail": None, "phone": False, "sms_topic": None, "slack": False}


def _without_people(settings: dict[str, Any]) -> None:
    """Production without a directory."""
    settings["profile"], settings["grafana"]["ldap"] = "production", None


def _without_clearances(settings: dict[str, Any]) -> None:
    """Production without an identity provider."""
    settings["profile"], settings["traces"] = "production", {"groups": {}, "queries": {}, "identity": None}


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a key that is missing": (
        _drop("kafka", "client_cidrs"),
        "settings.kafka.client_cidrs is missing: add it (see the same key in Pulumi.prod.yaml)",
    ),
    "a key that is misspelt": (
        _set("cluster", "contxt", to="kind"),
        "settings.cluster.contxt is not a known key: did you mean context? Known here: api, context, dns, domain, "
        "kubelets, state, uid",
    ),
    "an identity that is none": (
        _set("cluster", "uid", to="kube-system"),
        "settings.cluster.uid is 'kube-system': allowed is the UID of the namespace kube-system, as `kubectl get "
        "namespace kube-system -o jsonpath={.metadata.uid}` says; correct it",
    ),
    "a cluster without an identity": (
        _set("cluster", "context", to="kind-kind"),
        "settings.cluster: allowed is a context and a uid (here is no uid): `python -m ops config set-cluster` writes "
        "both; correct it",
    ),
    "no cluster": (
        _set("cluster", "context", to=None),
        "settings.cluster: allowed is a context and a uid (here is no context and no uid): `python -m ops config "
        "set-cluster` writes both; correct it",
    ),
    "an annotation that Kubernetes refuses": (
        _set("load_balancers", "annotations", to={"internal load balancer": "true"}),
        "settings.load_balancers.annotations: allowed is names such as example.com/name; correct or remove 'internal "
        "load balancer'; correct it",
    ),
    "an annotation that is no text": (
        _set("query", "annotations", to={"example.com/internal": True}),
        "settings.query.annotations.example.com/internal is true: allowed is a text; correct it",
    ),
    "a class of load balancers that Kubernetes refuses": (
        _set("grafana", "external_endpoint", "load_balancer_class", to="the cloud's"),
        'settings.grafana.external_endpoint.load_balancer_class is "the cloud\'s": allowed is a name of Kubernetes '
        "such as example.com/name; correct it",
    ),
    "a DNS server with a port": (
        _set("cluster", "dns", "networks", to=["169.254.20.10:53"]),
        "settings.cluster.dns.networks[0] is '169.254.20.10:53': allowed is a network such as 10.0.0.0/8, without host "
        "bits; correct it",
    ),
    "DNS pods without a label": (
        _set("cluster", "dns", "pods", to=[{"namespace": "kube-system", "labels": {}}]),
        "settings.cluster.dns.pods[0].labels: allowed is at least one label; correct it",
    ),
    "a key that is unknown": (
        _set("topics", "telemetry-metrics", to={"partitions": 12, "retention_days": 30, "colour": "red"}),
        "settings.topics.telemetry-metrics.colour is not a known key: remove it; "
        "known here: partitions, retention_days",
    ),
    "a layer that there is not": (
        _set("gateway", "open_layers", to=["moon", "device"]),
        "settings.gateway: allowed is only the layers device, streaming, business, data, analytics; remove moon; "
        "correct it",
    ),
    "passwords whose generations do not follow each other": (
        _set("gateway", "password_generations", to=[3, 1]),
        "settings.gateway.password_generations: allowed is one number, or two with the newer one first, such as "
        "[2, 1]; correct it",
    ),
    "two passwords of one generation": (
        _set("gateway", "password_generations", to=[2, 2]),
        "settings.gateway.password_generations: allowed is one number, or two with the newer one first, such as "
        "[2, 1]; correct it",
    ),
    "no password": (
        _set("gateway", "password_generations", to=[]),
        "settings.gateway.password_generations: allowed is one number, or two with the newer one first, such as "
        "[2, 1]; correct it",
    ),
    "a workload whose number of pods is not to follow its use": (
        _set("autoscaling", "horizontal", to={"kafka": {"minimum": 3, "maximum": 6, "cpu_percent": 60}}),
        "settings.autoscaling.horizontal: allowed is only the workloads gateway, jaeger-collector, jaeger-query, "
        "grafana; remove kafka; correct it",
    ),
    "fewer pods at most than at least": (
        _set("autoscaling", "horizontal", to={"gateway": {"minimum": 3, "maximum": 2, "cpu_percent": 60}}),
        "settings.autoscaling.horizontal.gateway: allowed is a maximum of at least minimum (3); correct it",
    ),
    "more Grafanas than the database has connections for": (
        _set("autoscaling", "horizontal", to={"grafana": {"minimum": 2, "maximum": 4, "cpu_percent": 60}}),
        "settings: allowed is an autoscaling.horizontal.grafana.maximum of at most 3: its pods have 60 connections to "
        "the database, which has 50 for them; correct it",
    ),
    "a wrong choice": (
        _set("profile", to="tiny"),
        "settings.profile is 'tiny': allowed is one of 'small', 'small-shared' or 'production'; correct it",
    ),
    "a text instead of a number": (
        _set("topics", "telemetry-metrics", to={"partitions": "12", "retention_days": 30}),
        "settings.topics.telemetry-metrics.partitions is '12': allowed is a whole number; correct it",
    ),
    "partitions that the platform was made with": (
        _set("topics", "telemetry-metrics", to={"partitions": 8}),
        "settings.topics: allowed is at least 12 for telemetry-metrics.partitions, which is 8: Kafka cannot take "
        "partitions away; correct it",
    ),
    "more than the brokers' volumes hold": (
        _set("load", "points", to=250),
        "settings: allowed is a storage.kafka of at least 16.1Gi (it is 2Gi) for the load and the topics' "
        "retention_days, or less of these; correct it",
    ),
    "more than a Prometheus keeps": (
        _set("prometheus", "retention_size", to="10MB"),
        "settings: allowed is a prometheus.retention_size of at least 18MB (it is 10MB) for load.points and 7d, "
        "less of these, or more than 1 prometheus.shards; correct it",
    ),
    "gateways that refuse what is promised": (
        _set("gateway", "peak", to={"points": 14, "spans": 60000, "log_records": 40000}),
        "settings: allowed is a gateway.peak.points of at least load.points (15): gateways refuse what is above it; "
        "correct it",
    ),
    "blocks that fill a volume": (
        _set("storage", "prometheus", to="1Gi"),
        "settings: allowed is a storage.prometheus of which prometheus.retention_size (1GB) takes at most 80%; "
        "correct it",
    ),
    "a number that is too small": (
        _set("topics", "telemetry-logs", to={"partitions": 6, "retention_days": 0}),
        "settings.topics.telemetry-logs.retention_days is 0: allowed is a number of at least 1; correct it",
    ),
    "a text instead of true or false": (
        _set("protect", to="no"),
        "settings.protect is 'no': allowed is true or false; correct it",
    ),
    "a value instead of a section": (
        _set("storage", to="2Gi"),
        "settings.storage is '2Gi': allowed is a group of keys; correct it",
    ),
    "a size without unit": (
        _set("storage", "kafka", to="20"),
        "settings.storage.kafka is '20': allowed is a size such as 500Mi, 20Gi or 2Ti; correct it",
    ),
    "a network with host bits": (
        _set("gateway", "client_cidrs", 0, to="10.0.0.1/8"),
        "settings.gateway.client_cidrs[0] is '10.0.0.1/8': "
        "allowed is a network such as 10.0.0.0/8, without host bits; correct it",
    ),
    "an address that is none": (
        _set("kafka", "brokers", 1, "address", to="198.18.0.300"),
        "settings.kafka.brokers[1].address is '198.18.0.300': "
        "allowed is an IP address, or null to take the one the load balancer gives; correct it",
    ),
    "a namespace that Kubernetes refuses": (
        _set("namespace", to="Obs_Local"),
        "settings.namespace is 'Obs_Local': allowed is 1 to 40 lower-case letters, digits and dashes "
        "that start with a letter; correct it",
    ),
    "too few brokers": (
        _drop("kafka", "brokers", 2),
        "settings.kafka: allowed is at least 3 brokers, since every record has 3 copies; correct it",
    ),
    "two brokers at one address": (
        _set("kafka", "brokers", 1, "host", to="198.18.0.10"),
        "settings.kafka: allowed is a host of its own for every broker; correct it",
    ),
    "a quorum that cannot lose one of its voters": (
        _set("kafka", "controllers", to=1),
        "settings.kafka.controllers is 1: allowed is one of 0 or 3; correct it",
    ),
    "a single Prometheus": (
        _set("prometheus", "replicas", to=["primary"]),
        "settings.prometheus.replicas: allowed is a list of at least 2; correct it",
    ),
    "certificates that are renewed too early": (
        _set("certificates", "workloads", "renew_before", to="2000h"),
        "settings.certificates.workloads: allowed is a renew_before of at most half of duration; correct it",
    ),
    "an image that does not exist": (
        _set("images", "digests", to={"nginx": "sha256:" + "0" * 64}),
        "settings.images: allowed is only the images alertmanager, backup, blackbox-exporter, elasticsearch, grafana, "
        "jaeger, kafka, kube-state-metrics, oauth2-proxy, opensearch, otelcol, postgres, postgres-exporter, "
        "prometheus, reports, services, thanos; "
        "remove nginx; correct it",
    ),
    "a digest that two images have": (
        _set("images", "digests", to={"services": "sha256:" + "0" * 64, "kafka": "sha256:" + "0" * 64}),
        "settings.images: allowed is a digest of its own for each image (kafka, services have sha256:"
        f"{'0' * 64}, which is one image): `python -m ops images digests` names them; correct it",
    ),
    "a registry for a group of images that does not exist": (
        _set("images", "registries", to={"obs": "registry.example.com/obs", "docker.io": "registry.example.com/hub"}),
        "settings.images: allowed is only the groups obs, upstream; remove docker.io; correct it",
    ),
    "a schedule without a day of the week": (
        _set("backups", "schedules", "database", to="5 * * *"),
        "settings.backups.schedules.database is '5 * * *': allowed is five fields of cron: minute, hour, day of the "
        "month, month, day of the week; correct it",
    ),
    "a schedule at a time that does not exist": (
        _set("backups", "schedules", "search", to="61 3 * * *"),
        "settings.backups.schedules.search is '61 3 * * *': allowed is five fields of cron: minute, hour, day of the "
        "month, month, day of the week; correct it",
    ),
    "a delay that a notification alone would use up": (
        _set("alerting", "escalation", "critical", to="1m"),
        "settings.alerting.escalation: allowed is 2m or more for critical: a notification takes some of it on its way; "
        "correct it",
    ),
    "production in which nobody is told": (
        _nobody,
        "settings: allowed is at least one of mail, phone, sms_topic and slack for alerting.contacts.operators with "
        "profile production: critical alerts would reach nobody otherwise; correct it",
    ),
    "a text message without SNS": (
        _set("alerting", "channels", "sms", to=None),
        "settings.alerting: allowed is null for the sms_topic of operators, senior-manager where channels.sms is null; "
        "correct it",
    ),
    "a phone without a pager": (
        _set("alerting", "channels", "phone", to=None),
        "settings.alerting: allowed is false for the phone of operators, senior-manager, on-call-engineer where "
        "channels.phone is null; correct it",
    ),
    "a mail address without a mail server": (
        _set("alerting", "channels", "mail", to=None),
        "settings.alerting: allowed is null for the mail of operators, senior-manager, team-leader where "
        "channels.mail is null; correct it",
    ),
    "reports that nobody gets although there is a mail server": (
        _set("reports", "recipients", to=None),
        "settings: allowed is null for reports.recipients where alerting.channels.mail is null, and for no other "
        "stack: reports are mailed by that server; correct it",
    ),
    "a pair of regions without a witness": (
        _set("regions", "witness", to=None),
        "settings: allowed is a regions.witness where there is a regions.peer: there both read which one is active; "
        "correct it",
    ),
    "trace queries that nobody could sign in at": (
        _set("traces", "identity", to=None),
        "settings.traces: allowed is {} for groups and queries where identity is null: nobody could sign in there; "
        "correct it",
    ),
    "production without people": (
        _without_people,
        "settings: allowed is grafana.ldap or grafana.oidc with profile production: everybody would share the "
        "administrator's account otherwise; correct it",
    ),
    "production without clearances": (
        _without_clearances,
        "settings: allowed is a traces.identity with profile production: nobody could read the traces that they are "
        "cleared for otherwise; correct it",
    ),
    "receivers in no network": (
        _set("alerting", "networks", to=[]),
        "settings.alerting: allowed is at least one of the receivers' networks and of their ports; correct it",
    ),
    "a topic that there is not": (
        _set("topics", "alerts-row", to={"partitions": 4, "retention_days": 30}),
        f"settings.topics: allowed is only the topics {', '.join(TOPIC_NAMES)}; remove alerts-row, or add it to "
        "components/telemetry/topics.py; correct it",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_becomes_one_line_that_says_what_to_do(mistake: str) -> None:
    change, message = MISTAKES[mistake]
    settings = engine.stack_settings("local")
    change(settings)
    with pytest.raises(SettingsError) as caught:
        parse(settings, FILE)
    assert str(caught.value) == f"{FILE}: {message}"


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    settings = engine.stack_settings("local")
    settings["profile"] = "tiny"
    settings["storage"]["gateway"] = "1 GB"
    with pytest.raises(SettingsError) as caught:
        parse(settings, FILE)
    assert len(str(caught.value).splitlines()) == 2


def test_a_stack_without_settings_is_told_what_is_missing() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(None, FILE)
    assert str(caught.value) == (
        f"{FILE}: observability:settings is missing: allowed is a group of keys; compare Pulumi.prod.yaml"
    )


def test_a_settings_error_shows_no_traceback() -> None:
    assert issubclass(SettingsError, pulumi.RunError)
