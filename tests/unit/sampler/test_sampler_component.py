"""The samplers' objects in the cluster."""

from __future__ import annotations

import base64

import pytest
import yaml

from components.k8s import Resources
from components.sampler import Sampler, SamplerArgs, SamplingPolicy
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, kafka, record, traces


@pytest.fixture(scope="module")
def recording() -> Recording:
    def program() -> None:
        Sampler(
            "sampler",
            SamplerArgs(
                context=deployment_context(),
                scrape=metrics(deployment_context(), "sampler", 8888),
                kafka=kafka("sampler"),
                traces=traces(),
                replicas=2,
                resources=Resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
                policy=SamplingPolicy(base_percent=5),
            ),
        )

    return record(program)


def test_two_samplers_with_names_that_stay(recording: Recording) -> None:
    stateful = recording.one("StatefulSet", "sampler")["spec"]
    assert stateful["replicas"] == 2
    [container] = stateful["template"]["spec"]["containers"]
    names = {variable["name"]: variable for variable in container["env"]}
    assert names["POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert stateful["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
    assert recording.one("PodDisruptionBudget", "sampler")["spec"]["maxUnavailable"] == 1


def test_its_policy_is_in_its_configuration(recording: Recording) -> None:
    config = yaml.safe_load(recording.one("ConfigMap", "sampler")["data"]["config.yaml"])
    base = config["processors"]["tail_sampling"]["policies"][2]["and"]["and_sub_policy"][0]
    assert base["probabilistic"]["sampling_percentage"] == 5
    assert config["exporters"]["otlp/jaeger"]["endpoint"] == "jaeger-collector.obs.svc.cluster.local:4317"


def test_it_reaches_kafka_and_jaeger_only_and_only_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", "sampler")["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 9092, 4317}
    [ingress] = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [8888]
    labels = recording.one("StatefulSet", "sampler")["spec"]["template"]["metadata"]["labels"]
    assert labels["obs.access/kafka"] == labels["obs.access/traces"] == "true"


def test_passwords_are_in_the_secret_only(recording: Recording) -> None:
    secret = recording.one("Secret", "sampler-auth")
    values = secret.get("stringData") or {
        key: base64.b64decode(value).decode() for key, value in secret["data"].items()
    }
    assert values["kafka-password"] == "password-of-sampler"
    assert values["scrape.htpasswd"].startswith("scrape-sampler:$2b$")
    assert "password-of-sampler" not in str(recording.one("ConfigMap", "sampler"))
