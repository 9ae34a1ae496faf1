"""Rules about Prometheus' own identity."""

from __future__ import annotations

import pytest
import yaml

from policy.model import Resource
from policy.runner import Runner
from tests.policy.fixtures_kubernetes import container, k8s, pod, rule

RULES = [rule("prometheus-external-labels"), rule("metrics-reads-bounded"), rule("thanos-flags-given")]
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


BOUNDED = {
    "prometheus": ["--storage.remote.read-concurrent-limit=2"],
    "thanos": ["query", "--query.max-concurrent=4", "--query.partial-response"],
}


def reading(program: str, options: list[str]) -> Resource:
    """A workload that answers queries."""
    running = pod(container(image=f"registry/{program}:v1", command=[f"/bin/{program}", *options]))
    return k8s("apps/v1:Deployment", program, spec={"template": {"spec": running}})


@pytest.mark.parametrize("program", sorted(BOUNDED))
def test_reads_that_are_bounded_pass(program: str) -> None:
    assert Runner(rules=RULES, agreed=[]).all([reading(program, BOUNDED[program])]) == []


@pytest.mark.parametrize(
    ("program", "flag"),
    [
        ("prometheus", "--storage.remote.read-concurrent-limit"),
        ("thanos", "--query.max-concurrent"),
    ],
)
@pytest.mark.parametrize("becomes", [None, "0"])
def test_reads_without_a_bound_are_stopped(program: str, flag: str, becomes: str | None) -> None:
    options = [option for option in BOUNDED[program] if not option.startswith(flag)]
    options += [] if becomes is None else [f"{flag}={becomes}"]
    [verdict] = Runner(rules=RULES, agreed=[]).all([reading(program, options)])
    assert verdict.stops
    assert f"{flag} does not bound" in verdict.message


def test_a_sidecar_answers_no_queries_of_its_own() -> None:
    assert Runner(rules=RULES, agreed=[]).all([reading("thanos", ["sidecar"])]) == []


CLOSED = ["--disable-admin-operations", "--web.disable"]


@pytest.mark.parametrize("part", ["compact", "store"])
@pytest.mark.parametrize("missing", CLOSED)
def test_parts_of_thanos_that_serve_more_than_answers_are_stopped(part: str, missing: str) -> None:
    assert Runner(rules=RULES, agreed=[]).all([reading("thanos", [part, *CLOSED])]) == []
    [verdict] = Runner(rules=RULES, agreed=[]).all(
        [reading("thanos", [part, *(flag for flag in CLOSED if flag != missing)])]
    )
    assert verdict.stops


def test_a_part_of_thanos_that_the_image_starts_needs_its_flags_too() -> None:
    own = {key: value for key, value in container(image="registry/thanos:v1").items() if key != "command"}
    running = pod({**own, "args": ["store", "--web.disable"]})
    store = k8s("apps/v1:StatefulSet", "store", spec={"template": {"spec": running}})
    [verdict] = Runner(rules=RULES, agreed=[]).all([store])
    assert verdict.stops
    assert "--disable-admin-operations is not given" in verdict.message
