"""The objects of backups in the cluster, their settings as the programs read them, and every policy."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from components.backups.component import Backups
from components.backups.config import (
    ROLES,
    STATE_AGE_S,
    Archiving,
    Blocks,
    Kind,
    SearchSource,
    job_schedule,
    most_age_s,
    public_key,
)
from components.telemetry.topics import TOPIC_NAMES
from services import backup as backup_settings
from services import backup_exporter as exporter_settings
from services.backup import signature
from services.kafka_archive import KafkaArchiveSettings
from tests.support.engine import Recording
from tests.unit.backups.stubs import (
    CRONS,
    DAYS,
    RECIPIENTS,
    arguments,
    database,
    recorded,
    storage,
    target,
)
from tests.unit.k8s.namespaces import in_namespace, violations
from tests.unit.sampler.stubs import kafka, search, user

KINDS = [str(kind) for kind in Kind]
REACHED = {
    "database": ("postgres", 5432),
    "grafana": ("grafana", 3000),
    "kafka-metadata": ("kafka", 9092),
    "search": ("search", 9200),
}
STORAGE = ("203.0.113.6/32", 8444)


@pytest.fixture(scope="module")
def component() -> tuple[Recording, Backups]:
    return recorded()


@pytest.fixture(scope="module")
def recording(component: tuple[Recording, Backups]) -> Recording:
    return component[0]


def settings_file(recording: Recording, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(recording.one("ConfigMap", name)["data"]["config.yaml"])
    return content


def backup(recording: Recording, kind: str) -> backup_settings.BackupSettings:
    return backup_settings.BackupSettings.parse(settings_file(recording, f"backup-{kind}"))


def job(recording: Recording, kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = recording.one("CronJob", f"backup-{kind}")["spec"]
    return spec


def template(recording: Recording, kind: str) -> dict[str, Any]:
    pod_template: dict[str, Any] = job(recording, kind)["jobTemplate"]["spec"]["template"]
    return pod_template


def reached(recording: Recording, workload: str) -> set[tuple[str, int]]:
    """Peers and ports that a workload may connect to, DNS aside."""
    return {
        (
            peer.get("ipBlock", {}).get("cidr") or peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
            port["port"],
        )
        for rule in recording.one("NetworkPolicy", workload)["spec"]["egress"]
        for peer in rule["to"]
        for port in rule["ports"]
        if port["port"] != 53
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_backup_program_accepts_its_settings_which_name_its_own_kind_only(recording: Recording, kind: str) -> None:
    settings = backup(recording, kind)
    assert (settings.platform, settings.region, settings.recipients) == ("obs", "one", RECIPIENTS)
    assert (settings.storage.bucket, settings.storage.prefix, settings.storage.encryption) == (
        "monitoring",
        "backups/",
        None,
    )
    sections = {other: getattr(settings, other.replace("-", "_")) for other in KINDS}
    assert [section_name for section_name, section in sections.items() if section] == [kind]
    # The program gives up, and says so, before Kubernetes ends it.
    assert 0 < settings.limit_s < job(recording, kind)["jobTemplate"]["spec"]["activeDeadlineSeconds"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_that_a_job_reads_is_mounted_and_no_other_password(recording: Recording, kind: str) -> None:
    settings = backup(recording, kind)
    section = getattr(settings, kind.replace("-", "_"))
    logins = section.databases if kind == "database" else [section]
    needed = {login.password_file.name for login in logins}
    needed |= {settings.storage.access_key_id_file.name, settings.storage.secret_access_key_file.name}
    needed |= {settings.seal_key_file.name}
    needed |= {settings.storage.ca_file.name} if settings.storage.ca_file else set()
    assert set(recording.one("Secret", f"backup-{kind}-auth")["stringData"]) == needed
    assert str(section.ca_file) == "/etc/trust/ca.crt"
    pod = template(recording, kind)["spec"]
    [container] = pod["containers"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        "/etc/backup",
        "/etc/backup-auth",
        "/etc/trust",
        "/tmp",
    }
    [auth] = [volume for volume in pod["volumes"] if volume["name"] == "auth"]
    assert auth["secret"]["secretName"] == f"backup-{kind}-auth"


def test_each_kind_is_read_by_the_user_that_may(recording: Recording) -> None:
    def password(kind: str, file: str = "password") -> str:
        return str(recording.one("Secret", f"backup-{kind}-auth")["stringData"][file])

    postgres = backup(recording, "database").database
    assert postgres is not None
    [owner] = postgres.databases
    assert (owner.name, owner.user, password("database", owner.password_file.name)) == (
        "grafana",
        "grafana",
        "password-of-grafana",
    )
    grafana, kafka, documents = (
        backup(recording, "grafana").grafana,
        backup(recording, "kafka-metadata").kafka_metadata,
        backup(recording, "search").search,
    )
    assert grafana
    assert kafka
    assert documents
    assert (grafana.user, password("grafana")) == ("platform-administrator", "password-of-platform-administrator")
    assert (kafka.user, password("kafka-metadata")) == ("backup", "password-of-backup")
    assert (documents.user, password("search")) == ("backup-search", "password-of-backup-search")
    assert documents.indices == ("logs-0*",)


def test_kinds_are_those_of_the_programs() -> None:
    assert tuple(KINDS) == backup_settings.KINDS
    assert set(KINDS) < set(exporter_settings.KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_runs_on_its_schedule_in_its_time_zone_and_never_twice_at_once(recording: Recording, kind: str) -> None:
    spec, schedule = job(recording, kind), job_schedule(CRONS[Kind(kind)])
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (
        CRONS[Kind(kind)],
        "Asia/Tokyo",
        "Forbid",
    )
    assert spec["startingDeadlineSeconds"] == schedule.start_within_s
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == schedule.limit_s
    [container] = template(recording, kind)["spec"]["containers"]
    assert container["command"][-4:] == ["services.backup", "--config", "/etc/backup/config.yaml", kind]
    assert container["image"].startswith("registry.example/obs/backup:")


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_reaches_its_source_and_the_storage_and_nobody_reaches_it(recording: Recording, kind: str) -> None:
    assert recording.one("NetworkPolicy", f"backup-{kind}")["spec"]["ingress"] == []
    assert reached(recording, f"backup-{kind}") == {REACHED[kind], STORAGE}
    labels = template(recording, kind)["metadata"]["labels"]
    assert {label for label in labels if label.startswith("obs.access/")} == {f"obs.access/{REACHED[kind][0]}"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_confined_like_every_pod_and_gets_no_private_key(recording: Recording, kind: str) -> None:
    spec = template(recording, kind)["spec"]
    assert spec["serviceAccountName"] == f"backup-{kind}"
    assert spec["automountServiceAccountToken"] is False
    [container] = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    [trust] = [volume for volume in spec["volumes"] if volume["name"] == "trust"]
    assert trust["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


def test_the_archive_accepts_its_settings_and_reads_every_topic(recording: Recording) -> None:
    settings = KafkaArchiveSettings.parse(settings_file(recording, "kafka-archive"))
    assert settings.kafka.topics == TOPIC_NAMES
    assert settings.kafka.username == "archive"
    assert settings.recipients == RECIPIENTS
    assert (settings.flush_s, settings.listen_port) == (60, 8080)
    assert settings.metrics.user == "scrape-kafka-archive"
    files = {
        settings.kafka.password_file,
        settings.metrics.password_file,
        settings.storage.access_key_id_file,
        settings.storage.secret_access_key_file,
        settings.storage.ca_file,
    }
    held = recording.one("Secret", "kafka-archive-auth")["stringData"]
    assert {file.name for file in files if file} == set(held)
    assert held["kafka-password"] == "password-of-archive"


def test_two_of_the_archive_share_the_partitions_and_have_time_to_store_what_they_hold(recording: Recording) -> None:
    spec = recording.one("Deployment", "kafka-archive")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 60
    assert recording.one("PodDisruptionBudget", "kafka-archive")["spec"]["maxUnavailable"] == 1
    assert reached(recording, "kafka-archive") == {("kafka", 9092), STORAGE}


def test_the_exporter_accepts_its_settings_and_knows_how_old_each_kind_may_get(recording: Recording) -> None:
    settings = exporter_settings.BackupExporterSettings.parse(settings_file(recording, "backup-exporter"))
    assert settings.state_most_age_s == STATE_AGE_S
    assert settings.keep_days.runs == {**{str(kind): days for kind, days in DAYS.items()}, "pulumi-state": 90}
    assert settings.keep_days.archive == 30
    assert dict(settings.most_age_s) == {str(kind): most_age_s(cron) for kind, cron in CRONS.items()}
    assert settings.blocks == exporter_settings.BlocksSettings(
        prefix="metrics/", most_age_s=3000, servers={"primary": {"prometheus_replica": "primary"}}
    )
    assert (settings.listen_port, settings.metrics.user) == (8443, "scrape-backup-exporter")
    files = {
        settings.metrics.password_file,
        settings.storage.access_key_id_file,
        settings.storage.secret_access_key_file,
        settings.storage.ca_file,
        settings.signing.key_file,
        *settings.signing.seal_key_files.values(),
    }
    held = recording.one("Secret", "backup-exporter-auth")["stringData"]
    assert {file.name for file in files if file} == set(held)
    assert reached(recording, "backup-exporter") == {STORAGE}
    assert recording.one("Deployment", "backup-exporter")["spec"]["replicas"] == 2


def test_the_exporter_alone_signs_and_each_job_seals_with_the_key_of_its_kind(
    recording: Recording,
) -> None:
    settings = exporter_settings.BackupExporterSettings.parse(settings_file(recording, "backup-exporter"))
    assert (settings.signing.platform, settings.signing.region) == ("obs", "one")
    assert set(settings.signing.seal_key_files) == set(exporter_settings.KINDS)
    held = recording.one("Secret", "backup-exporter-auth")["stringData"]
    signing_key = held[settings.signing.key_file.name]
    assert public_key(signing_key) == signature.public_key(signature.private_key(signing_key))
    seals = {kind: held[file.name] for kind, file in settings.signing.seal_key_files.items()}
    assert len({signing_key, *seals.values()}) == 1 + len(seals)
    for kind in KINDS:
        assert recording.one("Secret", f"backup-{kind}-auth")["stringData"]["seal-key"] == seals[kind]
    others = [
        manifest for manifest in recording.kinds("Secret") if manifest["metadata"]["name"] != "backup-exporter-auth"
    ]
    assert not [manifest for manifest in others if signing_key in manifest["stringData"].values()]


@pytest.mark.parametrize("workload", ["kafka-archive", "backup-exporter"])
def test_metrics_are_for_scrapers_only(recording: Recording, workload: str) -> None:
    [ingress] = recording.one("NetworkPolicy", workload)["spec"]["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in ingress["from"]] == [{"obs.access/metrics": "true"}]
    [port] = recording.one("Service", f"{workload}-headless")["spec"]["ports"]
    assert ingress["ports"] == [{"port": port["port"], "protocol": "TCP"}]
    settings = yaml.safe_load(recording.one("ConfigMap", workload)["data"]["config.yaml"])
    assert settings["metrics"]["user"] == f"scrape-{workload}"


def test_nobody_in_the_cluster_can_open_a_backup_and_passwords_are_in_secrets_only(recording: Recording) -> None:
    values = {value for manifest in recording.kinds("Secret") for value in manifest["stringData"].values()}
    assert not [value for value in values if "AGE-SECRET-KEY" in value.upper()]
    everything_else = str([manifest for manifest in recording.manifests() if manifest["kind"] != "Secret"])
    for value in values:
        assert value not in everything_else
        assert base64.b64encode(value.encode()).decode() not in everything_else


def test_what_public_authorities_vouch_for_needs_no_file_and_what_is_chosen_is_told() -> None:
    recording, _ = recorded(
        lambda: {
            "target": target(storages=dict.fromkeys(ROLES, storage("", None)), encryption="aws:kms"),
            "databases": [
                database(
                    host="db.example.com",
                    authority="",
                    workload=None,
                    access_label=None,
                    networks=("203.0.113.9/32",),
                )
            ],
            "search": None,
            "blocks": None,
        }
    )
    settings = backup(recording, "database")
    assert (settings.storage.endpoint, settings.storage.ca_file, settings.storage.encryption) == (None, None, "aws:kms")
    assert settings.database is not None
    assert str(settings.database.ca_file) == "/etc/ssl/certs/ca-certificates.crt"
    assert reached(recording, "backup-database") == {("203.0.113.9/32", 5432), STORAGE}
    assert KafkaArchiveSettings.parse(settings_file(recording, "kafka-archive")).storage.ca_file is None
    exporter = exporter_settings.BackupExporterSettings.parse(settings_file(recording, "backup-exporter"))
    assert exporter.storage.encryption == "aws:kms"
    assert (exporter.storage.ca_file, exporter.blocks, set(exporter.most_age_s)) == (None, None, {*KINDS} - {"search"})
    names = {manifest["metadata"]["name"] for manifest in recording.kinds("CronJob")}
    assert names == {f"backup-{kind}" for kind in KINDS if kind != "search"}


def test_an_authority_of_the_databases_own_is_a_file_of_its_job() -> None:
    elsewhere = {"host": "db.example.com", "workload": None, "access_label": None, "networks": ("203.0.113.9/32",)}
    recording, _ = recorded(lambda: {"databases": [database(authority="PEM of an authority", **elsewhere)]})
    settings = backup(recording, "database")
    assert settings.database is not None
    folder, name = settings.database.ca_file.parent, settings.database.ca_file.name
    assert (name, folder) == ("database-ca.pem", settings.database.databases[0].password_file.parent)
    held = [secret["stringData"] for secret in recording.kinds("Secret") if name in secret["stringData"]]
    assert [content[name] for content in held] == ["PEM of an authority"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda: {"target": target(recipients=())}, "backups.recipients is empty: name at least one public key"),
        (lambda: {"target": target(recipients=RECIPIENTS[:1] * 2)}, "has a key twice"),
        (lambda: {"target": target(recipients=["AGE-SECRET-KEY-1QQ"])}, r"recipients\[0\] is no public key of age"),
        (lambda: {"target": target(encryption="rot13")}, "backups.encryption is 'rot13': allowed are null and AES256"),
        (lambda: {"databases": []}, "there is no database to back up"),
        (lambda: {"databases": [database(), database(host="other")]}, "they must be on one server"),
        (lambda: {"schedules": {Kind.DATABASE: "5 * * * *"}}, "backups.schedules has no grafana: give it a line of"),
        (lambda: {"schedules": {**CRONS, Kind.SEARCH: "often"}}, "schedule 'often': it has 1 fields"),
        (lambda: {"keep_days": {}}, "backups.keep_days has no database: give it a number of days"),
        (lambda: {"keep_days": {**DAYS, Kind.GRAFANA: 0}}, "backups.keep_days.grafana is 0: allowed are 1 to 3650"),
        (lambda: {"archiving": Archiving(keep_days=0)}, "backups.keep_days.archive is 0"),
        (lambda: {"blocks": Blocks(prefix="metrics", range_s=600, servers={})}, "'metrics': it must end with /"),
        (
            lambda: {"search": SearchSource(endpoint=search("backup", "b"), engine="opensearch", indices=[])},
            "no index of the search",
        ),
        (
            lambda: {"search": SearchSource(endpoint=search("grafana", "b"), engine="opensearch", indices=["logs-0*"])},
            "the search cluster has no user backup: add it to its users",
        ),
        (lambda: {"kafka": kafka("backup")}, "Kafka has no user archive: add it to its users"),
    ],
)
def test_a_mistake_in_the_arguments_says_what_to_do(changes: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorded(changes)


def test_a_secret_key_by_mistake_is_not_shown() -> None:
    with pytest.raises(ValueError, match="no public key") as told:
        recorded(lambda: {"target": target(recipients=["AGE-SECRET-KEY-1VERYSECRET"])})
    assert "VERYSECRET" not in str(told.value)


def test_several_databases_of_one_server_are_backed_up_together() -> None:
    recording, _ = recorded(lambda: {"databases": [database(), database(name="events", user=user("events"))]})
    postgres = backup(recording, "database").database
    assert postgres is not None
    assert [
        (settings_database.name, settings_database.password_file.name) for settings_database in postgres.databases
    ] == [
        ("grafana", "password-grafana"),
        ("events", "password-events"),
    ]


def test_in_its_namespace_it_passes_every_policy() -> None:
    recording = in_namespace(lambda lab: Backups("backups", arguments(lab)))
    assert violations(recording) == []
