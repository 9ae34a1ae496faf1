"""Scrape jobs that ask a prober: one request for each target, which is not the address that is asked (as data)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.contracts import ProbeTarget

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
