"""The sampler's configuration: what it promises about order, waiting and bounds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.collector.config import READER, KafkaClient
from components.sampler import (
    LATENCY_BUCKETS_S,
    SERIES_PER_SERVICE,
    SERVICES,
    SamplerConfig,
    SamplingPolicy,
    sampler_config,
    slow_condition,
)
from components.telemetry.services import DEFAULT_LATENCY_LIMIT_MS, LATENCY_LIMITS_MS
from components.telemetry.topics import TRACES_TOPIC
from lab.paths import CHECKOUT

SAMPLE_LIMIT = 50_000


def rendered_config(**changed: Any) -> dict[str, Any]:
    policy = SamplingPolicy(**changed)
    return sampler_config(
        SamplerConfig(
            kafka=KafkaClient(brokers=("kafka:9092",), user="sampler", name="sampler"),
            traces="jaeger-collector:4317",
            traces_name="jaeger-collector.obs.svc",
            policy=policy,
        )
    )


CONFIG = rendered_config()
SAMPLING = CONFIG["processors"]["tail_sampling"]


def test_every_span_is_measured_before_any_decision() -> None:
    pipelines = CONFIG["service"]["pipelines"]
    assert pipelines["traces/in"]["exporters"] == ["spanmetrics", "forward/decide"]
    assert "tail_sampling" not in pipelines["traces/in"]["processors"]
    assert pipelines["traces/kept"] == {
        "receivers": ["forward/decide"],
        "processors": ["tail_sampling"],
        "exporters": ["otlp/jaeger"],
    }
    assert pipelines["metrics/spans"]["exporters"] == ["prometheus/self"]


def test_errors_come_first_then_slow_ones_and_neither_uses_the_budget_of_the_rest() -> None:
    assert [policy["name"] for policy in SAMPLING["policies"]] == ["errors", "slow", "base"]
    assert SAMPLING["sample_on_first_match"] is True
    assert SAMPLING["policies"][0]["status_code"] == {"status_codes": ["ERROR"]}


def test_the_hash_chooses_before_the_budget_is_charged() -> None:
    base = SAMPLING["policies"][2]
    assert base["type"] == "and"
    assert [sub_policy["type"] for sub_policy in base["and"]["and_sub_policy"]] == ["probabilistic", "rate_limiting"]
    chosen = base["and"]["and_sub_policy"][0]["probabilistic"]
    assert chosen["sampling_percentage"] == 10
    assert chosen["hash_salt"], "all samplers must hash alike, whatever the default becomes"


def test_nothing_is_thrown_out_undecided_it_waits() -> None:
    assert SAMPLING["block_on_overflow"] is True
    caches = SAMPLING["decision_cache"]
    assert caches["sampled_cache_size"] >= SAMPLING["num_traces"]
    assert caches["non_sampled_cache_size"] >= 1, "without both caches, decided traces would block for ever"
    queue = CONFIG["exporters"]["otlp/jaeger"]["sending_queue"]
    assert queue["block_on_overflow"] is True
    assert queue["queue_size"] > SAMPLING["maximum_trace_size_bytes"], "a larger item would be refused for good"
    assert CONFIG["exporters"]["otlp/jaeger"]["retry_on_failure"]["max_elapsed_time"] == 0
    assert SAMPLING["drop_pending_traces_on_shutdown"] is False


def test_a_trace_is_decided_early_enough_to_be_in_jaeger_within_15_s() -> None:
    assert int(SAMPLING["decision_wait"].removesuffix("s")) <= 10
    queue = CONFIG["exporters"]["otlp/jaeger"]["sending_queue"]
    assert queue["batch"]["flush_timeout"] == "200ms"


def test_the_largest_span_with_the_largest_resource_is_one_request() -> None:
    """The exporter drops what is larger by itself than a request, and counts it nowhere."""
    source = (CHECKOUT / "collector" / "gate" / "catalogue.go").read_text()
    (limits,) = re.findall(r"func defaultLimits\(\).*?\n\}", source, re.DOTALL)
    largest = sum(int(kibibytes) << 10 for kibibytes in re.findall(r"\b(?:Item|Resource)Bytes: (\d+) << 10", limits))
    batch = CONFIG["exporters"]["otlp/jaeger"]["sending_queue"]["batch"]
    assert largest > 256 << 10
    assert (batch["sizer"], batch["max_size"] >= largest) == ("bytes", True)


def test_a_record_is_marked_only_after_the_processor_took_it_and_errors_are_tried_again_for_ever() -> None:
    receiver = CONFIG["receivers"][READER]
    assert receiver["message_marking"] == {"after": True, "on_error": False, "on_permanent_error": True}
    assert receiver["error_backoff"]["max_elapsed_time"] == 0
    assert receiver["initial_offset"] == "earliest"
    assert receiver["traces"] == {"topics": [TRACES_TOPIC.name], "encoding": "otlp_proto"}
    assert not [name for name in CONFIG["processors"] if name.startswith("batch")]


def test_each_sampler_is_a_member_of_its_own_with_a_place_that_is_kept() -> None:
    receiver = CONFIG["receivers"][READER]
    assert receiver["group_id"] == "sampler"
    assert receiver["group_instance_id"] == "${env:POD_NAME}"
    assert receiver["session_timeout"] == "25m"


def test_jaeger_is_reached_with_mutual_tls_by_its_name() -> None:
    exporter = CONFIG["exporters"]["otlp/jaeger"]
    assert exporter["endpoint"] == "jaeger-collector:4317"
    assert exporter["tls"]["server_name_override"] == "jaeger-collector.obs.svc"
    assert {"ca_file", "cert_file", "key_file"} <= set(exporter["tls"])
    assert "insecure" not in exporter["tls"]


def test_the_series_of_span_metrics_fit_into_a_scrape() -> None:
    connector = CONFIG["connectors"]["spanmetrics"]
    assert connector["aggregation_cardinality_limit"] == SERIES_PER_SERVICE
    assert connector["resource_metrics_cache_size"] == SERVICES
    series = len(LATENCY_BUCKETS_S) + 1 + 2 + 1
    assert SERVICES * SERIES_PER_SERVICE * series < SAMPLE_LIMIT
    assert connector["exemplars"]["enabled"] is True
    assert CONFIG["exporters"]["prometheus/self"]["enable_open_metrics"] is True


@pytest.mark.parametrize("limit", [*LATENCY_LIMITS_MS.values(), DEFAULT_LATENCY_LIMIT_MS])
def test_every_latency_limit_is_a_bucket_so_that_its_share_is_exact(limit: int) -> None:
    assert limit / 1000 in LATENCY_BUCKETS_S


def test_the_condition_names_every_service_with_its_own_limit_and_all_others_with_the_default() -> None:
    condition = slow_condition(SamplingPolicy(limits_ms={"a": 100, "b": 100, "c": 700}, default_limit_ms=300))
    duration = "(span.end_time_unix_nano - span.start_time_unix_nano)"
    service = 'resource.attributes["service.name"]'
    assert condition == (
        f"{duration} > 100000000 and ("
        f'({duration} > 100000000 and ({service} == "a" or {service} == "b"))'
        f' or ({duration} > 700000000 and ({service} == "c"))'
        f' or ({duration} > 300000000 and {service} != "a" and {service} != "b" and {service} != "c"))'
    )


def test_without_limits_of_their_own_all_services_have_the_default() -> None:
    assert slow_condition(SamplingPolicy(limits_ms={})).count("3000000000") == 2


def test_a_service_name_cannot_break_out_of_the_condition() -> None:
    condition = slow_condition(SamplingPolicy(limits_ms={'x" or true or "': 100}))
    assert '"x\\" or true or \\""' in condition


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base_percent": 101}, "base_percent is 101, must be from 0 to 100"),
        ({"base_spans_per_s": 0}, "base_spans_per_s is 0, must be from 1 to 1e+06"),
        ({"decision_wait_s": 0}, "decision_wait_s is 0, must be from 1 to 60"),
        ({"max_traces": 1}, "max_traces is 1, must be from 100 to 1e+06"),
        ({"max_trace_bytes": 1}, "max_trace_bytes is 1, must be from"),
        ({"default_limit_ms": 0}, "default_limit_ms is 0, must be from"),
        ({"limits_ms": {"a": 0}}, "limit of service 'a' is 0 ms, must be at least 1"),
    ],
)
def test_a_wrong_number_is_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SamplingPolicy(**changed)
