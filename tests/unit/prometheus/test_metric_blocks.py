"""Prometheus, store gateway, compactor and query layer around an object storage: their objects and every policy."""

from __future__ import annotations

import base64
from typing import Any

import pulumi
import pytest
import yaml

from components.contracts import ObjectStorage
from components.k8s import DeploymentContext, LoadBalancerOptions, Resources
from components.prometheus.component import SIDECAR_PORT_NAME, Prometheus, PrometheusArgs
from components.prometheus.config import WEB_PORT, prometheus_command
from components.prometheus.query import (
    Compactor,
    CompactorArgs,
    StoreGateway,
    StoreGatewayArgs,
    ThanosQuery,
    ThanosQueryArgs,
    query_endpoint,
)
from components.prometheus.thanos import (
    QUERY_PORT,
    SIDECAR_HTTP_PORT,
    STORE_HTTP_PORT,
    compact_command,
    objects_config,
    prometheus_endpoint,
    sidecar_command,
    store_command,
)
from policy.stack_config import KEY_OF_ROLE
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.k8s.namespaces import in_namespace, violations
from tests.unit.sampler.stubs import deployment_context, record

SIZE = Resources(cpu="50m", memory="128Mi", memory_limit="512Mi")
AUTHORITY = "-----BEGIN CERTIFICATE-----\noutside\n-----END CERTIFICATE-----\n"
KEY, PASSWORD = "key-id-of-storage", "secret-key-of-storage"
REPLICAS = ("primary", "secondary")
WORKLOADS = (*(f"prometheus-{name}" for name in REPLICAS), "thanos-store", "thanos-compact")


def storage(**changes: Any) -> ObjectStorage:
    values: dict[str, Any] = {
        "endpoint": "https://storage.example.com:8444",
        "region": "ap-northeast-1",
        "bucket": "monitoring",
        "prefix": "metrics/",
        "networks": ("203.0.113.6/32",),
        "port": 8444,
        "access_key_id": pulumi.Output.secret(KEY),
        "secret_access_key": pulumi.Output.secret(PASSWORD),
        "authority": pulumi.Output.secret(AUTHORITY),
    }
    return ObjectStorage(**{**values, **changes})


def build(where: DeploymentContext, objects: ObjectStorage | None) -> None:
    """All parts, handed to each other as the platform does it."""
    owner = pulumi.ComponentResource("obs:test:Endpoints", "endpoints")
    replicas = [prometheus_endpoint(owner, where, name) for name in REPLICAS]
    of_query, of_store, of_compactor = (
        metrics(where, workload, port)
        for workload, port in (
            ("thanos-query", QUERY_PORT),
            ("thanos-store", STORE_HTTP_PORT),
            ("thanos-compact", STORE_HTTP_PORT),
        )
    )
    of_replicas = [
        target
        for name in REPLICAS
        for target in (
            metrics(where, f"prometheus-{name}", WEB_PORT),
            metrics(
                where,
                f"prometheus-{name}",
                SIDECAR_HTTP_PORT,
                job=f"thanos-sidecar-{name}",
                port_name=SIDECAR_PORT_NAME,
            ),
        )
    ]
    scrapes = [of_query, *([of_store, of_compactor] if objects else []), *of_replicas]
    Prometheus(
        "prometheus",
        PrometheusArgs(
            context=where,
            endpoints=replicas,
            scrapes={target.job: target for target in scrapes},
            alert_receivers=[],
            probes=[],
            rule_groups=[],
            runbook_base="https://runbooks.example.com",
            resources=SIZE,
            sidecar_resources=SIZE,
            storage="10Gi",
            retention_time="30d",
            retention_size="7GB",
            out_of_order_window="6h",
            scrape_interval="15s",
            block_duration="10m",
            objects=objects,
            encryption="SSE-S3",
        ),
    )
    gateways = []
    if objects:
        shared: dict[str, Any] = {"context": where, "objects": objects, "encryption": "SSE-S3", "resources": SIZE}
        store = StoreGateway(
            "thanos-store",
            StoreGatewayArgs(
                scrape=of_store,
                replicas=2,
                storage="1Gi",
                index_cache="64MB",
                chunk_pool="128MB",
                serves_after="1d",
                **shared,
            ),
        )
        Compactor("thanos-compact", CompactorArgs(scrape=of_compactor, storage="2Gi", keep_days=400, **shared))
        gateways.append(store.endpoint)
    ThanosQuery(
        "thanos-query",
        ThanosQueryArgs(
            context=where,
            endpoint=query_endpoint(owner, where, address=None, hosts=["metrics.example.com"]),
            stores=replicas,
            gateways=gateways,
            scrape=of_query,
            replicas=2,
            resources=SIZE,
            address=None,
            client_cidrs=["203.0.113.0/24"],
            load_balancer=LoadBalancerOptions(),
            hosts=["metrics.example.com"],
        ),
    )


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(lambda: build(deployment_context(), storage()))


