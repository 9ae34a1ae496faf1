"""What each login of Kafka may take of a broker: worked out from the peak, or as the stack file says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.kafka.access import Quota
from components.telemetry.layers import Signal
from components.telemetry.topics import KAFKA_BYTES
from stacks.check import problems
from stacks.kafka_quotas import CATCH_UP, LEAST, quotas
from stacks.settings import CONFIG_NAMESPACE, Settings, SettingsError, parse
from stacks.sizing import PROFILES
from tests.support import engine

FILE = "Pulumi.test.yaml"


def _settings(**kafka: Any) -> Settings:
    settings = engine.stack_settings("prod")
    settings["kafka"] |= kafka
    return parse(settings, FILE)


def _at_a_broker(settings: Settings, *signals: Signal) -> float:
    """Bytes a second of signals at the peak, at one of all brokers but one."""
    peak = settings.gateway.peak.by_signal
    return sum(KAFKA_BYTES[signal] * peak[signal] for signal in signals) / (len(settings.kafka.brokers) - 1)


def test_a_login_may_move_three_times_the_peak_of_its_topics_while_a_broker_is_away() -> None:
    settings = _settings()
    everything = CATCH_UP * _at_a_broker(settings, *Signal)
    chosen = quotas(settings)
    assert chosen["gateway"].produce == everything
    assert chosen["archive"].fetch == chosen["mirror"].fetch == chosen["mirror-maker"].produce == everything
    assert chosen["metrics-consumer-primary"].fetch == CATCH_UP * _at_a_broker(settings, Signal.METRICS)
    assert chosen["sampler"].fetch == chosen["service-graph"].fetch == CATCH_UP * _at_a_broker(settings, Signal.TRACES)
    assert chosen["log-indexer"].fetch == CATCH_UP * _at_a_broker(settings, Signal.LOGS)


def test_no_login_may_take_all_of_a_brokers_threads() -> None:
    settings = _settings()
    sizing = PROFILES[settings.profile]
    threads = sizing.network_threads + sizing.io_threads
    for quota in quotas(settings).values():
        assert 0 < quota.requests <= threads * 100 / 2


def test_a_login_that_moves_no_telemetry_may_do_its_small_work() -> None:
    small = Quota(produce=LEAST, fetch=LEAST, requests=100)
    chosen = quotas(_settings())
    assert {name for name, quota in chosen.items() if quota == small} == {
        "alert-events",
        "audit",
        "audit-reader",
        "reports",
        "kafka-lag",
        "backup",
    }


def test_more_brokers_take_less_each() -> None:
    brokers = [*engine.stack_settings("prod")["kafka"]["brokers"], {"host": "kafka-3.example.com", "address": None}]
    three, four = quotas(_settings())["gateway"], quotas(_settings(brokers=brokers))["gateway"]
    assert three.produce * 2 == pytest.approx(four.produce * 3, abs=6)


def test_what_the_stack_file_says_of_a_login_counts_for_that_and_no_other() -> None:
    usual = quotas(_settings())
    chosen = quotas(_settings(quotas={"archive": {"fetch": "80Mi"}}))
    assert chosen["archive"] == Quota(
        produce=usual["archive"].produce, fetch=80 * 2**20, requests=usual["archive"].requests
    )
    assert {name: quota for name, quota in chosen.items() if name != "archive"} == {
        name: quota for name, quota in usual.items() if name != "archive"
    }


LOGINS = (
    "gateway, metrics-consumer-primary, metrics-consumer-secondary, sampler, service-graph, log-indexer, alert-events, "
    "audit, audit-reader, reports, kafka-lag, backup, archive, mirror, mirror-maker"
)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"archives": {"fetch": "80Mi"}},
            f"settings.kafka.quotas.archives is no login of Kafka: allowed are {LOGINS}; correct or remove it",
        ),
        (
            {"gateway": {"produce": "1Mi"}},
            "settings.kafka.quotas.gateway.produce is 1Mi: allowed is at least 4.5Mi, which the login moves at each "
            "broker at gateway.peak while one is away; correct it",
        ),
        (
            {"archive": {"requests": 1800}},
            "settings.kafka.quotas.archive.requests is 1800: allowed is less than 1800, all the time of a broker's "
            "threads; correct it",
        ),
    ],
)
def test_a_wrong_quota_is_one_line(given: dict[str, Any], says: str) -> None:
    settings = engine.stack_settings("prod")
    settings["kafka"]["quotas"] = given
    with pytest.raises(SettingsError) as caught:
        quotas(parse(settings, FILE))
    assert str(caught.value).endswith(f".yaml: {says}")
    assert len(str(caught.value).splitlines()) == 1


def test_the_check_of_a_configuration_tells_it() -> None:
    settings = engine.stack_settings("prod")
    settings["kafka"]["quotas"] = {"archives": {}}
    lines = problems(
        "prod",
        {f"{CONFIG_NAMESPACE}:settings": json.dumps(settings), f"{CONFIG_NAMESPACE}:role": "primary"},
    )
    assert [line for line in lines if "archives" in line] == [
        f"Pulumi.prod.yaml: settings.kafka.quotas.archives is no login of Kafka: allowed are {LOGINS}; correct or "
        "remove it"
    ]


@pytest.mark.parametrize(
    ("quota", "says"),
    [
        ({"produce": "20MB"}, "settings.kafka.quotas.gateway.produce is '20MB': allowed is a size such as 500Mi"),
        ({"requests": 0}, "settings.kafka.quotas.gateway.requests is 0: allowed is a number of at least 1"),
        ({"bytes": "20Mi"}, "settings.kafka.quotas.gateway.bytes is not a known key"),
    ],
)
def test_a_value_of_another_kind_is_one_line(quota: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _settings(quotas={"gateway": quota})
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
