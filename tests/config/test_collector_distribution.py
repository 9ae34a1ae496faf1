"""The collector that the toolchain builds: our own components are in it, and it takes what their page shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.collector.pods import htpasswd
from lab.paths import CHECKOUT
from lab.toolchain import tools
from tests.config.pki import write_certificates

MODULE = CHECKOUT / "collector"
OWN = (
    ("extensions", "drain"),
    ("extensions", "login"),
    ("processors", "attribution"),
    ("processors", "gate"),
    ("exporters", "kafkabuckets"),
    ("exporters", "otlprecords"),
)


def otelcol(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tools.path("otelcol"), *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def example(tmp_path: Path) -> dict[str, Any]:
    """The configuration of collector/README.md with its files in ``tmp_path``, and pipelines."""
    write_certificates(tmp_path)
    (tmp_path / "catalogue.yaml").write_text((MODULE / "gate" / "testdata" / "catalogue.yaml").read_text())
    (tmp_path / "clients.htpasswd").write_text(htpasswd({"device": "password"}))
    (tmp_path / "hash-key").write_text("a key for tests, of at least thirty-two bytes")
    (tmp_path / "kafka-password").write_text("kafka-secret")
    section = (MODULE / "README.md").read_text().partition("\n## Configuration\n```yaml\n")[2].partition("\n```\n")[0]
    config: dict[str, Any] = yaml.safe_load(re.sub(r"/etc/(otelcol-gate|otelcol-auth|tls)/", f"{tmp_path}/", section))
    config["extensions"]["file_storage/queue"] = {"directory": str(tmp_path)}
    config["exporters"]["nop"] = {}
    config["service"] = {
        "extensions": ["login", "drain", "file_storage/queue"],
        "pipelines": {
            "metrics": {"receivers": ["otlp"], "processors": ["gate"], "exporters": ["kafkabuckets/metrics"]},
            "logs/records": {"receivers": ["otlp"], "exporters": ["otlprecords/prometheus"]},
        },
    }
    return config


def validated(config: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return otelcol("validate", f"--config={folder / 'config.yaml'}")


def test_our_own_components_are_in_the_distribution() -> None:
    listed = yaml.safe_load(otelcol("components").stdout)
    ours = [
        (kind, component["name"])
        for kind in dict(OWN)
        for component in listed[kind]
        if component["module"].startswith("obs-platform/")
    ]
    assert sorted(ours) == sorted(OWN)


def test_the_configuration_on_the_page_of_our_components_is_valid(example: dict[str, Any], tmp_path: Path) -> None:
    done = validated(example, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("kind", "component"), OWN)
def test_each_of_our_components_is_closed_to_unknown_keys(
    kind: str, component: str, example: dict[str, Any], tmp_path: Path
) -> None:
    name = next(name for name in example[kind] if name.partition("/")[0] == component)
    example[kind][name]["surprise"] = 1
    done = validated(example, tmp_path)
    assert done.returncode == 1
    assert "has invalid keys: surprise" in done.stderr
