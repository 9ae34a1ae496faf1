"""The registry: what is wrong with it is told in one line, and what it lets in fits together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry.catalogue import METRICS
from components.telemetry.file import REGISTRY_PATH, CatalogueError
from components.telemetry.gate_catalogue import attribute_types, gate_catalogue, keys_at, sent_metrics, service_names
from components.telemetry.layers import LAYER_NAMES, LAYERS, Signal, layer
from components.telemetry.registry import (
    REGISTRY,
    AttributeType,
    label_reserved,
    metric_reserved,
    read,
    service_reserved,
)
from components.telemetry.thresholds import THRESHOLDS
from lab.paths import CHECKOUT

Change = Callable[[Any], object]
ROUTE = "attributes.yaml: groups[http].attributes[http.route]"
LAYER = "allowed is one of device, streaming, business, data, analytics; correct it"
PLATFORMS = "allowed is one that reserved.yaml does not list; correct it"


def told(folder: Path, file: str, change: Change) -> str:
    """What is said about a registry with a change."""
    shutil.copytree(REGISTRY_PATH, folder / "registry")
    path = folder / "registry" / f"{file}.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(CatalogueError) as error:
        read(folder / "registry")
    return str(error.value).removeprefix("components/telemetry/registry/")


def group(content: Any, name: str) -> Any:
    return next(entry for entry in content["groups"] if entry["id"] == name)


def attribute(content: Any, name: str, key: str) -> Any:
    return next(entry for entry in group(content, name)["attributes"] if entry["id"] == key)


def sender(content: Any, name: str) -> Any:
    return next(entry for entry in content["services"] if entry["name"] == name)


@pytest.mark.parametrize(
    ("file", "change", "line"),
    [
        (
            "attributes",
            lambda content: attribute(content, "http", "http.route").update(type="path"),
            f"{ROUTE}.type is 'path': allowed is one of 'number', 'boolean', 'enum', 'version', 'route', 'code', 'id' "
            "or 'text'; correct it",
        ),
        (
            "attributes",
            lambda content: attribute(content, "http", "http.route").update(members=["a"]),
            f"{ROUTE}: allowed is members for an enum, and for nothing else; correct it",
        ),
        (
            "attributes",
            lambda content: attribute(content, "http", "http.route").update(maximum=3.0),
            f"{ROUTE}: allowed is minimum and maximum for a number, and for nothing else; correct it",
        ),
        (
            "attributes",
            lambda content: attribute(content, "http", "http.route").update(brif="x"),
            f"{ROUTE}.brif is not a known key: did you mean brief? Known "
            "here: brief, id, label, maximum, members, minimum, required, type",
        ),
        (
            "attributes",
            lambda content: attribute(content, "http", "http.route").pop("brief"),
            f"{ROUTE}.brief is missing: add it (other entries and docs/ingest.md show every key)",
        ),
        (
            "attributes",
            lambda content: group(content, "http").update(at=["events"]),
            "attributes.yaml: groups[http].at[0] is 'events': allowed is one of 'resource', 'spans' or 'logs'; "
            "correct it",
        ),
        (
            "attributes",
            lambda content: group(content, "http").update(layers=["robots"]),
            f"attributes.yaml: groups[http].layers is 'robots': {LAYER}",
        ),
        (
            "attributes",
            lambda content: group(content, "rpc")["attributes"].append(attribute(content, "http", "http.route")),
            "attributes.yaml: attributes: id http.route occurs 2 times: allowed is once; correct it",
        ),
        (
            "attributes",
            lambda content: attribute(content, "http", "http.route").update(required=True),
            f"{ROUTE} is required, or a label: allowed is that at `resource`; correct it",
        ),
        (
            "layers",
            lambda content: content["layers"][0]["budget"].update(series=0),
            "layers.yaml: layers[device].budget.series is 0: allowed is a number of at least 1; correct it",
        ),
        (
            "layers",
            lambda content: content["layers"][0]["budget"].update(span_names=5),
            "layers.yaml: layers[device]: allowed is span_names above 0 where traces are sent, and 0 elsewhere; "
            "correct it",
        ),
        (
            "layers",
            lambda content: content["layers"][0]["shares"].update(traces=0.1),
            "layers.yaml: layers[device]: allowed is a share of every signal that is sent, and of no other; correct it",
        ),
        (
            "layers",
            lambda content: content["layers"][0]["shares"].update(metrics=0.6),
            "layers.yaml: the file: allowed is shares of metrics that are at most 1 together; they are 1.1; correct it",
        ),
        (
            "layers",
            lambda content: content["layers"][0].update(signals=["profiles"]),
            "layers.yaml: layers[device].signals[0] is 'profiles': allowed is one of 'metrics', 'traces' or "
            "'logs'; correct it",
        ),
        (
            "metrics",
            lambda content: sender(content, "etl")["metrics"][0].update(attributes=["etl.job.nmae"]),
            "metrics.yaml: services[etl].metrics[etl.job.last_status].attributes: 'etl.job.nmae' has no type: allowed "
            "is an attribute of attributes.yaml; correct it",
        ),
        (
            "metrics",
            lambda content: sender(content, "etl")["metrics"][0].update(name="kafka.log.size"),
            f"metrics.yaml: services[etl].metrics[kafka.log.size]: the name is the platform's own: {PLATFORMS}",
        ),
        (
            "metrics",
            lambda content: sender(content, "etl").update(name="gateway"),
            f"metrics.yaml: services[gateway].name is the platform's own: {PLATFORMS}",
        ),
        (
            "metrics",
            lambda content: sender(content, "etl").update(layer="robots"),
            f"metrics.yaml: services[etl].layer is 'robots': {LAYER}",
        ),
        (
            "metrics",
            lambda content: sender(content, "work-api")["metrics"][1].update(unit="s"),
            "metrics.yaml: services[work-api].metrics[http.server.active_requests] has kind updowncounter and unit "
            "'s': allowed is what conventions.yaml says, kind updowncounter and unit '{request}'; correct it",
        ),
        (
            "conventions",
            lambda content: content["metrics"][0]["attributes"].append("device_id"),
            "conventions.yaml: metrics[http.server.request.duration].attributes: 'device_id' is a label of the "
            "platform's: allowed is another key; correct it",
        ),
        (
            "checks",
            lambda content: content["services"].append("prometheus-x"),
            f"checks.yaml: services: prometheus-x is the platform's own: {PLATFORMS}",
        ),
        (
            "reserved",
            lambda content: content["metrics"].insert(0, "*_total"),
            "reserved.yaml: metrics[0] is '*_total': allowed is a name as Prometheus spells it, or with a star; "
            "correct it",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_place_value_and_what_is_allowed(
    file: str, change: Change, line: str, tmp_path: Path
) -> None:
    assert told(tmp_path, file, change) == line


def test_a_key_that_occurs_twice_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    shutil.copytree(REGISTRY_PATH, tmp_path / "registry")
    (tmp_path / "registry" / "checks.yaml").write_text("services: []\nmetrics: []\nservices: [a]\n")
    with pytest.raises(CatalogueError) as error:
        read(tmp_path / "registry")
    assert str(error.value) == (
        "components/telemetry/registry/checks.yaml: line 3: key 'services' occurs twice: allowed is once; remove one"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "components.telemetry"],
        ["-c", "import components.telemetry.layers"],
        ["-c", "import lab.simulator.__main__"],
    ],
)
def test_a_mistake_is_told_by_whatever_reads_it_first(arguments: list[str], tmp_path: Path) -> None:
    for part in ("components", "lab/simulator", "lab/__init__.py"):
        source, target = CHECKOUT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # With what Python has compiled, which knows its source by time and size.
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    path = tmp_path / "components" / "telemetry" / "registry" / "layers.yaml"
    path.write_text(path.read_text().replace("signals: [metrics, logs]", "signals: [metrics, profiles]", 1))
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "components/telemetry/registry/layers.yaml: layers[device].signals[1] is 'profiles': allowed is one of "
        "'metrics', 'traces' or 'logs'; correct it"
    )


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_no_reserved_name_is_in_a_layer(name: str) -> None:
    own, reserved = layer(name), REGISTRY.reserved
    assert not [service for service in service_names(own) if service_reserved(service, reserved.services)]
    metrics = sent_metrics(own)
    assert not [metric.name for metric in metrics if metric_reserved(metric.name, reserved.metrics)]
    assert not [key for metric in metrics for key in metric.attributes if label_reserved(key, reserved.labels)]


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        ("kafka.controller.offline", True),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", True),
        ("up", True),
        ("process.cpu", True),
        ("kafka", True),
        ("failover", True),
        ("process.cpu.time", False),
        ("jvm.memory.used", False),
        ("report.generated", False),
        ("upload.count", False),
    ],
)
def test_a_metric_is_reserved_by_the_name_that_it_would_get_in_prometheus(name: str, reserved: bool) -> None:
    assert metric_reserved(name, REGISTRY.reserved.metrics) is reserved


def test_a_service_is_reserved_whatever_its_case_and_a_label_however_it_is_spelled() -> None:
    assert service_reserved(" Kafka-7 ", REGISTRY.reserved.services)
    assert not service_reserved("cafe", REGISTRY.reserved.services)
    for key in ("job", "device.id", "prometheus-replica", "..name"):
        assert label_reserved(key, REGISTRY.reserved.labels), key
    assert not label_reserved("jobs", REGISTRY.reserved.labels)


OF_PEOPLE = re.compile(
    r"(.*\.)?(device|worker|user|enduser|employee|operator|customer|patient|driver|member|session|account)[._](previous_)?id"
)
PERSONAL = re.compile(
    r"(.*[._])?(password|secret|token|cookie|authorization|api_key|e?mail|phone|address_line|latitude|longitude|"
    r"(user|enduser|employee|worker|customer|owner|full|first|last)[._]?name|user|owner)"
)


def test_what_stands_for_a_person_is_hashed_and_what_names_one_or_is_secret_has_no_place() -> None:
    types = {known.id: known.type for known in attribute_types()}
    hashed = {key for key in types if OF_PEOPLE.fullmatch(key)}
    assert hashed >= {"device_id", "device.id", "worker.id", "user.id", "enduser.id", "session.id"}
    assert {key: types[key] for key in hashed} == dict.fromkeys(hashed, AttributeType.ID)
    assert [key for key in types if PERSONAL.fullmatch(key)] == []


def test_the_gates_file_has_every_part_of_every_layer() -> None:
    gate: Any = gate_catalogue({"device": ["device"], "agent": list(LAYER_NAMES)}, open_layers=["data"])
    assert gate["clients"] == {"device": ["device"], "agent": list(LAYER_NAMES)}
    assert [name for name, own in gate["layers"].items() if own["open"]] == ["data"]
    for own in LAYERS:
        part = gate["layers"][own.name]
        assert part["signals"] == [signal.value for signal in Signal if own.may_send(signal)]
        assert {metric.name for metric in METRICS if metric.layer is own} <= set(part["metrics"])
        assert bool(part["spans"]) is own.may_send(Signal.TRACES)
        assert part["budget"]["series"] >= part["budget"]["client_series"] > 0
    assert gate["layers"]["device"]["required"] == ["service.instance.id", "device_id"]
    assert gate["layers"]["data"]["required"] == ["service.instance.id"]
    merged = gate["layers"]["business"]["metrics"]["http.server.request.duration"]
    assert merged["attributes"][:3] == ["http.request.method", "http.route", "http.response.status_code"]
    assert "url.scheme" in merged["attributes"]


def test_the_version_of_the_gates_file_changes_with_its_content_and_with_nothing_else() -> None:
    one, same = (gate_catalogue({"device": ["device"]})["version"] for _ in range(2))
    assert one == same
    assert gate_catalogue({"device": ["data"]})["version"] != one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"clients": {"x": ["robots"]}},
            "client x: layer is 'robots', must be one of device, streaming, business, data, analytics",
        ),
        (
            {"clients": {}, "open_layers": ["robots"]},
            "open_layers: layer is 'robots', must be one of device, streaming, business, data, analytics",
        ),
    ],
)
def test_a_layer_that_does_not_exist_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        gate_catalogue(**arguments)


def test_every_attribute_of_the_registry_may_stand_somewhere() -> None:
    placed = {key for own in LAYERS for place in ("resource", "spans", "logs") for key in keys_at(own, place)}
    on_points = {key for own in LAYERS for metric in sent_metrics(own) for key in metric.attributes}
    assert {known.id for known in attribute_types()} - placed - on_points == set()


def test_a_threshold_on_a_metric_that_every_layer_may_send_looks_at_its_own_layer_only() -> None:
    shared = {metric.name for metric in REGISTRY.conventions.metrics}
    read_by_threshold = [(row, name) for row in THRESHOLDS for name in row.metrics if name in shared]
    assert read_by_threshold
    for row, _ in read_by_threshold:
        selectors = re.findall(r"\{[^}]*\}", row.value)
        assert selectors, row.name
        assert all(f'layer="{row.layer.name}"' in selector for selector in selectors), row.name