@pytest.fixture(scope="module")
def without() -> Recording:
    return record(lambda: build(deployment_context(), None))


def pod(recording: Recording, workload: str) -> dict[str, Any]:
    spec: dict[str, Any] = recording.one("StatefulSet", workload)["spec"]["template"]["spec"]
    return spec


def container(recording: Recording, workload: str) -> dict[str, Any]:
    """The container of Thanos."""
    last_container: dict[str, Any] = pod(recording, workload)["containers"][-1]
    return last_container


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_part_of_thanos_finds_the_storage_in_a_mounted_secret(recording: Recording, workload: str) -> None:
    thanos_container = container(recording, workload)
    assert "--objstore.config-file=/etc/thanos-objects/objects.yml" in thanos_container["command"]
    [mount] = [
        volume_mount
        for volume_mount in thanos_container["volumeMounts"]
        if volume_mount["mountPath"] == "/etc/thanos-objects"
    ]
    assert mount["readOnly"] is True
    [volume] = [volume for volume in pod(recording, workload)["volumes"] if volume["name"] == mount["name"]]
    secret = recording.one("Secret", volume["secret"]["secretName"])
    content = yaml.safe_load(secret["stringData"]["objects.yml"])
    assert (content["type"], content["prefix"]) == ("S3", "metrics")
    assert content["config"]["endpoint"] == "storage.example.com:8444"
    assert (content["config"]["access_key"], content["config"]["secret_key"]) == (KEY, PASSWORD)
    assert content["config"]["sse_config"] == {"type": "SSE-S3"}
    assert content["config"]["http_config"]["tls_config"] == {"ca_file": "/etc/thanos-objects/authority.crt"}
    assert secret["stringData"]["authority.crt"] == AUTHORITY


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_part_of_thanos_reaches_the_storage(recording: Recording, workload: str) -> None:
    egress = recording.one("NetworkPolicy", workload)["spec"]["egress"]
    [rule] = [rule for rule in egress if any("ipBlock" in peer for peer in rule["to"])]
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == ["203.0.113.6/32"]
    assert [port["port"] for port in rule["ports"]] == [8444]


def test_prometheus_itself_has_no_key_of_the_storage(recording: Recording) -> None:
    for replica in REPLICAS:
        prometheus, _ = pod(recording, f"prometheus-{replica}")["containers"]
        assert "objects" not in {volume_mount["name"] for volume_mount in prometheus["volumeMounts"]}


def test_what_is_shipped_is_neither_merged_nor_of_different_lengths(recording: Recording) -> None:
    for replica in REPLICAS:
        prometheus, sidecar = pod(recording, f"prometheus-{replica}")["containers"]
        assert "--storage.tsdb.min-block-duration=10m" in prometheus["command"]
        assert "--storage.tsdb.max-block-duration=10m" in prometheus["command"]
        assert "--no-storage.tsdb.allow-overlapping-compaction" in prometheus["command"]
        assert "--hash-func=SHA256" in sidecar["command"]
        assert not [option for option in sidecar["command"] if "upload-compacted" in option]


def test_without_a_storage_nothing_is_shipped_and_overlaps_are_merged(without: Recording) -> None:
    assert without.kinds("StatefulSet") == [without.one("StatefulSet", f"prometheus-{name}") for name in REPLICAS]
    for replica in REPLICAS:
        spec = pod(without, f"prometheus-{replica}")
        options = [option for part in spec["containers"] for option in part["command"]]
        assert not [option for option in options if "objstore" in option or "shipper" in option]
        assert "--no-storage.tsdb.allow-overlapping-compaction" not in options
        assert "objects" not in {volume["name"] for volume in spec["volumes"]}
        egress = without.one("NetworkPolicy", f"prometheus-{replica}")["spec"]["egress"]
        assert not [peer for rule in egress for peer in rule["to"] if "ipBlock" in peer]


def test_the_gateway_is_one_more_store_by_the_name_that_all_stores_have(recording: Recording) -> None:
    files = recording.one("ConfigMap", "thanos-query")["data"]
    content = yaml.safe_load(files["endpoints.yml"])
    hosts = [f"{name}-headless" for name in ("prometheus-primary", "prometheus-secondary", "thanos-store")]
    assert [endpoint["address"] for endpoint in content["endpoints"]] == [
        f"dns+{host}.obs.svc.cluster.local:10901" for host in hosts
    ]
    shared = content["default_client_config"]["server_name"]
    [dns_names] = [
        manifest["spec"]["dnsNames"]
        for manifest in recording.kinds("Certificate")
        if manifest["metadata"]["name"] == "thanos-store"
    ]
    assert shared in dns_names
    labels = recording.one("Deployment", "thanos-query")["spec"]["template"]["metadata"]["labels"]
    assert labels["obs.access/thanos-store"] == "true"
    assert recording.one("StatefulSet", "thanos-store")["spec"]["replicas"] == 2
    assert "--max-time=-1d" in container(recording, "thanos-store")["command"]


