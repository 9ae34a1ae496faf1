"""A young platform is quiet about its own parts: real Alertmanagers with the real inhibition, a real Prometheus."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from components.alerting.escalation import TIMINGS, Timing, escalated
from components.alerting.inhibitions import STARTING, collected
from components.alertmanager.rules import alertmanager_rules
from components.kafka.rules import kafka_rules
from components.prometheus.rules import prometheus_rules
from components.rules import Severity, rule_file
from components.telemetry.rules import RULES as LAYER_RULES
from lab.toolchain import tools
from tests.config.alertmanager_files import config, write_files
from tests.config.alertmanager_process import QUIET_S, Pair, pair
from tests.config.servers import START_SECONDS, eventually, free_port, running

pytestmark = pytest.mark.timed

GROUPS = escalated(
    (
        *alertmanager_rules(),
        *kafka_rules(min_insync_replicas=2, volume_bytes=1000),
        *prometheus_rules(["kafka"], volume_bytes=1000, memory_bytes=2**30),
        *LAYER_RULES,
    )
)
INHIBITIONS = [inhibition for inhibition in collected(GROUPS, []) if inhibition.source == ("PlatformStarting",)]
LAYER_ALERT = next(alert for group in GROUPS for alert in group.alerts if alert.labels.get("layer") and alert.original)
QUICK = Timing(group_wait="1s", group_interval="2s", repeat_interval="1h")
HOUR_S = 3600
_LOOKS = re.compile(
    r'^prometheus_rule_group_iterations_total\{rule_group="[^"]+;platform-starting"\} (\S+)', re.MULTILINE
)
SHORTEST_HOLD_S = 60
"""What is wrong from the first moment is told after that time; failures that are counted have to be scraped first."""


def test_amtool_accepts_the_inhibition(tmp_path: Path) -> None:
    write_files(tmp_path, config(tmp_path, inhibitions=INHIBITIONS))
    command = [str(tools.path("amtool")), "check-config", str(tmp_path / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 inhibit rules" in done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    timings = {severity: TIMINGS[severity] if severity is Severity.CRITICAL else QUICK for severity in Severity}
    with pair(tmp_path_factory.mktemp("starting"), inhibitions=INHIBITIONS, timings=timings) as alertmanager_pair:
        yield alertmanager_pair


def test_a_young_platform_tells_of_layers_and_of_what_is_critical_and_of_the_rest_when_it_is_old(both: Pair) -> None:
    both.raise_alert("PlatformStarting", "low")
    both.raise_alert("TargetDown", "high")
    both.raise_alert("KafkaLagUnknown", "medium")
    both.raise_alert("TargetDownEscalated", "high", escalation="on-call-engineer")
    both.raise_alert("KafkaTooFewBrokers", "critical")
    both.raise_alert(LAYER_ALERT.original, "high", layer=LAYER_ALERT.labels["layer"])
    eventually(lambda: len(both.told("KafkaTooFewBrokers")) == 3, 15, "the critical alert is told")
    eventually(lambda: len(both.told(LAYER_ALERT.original)) == 2, 15, "the alert about a layer is told")
    time.sleep(QUIET_S)
    assert both.notifications("TargetDown") == []
    assert both.notifications("KafkaLagUnknown") == []
    assert both.notifications("PlatformStarting") == []
    assert both.events("PlatformStarting")
    both.raise_alert("PlatformStarting", "low", resolved=True)
    eventually(lambda: len(both.told("TargetDown in words")) == 2, 20, "what still fires is told")
    eventually(lambda: len(both.told("KafkaLagUnknown")) == 1, 20, "the medium one as well")
    eventually(lambda: len(both.told("TargetDownEscalated in words")) == 1, 20, "and whoever was not told in time")


class Store:
    """A Prometheus that scrapes itself each second, with the rule about the platform's age."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "rules.yml").write_text(yaml.safe_dump(rule_file([STARTING], "")))
        target = {"job_name": "prometheus-primary", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]}
        content = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": [str(folder / "rules.yml")],
            "scrape_configs": [target],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(content))

    @contextmanager
    def up(self) -> Iterator[None]:
        """Run it until the block ends."""
        command = [
            str(tools.path("prometheus")),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with running(command, self.folder / "prometheus.log", self.port):
            eventually(lambda: self._get("/-/ready").status_code == 200, START_SECONDS, "it is ready")
            yield

    def had_old_data(self) -> None:
        """Write a block of two hours ago."""
        then = int(time.time()) - 2 * HOUR_S
        lines = [f"past {number} {then + 15 * number}" for number in range(20)]
        text = self.folder / "past.txt"
        text.write_text("\n".join(["# TYPE past gauge", *lines, "# EOF", ""]))
        command = ["tsdb", "create-blocks-from", "openmetrics", str(text), str(self.folder / "data")]
        done = subprocess.run(
            [str(tools.path("promtool")), *command], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def number(self, query: str) -> float | None:
        """Value of a query with one result."""
        samples = self._get("/api/v1/query", query=query).json()["data"]["result"]
        return float(samples[0]["value"][1]) if samples else None

    def starting(self, *states: str) -> bool:
        """Whether it takes the platform for new."""
        alerts = self._get("/api/v1/alerts").json()["data"]["alerts"]
        return any(alert["state"] in (states or ("pending", "firing")) for alert in alerts)

    def age(self) -> float:
        """Age of the oldest sample, in seconds; negative while there is none."""
        seconds = self.number("time() - min(prometheus_tsdb_lowest_timestamp_seconds)")
        assert seconds is not None
        return seconds

    def looked(self, times: int) -> None:
        """Wait until the rule was looked at so often since the start, as the process itself says."""

        def count() -> float:
            match = _LOOKS.search(self._get("/metrics").text)
            return float(match.group(1)) if match else 0.0

        eventually(lambda: count() >= times, 60, f"{times} looks at the rule")

    def _get(self, path: str, **params: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", params=params, timeout=60)


def test_a_new_prometheus_says_so_before_any_other_alert_can_be_told(tmp_path: Path) -> None:
    store, began = Store(tmp_path), time.monotonic()
    with store.up():
        eventually(lambda: store.starting("firing"), 40, "the platform is starting")
        assert time.monotonic() - began < SHORTEST_HOLD_S
        eventually(lambda: 0 <= store.age() < SHORTEST_HOLD_S, 10, "it knows its oldest sample")
        assert store.starting("firing")


def test_a_prometheus_that_starts_again_is_as_old_as_its_data(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.up():
        eventually(store.starting, 40, "the platform is starting")
    store.had_old_data()
    for _ in range(2):
        with store.up():
            store.looked(4)
            assert store.age() > HOUR_S
            assert not store.starting()
