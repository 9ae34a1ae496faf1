"""Expressions of alerts taken apart: values, limits, units."""

from __future__ import annotations

import pytest

from ops.incidents.series import Operand, constant, mentions, operands, restricted, unit


def told(expression: str) -> list[tuple[str, str, float | None]]:
    return [(operand.value, operand.comparison, operand.limit) for operand in operands(expression)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("hw_battery_charge_ratio <= 0.2", [("hw_battery_charge_ratio", "<=", 0.2)]),
        ("sum(rate(a[5m])) / sum(rate(b[5m])) > 0.05", [("sum(rate(a[5m])) / sum(rate(b[5m]))", ">", 0.05)]),
        ("0.9 < x", [("x", ">", 0.9)]),
        ("(x > 5)", [("x", ">", 5)]),
        ("((x)) > (14.4 * 0.001)", [("x", ">", 0.0144)]),
        ("x > bool 1", [("x", ">", 1)]),
        ("x == 0", [("x", "==", 0)]),
        ("x > -1e3", [("x", ">", -1000)]),
        ("absent(up{job='a'})", [("up{job='a'}", "", None)]),
        ("absent(a) or absent(b)", [("a", "", None), ("b", "", None)]),
        ("a > 1 and on (job) b < 2", [("a", ">", 1), ("b", "<", 2)]),
        ("a > 1 AND b > 2 unless c", [("a", ">", 1), ("b", ">", 2), ("c", "", None)]),
        ("(a > 1 or b > 2) and c > 3", [("a", ">", 1), ("b", ">", 2), ("c", ">", 3)]),
        ("a > on (job) group_left () b", [("a", ">", None), ("b", "", None)]),
        ("a > b * 2", [("a", ">", None), ("b * 2", "", None)]),
        ("a > 1 or a > 1", [("a", ">", 1)]),
        ('a{b="x > 1 and y"} > 2', [('a{b="x > 1 and y"}', ">", 2)]),
        ('a{b="quote \\" > 3"} > 2', [('a{b="quote \\" > 3"}', ">", 2)]),
        ("a > 1 # why > 3\n", [("a", ">", 1)]),
        ("time() - max by (layer) (x) > 120", [("time() - max by (layer) (x)", ">", 120)]),
        ("vector(1)", [("vector(1)", "", None)]),
        ("android > 1", [("android", ">", 1)]),
        ("", []),
        ("a > (", [("a", ">", None), ("(", "", None)]),
    ],
)
def test_every_value_is_found_with_its_limit(expression: str, expected: list[tuple[str, str, float | None]]) -> None:
    assert told(expression) == expected


def test_an_operand_is_what_it_says() -> None:
    assert operands("x >= 3") == (Operand(value="x", comparison=">=", limit=3),)


@pytest.mark.parametrize("text", ["x", "1/0", "1 +", "5m", "2**9", "__import__('os')", "1" * 200, "", "True", "1e999"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert constant(text) is None


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("-2.5", -2.5), ("(1 + 2) * 3", 9), ("1 / 4", 0.25), (" 7 ", 7)])
def test_numbers_are_calculated(text: str, value: float) -> None:
    assert constant(text) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hw_battery_charge_ratio", "1"),
        ("stream_delay_seconds", "s"),
        ("sum(user_session_active)", "{session}"),
        ("sum(rate(recording_failures_total[5m])) / sum(rate(recording_attempts_total[5m]))", "1"),
        ("histogram_quantile(0.95, sum by (le) (rate(http_server_request_duration_seconds_bucket[5m])))", "s"),
        ("rate(recording_stored_bytes_total[5m])", "By/s"),
        ("rate(process_cpu_seconds_total[5m])", "1"),
        ("obs:layer_age:seconds", "s"),
        ("increase(unknown_total[5m])", "{}"),
        ("stream_delay_seconds / recording_stored_bytes_total", ""),
        ("stream_delay_seconds + recording_stored_bytes_total", ""),
        ("up", ""),
        ("a / b / c", ""),
        ("", ""),
    ],
)
def test_units_are_those_of_the_metrics(value: str, expected: str) -> None:
    assert unit(value) == expected


def test_a_value_is_restricted_to_labels_whatever_is_in_them() -> None:
    assert restricted("a > b", {}) == "a > b"
    assert restricted("x", {"site": 'a"b\\c$1'}) == (
        '(x) and on (site) label_replace(vector(1), "site", "a\\"b\\\\c$$1", "", "")'
    )


def test_alternatives_that_name_what_the_alert_is_about_are_known() -> None:
    assert mentions('up{job="kafka"}', {"job": "kafka", "x": "y"})
    assert not mentions('up{job="kafka"}', {"job": "kafka-1"})
