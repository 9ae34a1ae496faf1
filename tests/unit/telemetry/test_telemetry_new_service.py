"""A new service is an edit of data only: the example of the documentation, added to a copy of the platform (M4)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry.file import PATH, parse
from components.telemetry.schema import Example, Inhibitor, Service, ServiceMetric, Simulated, Slo, Threshold

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "operations" / "thresholds.md"
COPIED = ("collector", "components", "images", "lab", "ops", "tests/rules", "tests/__init__.py", "pyproject.toml")
TOLD = """
import json
from components.rules import rule_file
from components.sampler import SamplingPolicy
from components.sampler.rules import RULES as SAMPLER
from components.telemetry.catalogue import SERVICES, metric, metrics_of
from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.rules import INHIBITIONS, RULES
from components.telemetry.thresholds import problems
from components.alerting.escalation import escalated

print(json.dumps({
    "problems": problems(),
    "layer": SERVICES["transcriber"].name,
    "metrics": [each.prometheus for each in metrics_of("transcriber")],
    "labels": metric("transcription.delay").labels,
    "gate": gate_catalogue({"business": ["business"]}),
    "limit_ms": SamplingPolicy().limits_ms["transcriber"],
    "sampler": json.dumps(rule_file(SAMPLER, "")),
    "rules": rule_file(escalated(RULES), "https://r")["groups"],
    "inhibitions": [[each.source, each.targets] for each in INHIBITIONS],
}))
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the platform whose reviewed file has the example's entries too; nothing else differs."""
    folder = tmp_path_factory.mktemp("platform")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            # With what Python has compiled, which knows its source by time and size.
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    content = parse(PATH.read_text(encoding="utf-8"))
    for section, entries in example().items():
        content[section] = {**content[section], **entries} if isinstance(entries, dict) else content[section] + entries
    (folder / PATH.relative_to(ROOT)).write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6), encoding="utf-8"
    )
    return folder


def example() -> dict[str, Any]:
    """The YAML block of the documentation."""
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    document: dict[str, Any] = yaml.safe_load(block)
    return document


def test_the_example_of_the_documentation_has_every_key() -> None:
    document = example()
    (threshold,), (slo,), (service,) = document["thresholds"], document["slos"], document["services"]
    assert set(threshold) == set(Threshold.model_fields)
    assert set(threshold["example"]) == set(Example.model_fields)
    assert set(threshold["inhibited_by"][0]) == set(Inhibitor.model_fields)
    assert set(slo) == set(Slo.model_fields) - {"good"}
    assert set(service) == set(Service.model_fields)
    assert {key for metric in service["metrics"] for key in metric} == set(ServiceMetric.model_fields)
    assert {key for metric in service["metrics"] for key in metric["simulated"]} == set(Simulated.model_fields)
    assert {metric["kind"] for metric in service["metrics"]} == {"gauge", "counter", "histogram"}


def python(folder: Path, *arguments: str) -> str:
    """Run Python in the copy."""
    command = [sys.executable, "-P", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def told(platform: Path) -> dict[str, Any]:
    """What the copy says about itself."""
    document: dict[str, Any] = json.loads(python(platform, "-c", TOLD))
    return document


def test_the_catalogue_has_the_service_and_its_metrics_under_prometheus_names(told: dict[str, Any]) -> None:
    assert told["problems"] == []
    assert told["layer"] == "business"
    assert told["metrics"] == [
        "transcription_delay_seconds",
        "transcription_attempts_total",
        "transcription_failures_total",
        "transcription_duration_seconds",
    ]
    assert told["labels"] == ["transcription_language"]


def test_the_gate_lets_in_its_metrics_and_attributes_in_its_layer_only(told: dict[str, Any]) -> None:
    gate = told["gate"]
    assert gate["attributes"]["transcription.language"] == {"type": "code"}
    assert gate["layers"]["business"]["metrics"]["transcription.delay"] == {
        "unit": "s",
        "kind": "gauge",
        "description": "age of the oldest speech without a transcript",
        "attributes": ["transcription.language"],
    }
    for place, value in (
        ("services", "transcriber"),
        ("metrics", "transcription.delay"),
        ("spans", "transcription.language"),
        ("logs", "transcription.language"),
    ):
        assert [name for name, layer in gate["layers"].items() if value in layer[place]] == ["business"]


def test_its_slow_traces_are_kept_and_its_slowness_raises_an_alert(told: dict[str, Any]) -> None:
    assert told["limit_ms"] == 2000
    assert "transcriber" in told["sampler"]


def test_rules_escalation_and_inhibitions_are_made_for_it(told: dict[str, Any]) -> None:
    rules = {rule.get("alert"): (group["name"], rule) for group in told["rules"] for rule in group["rules"]}
    group, alert = rules["TranscriptionDelayed"]
    assert group == "layer-business-30s"
    assert alert["expr"] == "max by (job, transcription_language) (transcription_delay_seconds) > 120"
    assert {key: alert["labels"][key] for key in ("severity", "owner", "slo")} == {
        "severity": "high",
        "owner": "speech",
        "slo": "transcription-success",
    }
    assert alert["annotations"]["description_ja"].startswith("書き起こし待ちが 1 分にわたり 2 分を超えています")
    assert rules["TranscriptionDelayedEscalated"][1]["labels"]["escalation"] == "on-call-engineer"
    recorded = [rule["record"] for group in told["rules"] for rule in group["rules"] if "record" in rule]
    assert recorded.count("slo:burn:rate1h") == 6
    assert "transcription-success" in rules["SloBurnHigh"][1]["expr"]
    assert [["WorkEventsDelayed"], ["TranscriptionDelayed"]] in told["inhibitions"]
    # Its alerts tell of one language each, and the objective is that of all of them.
    assert "TranscriptionDelayed" not in {name for sources, _ in told["inhibitions"] for name in sources}


def test_both_documents_tell_of_it(platform: Path) -> None:
    assert "| transcriber | `transcription.delay` | `s` | gauge | `transcription.language` |" in python(
        platform, "-m", "components.telemetry"
    )
    thresholds = python(platform, "-m", "components.telemetry", "thresholds")
    assert (
        "| `transcription-delay` | [TranscriptionDelayed](runbooks/TranscriptionDelayed.md) | > 2 min * |" in thresholds
    )
    assert "| `transcription-success` | business | speech becomes a transcript | 99 % | 30d | speech |" in thresholds


def test_promtool_checks_and_tests_its_rules_as_those_of_all_others(platform: Path) -> None:
    ran = python(
        platform, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/rules/test_thresholds.py",
        "-k", "accepts or (ranscription and not page and not steady)",
    )  # fmt: skip
    # The rules; the alert and its control; three burn rates; a healthy objective.
    assert "6 passed" in ran


def test_the_simulator_sends_it_and_drives_its_alert(platform: Path) -> None:
    ran = python(
        platform, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/rules/test_thresholds_simulated.py",
        "-k", "TranscriptionDelayed",
    )  # fmt: skip
    assert "1 passed" in ran


def test_a_mistake_in_the_new_entry_is_told_in_one_line_by_whatever_reads_it_first(
    platform: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(platform / "components", folder / "components")
    path = folder / PATH.relative_to(ROOT)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["services"][0]["metrics"][0]["unit"] = 5
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    for arguments in (
        ["-c", "import components.telemetry.gate_catalogue"],
        ["-m", "components.telemetry", "thresholds"],
    ):
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].endswith(
            "components/telemetry/thresholds.yaml: services[transcriber].metrics[transcription.delay].unit is 5: "
            "allowed is a text (in quotes, where YAML would read something else); correct it"
        )
