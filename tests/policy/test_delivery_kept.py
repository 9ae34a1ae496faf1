"""The rule about exporters behind samplers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policy.model import Resource
from policy.runner import Runner
from tests.policy.fixtures_servers import rule

RULES = [rule("collector-kept-traces")]


def sampler(exporter: dict[str, Any]) -> Resource:
    """A collector that samples traces and sends them on."""
    pipeline = {"receivers": ["kafka"], "processors": ["tail_sampling"], "exporters": ["otlp/store"]}
    content = {
        "receivers": {"kafka": {}},
        "processors": {"tail_sampling": {}},
        "exporters": {"otlp/store": exporter},
        "service": {"pipelines": {"traces": pipeline}},
    }
    metadata = {"name": "s", "namespace": "obs"}
    return Resource(
        "kubernetes:core/v1:ConfigMap", "s", {"metadata": metadata, "data": {"config.yaml": json.dumps(content)}}
    )


GOOD: dict[str, Any] = {"retry_on_failure": {"enabled": True}, "sending_queue": {"block_on_overflow": True}}


def test_a_sampler_that_tries_again_and_holds_back_passes() -> None:
    assert Runner(rules=RULES, agreed=[]).all([sampler(GOOD)]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retry_on_failure": {"enabled": False}}, "does not try again"),
        ({"sending_queue": {"block_on_overflow": False}}, "drops what its queue cannot take"),
        ({"sending_queue": None}, "drops what its queue cannot take"),
    ],
)
def test_a_sampler_that_would_drop_is_stopped(change: dict[str, Any], message: str) -> None:
    [verdict] = Runner(rules=RULES, agreed=[]).all([sampler({**GOOD, **change})])
    assert verdict.stops
    assert message in verdict.message
    assert "config.yaml" in verdict.message
