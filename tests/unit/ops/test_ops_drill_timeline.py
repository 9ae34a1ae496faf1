"""Spans of time made from looks, and their chart."""

from __future__ import annotations

from ops.drills.watch import MOST_SHOWN, Changes, Event, cell, mermaid, rows


def test_looks_become_spans_with_their_worst_number() -> None:
    changes = Changes("platform")
    changes.feed(1.0, "pods", {"kafka, {n} of 3 not ready": 1})
    changes.feed(3.0, "pods", {"kafka, {n} of 3 not ready": 2})
    changes.feed(5.0, "pods", {"kafka, {n} of 3 not ready": 1})
    changes.feed(7.04, "pods", {})
    assert changes.events() == [Event(lane="platform", what="kafka, 2 of 3 not ready", start=1.0, end=7.0)]


def test_who_looks_at_something_else_ends_nothing() -> None:
    changes = Changes("platform")
    changes.feed(1.0, "pods", {"kafka, {n} of 3 not ready": 1})
    changes.feed(2.0, "Kafka", {})
    (event,) = changes.events()
    assert event.end is None


def test_what_comes_again_is_a_span_of_its_own() -> None:
    changes = Changes("dashboards")
    for at, seen in ((1.0, {"x": 1}), (2.0, {}), (3.0, {"x": 1}), (4.0, {})):
        changes.feed(at, "panels", seen)
    assert [(event.start, event.end) for event in changes.events()] == [(1.0, 2.0), (3.0, 4.0)]


def test_a_moment_has_no_length() -> None:
    changes = Changes("platform")
    changes.note(4.26, "kafka-2 started again")
    (event,) = changes.events()
    assert event.moment
    assert event.start == 4.3


def test_the_chart_has_a_section_for_each_lane_in_order_and_nothing_that_mermaid_takes_for_itself() -> None:
    events = [
        Event(lane="notices", what="critical: firing; #1 %% x", start=50.4, end=50.4),
        Event(lane="platform", what="kafka, 1 of 3 not ready", start=10.2, end=10.6),
        Event(lane="alerts", what="KafkaBrokerDown (critical)", start=40, end=None),
        Event(lane="drill", what="the test runs", start=0, end=60.0),
    ]
    text = mermaid("broker: seconds", events, 90.0)
    assert text.splitlines() == [
        "gantt",
        "    title broker seconds",
        "    dateFormat X",
        "    axisFormat %s s",
        "    section drill",
        "    the test runs :0, 60",
        "    section platform",
        "    kafka 1 of 3 not ready :crit, 10, 11",
        "    section alerts",
        "    KafkaBrokerDown (critical) :active, 40, 90",
        "    section notices",
        "    critical firing 1 x :milestone, 50, 0s",
    ]


def test_a_lane_that_is_too_full_says_how_many_are_left_out() -> None:
    events = [Event(lane="alerts", what=f"A{number}", start=number, end=number + 1) for number in range(MOST_SHOWN + 3)]
    lines = mermaid("x", events, 30).splitlines()
    assert len([line for line in lines if ":active" in line]) == MOST_SHOWN
    assert lines[-1] == "    and 3 more :milestone, 30, 0s"


def test_the_table_says_from_when_to_when() -> None:
    events = [
        Event(lane="alerts", what="a|b <c>", start=5.0, end=None),
        Event(lane="platform", what="gone", start=2.0, end=4.5),
        Event(lane="notices", what="told", start=6.0, end=6.0),
    ]
    assert rows(events)[2:] == [
        "| 2.0 to 4.5 | platform | gone |",
        "| 5.0 on | alerts | a\\|b &lt;c> |",
        "| 6.0 | notices | told |",
    ]


def test_a_cell_is_one_line() -> None:
    assert cell("a\nb") == "a b"
