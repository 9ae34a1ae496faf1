"""The real Prometheus asks the real prober about real servers, and the real rules judge what comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.contracts import ProbeTarget
from components.probes import POD_JOB, SERVICE_JOB
from components.probes.rules import probe_rules
from components.prometheus.config import ProbeScrape, PrometheusConfig, probe_scrape, prometheus_config, rendered
from components.rules import rule_file
from tests.config.probes_process import DAY, USERS, Authority, prober, tls_server
from tests.config.prometheus_process import PrometheusProcess, prometheus_process, write_files
from tests.config.servers import eventually

RULES = probe_rules("720h")


def job(name: str, address: str, *targets: ProbeTarget, srvs: tuple[str, ...] = ()) -> ProbeScrape:
    """A job of the prober that listens on an address."""
    return ProbeScrape(
        job=name,
        address=address,
        server_name="localhost",
        username=f"scrape-{name}",
        interval="1s",
        module="tls",
        srvs=srvs,
        targets=targets,
    )


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    """One closed door with its outside name, one that stands open, one certificate that ends soon, one that has."""
    folder, authority = tmp_path_factory.mktemp("probing"), Authority()
    lives = {"closed": 80, "open": 80, "soon": 14, "ended": -1}
    with ExitStack() as stack:
        authority.issue(folder / "prober", life=80 * DAY)
        prober_process = stack.enter_context(prober(folder / "prober"))
        ports: dict[str, int] = {}
        for name, days in lives.items():
            host = "otlp.example.com" if name == "closed" else "localhost"
            authority.issue(folder / name, life=days * DAY, host=host)
            ports[name] = stack.enter_context(tls_server(folder / name, status=200 if name == "open" else 401))
        address = f"localhost:{prober_process.port}"
        jobs = [
            job(
                SERVICE_JOB,
                address,
                ProbeTarget(
                    name="closed",
                    address=f"https://localhost:{ports['closed']}/v1",
                    module="closed",
                    host="otlp.example.com",
                ),
                ProbeTarget(name="open", address=f"https://localhost:{ports['open']}", module="closed"),
            ),
            job(
                POD_JOB,
                address,
                *(
                    ProbeTarget(name=name, address=f"localhost:{ports[name]}", module="tls")
                    for name in ("soon", "ended")
                ),
            ),
        ]
        yield stack.enter_context(_asking(folder / "prometheus", folder / "prober", jobs))


def _asking(folder: Path, certificates: Path, jobs: list[ProbeScrape]) -> Any:
    folder.mkdir()
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (folder / name).write_bytes((certificates / name).read_bytes())
    (folder / "rules.yml").write_text(yaml.safe_dump(rule_file(RULES, "https://runbooks.example.com")))
    write_files(folder)
    for job in jobs:
        (folder / "scrape" / job.job).write_text(USERS[job.username])
    config = prometheus_config(
        PrometheusConfig(
            platform="obs-test",
            region="here",
            replica="primary",
            jobs=[],
            alerts=[],
            probes=jobs,
            scrape_interval="1s",
            out_of_order_window="1h",
            tls_directory=str(folder),
            scrape_directory=str(folder / "scrape"),
            rule_files=[str(folder / "rules.yml")],
        )
    )
    config["global"]["scrape_timeout"] = "1s"
    for scrape in config["scrape_configs"]:
        scrape["scrape_timeout"] = "1s"
    (folder / "prometheus.yml").write_text(rendered(config))
    return prometheus_process(folder)


def seen(prometheus: PrometheusProcess, query: str) -> dict[str, float]:
    """Endpoint -> value."""
    return {series["metric"]["endpoint"]: float(series["value"][1]) for series in prometheus.series(query)}


def looked_at(prometheus: PrometheusProcess) -> None:
    """Wait for a round in which each probe had its answer; a busy machine may not manage that in a second."""
    up, success = dict.fromkeys(("closed", "open", "soon", "ended"), 1), {"closed": 1, "open": 0, "soon": 1, "ended": 0}
    eventually(
        lambda: (seen(prometheus, "up"), seen(prometheus, "probe_success")) == (up, success),
        15,
        f"probes are {success}",
    )


def test_each_target_is_told_apart_and_none_is_the_prober(prometheus: PrometheusProcess) -> None:
    looked_at(prometheus)
    labels = {
        (series["metric"]["job"], series["metric"]["instance"], series["metric"]["module"])
        for series in prometheus.series("probe_success")
    }
    assert labels == {
        ("probe-services", "closed", "closed"),
        ("probe-services", "open", "closed"),
        ("probe-pods", "soon", "tls"),
        ("probe-pods", "ended", "tls"),
    }


def test_the_rules_find_the_certificate_and_the_open_door(prometheus: PrometheusProcess) -> None:
    looked_at(prometheus)
    jobs_by_alert = {
        "CertificateExpiresSoon": {"soon"},
        "CertificateEnds": set(),
        "EndpointUnreachable": {"ended"},
        "EndpointUnauthenticated": {"open"},
        "ProbesMissing": set(),
    }

    def alerting() -> dict[str, set[str]]:
        return {alert.name: set(seen(prometheus, alert.expr)) for group in RULES for alert in group.alerts}

    eventually(lambda: alerting() == jobs_by_alert, 15, f"the rules find {jobs_by_alert}")
    loaded = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    assert [rule["name"] for group in loaded for rule in group["rules"]] == list(jobs_by_alert)


def test_pods_are_told_apart_by_workload_port_and_name() -> None:
    srv = "_client._tcp.kafka-controller-headless.obs-local.svc.cluster.local"
    pod = "kafka-controller-0.kafka-controller-headless.obs-local.svc.cluster.local"
    config = probe_scrape(job(POD_JOB, "probes:9115", srvs=(srv,)), tls_directory="/etc/tls", password_directory="/p")
    labels = {"__meta_dns_name": srv, "__meta_dns_srv_record_target": pod, "__address__": f"{pod}:9093"}
    for rule in config["relabel_configs"]:
        # As Prometheus does it: the whole value has to match.
        value = ";".join(labels.get(name, "") for name in rule.get("source_labels", []))
        match = re.fullmatch(rule.get("regex", "(.*)"), value)
        if match:
            labels[rule["target_label"]] = match.expand(re.sub(r"\$(\d)", r"\\\1", rule.get("replacement", "$1")))
    assert labels["endpoint"] == "kafka-controller/client"
    assert labels["instance"] == "kafka-controller-0"
    assert labels["module"] == labels["__param_module"] == "tls"
    assert labels["__param_target"] == f"{pod}:9093"
    assert labels["__address__"] == "probes:9115"
