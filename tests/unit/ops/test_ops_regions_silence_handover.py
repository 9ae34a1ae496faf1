"""What is handed over: only what on-call was surely notified of and what has not ended; in doubt it is told again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.rules import ID_LABEL
from ops.core.alertmanager import Matcher, Silence
from ops.regions import silence_handover
from services.alert_events.events import ProcessedEvent, RawEvent
from services.regions import FAILOVER_AGENT, HANDOVER_AUTHOR
from services.regions.witness import Silence as KeptSilence
from tests.unit.ops import regions_alerts
from tests.unit.ops.regions_alerts import ALERT, labels

NOW = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)
LOST = NOW - timedelta(seconds=60)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def notification(at: float, status: str = "firing", **changed: str) -> ProcessedEvent:
    return regions_alerts.notification(ago(at), status, **changed)


def raised(
    at: float,
    status: str = "firing",
    *,
    sender: str = "primary",
    ended: float | None = None,
    begun: float = 600,
    **changed: str,
) -> RawEvent:
    end = None if ended is None else ago(ended)
    return regions_alerts.raised(ago(at), status, sender=sender, ended=end, begun=ago(begun), **changed)


def decided(
    *events: ProcessedEvent, raw: tuple[RawEvent, ...] = (), sure: datetime | None = LOST
) -> silence_handover.Decision:
    return silence_handover.decide(events, raw, "region-a", sure)


def handed_over(decision: silence_handover.Decision) -> list[str]:
    return [str(carried_alert) for carried_alert in decision.handed_over]


def test_what_people_were_told_of_and_what_fires_still_is_handed_over_with_its_level() -> None:
    decision = decided(notification(300), notification(200, escalation="senior-manager"))
    assert handed_over(decision) == [ALERT, f"{ALERT} (senior-manager)"]
    assert decision.handed_over[0].matchers == (
        Matcher(name="alert_id", value=ALERT),
        Matcher(name="escalation", value=""),
        Matcher(name="layer", value=".+", regex=True),
    )


def test_a_level_that_nobody_was_told_of_is_not_silenced() -> None:
    [told] = decided(notification(300)).handed_over
    escalated = labels(escalation="senior-manager")
    assert all(matcher.matches(labels()) for matcher in told.matchers)
    assert not all(matcher.matches(escalated) for matcher in told.matchers)


def test_what_has_ended_is_not_carried_and_what_fired_again_afterwards_is() -> None:
    assert decided(notification(300), notification(250, "resolved")) == silence_handover.Decision(
        handed_over=(), again=()
    )
    again = decided(notification(300), notification(250, "resolved"), notification(200))
    assert [repeated_alert.at for repeated_alert in again.handed_over] == [ago(200)]


def test_what_this_region_told_and_the_other_one_kept_silent_is_handed_over_back() -> None:
    before = notification(4000, region="region-b")
    assert handed_over(decided(before, raw=(raised(70, begun=3000),))) == [ALERT]
    assert handed_over(decided(before)) == []
    young = silence_handover.KEPT_SILENT.total_seconds() + 60
    assert handed_over(decided(before, raw=(raised(70, begun=young), raised(65, begun=9000, device="2")))) == []
    assert handed_over(decided(before, raw=(raised(70, "resolved", begun=3000, ended=80),))) == []
    other_level = raised(70, begun=3000, escalation="senior-manager")
    assert handed_over(decided(before, raw=(other_level,))) == []


def test_what_ended_and_fired_anew_in_the_other_region_was_told_there() -> None:
    before, anew = notification(4000, region="region-b"), notification(300)
    [told] = decided(before, anew).handed_over
    assert told.at == ago(300)
    assert handed_over(decided(before, anew, notification(250, "resolved"), raw=(raised(240, begun=3000),))) == []


@pytest.mark.parametrize(
    "changed", [{"region": "region-b"}, {"layer": ""}, {ID_LABEL: ""}], ids=["region", "layer", "identity"]
)
def test_other_regions_own_parts_and_alerts_without_identity_are_not_handed_over(changed: dict[str, str]) -> None:
    assert decided(notification(300, **changed)) == silence_handover.Decision(handed_over=(), again=())


def test_a_notification_of_the_last_moments_is_told_again_and_one_before_them_is_handed_over() -> None:
    edge = 60 + silence_handover.UNSURE.total_seconds()
    assert handed_over(decided(notification(edge))) == [ALERT]
    late = decided(notification(edge - 0.1))
    assert handed_over(late) == []
    assert "last moments" in late.again[0][1]


def test_a_reminder_of_the_last_moments_does_not_make_the_first_notification_doubtful() -> None:
    assert handed_over(decided(notification(4000), notification(61))) == [ALERT]


def test_a_region_that_confirmed_its_silence_leaves_no_doubt() -> None:
    assert handed_over(decided(notification(1), sure=None)) == [ALERT]


def test_an_end_that_prometheus_told_and_alertmanager_did_not_yet_is_an_end() -> None:
    decision = decided(notification(300), raw=(raised(310), raised(100, "resolved", ended=120)))
    assert handed_over(decision) == []
    assert decision.again[0][1] == "ended since"


def test_one_prometheus_that_flapped_before_the_notification_does_not_end_what_the_other_one_says() -> None:
    raw = (raised(100, "resolved", ended=305), raised(90, sender="secondary"))
    assert handed_over(decided(notification(300), raw=raw)) == [ALERT]


def test_an_alert_that_all_say_has_ended_is_over_whenever_it_ended() -> None:
    raw = (raised(100, "resolved", ended=305), raised(90, "resolved", ended=301, sender="secondary"))
    assert handed_over(decided(notification(300), raw=raw)) == []


def test_the_end_of_another_alert_or_level_or_region_changes_nothing() -> None:
    raw = (
        raised(100, "resolved", ended=120, escalation="senior-manager"),
        raised(100, "resolved", ended=120, device="2"),
        raised(100, "resolved", ended=120, region="region-b"),
    )
    assert handed_over(decided(notification(300), raw=raw)) == [ALERT]


def failing(at: float, status: str = "firing", begun: float = 300, sender: str = "primary") -> RawEvent:
    ended = at if status == "resolved" else None
    return raised(
        at,
        status,
        sender=sender,
        ended=ended,
        begun=begun,
        alertname=silence_handover.FAILING,
        layer="",
        **{ID_LABEL: silence_handover.FAILING},
    )


def test_while_notifications_failed_nobody_was_surely_told() -> None:
    before = 300 + silence_handover.FAILING_LEAD.total_seconds()
    doubtful = decided(notification(before), raw=(failing(70),))
    assert handed_over(doubtful) == []
    assert "notifications of the region failed" in doubtful.again[0][1]
    assert handed_over(decided(notification(before + 1), raw=(failing(70),))) == [ALERT]


def test_notifications_that_failed_and_came_through_later_were_told() -> None:
    assert handed_over(decided(notification(300), raw=(failing(200), failing(100, "resolved")))) == [ALERT]


REPEATED = silence_handover.REPEATED.total_seconds()


def test_what_a_killed_prometheus_said_last_is_no_failure_of_later() -> None:
    """The other one said that notifications work again; the killed one never did."""
    raw = (
        failing(900, begun=1000),
        failing(900, begun=1000, sender="secondary"),
        failing(860, "resolved", begun=1000, sender="secondary"),
        raised(65, sender="secondary"),
    )
    assert handed_over(decided(notification(900 - REPEATED - 1), raw=raw)) == [ALERT]
    assert handed_over(decided(notification(900 - REPEATED), raw=raw)) == []


@pytest.mark.parametrize(("silent_s", "repeats"), [(REPEATED - 1, True), (REPEATED, False)])
def test_a_failure_goes_on_while_somebody_repeats_it(silent_s: float, repeats: bool) -> None:
    raw = (failing(70 + silent_s), raised(70, sender="secondary"))
    assert handed_over(decided(notification(69), raw=raw, sure=None)) == ([] if repeats else [ALERT])


def kept(**changed: Any) -> KeptSilence:
    values = {
        "id": "1",
        "matchers": (),
        "starts_at": NOW,
        "ends_at": NOW + timedelta(hours=1),
        "created_by": "jo",
        "comment": "",
    }
    return KeptSilence(**{**values, **changed})


def test_only_peoples_silences_that_still_hold_are_taken_over() -> None:
    mine = kept()
    silences = [mine, kept(created_by=FAILOVER_AGENT), kept(created_by=HANDOVER_AUTHOR), kept(ends_at=NOW)]
    assert silence_handover.operator_silences(silences, NOW) == [mine]


def there(state: str, author: str, *matchers: Matcher) -> Silence:
    return Silence(id="1", state=state, matchers=matchers, starts=NOW, ends=NOW, author=author, comment="")


def test_a_silence_is_made_once_whatever_the_order_of_its_matchers() -> None:
    one, two = Matcher(name="a", value="b"), Matcher(name="c", value="d")
    assert silence_handover.is_there([there("active", "jo", two, one)], (one, two), "jo")
    assert not silence_handover.is_there([there("expired", "jo", one, two)], (one, two), "jo")
    assert not silence_handover.is_there([there("active", "al", one, two)], (one, two), "jo")
    assert not silence_handover.is_there([there("active", "jo", one)], (one, two), "jo")
