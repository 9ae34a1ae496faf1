"""Inhibitions: the twins are kept quiet as well, and no list of them may hide a cause."""

from __future__ import annotations

import pytest

from components.alerting.escalation import escalated
from components.alerting.inhibitions import collected
from components.clusterstate.rules import INHIBITIONS as CLUSTER_STATE
from components.clusterstate.rules import VOLUME_HIGH
from components.kafka import rules as kafka
from components.prometheus import rules as prometheus
from components.rules import Alert, Inhibition, RuleGroup, Severity


def alert(name: str, severity: Severity) -> Alert:
    return Alert(name=name, expr="up == 0", for_="0s", severity=severity, summary="s", description="d")


GROUPS = escalated(
    [
        RuleGroup(
            name="samples",
            rules=(
                alert("Outage", Severity.CRITICAL),
                alert("NodeDown", Severity.HIGH),
                alert("DiskFull", Severity.HIGH),
                alert("Slow", Severity.MEDIUM),
                alert("Note", Severity.LOW),
            ),
        )
    ]
)


def inhibition(source: str, *targets: str) -> Inhibition:
    return Inhibition(source=(source,), targets=targets, equal=("node",), reason="For tests.")


def test_the_twins_of_the_targets_are_kept_quiet_too() -> None:
    (twin_inhibition,) = collected(GROUPS, [inhibition("NodeDown", "DiskFull", "Note")])
    assert twin_inhibition.targets == ("DiskFull", "Note", "DiskFullEscalated")
    assert (twin_inhibition.source, twin_inhibition.equal, twin_inhibition.reason) == (
        ("NodeDown",),
        ("node",),
        "For tests.",
    )


def test_an_unknown_alert_is_one_clear_line() -> None:
    with pytest.raises(ValueError) as caught:
        collected(GROUPS, [inhibition("NodeDwn", "Slow")])
    assert str(caught.value) == (
        "inhibition of Slow by NodeDwn: NodeDwn is no alert of the platform, did you mean NodeDown?"
    )


def test_a_name_like_no_other_is_refused_too() -> None:
    with pytest.raises(ValueError, match="Zzz is no alert of the platform: name an alert that has a rule"):
        collected(GROUPS, [inhibition("NodeDown", "Zzz")])


def test_twins_are_not_named_by_hand() -> None:
    with pytest.raises(ValueError, match="SlowEscalated is a twin: name Slow, the twin follows it"):
        collected(GROUPS, [inhibition("NodeDown", "SlowEscalated")])


def test_nothing_is_kept_quiet_by_something_less_urgent() -> None:
    with pytest.raises(ValueError) as caught:
        collected(GROUPS, [inhibition("Slow", "Note", "NodeDown")])
    assert str(caught.value) == (
        "inhibition of Note, NodeDown by Slow: Slow is medium and would keep NodeDown quiet, which is high: "
        "the source has to be at least as urgent"
    )


@pytest.mark.parametrize(
    "circle",
    [
        [inhibition("NodeDown", "NodeDown")],
        [inhibition("NodeDown", "DiskFull"), inhibition("DiskFull", "NodeDown")],
        [
            inhibition("NodeDown", "Slow", "DiskFull"),
            inhibition("Outage", "NodeDown"),
            inhibition("DiskFull", "NodeDown"),
        ],
    ],
)
def test_no_alert_may_keep_itself_quiet_by_a_circle(circle: list[Inhibition]) -> None:
    with pytest.raises(
        ValueError, match=r"^inhibitions: \w+ would keep itself quiet: take one of the inhibitions out$"
    ):
        collected(GROUPS, circle)


def test_chains_without_a_circle_are_fine() -> None:
    chain = [inhibition("Outage", "NodeDown", "Slow"), inhibition("NodeDown", "Slow")]
    assert len(collected(GROUPS, chain)) == 2


@pytest.mark.parametrize(("source", "targets"), [((), ("Slow",)), (("Slow",), ())])
def test_an_inhibition_has_both_sides(source: tuple[str, ...], targets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name at least one source and one target"):
        collected(GROUPS, [Inhibition(source=source, targets=targets)])


def test_a_volume_is_kept_quiet_by_nothing_that_fires_before_it_is_as_full() -> None:
    fires_at = {
        "KafkaDiskFilling": kafka.DISK_HIGH,
        "KafkaDiskFull": kafka.DISK_CRITICAL,
        "PrometheusDiskFilling": prometheus.DISK_HIGH,
    }
    sources = {name for entry in CLUSTER_STATE if "VolumeFilling" in entry.targets for name in entry.source}
    assert sources == {name for name, share in fires_at.items() if share >= VOLUME_HIGH}
    assert "KafkaDiskFilling" not in sources


def test_growth_of_a_volume_is_no_news_once_its_servers_data_is_told() -> None:
    sources = {name for entry in CLUSTER_STATE if "VolumeFillsSoon" in entry.targets for name in entry.source}
    assert sources == {"KafkaDiskFilling", "KafkaDiskFull", "PrometheusDiskFilling", "VolumeFilling"}
