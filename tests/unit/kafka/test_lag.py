"""The lag exporter's settings file is one that the exporter takes."""

from __future__ import annotations

import yaml

from services.kafka_lag.settings import parse
from tests.support import engine


def test_the_exporter_accepts_its_settings_file() -> None:
    for stack in engine.STACKS:
        content = yaml.safe_load(engine.recorded(stack).one("ConfigMap", "kafka-lag")["data"]["config.yaml"])
        settings = parse(content)
        assert "metrics-consumer-primary" in settings.groups
        assert "telemetry-logs" in settings.topics
        assert settings.username == "kafka-lag"
