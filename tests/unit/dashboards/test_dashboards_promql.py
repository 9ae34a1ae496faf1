"""Which series a query asks for, and how it is kept to some of them."""

from __future__ import annotations

import pytest

from components.dashboards.grafana import grafana_unit
from components.dashboards.promql import metrics, within

REGION = 'region=~"$region"'


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up", {"up"}),
        ('sum by (job, le) (rate(x_total{a="b"}[5m]))', {"x_total"}),
        ("max(x) by (job)", {"x"}),
        ("slo:burn:rate1h > bool 3", {"slo:burn:rate1h"}),
        ("a and on (job) b or ignoring (x) c unless group_left", {"a", "b", "c", "group_left"} - {"group_left"}),
        ("a / on (job) group_left (name) b offset 5m", {"a", "b"}),
        ("count_over_time(ALERTS[24h:1m]) * 60", {"ALERTS"}),
        ('label_replace(vector(0), "severity", "a{b}", "", "")', set()),
        ("rate(a[$__rate_interval]) + a % 2 ^ 1e3", {"a"}),
        ('quantile(0.5, a{b="}\\""})', {"a"}),
        ("-a + time() - inf", {"a"}),
    ],
)
def test_names_of_series_are_found(expression: str, names: set[str]) -> None:
    assert metrics(expression) == names


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("up", f"up{{{REGION}}}"),
        ("up{}", f"up{{{REGION}}}"),
        ('up{job="a"}', f'up{{{REGION},job="a"}}'),
        ("sum by (up) (rate(up[5m] offset 1h))", f"sum by (up) (rate(up{{{REGION}}}[5m] offset 1h))"),
        ("vector(0)", "vector(0)"),
        ('{__name__=~"a.*"}', f'{{{REGION},__name__=~"a.*"}}'),
        ("a or b", f"a{{{REGION}}} or b{{{REGION}}}"),
    ],
)
def test_a_query_is_kept_to_some_series(expression: str, kept: str) -> None:
    assert within(expression, REGION) == kept


def test_without_matchers_a_query_stays_as_it_is() -> None:
    assert within("sum(up)", "") == "sum(up)"


@pytest.mark.parametrize(
    ("unit", "named"),
    [
        ("1", "percentunit"),
        ("By/s", "binBps"),
        ("{stream}", "short"),
        ("{event}/s", "suffix: /s"),
        ("{event}/min", "suffix: /min"),
        ("Cel", "celsius"),
        ("", "none"),
    ],
)
def test_units_have_grafanas_names(unit: str, named: str) -> None:
    assert grafana_unit(unit) == named


def test_an_unknown_unit_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"unit is 'parsec', must be one of 1, s, ms, By, .+, \{thing\} or"):
        grafana_unit("parsec")
