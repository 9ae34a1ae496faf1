"""PostgreSQL's objects in the cluster, and every policy."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pulumi
import pytest
import yaml

from components.k8s import UID
from components.postgres import component
from components.postgres.component import Postgres
from components.postgres.config import PostgresDatabase
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support.engine import PASSWORD, Recording, password_of, texts
from tests.unit.k8s.namespaces import violations
from tests.unit.postgres.stubs import arguments, default_build, in_its_namespace

HOST = "postgres.obs.svc.cluster.local"


@pytest.fixture(scope="module")
def both() -> tuple[Recording, Postgres]:
    return default_build()


@pytest.fixture(scope="module")
def recording(both: tuple[Recording, Postgres]) -> Recording:
    return both[0]


def pod(recording: Recording) -> dict[str, Any]:
    spec: dict[str, Any] = recording.one("StatefulSet", "postgres")["spec"]["template"]["spec"]
    return spec


def container(recording: Recording, name: str) -> dict[str, Any]:
    [matching] = [entry for entry in pod(recording)["containers"] if entry["name"] == name]
    return dict(matching)


@pytest.mark.parametrize("standbys", [0, 1, 2])
def test_there_is_one_pod_that_takes_writes_and_one_for_each_standby(standbys: int) -> None:
    recording, _ = default_build(standbys=standbys)
    assert recording.one("StatefulSet", "postgres")["spec"]["replicas"] == 1 + standbys
    members = recording.one("ConfigMap", "postgres")["data"]["members"].splitlines()
    assert [line.split()[0] for line in members] == [f"postgres-{index}" for index in range(1 + standbys)]


def test_a_lost_first_pod_does_not_keep_the_others_from_being_made_again(recording: Recording) -> None:
    assert recording.one("StatefulSet", "postgres")["spec"]["podManagementPolicy"] == "Parallel"


def test_that_a_cluster_exists_is_noted_after_the_first_start_of_its_pods(recording: Recording) -> None:
    [volume] = [volume for volume in pod(recording)["volumes"] if volume["name"] == "cluster"]
    assert volume["configMap"]["optional"] is True, "the first start does not wait for it"
    marker = recording.one("ConfigMap", volume["configMap"]["name"])
    assert list(marker["data"]) == ["exists"]
    order = [(recorded.inputs.get("kind"), recorded.name) for recorded in recording.resources]
    assert order.index(("StatefulSet", "postgres")) < order.index(("ConfigMap", "postgres-cluster"))
    [mount] = [mount for mount in container(recording, "postgres")["volumeMounts"] if mount["name"] == "cluster"]
    start = recording.one("ConfigMap", "postgres")["data"]["start.sh"]
    assert f"exists={mount['mountPath']}/exists " in start


def test_clients_are_led_to_the_one_pod_that_takes_writes(recording: Recording) -> None:
    spec = recording.one("Service", "postgres")["spec"]
    assert spec["selector"]["apps.kubernetes.io/pod-index"] == "0"
    assert spec["selector"]["app.kubernetes.io/name"] == "postgres"
    assert spec["type"] == "ClusterIP"
    assert [port["port"] for port in spec["ports"]] == [5432]


def test_after_a_promotion_the_service_moves_and_no_pod_changes() -> None:
    before, _ = default_build()
    after, _ = default_build(primary=1)
    assert after.one("Service", "postgres")["spec"]["selector"]["apps.kubernetes.io/pod-index"] == "1"
    for kind, name in (("StatefulSet", "postgres"), ("ConfigMap", "postgres"), ("Secret", "postgres-access")):
        assert before.one(kind, name) == after.one(kind, name)


def test_each_database_is_an_endpoint_with_a_login_of_its_own() -> None:
    databases = [PostgresDatabase(name="grafana", owner="grafana"), PostgresDatabase(name="other", owner="somebody")]
    recording, postgres = default_build(databases=databases)
    assert set(postgres.databases) == {"grafana", "other"}
    endpoint = postgres.databases["grafana"]
    assert (endpoint.host, endpoint.port, endpoint.name) == (HOST, 5432, "grafana")
    assert endpoint.user.username == "grafana"
    assert endpoint.authority is None
    assert (endpoint.workload, endpoint.networks) == ("postgres", ())
    assert endpoint.access_label == "obs.access/postgres"
    assert len(endpoint.after) == 2
    assert {recorded.name for recorded in recording.of(PASSWORD)} == {
        "postgres-grafana",
        "postgres-somebody",
        "postgres-replication",
        "postgres-metrics",
        "scrape-postgres",
    }


def test_the_certificate_is_valid_for_the_service_and_each_pod(recording: Recording) -> None:
    [certificate] = recording.kinds("Certificate")
    assert {HOST, "*.postgres-headless.obs.svc.cluster.local", "localhost"} <= set(certificate["spec"]["dnsNames"])
    members = recording.one("ConfigMap", "postgres")["data"]["members"]
    for host in re.findall(r"host=(\S+)", members):
        assert re.fullmatch(r"postgres-\d\.postgres-headless\.obs\.svc\.cluster\.local", host)


def test_passwords_are_in_secrets_only_and_owners_passwords_nowhere(recording: Recording) -> None:
    access = recording.one("Secret", "postgres-access")["stringData"]
    data = json.loads(access["access.json"])
    assert [role["name"] for role in data["roles"]] == ["replication", "metrics", "grafana"]
    assert all(role["verifier"].startswith("SCRAM-SHA-256$4096:") for role in data["roles"])
    assert [role["name"] for role in data["roles"] if role["replication"]] == ["replication"]
    owner = password_of("postgres-grafana")
    everywhere = list(texts(recording.manifests()))
    assert not any(owner in text or base64.b64encode(owner.encode()).decode() in text for text in everywhere)
    for name in ("postgres-replication", "postgres-metrics"):
        known = password_of(name)
        holders = [manifest for manifest in recording.manifests() if any(known in text for text in texts(manifest))]
        assert [holder["kind"] for holder in holders] == ["Secret"]


def test_each_container_sees_only_the_secrets_that_it_needs(recording: Recording) -> None:
    mounts = {
        name: {mount["name"] for mount in container(recording, name)["volumeMounts"]}
        for name in ("postgres", "postgres-exporter")
    }
    assert mounts["postgres"] == {"config", "access", "cluster", "socket", "data", "tls", "tmp"}
    assert mounts["postgres-exporter"] == {"exporter", "exporter-secrets", "tls", "tmp"}


def test_the_root_file_system_is_read_only_and_the_user_has_no_right(recording: Recording) -> None:
    for name in ("postgres", "postgres-exporter"):
        context = container(recording, name)["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
    assert pod(recording)["securityContext"]["runAsUser"] == UID
    assert pod(recording)["automountServiceAccountToken"] is False


def test_the_key_has_the_mode_that_postgresql_takes_from_root(recording: Recording) -> None:
    [volume] = [volume for volume in pod(recording)["volumes"] if volume["name"] == "tls"]
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod(recording)["securityContext"]["fsGroup"] == UID


def test_the_servers_user_has_a_name(recording: Recording) -> None:
    [mount] = [
        volume_mount
        for volume_mount in container(recording, "postgres")["volumeMounts"]
        if volume_mount["mountPath"] == "/etc/passwd"
    ]
    assert (mount["name"], mount["subPath"], mount["readOnly"]) == ("config", "passwd", True)
    assert f"postgres:x:{UID}:{UID}:" in recording.one("ConfigMap", "postgres")["data"]["passwd"]


def test_a_server_that_recovers_is_not_killed(recording: Recording) -> None:
    server = container(recording, "postgres")
    startup = server["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800
    assert server["livenessProbe"]["exec"]["command"] == ["bash", "/etc/postgres/alive.sh"]
    assert server["readinessProbe"]["exec"]["command"][0].endswith("/15/bin/pg_isready")


def test_a_server_has_time_to_hand_over_and_to_close_its_files(recording: Recording) -> None:
    assert pod(recording)["terminationGracePeriodSeconds"] >= 60


def test_only_clients_members_and_scrapers_reach_it_and_it_reaches_members_only(recording: Recording) -> None:
    spec = recording.one("NetworkPolicy", "postgres")["spec"]
    allowed = [
        (
            [peer["podSelector"]["matchLabels"] for peer in rule["from"]],
            [port["port"] for port in rule["ports"]],
        )
        for rule in spec["ingress"]
    ]
    own = {"app.kubernetes.io/name": "postgres", "app.kubernetes.io/part-of": "obs"}
    assert allowed == [
        ([own], [5432]),
        ([{"obs.access/postgres": "true"}], [5432]),
        ([{"obs.access/metrics": "true"}], [9187]),
    ]
    ports = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert ports == {53, 5432}


def test_each_server_is_scraped_with_a_user_of_its_own(both: tuple[Recording, Postgres]) -> None:
    recording, postgres = both
    scrape = postgres.scrape
    assert (scrape.job, scrape.port) == ("postgres", component.EXPORTER_PORT)
    assert scrape.srv == "_metrics._tcp.postgres-headless.obs.svc.cluster.local"
    assert scrape.credential.username == "scrape-postgres"
    web = yaml.safe_load(recording.one("Secret", "postgres-exporter")["stringData"]["web.yml"])
    assert set(web["basic_auth_users"]) == {"scrape-postgres"}
    assert web["tls_server_config"]["cert_file"] == "/etc/tls/tls.crt"


def test_the_exporter_connects_over_verified_tls_with_a_password_from_a_file(recording: Recording) -> None:
    environment = {variable["name"]: variable["value"] for variable in container(recording, "postgres-exporter")["env"]}
    assert environment == {
        "DATA_SOURCE_URI": "localhost:5432/postgres?sslmode=verify-full&sslrootcert=/etc/tls/ca.crt"
        "&connect_timeout=5&application_name=postgres_exporter",
        "DATA_SOURCE_USER": "metrics",
        "DATA_SOURCE_PASS_FILE": "/etc/postgres-exporter-secrets/password",
    }


def test_each_server_has_a_volume_that_outlives_it(recording: Recording) -> None:
    spec = recording.one("StatefulSet", "postgres")["spec"]
    [claim] = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_a_changed_role_or_setting_rolls_the_pods() -> None:
    def sums(**changed: Any) -> str:
        recording, _ = default_build(**changed)
        annotations = recording.one("StatefulSet", "postgres")["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["obs.config/checksum"])

    assert sums() == sums()
    assert sums() != sums(max_connections=61)
    assert sums() != sums(databases=[PostgresDatabase(name="grafana", owner="other")])


@pytest.mark.parametrize("standbys", [1, 2])
def test_in_its_namespace_it_passes_every_policy(standbys: int) -> None:
    # Whether everything has a backup is judged on the whole platform (requirement D1).
    assert violations(in_its_namespace(standbys=standbys), "backup-exists") == []


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        ("postgresql.conf", "ssl = 'on'", "ssl = 'off'", "postgres-server"),
        ("postgresql.conf", "fsync = 'on'", "fsync = 'off'", "postgres-server"),
        ("pg_hba.conf", "hostssl grafana", "host grafana", "postgres-access"),
        ("pg_hba.conf", "grafana grafana all scram-sha-256", "grafana grafana all md5", "postgres-access"),
        ("leader", "sslmode=verify-full", "sslmode=require", "postgres-client-files"),
    ],
)
def test_the_policies_see_the_files_that_the_server_reads(file: str, old: str, new: str, rule: str) -> None:
    recording = in_its_namespace()
    resources = []
    for resource in recording.resources:
        inputs = resource.inputs
        if resource.token == "kubernetes:core/v1:ConfigMap" and resource.name == "postgres":
            assert old in inputs["data"][file]
            inputs = {**inputs, "data": {**inputs["data"], file: inputs["data"][file].replace(old, new)}}
        resources.append(Resource(resource.token, resource.name, inputs))
    rule_ids = {verdict.rule.id for verdict in Runner(rules=list(RULES), agreed=[]).all(resources)}
    assert rule in rule_ids


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"standbys": -1}, "database.standbys is -1: 0 or more"),
        ({"primary": 2}, "database.primary is 2: the number of a pod, 0 to 1"),
        ({"databases": []}, "databases: there is none"),
        ({"shared_buffers": "64Mi"}, "database.shared_buffers is '64Mi': a whole number with kB, MB or GB"),
        ({"max_connections": 19}, "database.max_connections is 19: at least 20"),
        ({"storage": "2G"}, "size is '2G', must be a whole number with Mi, Gi or Ti"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, pulumi.RunError), match=re.escape(message)):
        default_build(**changed)


def test_arguments_say_what_is_needed() -> None:
    assert arguments().primary == 0
