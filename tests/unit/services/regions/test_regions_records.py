"""Records of the witness bucket: closed, versioned, and every mistake one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.regions.witness import (
    Heartbeat,
    Lease,
    RegionError,
    Silence,
    SilenceMatcher,
    dump,
    fields,
    parse,
    region_key,
)

AT = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)
LEASE: dict[str, Any] = {
    "version": 1,
    "holder": "region-b",
    "epoch": 4,
    "notify": True,
    "since": "2026-11-25T18:00:00.000Z",
    "by": "ops failover",
    "reason": "drill",
}


def silence(**changed: Any) -> Silence:
    matcher = SilenceMatcher(name="alert_id", value="A/b=c", is_regex=False, is_equal=True)
    values = {
        "id": "1",
        "matchers": (matcher,),
        "starts_at": AT,
        "ends_at": AT + timedelta(hours=1),
        "created_by": "jo",
        "comment": "on it",
    }
    return Silence(**{**values, **changed})


def heartbeat(**changed: Any) -> Heartbeat:
    values = {
        "region": "region-a",
        "role": "primary",
        "at": AT,
        "epoch": 0,
        "holder": None,
        "notifies": True,
        "isolated": False,
        "fingerprints": {"rules": "abc"},
        "silences": (silence(),),
    }
    return Heartbeat(**{**values, **changed})


def test_a_lease_is_written_as_it_was_read() -> None:
    lease = parse(Lease, json.dumps(LEASE), "here")
    assert lease == Lease(holder="region-b", epoch=4, notify=True, since=AT, by="ops failover", reason="drill")
    assert json.loads(dump(lease)) == LEASE


def test_a_heartbeat_with_silences_is_written_as_alertmanager_spells_them_and_read_again() -> None:
    written = dump(heartbeat())
    assert parse(Heartbeat, written, "here") == heartbeat()
    assert fields(heartbeat())["silences"] == [
        {
            "id": "1",
            "matchers": [{"name": "alert_id", "value": "A/b=c", "isRegex": False, "isEqual": True}],
            "startsAt": "2026-11-25T18:00:00.000Z",
            "endsAt": "2026-11-25T19:00:00.000Z",
            "createdBy": "jo",
            "comment": "on it",
        }
    ]


def test_times_of_other_zones_are_the_same_moments_in_utc() -> None:
    lease = parse(Lease, json.dumps({**LEASE, "since": "2026-11-26T03:00:00+09:00"}), "here")
    assert lease.since == AT
    assert fields(lease)["since"] == LEASE["since"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"holder": "Region B"}, "holder: String should match pattern"),
        ({"holder": "lease"}, "holder: Value error, no region may be called lease"),
        ({"epoch": "4"}, "epoch: Input should be a valid integer"),
        ({"epoch": -1}, "epoch: Input should be greater than or equal to 0"),
        ({"notify": 1}, "notify: Input should be a valid boolean"),
        ({"since": "2026-11-25T18:00:00"}, "since: Input should have timezone info"),
        ({"version": 2}, "version: Input should be 1"),
    ],
)
def test_what_is_no_lease_is_named_in_one_line(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(RegionError, match=f"^regions/lease.json: {said}") as caught:
        parse(Lease, json.dumps({**LEASE, **changed}), "regions/lease.json")
    assert "\n" not in str(caught.value)


def test_what_another_revision_writes_besides_is_passed_over_and_nobody_here_writes_it() -> None:
    assert parse(Lease, json.dumps({**LEASE, "more": 1}), "here") == parse(Lease, json.dumps(LEASE), "here")
    newer = json.loads(dump(heartbeat()))
    newer["more"] = newer["silences"][0]["more"] = {"x": 1}
    assert parse(Heartbeat, json.dumps(newer), "here") == heartbeat()
    with pytest.raises(TypeError, match="more"):
        heartbeat(more=1)


@pytest.mark.parametrize("text", ["", "{", "[]", '"lease"'])
def test_what_is_no_object_is_no_lease(text: str) -> None:
    with pytest.raises(RegionError, match=r"^there: its content: "):
        parse(Lease, text, "there")


def test_only_the_holder_tells_people_and_only_in_the_second_phase() -> None:
    lease = parse(Lease, json.dumps(LEASE), "here")
    waiting = parse(Lease, json.dumps({**LEASE, "notify": False}), "here")
    assert [lease.may_notify("region-b"), lease.may_notify("region-a"), waiting.may_notify("region-b")] == [
        True,
        False,
        False,
    ]


def test_a_heartbeat_of_a_clock_that_is_ahead_is_not_younger_than_now() -> None:
    assert heartbeat().age(AT + timedelta(seconds=7)) == 7
    assert heartbeat().age(AT - timedelta(seconds=7)) == 0


@pytest.mark.parametrize("name", ["lease", "", "../x", "A", "a/b", "-a", "a" * 64])
def test_no_region_can_be_called_like_another_object(name: str) -> None:
    with pytest.raises(RegionError):
        region_key(name)


def test_a_region_has_its_key() -> None:
    assert region_key("region-a") == "regions/region-a.json"