def test_only_the_query_asks_the_gateway_and_only_prometheus_scrapes_both(recording: Recording) -> None:
    let_in = {
        (label, port["port"])
        for name in ("thanos-store", "thanos-compact")
        for rule in recording.one("NetworkPolicy", name)["spec"]["ingress"]
        for peer in rule["from"]
        for label in peer["podSelector"]["matchLabels"]
        for port in rule["ports"]
    }
    assert let_in == {("obs.access/thanos-store", 10901), ("obs.access/metrics", 10902)}
    for name in ("thanos-store", "thanos-compact"):
        users = yaml.safe_load(recording.one("Secret", f"{name}-web")["stringData"]["web.yml"])["basic_auth_users"]
        assert list(users) == [f"scrape-{name}"]


def test_there_is_never_a_second_compactor(recording: Recording) -> None:
    spec = recording.one("StatefulSet", "thanos-compact")["spec"]
    assert spec["replicas"] == 1
    assert recording.one("PodDisruptionBudget", "thanos-compact")["spec"]["maxUnavailable"] == 1
    assert recording.one("PodDisruptionBudget", "thanos-store")["spec"]["maxUnavailable"] == 1


def test_keys_of_the_storage_are_in_secrets_only(recording: Recording) -> None:
    everything_else = str([manifest for manifest in recording.manifests() if manifest["kind"] != "Secret"])
    for value in (KEY, PASSWORD):
        assert value not in everything_else
        assert base64.b64encode(value.encode()).decode() not in everything_else


def test_blocks_are_kept_equally_long_in_every_resolution_and_replicas_stay_apart() -> None:
    command = compact_command(keep_days=400)
    assert [option for option in command if "retention" in option] == [
        f"--retention.resolution-{name}=400d" for name in ("raw", "5m", "1h")
    ]
    assert "--compact.enable-vertical-compaction" in command
    assert not [option for option in command if "deduplication" in option or "downsampling" in option]
    assert "--downsampling.disable" in compact_command(keep_days=10)
    with pytest.raises(ValueError, match=r"compactor.keep_days is 0; it must be 1 or more: 0 would keep for ever"):
        compact_command(keep_days=0)


def test_the_gateway_serves_samples_of_any_age_where_it_is_asked_to() -> None:
    command = store_command(serves_after="0s", index_cache="64MB", chunk_pool="128MB")
    assert not [option for option in command if "max-time" in option]


@pytest.mark.parametrize(
    "command",
    [
        store_command(serves_after="1d", index_cache="64MB", chunk_pool="128MB"),
        compact_command(keep_days=400),
        sidecar_command(shipping=True),
    ],
)
def test_every_part_has_a_password_and_none_lets_anybody_delete_blocks(command: list[str]) -> None:
    assert any(option.startswith("--http.config=") for option in command)
    assert "sidecar" in command or {"--disable-admin-operations", "--web.disable"} <= set(command)


def test_blocks_are_two_hours_long_unless_told_otherwise() -> None:
    command = prometheus_command(retention_time="30d", retention_size="8GB", reads_at_once=2)
    assert "--storage.tsdb.min-block-duration=2h" in command
    assert "--storage.tsdb.max-block-duration=2h" in command


def config(objects: ObjectStorage, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"access_key_id": KEY, "secret_access_key": PASSWORD, "private": True, "encryption": None}
    return objects_config(objects, **{**values, **changes})


def test_the_storage_of_aws_needs_no_endpoint_and_no_authority() -> None:
    storage_config = config(storage(endpoint=None), private=False)["config"]
    assert storage_config["endpoint"] == "s3.ap-northeast-1.amazonaws.com"
    assert storage_config["bucket_lookup_type"] == "auto"
    assert "tls_config" not in storage_config["http_config"]
    assert "sse_config" not in storage_config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": "http://storage.example.com"}, "endpoint is 'http://storage.example.com'; it must be https://"),
        ({"endpoint": "storage.example.com:8444"}, "endpoint is 'storage.example.com:8444'; it must be https://"),
        ({"endpoint": "https://storage.example.com/bucket"}, "it must be https://host:port"),
        ({"prefix": "/"}, "prefix is empty: blocks need a folder of their own, for example metrics/"),
    ],
)
def test_a_mistake_about_the_storage_is_one_clear_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(storage(**changes))


def test_in_their_namespace_they_pass_every_policy() -> None:
    recording = in_namespace(lambda lab: build(lab, storage()))
    assert violations(recording, KEY_OF_ROLE) == [], "all parts have one key here"
