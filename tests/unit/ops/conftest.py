"""Outputs of a made-up stack, and a bucket with backups."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from services.backup.store import Store
from tests.unit.services.backup.harness import Harness, harness


@pytest.fixture
def outputs(made_up: dict[str, Any]) -> dict[str, Any]:
    """Complete outputs, free to be changed."""
    return deepcopy(made_up)


@pytest.fixture(scope="session")
def made_up() -> dict[str, Any]:
    """Complete outputs, as ``pulumi stack output --json --show-secrets`` prints them."""
    login = {"username": "someone", "password": "a-long-password"}
    return {
        "namespace": "obs-local",
        "platform": "obs",
        "region": "here",
        "ca_certificate": "-----BEGIN CERTIFICATE-----",
        "otlp_grpc": "198.18.0.20:4317",
        "otlp_http": "https://198.18.0.20:4318",
        "otlp_credentials": {"device": login},
        "kafka_bootstrap": "198.18.0.10:9094",
        "kafka_admin": login,
        "kafka_users": {"gateway": {"username": "gateway", "password": "another-password"}},
        "query_url": "https://198.18.0.21:9090",
        "query_reader": login,
        "prometheus_replicas": ["primary", "secondary"],
        "prometheus_credentials": {"primary": login, "secondary": login},
        "scrape_credentials": {"kafka": login},
        "consumer_groups": ["metrics-consumer-primary", "metrics-consumer-secondary"],
        "topics": ["telemetry-metrics"],
        "something_new": 1,
    }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Harness]:
    """One bucket for each test."""
    folder = tmp_path / "harness"
    folder.mkdir()
    with harness(folder) as opened_world:
        yield opened_world


@pytest.fixture
def store(place: Harness) -> Iterator[Store]:
    with place.store() as opened_store:
        yield opened_store
