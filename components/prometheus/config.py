"""Configuration of Prometheus (requirements P1, P2), as data, with what it scrapes, probes and sends alerts to, and how
much may be read at the same time, by the memory that the read path has.

**Catching up.** A Prometheus that was down reads what it missed from Kafka. By then its own scrapes have moved its head
to the present, so all of that is out of order, and Prometheus refuses what is older than ``out_of_order_time_window``.
The window is therefore the longest outage after which no gap remains. It costs memory only while it is used.

Neither a sidecar nor the query layer bounds its memory by itself (docs/adr/0071): a sidecar keeps each answer of its
Prometheus until it is complete, and the query layer every chunk of the queries that run. So what bounds them is how
many run at the same time, and a soft limit of the heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.contracts import AlertReceiver, ProbeJob, ProbeTarget, ScrapeTarget
from components.k8s import TLS_MOUNT, Resources
from components.naming import size_of
from components.shards import REPLICA_LABEL, SHARD_LABEL, external_labels
from components.telemetry.attributes import PROMOTED_ATTRIBUTES

PATH = "/probe"
_KEPT = (
    "probe_(success|duration_seconds|http_status_code|ssl_(earliest_cert_expiry|last_chain_expiry_timestamp_seconds))"
)
"""Metrics that a rule or a page reads; a probe has two dozen."""
_POD = r"([^.]+)\..*"
_PORT_OF_WORKLOAD = r"_([^.]+)\._tcp\.(.+)-headless\..*"


@dataclass(frozen=True, kw_only=True)
class ProbeScrape:
    """One job.

    Attributes:
        job: Value of the label ``job``; also the file name of the password.
        address: ``host:port`` of the prober.
        server_name: Name to verify in its certificate.
        username: Login name of this job.
        interval: How often each target is looked at.
        module: How pods are looked at.
        srvs: SRV names; every pod that they list is a target.
        targets: Further targets.
    """

    job: str
    address: str
    server_name: str
    username: str
    interval: str
    module: str
    srvs: Sequence[str]
    targets: Sequence[ProbeTarget]


def probe_scrape(job: ProbeScrape, *, tls_directory: str, password_directory: str) -> dict[str, Any]:
    """The job as Prometheus reads it.

    A pod has the labels ``endpoint``, ``<workload>/<port>``, and ``instance``; a further target has its name in both.
    """
    return {
        "job_name": job.job,
        "scheme": "https",
        "metrics_path": PATH,
        "scrape_interval": job.interval,
        "scrape_timeout": "10s",
        "basic_auth": {"username": job.username, "password_file": f"{password_directory}/{job.job}"},
        "tls_config": {"ca_file": f"{tls_directory}/ca.crt", "server_name": job.server_name},
        **(
            {"dns_sd_configs": [{"names": list(job.srvs), "type": "SRV", "refresh_interval": "30s"}]}
            if job.srvs
            else {}
        ),
        **({"static_configs": [_target(target) for target in job.targets]} if job.targets else {}),
        "sample_limit": 200,
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            *_pods(job.module),
            {"source_labels": ["__param_module"], "target_label": "module"},
            {"target_label": "__address__", "replacement": job.address},
        ],
        "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": _KEPT, "action": "keep"}],
    }


def _target(target: ProbeTarget) -> dict[str, Any]:
    labels = {"endpoint": target.name, "instance": target.name, "__param_module": target.module}
    return {
        "targets": [target.address],
        "labels": {**labels, **({"__param_hostname": target.host} if target.host else {})},
    }


def _pods(module: str) -> list[dict[str, Any]]:
    """Labels of targets that DNS found; others have theirs."""
    record, name = ["__meta_dns_srv_record_target"], ["__meta_dns_name"]
    return [
        {"source_labels": record, "regex": _POD, "target_label": "instance", "replacement": "$1"},
        {"source_labels": name, "regex": _PORT_OF_WORKLOAD, "target_label": "endpoint", "replacement": "$2/$1"},
        {"source_labels": record, "regex": ".+", "target_label": "__param_module", "replacement": module},
    ]


Data = dict[str, Any]

WEB_PORT = 9090
CONFIG_DIRECTORY = "/etc/prometheus"
WEB_DIRECTORY = "/etc/prometheus-web"
SCRAPE_DIRECTORY = "/etc/prometheus-scrape"
DATA_DIRECTORY = "/prometheus"
RULES_DIRECTORY = "/etc/prometheus-rules"
RULES_FILE = "rules.yml"
BLOCK_DURATION = "2h"
"""Time that a block covers, unless a platform says otherwise: what Prometheus and Thanos are made for."""
RESEND_DELAY = "9s"
"""An alert is sent again in the first evaluation after it: every 10 s where rules are evaluated every 5 or 10 s."""
CLIENT_CONFIG = f"{WEB_DIRECTORY}/client.yml"


@dataclass(frozen=True, kw_only=True)
class ScrapeJob:
    """One workload to scrape.

    Attributes:
        job: Value of the label ``job``; also the file name of the password.
        srv: DNS name of the SRV records that list its pods.
        server_name: Name to verify in the certificate.
        username: Login name of this job's scrape user.
        path: Path of the metrics.
    """

    job: str
    srv: str
    server_name: str
    username: str
    path: str


@dataclass(frozen=True, kw_only=True)
class AlertTarget:
    """Something that takes alerts by Alertmanager's API.

    Attributes:
        name: Name of it; `password_file_of` says where the password is.
        srv: DNS name of the SRV records that list its pods: each of them gets every alert.
        server_name: Name to verify in the certificates.
        username: Login name.
        path_prefix: In front of the API's path.
    """

    name: str
    srv: str
    server_name: str
    username: str
    path_prefix: str


@dataclass(frozen=True, kw_only=True)
class PrometheusConfig:
    """What one replica's configuration depends on.

    Attributes:
        platform: Name of the platform.
        region: Region it runs in.
        replica: Name of this replica.
        shard: Its part of the layers' series, from 0.
        jobs: What is scraped.
        alerts: Where alerts go.
        probes: What a prober is asked for.
        scrape_interval: How often, and how often rules are evaluated.
        gogc: Growth of the heap, in percent, after which it is collected.
        out_of_order_window: How old a sample may be.
        tls_directory: Folder with ``ca.crt``.
        scrape_directory: Folder with one password file per job.
        rule_files: Paths or patterns of rule files.
    """

    platform: str
    region: str
    replica: str
    shard: int = 0
    jobs: Sequence[ScrapeJob]
    alerts: Sequence[AlertTarget]
    probes: Sequence[ProbeScrape] = ()
    scrape_interval: str
    gogc: int = 75
    out_of_order_window: str
    tls_directory: str = TLS_MOUNT
    scrape_directory: str = SCRAPE_DIRECTORY
    rule_files: Sequence[str] = (f"{RULES_DIRECTORY}/{RULES_FILE}",)


def prometheus_config(settings: PrometheusConfig) -> Data:
    """Content of ``prometheus.yml``."""
    return {
        "global": {
            "scrape_interval": settings.scrape_interval,
            "scrape_timeout": "10s",
            "evaluation_interval": settings.scrape_interval,
            "external_labels": external_labels(settings.platform, settings.region, settings.replica, settings.shard),
        },
        "runtime": {"gogc": settings.gogc},
        "otlp": {
            "translation_strategy": "UnderscoreEscapingWithSuffixes",
            "promote_resource_attributes": list(PROMOTED_ATTRIBUTES),
            # Two libraries of one process may measure the same; the gate leaves of a scope its name (docs/adr/0067).
            "promote_scope_metadata": True,
        },
        "storage": {"tsdb": {"out_of_order_time_window": settings.out_of_order_window}},
        "rule_files": list(settings.rule_files),
        "alerting": {
            # Else the replicas' alerts would be different ones, and everybody would be told twice.
            "alert_relabel_configs": [{"action": "labeldrop", "regex": f"{REPLICA_LABEL}|{SHARD_LABEL}"}],
            "alertmanagers": [_alert_target(settings, target) for target in settings.alerts],
        },
        "scrape_configs": [
            *(_scrape(settings, job) for job in settings.jobs),
            *(
                probe_scrape(job, tls_directory=settings.tls_directory, password_directory=settings.scrape_directory)
                for job in settings.probes
            ),
        ],
    }


def _scrape(settings: PrometheusConfig, job: ScrapeJob) -> Data:
    return {
        "job_name": job.job,
        "scheme": "https",
        "metrics_path": job.path,
        "basic_auth": {"username": job.username, "password_file": f"{settings.scrape_directory}/{job.job}"},
        "tls_config": {"ca_file": f"{settings.tls_directory}/ca.crt", "server_name": job.server_name},
        "dns_sd_configs": [{"names": [job.srv], "type": "SRV", "refresh_interval": "15s"}],
        "sample_limit": 50000,
        "relabel_configs": [
            {
                "source_labels": ["__meta_dns_srv_record_target"],
                "regex": r"([^.]+)\..*",
                "target_label": "instance",
            }
        ],
        # The collectors' exporters add a job and an instance of their own.
        "metric_relabel_configs": [{"action": "labeldrop", "regex": "exported_(job|instance)"}],
    }


def _alert_target(settings: PrometheusConfig, target: AlertTarget) -> Data:
    return {
        "scheme": "https",
        "path_prefix": target.path_prefix,
        "timeout": "10s",
        "basic_auth": {
            "username": target.username,
            "password_file": f"{settings.scrape_directory}/{password_file_of(target.name)}",
        },
        "tls_config": {"ca_file": f"{settings.tls_directory}/ca.crt", "server_name": target.server_name},
        "dns_sd_configs": [{"names": [target.srv], "type": "SRV", "refresh_interval": "15s"}],
    }


def password_file_of(alert_target: str) -> str:
    """File, in the folder of the scrape passwords, with the password for something that takes alerts."""
    return f"alerts-to-{alert_target}"


def prometheus_command(
    *,
    retention_time: str,
    retention_size: str,
    reads_at_once: int,
    directory: str = DATA_DIRECTORY,
    block_duration: str = BLOCK_DURATION,
    shipped: bool = False,
) -> list[str]:
    """Program and arguments.

    Blocks are never merged into longer ones here: the Thanos sidecar ships only what was cut from memory. What came out
    of order becomes a block of its own that overlaps others; where blocks are shipped, it stays one. Prometheus merges
    overlapping blocks in the same moment in which it makes them, so before the sidecar has seen them, and the sidecar
    passes merged ones over: with the option they would never reach the storage.

    Args:
        retention_time: Age at which samples go.
        retention_size: Size of blocks at which the oldest go.
        reads_at_once: Answers to its sidecar that are under way at the same time.
        directory: Where the data is.
        block_duration: Time that a block covers.
        shipped: Whether a sidecar ships blocks.
    """
    return [
        "/bin/prometheus",
        f"--config.file={CONFIG_DIRECTORY}/prometheus.yml",
        f"--web.config.file={WEB_DIRECTORY}/web.yml",
        f"--web.listen-address=0.0.0.0:{WEB_PORT}",
        "--web.enable-otlp-receiver",
        # A changed threshold restarts nothing: both replicas would be gone at the same time.
        "--config.auto-reload",
        "--config.auto-reload-interval=10s",
        "--enable-feature=exemplar-storage",
        f"--storage.tsdb.path={directory}",
        f"--storage.tsdb.retention.time={retention_time}",
        f"--storage.tsdb.retention.size={retention_size}",
        f"--storage.tsdb.min-block-duration={block_duration}",
        f"--storage.tsdb.max-block-duration={block_duration}",
        *(["--no-storage.tsdb.allow-overlapping-compaction"] if shipped else []),
        "--storage.tsdb.wal-compression",
        # A replica that starts again takes up escalations where they were.
        "--rules.alert.for-grace-period=30s",
        # Less than the shortest group_interval of Alertmanager (docs/adr/0021).
        f"--rules.alert.resend-delay={RESEND_DELAY}",
        "--query.timeout=60s",
        "--query.max-samples=20000000",
        f"--storage.remote.read-concurrent-limit={reads_at_once}",
        "--log.format=json",
    ]


def ready_probe_command() -> tuple[str, ...]:
    """Asks Prometheus whether it is ready; the password comes from a file, which an HTTP probe could not do."""
    return (
        "/bin/promtool",
        "check",
        "ready",
        f"--http.config.file={CLIENT_CONFIG}",
        f"--url=https://localhost:{WEB_PORT}",
    )


def rendered(config: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    """YAML text, in which Japanese stays readable."""
    content = dict(config) if isinstance(config, Mapping) else config
    return yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=10_000)


def job_names(jobs: Iterable[ScrapeJob]) -> list[str]:
    """Names of the jobs, sorted.

    Raises:
        ValueError: A name occurs twice.
    """
    names = sorted(job.job for job in jobs)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"scrape job {', '.join(twice)} occurs twice: job names must be unique")
    return names


def scrape_jobs(targets: Sequence[ScrapeTarget]) -> list[ScrapeJob]:
    """Jobs for the metrics of workloads.

    Raises:
        ValueError: A name occurs twice.
    """
    jobs = [
        ScrapeJob(
            job=target.job,
            srv=target.srv,
            server_name=target.server_name,
            username=target.credential.username,
            path=target.path,
        )
        for target in targets
    ]
    job_names(jobs)
    return jobs


def alert_targets(receivers: Sequence[AlertReceiver]) -> list[AlertTarget]:
    """Where alerts go."""
    return [
        AlertTarget(
            name=receiver.name,
            srv=receiver.srv,
            server_name=receiver.server_name,
            username=receiver.credential.username,
            path_prefix=receiver.path_prefix,
        )
        for receiver in receivers
    ]


def probe_scrapes(jobs: Sequence[ProbeJob]) -> list[ProbeScrape]:
    """What a prober is asked for."""
    return [
        ProbeScrape(
            job=job.job,
            address=job.address,
            server_name=job.server_name,
            username=job.credential.username,
            interval=job.interval,
            module=job.module,
            srvs=job.srvs,
            targets=job.targets,
        )
        for job in jobs
    ]


_QUERY_BYTES = 96 * 2**20
"""Memory of the query layer for one running query."""
_READ_BYTES = 128 * 2**20
"""Memory of a sidecar for one answer of its Prometheus."""
_MOST_QUERIES = 20
"""What Thanos takes where nobody says how many; more of them would only share the same cores."""


def queries_at_once(resources: Resources) -> int:
    """Queries that a pod of the query layer runs at the same time; the others wait for their turn."""
    return max(1, min(_MOST_QUERIES, size_of(resources.memory_limit) // _QUERY_BYTES))


def reads_at_once(sidecar: Resources) -> int:
    """Answers that a Prometheus sends to its sidecar at the same time; the others wait for their turn."""
    return max(1, min(_MOST_QUERIES, size_of(sidecar.memory_limit) // _READ_BYTES))
