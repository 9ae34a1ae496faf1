"""Rules about Prometheus' own identity."""

from __future__ import annotations

import pytest
import yaml

from policy.model import Resource
from policy.rules.prometheus import RULES
from policy.runner import Runner

LABELS = {"platform": "obs", "region": "a", "prometheus_replica": "primary"}


def prometheus(labels: dict[str, str]) -> Resource:
    """A ConfigMap with a Prometheus configuration."""
    text = yaml.safe_dump({"global": {"external_labels": labels}, "scrape_configs": []})
    metadata = {"name": "p", "namespace": "obs"}
    return Resource("kubernetes:core/v1:ConfigMap", "p", {"metadata": metadata, "data": {"prometheus.yml": text}})


def test_a_prometheus_with_its_labels_passes() -> None:
    assert Runner(rules=RULES, agreed=[]).all([prometheus(LABELS)]) == []


@pytest.mark.parametrize("label", sorted(LABELS))
def test_a_prometheus_without_a_label_is_stopped(label: str) -> None:
    bad = prometheus({key: value for key, value in LABELS.items() if key != label})
    [verdict] = Runner(rules=RULES, agreed=[]).all([bad])
    assert verdict.stops
    assert verdict.message == (
        f"ConfigMap obs/p, prometheus.yml: global.external_labels.{label}: is not set. Without them Thanos can neither "
        f"tell the replicas apart nor take their duplicates away. Fix: set global.external_labels.{label}."
    )
