"""The reports' objects in the cluster, their settings as the programs read them, and every policy."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.contracts import ObjectStorage, QueryEndpoint
from components.k8s import MISTAKE, Container, DeploymentContext, Probe, Resources, cron_job
from components.reports import PORT, SCHEDULES, WORKLOAD, Kind, Mail, Reports, ReportsArgs, Schedule
from services import report_server as report_server_settings
from services.reports import ReportsSettings, model
from services.reports import __main__ as program
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.k8s.namespaces import in_namespace, violations
from tests.unit.sampler.stubs import deployment_context, kafka, record, user

KINDS = ("daily", "weekly", "monthly")
AUTHORITY = "-----BEGIN CERTIFICATE-----\noutside\n-----END CERTIFICATE-----\n"
SIZE = Resources(cpu="100m", memory="256Mi", memory_limit="768Mi")
RECIPIENTS: Mapping[Kind, tuple[str, ...]] = {
    Kind.DAILY: ("operators@example.com",),
    Kind.WEEKLY: ("operators@example.com", "team-leader@example.com"),
    Kind.MONTHLY: ("manager@example.com",),
}


def secret(value: str) -> pulumi.Output[str]:
    return pulumi.Output.secret(value)


def mail(**changes: Any) -> Mail:
    values: dict[str, Any] = {
        "server": "mail.example.com:587",
        "sender": "reports@example.com",
        "user": "reports",
        "password": secret("password-of-mail"),
        "authority": secret(AUTHORITY),
        "networks": ("203.0.113.5/32",),
        "port": 587,
    }
    return Mail(**{**values, **changes})


def storage(
    authority: str = AUTHORITY, endpoint: str | None = "https://storage.example.com:8444", role: str = "storage"
) -> ObjectStorage:
    return ObjectStorage(
        endpoint=endpoint,
        region="ap-northeast-1",
        bucket="monitoring",
        prefix="reports/",
        networks=("203.0.113.6/32",),
        port=8444,
        access_key_id=secret(f"key-id-of-{role}"),
        secret_access_key=secret(f"secret-key-of-{role}"),
        authority=secret(authority),
    )


def arguments(where: DeploymentContext, **changes: Any) -> ReportsArgs:
    values: dict[str, Any] = {
        "context": where,
        "scrape": metrics(where, WORKLOAD, PORT),
        "query": QueryEndpoint(
            url="https://198.18.0.21:9090",
            internal_url="https://thanos-query.obs.svc.cluster.local:9090",
            server_name="thanos-query.obs.svc.cluster.local",
            access_label="obs.access/thanos-query",
            reader=user("reader"),
        ),
        "query_workload": "thanos-query",
        "kafka": kafka("reports"),
        "storage": storage(),
        "server_storage": storage(role="report-server"),
        "mail": mail(),
        "recipients": RECIPIENTS,
        "time_zone": "Asia/Tokyo",
        "resources": SIZE,
        "report_server_resources": replace(SIZE, memory_limit="512Mi"),
    }
    return ReportsArgs(**{**values, **changes})


def recorded(changes: Callable[[], dict[str, Any]] = dict) -> tuple[Recording, Reports]:
    """Outputs are made inside of the program: they belong to its event loop."""
    kept: list[Reports] = []
    recording = record(lambda: kept.append(Reports("reports", arguments(deployment_context(), **changes()))))
    return recording, kept[0]


@pytest.fixture(scope="module")
def component() -> tuple[Recording, Reports]:
    return recorded()


@pytest.fixture(scope="module")
def recording(component: tuple[Recording, Reports]) -> Recording:
    return component[0]


def cron(recording: Recording, kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = recording.one("CronJob", f"report-{kind}")["spec"]
    return spec


def pod(recording: Recording, kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = cron(recording, kind)["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def settings_file(recording: Recording, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(recording.one("ConfigMap", name)["data"]["config.yaml"])
    return content


def test_the_report_program_accepts_its_settings_file(recording: Recording) -> None:
    settings = ReportsSettings.parse(settings_file(recording, "reports"))
    assert settings.name == "obs (one)"
    assert settings.zone.key == "Asia/Tokyo"
    assert settings.languages == ("ja", "en")
    assert settings.query.url == "https://thanos-query.obs.svc.cluster.local:9090"
    assert (settings.query.user, settings.kafka.user) == ("reader", "reports")
    assert settings.kafka.bootstrap == "kafka.obs.svc.cluster.local:9092"
    assert (settings.kafka.topic, settings.kafka.raw_topic) == ("alerts-processed", "alerts-raw")
    assert settings.mail is not None
    assert (settings.mail.host, settings.mail.port) == ("mail.example.com", 587)
    assert dict(settings.mail.recipients) == {str(kind): those for kind, those in RECIPIENTS.items()}
    assert settings.storage is not None
    assert (settings.storage.bucket, settings.storage.prefix) == ("monitoring", "reports/")
    assert (settings.storage.encryption, settings.link) == (None, None)


def test_every_file_that_the_report_program_reads_is_mounted(recording: Recording) -> None:
    settings = ReportsSettings.parse(settings_file(recording, "reports"))
    assert settings.mail is not None
    assert settings.storage is not None
    files: list[Path | None] = [
        settings.query.password_file,
        settings.kafka.password_file,
        settings.mail.password_file,
        settings.mail.ca_file,
        settings.storage.access_key_id_file,
        settings.storage.secret_access_key_file,
        settings.storage.ca_file,
    ]
    held = set(recording.one("Secret", "reports-auth")["stringData"])
    assert {file.name for file in files if file} == held
    assert {str(settings.query.ca_file), str(settings.kafka.ca_file)} == {"/etc/trust/ca.crt"}
    for kind in KINDS:
        [container] = pod(recording, kind)["containers"]
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert {"/etc/reports", "/etc/reports-auth", "/etc/trust", "/tmp"} == set(mounted)


def test_what_public_authorities_vouch_for_needs_no_file_and_what_is_chosen_is_told() -> None:
    recording, _ = recorded(
        lambda: {
            "mail": mail(authority=secret("")),
            "storage": storage("", None),
            "server_storage": storage("", None),
            "languages": ("en",),
            "encryption": "aws:kms",
            "link": "https://reports.example.com/monitoring",
        }
    )
    settings = ReportsSettings.parse(settings_file(recording, "reports"))
    assert settings.mail is not None
    assert settings.storage is not None
    assert (settings.mail.ca_file, settings.storage.ca_file, settings.storage.endpoint) == (None, None, None)
    assert (settings.languages, settings.storage.encryption) == (("en",), "aws:kms")
    assert settings.link == "https://reports.example.com/monitoring"
    report_server = report_server_settings.ReportServerSettings.parse(settings_file(recording, "report-server"))
    assert (report_server.storage.ca_file, report_server.storage.endpoint) == (None, None)


def test_the_report_server_accepts_its_settings_file_and_has_its_files(recording: Recording) -> None:
    settings = report_server_settings.ReportServerSettings.parse(settings_file(recording, "report-server"))
    assert dict(settings.most_age_h) == {str(kind): SCHEDULES[kind].most_age_h for kind in Kind}
    assert settings.listen_port == 8443
    assert (settings.reader.user, settings.metrics.user) == ("reader", "scrape-report-server")
    files = {
        settings.reader.password_file,
        settings.metrics.password_file,
        settings.storage.access_key_id_file,
        settings.storage.secret_access_key_file,
        settings.storage.ca_file,
    }
    assert {file.name for file in files if file} == set(recording.one("Secret", "report-server-auth")["stringData"])


def test_kinds_are_those_of_the_program() -> None:
    assert [kind.value for kind in Kind] == [kind.value for kind in model.Kind]
    assert tuple(report_server_settings.KINDS) == tuple(kind.value for kind in Kind)
    assert program._MISTAKE == MISTAKE


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_made_on_its_schedule_in_its_time_zone_and_never_twice_at_once(
    recording: Recording, kind: str
) -> None:
    spec = cron(recording, kind)
    assert spec["schedule"] == SCHEDULES[Kind(kind)].cron
    assert spec["timeZone"] == "Asia/Tokyo"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == SCHEDULES[Kind(kind)].start_within_s
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (2, 3)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (3, 3600)
    assert job["ttlSecondsAfterFinished"] == 7 * 24 * 3600
    [container] = pod(recording, kind)["containers"]
    assert container["command"][-1] == kind
    assert container["image"].startswith("registry.example/obs/reports:")


def test_a_mistake_in_the_settings_is_not_tried_again_and_an_evicted_pod_is(recording: Recording) -> None:
    job = cron(recording, "daily")["jobTemplate"]["spec"]
    mistake, evicted = job["podFailurePolicy"]["rules"]
    assert (mistake["action"], mistake["onExitCodes"]["values"]) == ("FailJob", [2])
    assert (evicted["action"], evicted["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert pod(recording, "daily")["restartPolicy"] == "Never"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_confined_like_every_pod_and_gets_no_private_key(recording: Recording, kind: str) -> None:
    spec = pod(recording, kind)
    assert spec["serviceAccountName"] == f"report-{kind}"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    [container] = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "initContainers" not in spec
    [trust] = [volume for volume in spec["volumes"] if volume["name"] == "trust"]
    assert trust["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_reaches_metrics_notifications_mail_and_storage_and_nobody_reaches_it(
    recording: Recording, kind: str
) -> None:
    policy = recording.one("NetworkPolicy", f"report-{kind}")["spec"]
    assert policy["ingress"] == []
    reached = {
        (
            peer.get("ipBlock", {}).get("cidr") or peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
            port["port"],
        )
        for rule in policy["egress"]
        for peer in rule["to"]
        for port in rule["ports"]
        if port["port"] != 53
    }
    assert reached == {("thanos-query", 9090), ("kafka", 9092), ("203.0.113.5/32", 587), ("203.0.113.6/32", 8444)}
    labels = cron(recording, kind)["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert labels["obs.access/thanos-query"] == labels["obs.access/kafka"] == "true"


def test_the_report_server_reaches_the_storage_only(component: tuple[Recording, Reports]) -> None:
    recording, reports = component
    policy = recording.one("NetworkPolicy", "report-server")["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 8444}
    [ingress] = policy["ingress"]
    labels = [peer["podSelector"]["matchLabels"] for peer in ingress["from"]]
    assert labels == [{reports.access_label: "true"}, {"obs.access/metrics": "true"}]
    assert recording.one("Deployment", "report-server")["spec"]["replicas"] == 2
    assert reports.scrape.job == "report-server"
    assert reports.reader.username == "reader"


def test_passwords_and_keys_are_in_secrets_only(recording: Recording) -> None:
    secrets = [manifest["stringData"] for manifest in recording.kinds("Secret")]
    assert recording.one("Secret", "reports-auth")["stringData"]["kafka-password"] == "password-of-reports"
    values = {value for data in secrets for value in data.values()}
    everything_else = str([manifest for manifest in recording.manifests() if manifest["kind"] != "Secret"])
    for value in values:
        assert value not in everything_else
        assert base64.b64encode(value.encode()).decode() not in everything_else


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipients": {Kind.DAILY: ("a@example.com",)}}, "reports.recipients.weekly is empty: name at least one"),
        ({"recipients": {**RECIPIENTS, Kind.DAILY: ("nobody",)}}, "reports.recipients.daily has 'nobody'"),
        ({"languages": ("fr",)}, r"reports.languages is \['fr'\]: name one or more of en, ja"),
        ({"languages": ("en", "en")}, "each of them once"),
        ({"languages": ()}, r"reports.languages is \[\]"),
        ({"time_zone": "Tokyo"}, "reports.time_zone is 'Tokyo', must be a name of the IANA database"),
        ({"time_zone": "../etc/passwd"}, "must be a name of the IANA database"),
        ({"schedules": {Kind.DAILY: SCHEDULES[Kind.DAILY]}}, "reports.schedules has no weekly, monthly"),
    ],
)
def test_a_mistake_in_the_arguments_says_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorded(lambda: changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"server": "mail.example.com"}, "reports.mail.server is 'mail.example.com', must be host:port"),
        ({"port": 25}, "give both the same port"),
        ({"sender": "reports"}, "reports.mail.sender is 'reports', must be a mail address"),
    ],
)
def test_a_mistake_about_the_mail_server_says_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorded(lambda: {"mail": mail(**changes)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cron": "10 6 * *"}, "has 4 fields, must have 5"),
        ({"most_age_h": 0}, "most_age_h is 0, must be 1 or more"),
        ({"start_within_s": 0}, "start_within_s is 0, must be 1 or more"),
    ],
)
def test_a_schedule_is_whole(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**{"cron": "10 6 * * *", "start_within_s": 60, "most_age_h": 32, **changes})


def test_a_pod_that_runs_to_its_end_has_no_probes() -> None:
    container = Container(
        name="reports", image="reports", command=["true"], resources=SIZE, liveness=Probe(command=("true",))
    )

    def program_() -> None:
        parent = pulumi.ComponentResource("obs:test:Test", "test")
        cron_job(
            parent,
            deployment_context(),
            workload="job",
            schedule=SCHEDULES[Kind.DAILY],
            time_zone="UTC",
            container=container,
            volumes=(),
            access=(),
            trust=None,  # type: ignore[arg-type]
        )

    with pytest.raises(ValueError, match="job/reports: a pod that runs to its end has no ports and no probes"):
        record(program_)


def test_in_its_namespace_it_passes_every_policy() -> None:
    recording = in_namespace(lambda lab: Reports("reports", arguments(lab)))
    assert violations(recording) == []
