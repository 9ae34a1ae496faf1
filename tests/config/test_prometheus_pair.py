"""Two real Prometheus that scrape each other: the rule about the pair sees which one lacks something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from components.prometheus.rules import PAIR
from components.rules import rule_file
from lab.toolchain import tools
from tests.config.gateway_process import metrics_request
from tests.config.servers import START_SECONDS, eventually, free_port, running

REPLICAS = ("primary", "secondary")
[DISAGREES] = [alert for group in PAIR for alert in group.alerts]
INTERVAL = "1s"


class Pair:
    """Two running replicas with the platform's rules, which look at each other every second."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    def ready(self, replica: str) -> bool:
        """Whether a replica takes samples and answers."""
        return requests.get(f"http://127.0.0.1:{self._ports[replica]}/-/ready", timeout=60).status_code == 200

    def feed(self, replica: str, layer: str) -> None:
        """Write a sample of a layer, as a replica's consumer would."""
        answer = requests.post(
            f"http://127.0.0.1:{self._ports[replica]}/api/v1/otlp/v1/metrics",
            data=metrics_request(layer).SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text

    def disagree(self, replica: str) -> set[tuple[str, str]]:
        """What a replica thinks is missing where: job and what."""
        samples = self._query(replica, DISAGREES.expr)
        return {(sample["metric"]["job"], sample["metric"]["what"]) for sample in samples}

    def sees(self, replica: str, senders: dict[str, int], missing: set[tuple[str, str]]) -> bool:
        """Whether a replica knows how many kinds of senders each of the two counts, and what the rule makes of it."""
        return self._knows(replica, senders) and self.disagree(replica) == missing

    def _knows(self, replica: str, senders: dict[str, int]) -> bool:
        query = 'prometheus_rule_group_last_evaluation_samples{rule_group=~".+;pair-senders"}'
        samples = self._query(replica, query)
        return {sample["metric"]["job"]: int(sample["value"][1]) for sample in samples} == {
            f"prometheus-{name}": number for name, number in senders.items()
        }

    def _query(self, replica: str, query: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self._ports[replica]}/api/v1/query"
        answer = requests.get(url, params={"query": query}, timeout=60)
        assert answer.status_code == 200, answer.text
        samples: list[dict[str, Any]] = answer.json()["data"]["result"]
        return samples


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    ports = {replica: free_port() for replica in REPLICAS}
    rules = yaml.safe_dump(rule_file([replace(group, interval=INTERVAL) for group in PAIR], ""))
    scrapes = [
        {"job_name": f"prometheus-{replica}", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for replica, port in ports.items()
    ]
    with ExitStack() as stack:
        for replica, port in ports.items():
            folder = tmp_path / replica
            folder.mkdir()
            (folder / "rules.yml").write_text(rules)
            config = {
                "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL},
                "otlp": {"promote_resource_attributes": ["layer"]},
                "rule_files": [str(folder / "rules.yml")],
                "scrape_configs": scrapes,
            }
            (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
            command = [
                str(tools.path("prometheus")),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-otlp-receiver",
            ]
            stack.enter_context(running(command, folder / "prometheus.log", port))
        pair = Pair(ports)
        for replica in REPLICAS:
            eventually(partial(pair.ready, replica), START_SECONDS, f"{replica} is ready")
        yield pair


def test_the_replica_that_is_not_fed_is_named_and_equal_ones_are_not(pair: Pair) -> None:
    for replica in REPLICAS:
        for layer in ("device", "business"):
            pair.feed(replica, layer)
    for replica in REPLICAS:
        eventually(partial(pair.sees, replica, {"primary": 2, "secondary": 2}, set()), 20, "both hold both")
    pair.feed("primary", "data")
    for replica in REPLICAS:
        lacks = {("prometheus-secondary", "senders")}
        eventually(partial(pair.sees, replica, {"primary": 3, "secondary": 2}, lacks), 20, "one holds more")
