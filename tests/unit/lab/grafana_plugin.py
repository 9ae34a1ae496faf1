"""The Grafana plugin at work on a Grafana, spoken to as the engine does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from lab.pulumi_host.grafana_client import Grafana
from lab.pulumi_host.grafana_provider import GrafanaProvider
from lab.pulumi_host.provider import Properties, plain
from tests.support.provider import Engine, engine_of


@contextmanager
def plugin_on(settings: Mapping[str, Any], stopping: threading.Event | None = None) -> Iterator[Engine]:
    """Serve the plugin, configured."""
    event = stopping or threading.Event()
    with engine_of(GrafanaProvider("0.0.0", Grafana(event), event)) as engine:
        engine.configure(settings, ("auth",))
        yield engine


def failure(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    """What the user reads."""
    return str(error.value.details())


def checked(engine: Engine, kind: str, inputs: Mapping[str, Any], name: str = "r") -> Properties:
    """Inputs as the plugin takes them."""
    answer = engine.check(kind, inputs, name=name)
    assert not answer.failures, answer.failures
    return plain(answer.inputs)
