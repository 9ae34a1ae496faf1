"""The identity of an alert, as people, matchers and command lines meet it; that Prometheus makes the same string is
tested with every scenario of ``tests/rules``."""

from __future__ import annotations

import re
import shlex

import pytest

from components.rules import ID_LABEL, Alert, Severity, alert_id, id_template


def test_the_identity_is_the_name_and_the_sorted_labels() -> None:
    assert alert_id("DiskFull", {"node": "a", "disk": "b"}) == "DiskFull/disk=b/node=a"


def test_an_alert_without_labels_is_its_name() -> None:
    assert alert_id("DiskFull", {}) == "DiskFull"


def test_the_name_of_the_metric_and_empty_labels_are_left_out() -> None:
    assert alert_id("DiskFull", {"__name__": "disk", "node": "a", "zone": ""}) == "DiskFull/node=a"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1/b=2"}, {"a": "1", "b": "2"}),
        ({"a": "x y"}, {"a": "x+y"}),
        ({"a": "%2F"}, {"a": "/"}),
        ({"a": "X"}, {"a": "x"}),
    ],
)
def test_different_alerts_have_different_identities(one: dict[str, str], other: dict[str, str]) -> None:
    assert alert_id("A", one) != alert_id("A", other)


@pytest.mark.parametrize(
    "value", ['"', "'", "`", "$(reboot)", "a b", "a\nb", "{x}", "a,b", "~", "録画", "\\", "&;|<>*?!#"]
)
def test_an_identity_is_one_plain_word_of_a_command_line(value: str) -> None:
    identity = alert_id("A", {"x": value})
    assert shlex.split(identity, comments=True) == [identity]
    assert re.fullmatch(r"[A-Za-z0-9_.~%+/=-]+", identity)


def test_a_rule_has_the_template_of_its_own_name_and_an_escalated_one_that_of_the_original() -> None:
    def label(name: str, original: str) -> str:
        alert = Alert(
            name=name,
            expr="up == 0",
            for_="0s",
            severity=Severity.LOW,
            summary="s",
            description="d",
            labels={ID_LABEL: "of no account"},
            original=original,
        )
        return str(alert.data("https://example.org")["labels"][ID_LABEL])

    assert label("Own", "") == id_template("Own")
    assert label("OwnEscalated", "Own") == id_template("Own")
