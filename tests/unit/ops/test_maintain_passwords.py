"""Maintenance asks for rotation: passwords of the state that are over a year old are named, the oldest first."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.maintenance import check_functions
from ops.maintenance.check_functions import created, young
from tests.unit.ops.test_maintain_check_functions import NOW, tools


def ages(**days: int) -> dict[str, datetime]:
    return {name.replace("_", "-"): NOW - timedelta(days=count) for name, count in days.items()}


def test_what_is_older_than_a_year_is_named_the_oldest_first() -> None:
    finding = young(lambda: ages(kafka_user_gateway=366, thanos_query_reader=900, postgres_grafana=365))(tools())
    assert finding.wrong == ["thanos-query-reader is 900 days old", "kafka-user-gateway is 366 days old"]
    assert finding.figures == ["3 passwords, the oldest 900 days"]


def test_what_is_to_stay_is_not_asked_for() -> None:
    finding = young(lambda: ages(gateway_hash_key=900, kafka_keystore=900, mirror_maker_keystore=900, agent=1))(tools())
    assert (finding.wrong, finding.figures) == ([], ["1 passwords, the oldest 1 days"])


def test_two_passwords_of_a_user_for_over_a_month_are_named() -> None:
    known = ages(gateway_device=90, gateway_device_g2=31, gateway_data=90, gateway_data_g2=30, gateway_agent=90)
    assert young(lambda: known)(tools()).wrong == [
        "two passwords of gateway-device have been taken for 31 days: `ops gateway rotate-passwords --finish`"
    ]


def test_many_are_counted() -> None:
    finding = young(lambda: ages(**{f"p{number}": 400 + number for number in range(8)}))(tools())
    assert len(finding.wrong) == 6
    assert finding.wrong[-1] == "3 more"


def test_a_state_without_passwords_is_no_good_news() -> None:
    assert young(dict)(tools()).wrong == ["the state has no password"]


def exported(monkeypatch: pytest.MonkeyPatch, output: str, code: int = 0, error: str = "") -> None:
    def run(_: Any, *words: str, limit_s: float) -> subprocess.CompletedProcess[bytes]:
        assert words == ("stack", "export", "--non-interactive"), "no secret is asked for"
        return subprocess.CompletedProcess(words, code, output.encode(), error.encode())

    monkeypatch.setattr(check_functions, "run_pulumi", run)


def test_the_state_says_when_each_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = [
        {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:local::obs::pulumi:pulumi:Stack::obs"},
        {
            "type": check_functions._TYPE,
            "urn": f"urn:pulumi:local::obs::obs:kafka:Kafka${check_functions._TYPE}::kafka-user-gateway",
            "created": "2026-11-29T08:13:00.152406013Z",
        },
    ]
    exported(monkeypatch, json.dumps({"version": 3, "deployment": {"resources": resources}}))
    [(name, moment)] = created().items()
    assert (name, moment.isoformat(timespec="seconds")) == ("kafka-user-gateway", "2026-11-29T08:13:00+00:00")
    del resources[1]["created"]
    exported(monkeypatch, json.dumps({"version": 3, "deployment": {"resources": resources}}))
    with pytest.raises(OpsError, match="did not print a state that says when passwords were made"):
        created()


@pytest.mark.parametrize("output", ["", "{", "[]", "{}", '{"deployment": null}'])
def test_what_is_no_state_is_one_line(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    exported(monkeypatch, output)
    with pytest.raises(OpsError, match="did not print a state"):
        created()


def test_a_refusal_of_pulumi_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    exported(monkeypatch, "", 255, "error: no stack selected\n")
    with pytest.raises(OpsError, match="cannot export the stack's state: error: no stack selected"):
        created()
