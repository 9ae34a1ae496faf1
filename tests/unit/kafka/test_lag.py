"""The lag exporter's settings file is one that the exporter takes."""

from __future__ import annotations

import yaml

from services.kafka_lag import KafkaLagSettings
from tests.support import engine


def test_the_exporter_accepts_its_settings_file() -> None:
    for stack in engine.STACKS:
        content = yaml.safe_load(engine.recorded(stack).one("ConfigMap", "kafka-lag")["data"]["config.yaml"])
        settings = KafkaLagSettings.parse(content)
        assert "metrics-consumer-primary" in settings.groups
        assert "telemetry-logs" in settings.topics
        assert settings.username == "kafka-lag"


def test_no_probe_depends_on_the_brokers() -> None:
    """Probes that ask the brokers would restart the exporter whenever these are away, which is when it is needed."""
    for stack in engine.STACKS:
        pods = engine.recorded(stack).one("Deployment", "kafka-lag")["spec"]["template"]["spec"]
        (container,) = pods["containers"]
        for probe, path in {"livenessProbe": "/livez", "readinessProbe": "/readyz", "startupProbe": "/livez"}.items():
            assert container[probe]["httpGet"] == {"path": path, "port": 8080, "scheme": "HTTPS"}, probe
            assert {"exec", "tcpSocket"} & set(container[probe]) == set(), probe
