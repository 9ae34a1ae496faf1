"""The platform's first ten minutes: once in its life, and only about its own parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.alerting.inhibitions import OBSERVED, collected
from components.rules import ID_LABEL
from tests.rules.promtool import accepted
from tests.rules.scenario import needed
from tests.rules.test_rules import ALERTS, ALL

NAME = "PlatformStarting"
(INHIBITION,) = [inhibition for inhibition in collected(ALL, []) if inhibition.source == (NAME,)]
FIRING = [{"exp_labels": {"severity": "low", ID_LABEL: NAME}}]
OLDEST = 'prometheus_tsdb_lowest_timestamp_seconds{job="prometheus-%s",instance="prometheus-%s-0"}'


def oldest(**values: str) -> dict[str, str]:
    """What each replica says of its oldest sample, one value in 10 s."""
    return {OLDEST % (name, name): value for name, value in values.items()}


CASES: dict[str, tuple[Mapping[str, str], Mapping[str, bool]]] = {
    "a new platform: from its first scrapes until ten minutes after its first sample": (
        oldest(primary="9223372036854775 10x70", secondary="_x5 9223372036854775 70x64"),
        {"15s": True, "5m": True, "10m5s": True, "10m15s": False, "11m": False},
    ),
    "a replica comes back after both were away for long": (
        oldest(primary="0x62 _x400 0x60", secondary="5x62 _x410 5x50"),
        {"10m15s": False, "30m": False, "1h17m10s": False, "1h18m": False, "1h20m": False},
    ),
    "retention moves the oldest sample": (
        oldest(primary="-90000x10 -80000x50", secondary="-90000x10 -80000x50"),
        {"1m": False, "2m": False, "5m": False},
    ),
    "a replica with a new volume sees itself first, and the other one a scrape later": (
        oldest(primary="_ -90000x60", secondary="9223372036854775 10x60"),
        {"5s": False, "10s": False, "30s": False, "5m": False},
    ),
    "no replica tells": ({'up{job="prometheus-primary",instance="prometheus-primary-0"}': "0x60"}, {"5m": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_fires_once_in_the_life_of_a_platform(case: str, tmp_path: Path) -> None:
    series, moments = CASES[case]
    rules, tests = tmp_path / "rules.yml", tmp_path / "test.yml"
    rules.write_text(yaml.safe_dump(needed(ALL, NAME)))
    test: dict[str, Any] = {
        "interval": "10s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": moment, "alertname": NAME, "exp_alerts": FIRING if fires else []}
            for moment, fires in moments.items()
        ],
    }
    content = {"rule_files": [str(rules)], "evaluation_interval": "5s", "fuzzy_compare": True, "tests": [test]}
    tests.write_text(yaml.safe_dump(content))
    accepted("test", "rules", str(tests))


def test_critical_alerts_are_never_kept_quiet() -> None:
    assert [name for name in INHIBITION.targets if ALERTS[name].severity == "critical"] == []


def test_neither_are_alerts_about_layers_nor_the_heartbeat() -> None:
    assert [name for name in INHIBITION.targets if "layer" in ALERTS[name].labels] == []
    assert {"Watchdog", NAME} & set(INHIBITION.targets) == set()


def test_every_other_alert_is_kept_quiet_or_is_about_what_the_platform_watches() -> None:
    own = {
        name
        for name, alert in ALERTS.items()
        if alert.severity != "critical" and "layer" not in alert.labels and alert.origin not in ("Watchdog", NAME)
    }
    left = {ALERTS[name].origin for name in own - set(INHIBITION.targets)}
    assert left == OBSERVED


def test_the_alerts_that_a_cold_start_raises_are_among_them() -> None:
    assert {"TargetDown", "TargetMissing", "EndpointUnreachable", "KafkaBrokerDown"} <= set(INHIBITION.targets)
