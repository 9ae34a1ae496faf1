"""What the configurations of Prometheus and Thanos promise."""

from __future__ import annotations

import pytest

from components.contracts import ProbeTarget
from components.prometheus.config import (
    AlertTarget,
    ProbeScrape,
    PrometheusConfig,
    ScrapeJob,
    job_names,
    password_file_of,
    prometheus_command,
    prometheus_config,
)
from components.prometheus.rules import prometheus_rules
from components.prometheus.thanos import endpoints_config, query_command, sidecar_command
from components.shards import REPLICA_LABEL, SHARD_LABEL
from components.web_access import web_config

JOB = ScrapeJob(
    job="kafka", srv="_metrics._tcp.kafka-headless", server_name="kafka.svc", username="scrape-kafka", path="/metrics"
)
ALERTS = AlertTarget(
    name="alertmanager",
    srv="_metrics._tcp.alertmanager-headless",
    server_name="alertmanager.svc",
    username="prometheus",
    path_prefix="/",
)
PROBES = ProbeScrape(
    job="probe-pods",
    address="probes.svc:9115",
    server_name="probes.svc",
    username="scrape-probe-pods",
    interval="1m",
    module="tls",
    srvs=["_client._tcp.kafka-headless.obs.svc.cluster.local"],
    targets=[ProbeTarget(name="gateway", address="https://gateway.svc:4317/", module="http2", host="otlp.example.com")],
)
CONFIG = prometheus_config(
    PrometheusConfig(
        platform="obs",
        region="a",
        replica="primary",
        jobs=[JOB],
        alerts=[ALERTS],
        probes=[PROBES],
        scrape_interval="15s",
        out_of_order_window="12h",
    )
)


def test_targets_are_scraped_over_tls_with_their_own_password() -> None:
    scrape, _ = CONFIG["scrape_configs"]
    assert scrape["scheme"] == "https"
    assert scrape["tls_config"] == {"ca_file": "/etc/tls/ca.crt", "server_name": "kafka.svc"}
    assert scrape["basic_auth"] == {"username": "scrape-kafka", "password_file": "/etc/prometheus-scrape/kafka"}


def test_replicas_differ_in_the_replica_label_only() -> None:
    assert CONFIG["global"]["external_labels"] == {"platform": "obs", "region": "a", "prometheus_replica": "primary"}
    assert "--query.replica-label=prometheus_replica" in query_command(queries_at_once=4)


def test_late_samples_are_taken_within_the_window() -> None:
    assert CONFIG["storage"]["tsdb"]["out_of_order_time_window"] == "12h"


def test_blocks_are_never_merged_beside_a_sidecar() -> None:
    command = prometheus_command(retention_time="30d", retention_size="8GB", reads_at_once=2)
    assert "--storage.tsdb.min-block-duration=2h" in command
    assert "--storage.tsdb.max-block-duration=2h" in command


def test_nobody_can_stop_or_change_prometheus_through_the_web() -> None:
    command = prometheus_command(retention_time="30d", retention_size="8GB", reads_at_once=2)
    assert not [option for option in command if "lifecycle" in option or "admin-api" in option]


def test_the_web_api_has_tls_and_hashed_passwords() -> None:
    config = web_config({"reader": "$2b$10$hash"})
    assert config["tls_server_config"]["cert_file"] == "/etc/tls/tls.crt"
    assert config["basic_auth_users"] == {"reader": "$2b$10$hash"}


@pytest.mark.parametrize("command", [sidecar_command(), query_command(queries_at_once=4)])
def test_thanos_serves_grpc_only_to_clients_with_a_certificate(command: list[str]) -> None:
    assert "--grpc-server-tls-client-ca=/etc/tls/ca.crt" in command
    assert any(option.startswith("--http.config=") for option in command)


def test_stores_are_asked_over_mutual_tls_and_looked_up_again_and_again() -> None:
    config = endpoints_config(["prometheus-primary-headless.obs.svc:10901"], "prometheus.obs.svc")
    assert config["endpoints"] == [{"address": "dns+prometheus-primary-headless.obs.svc:10901"}], (
        "client settings of a single endpoint are not used for addresses that are looked up"
    )
    assert config["default_client_config"]["tls_config"]["enabled"] is True
    assert config["default_client_config"]["server_name"] == "prometheus.obs.svc"


def test_a_job_that_occurs_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="scrape job kafka occurs twice"):
        job_names([JOB, JOB])


def test_every_scraped_job_is_missed_when_it_is_gone() -> None:
    targets, *_ = prometheus_rules(["gateway", "kafka"], volume_bytes=1, memory_bytes=2**30)
    [missing] = [alert for alert in targets.alerts if alert.name == "TargetMissing"]
    assert missing.expr == 'absent(up{job="gateway"}) or absent(up{job="kafka"})'


def test_alerts_go_to_every_member_by_verified_tls_and_without_the_replica() -> None:
    alerting = CONFIG["alerting"]
    [target] = alerting["alertmanagers"]
    assert target["scheme"] == "https"
    assert target["dns_sd_configs"][0]["names"] == [ALERTS.srv]
    assert target["tls_config"]["server_name"] == "alertmanager.svc"
    assert target["basic_auth"]["password_file"].endswith(f"/{password_file_of('alertmanager')}")
    assert alerting["alert_relabel_configs"] == [{"action": "labeldrop", "regex": f"{REPLICA_LABEL}|{SHARD_LABEL}"}]


def test_a_prober_is_asked_for_each_target_and_not_the_target_itself() -> None:
    job = CONFIG["scrape_configs"][-1]
    assert job["metrics_path"] == "/probe"
    assert {"target_label": "__address__", "replacement": "probes.svc:9115"} in job["relabel_configs"]
    assert {"source_labels": ["__address__"], "target_label": "__param_target"} in job["relabel_configs"]
    assert job["static_configs"][0]["labels"] == {
        "endpoint": "gateway",
        "instance": "gateway",
        "__param_module": "http2",
        "__param_hostname": "otlp.example.com",
    }
