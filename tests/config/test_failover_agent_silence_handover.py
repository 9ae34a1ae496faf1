"""Handed-over silences at a real pair of Alertmanagers: they end when their alerts have, and not before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.failover_agent import Alertmanagers
from services.failover_agent.alertmanager import Alertmanager, AlertmanagerError, SilenceExpirer
from services.regions import HANDOVER_AUTHOR
from tests.config.alertmanager_files import USERS
from tests.config.alertmanager_process import QUIET_S, Member, Pair, pair
from tests.config.servers import eventually, free_port

pytestmark = pytest.mark.timed

CHANNELS = {"phone", "slack", "sms"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as alertmanager_pair:
        (alertmanager_pair.folder / "operator-password").write_text(USERS["operator"])
        yield alertmanager_pair


def settings(both: Pair) -> Alertmanagers:
    return Alertmanagers(
        urls=tuple(f"https://localhost:{member.web}" for member in both.members),
        server_name=None,
        ca_file=both.folder / "ca.crt",
        user="operator",
        password_file=both.folder / "operator-password",
    )


def clients(both: Pair) -> list[Alertmanager]:
    alertmanagers = settings(both)
    return [Alertmanager(url, alertmanagers) for url in alertmanagers.urls]


@pytest.fixture
def members(both: Pair) -> Iterator[list[Alertmanager]]:
    member_clients = clients(both)
    yield member_clients
    for client in member_clients:
        client.close()


def hand_over(both: Pair, name: str, escalation: str = "", author: str = HANDOVER_AUTHOR) -> str:
    """Silence an alert as a failover does; the silence's id, once both members have it."""
    now = datetime.now(UTC)
    labels: Mapping[str, tuple[str, bool]] = {
        "alert_id": (f"{name}/instance=kafka-1/job=kafka", False),
        "escalation": (escalation, False),
        "layer": (".+", True),
    }
    content = {
        "matchers": [
            {"name": label, "value": value, "isRegex": regex, "isEqual": True}
            for label, (value, regex) in labels.items()
        ],
        "startsAt": (now - timedelta(minutes=10)).isoformat(),
        "endsAt": (now + timedelta(days=1)).isoformat(),
        "createdBy": author,
        "comment": "told by region-a",
    }
    answer = both.members[0].call("POST", "/api/v2/silences", json=content)
    assert answer.status_code == 200, answer.text
    id = str(answer.json()["silenceID"])
    eventually(lambda: all(holds(member, id) for member in both.members), 10, "both have the silence")
    return id


def holds(member: Member, id: str) -> bool:
    return id in member.silences()


def expirer_of(members: list[Alertmanager], least_age_s: float = 0, least_up_s: float = 0) -> SilenceExpirer:
    return SilenceExpirer(members, least_age_s=least_age_s, least_up_s=least_up_s)


def test_a_silence_of_an_alert_that_fires_stays_and_ends_after_it(both: Pair, members: list[Alertmanager]) -> None:
    id = hand_over(both, "HandedOver")
    both.raise_alert("HandedOver", layer="device")
    expirer = expirer_of(members)
    for _ in range(3):
        expirer.poll()
    assert all(holds(member, id) for member in both.members)
    both.raise_alert("HandedOver", layer="device", resolved=True)
    eventually(lambda: not any("HandedOver" in str(member.alerts()) for member in members), 10, "the alert is over")
    expirer.poll()
    assert all(holds(member, id) for member in both.members), "one poll is not enough"
    expirer.poll()
    assert not any(holds(member, id) for member in both.members)
    time.sleep(QUIET_S)
    assert both.told("HandedOver") == [], "neither the firing nor its end is told again"
    both.raise_alert("HandedOver", layer="device")
    eventually(lambda: len(both.told("HandedOver")) == len(CHANNELS), 15, "a new firing is told")
    assert {channel for channel, _ in both.told("HandedOver")} == CHANNELS


def test_the_escalated_twin_has_a_silence_of_its_own(both: Pair, members: list[Alertmanager]) -> None:
    both.raise_alert("TwinEscalated", layer="device", escalation="senior-manager")
    twin, first = hand_over(both, "Twin", "senior-manager"), hand_over(both, "Twin")
    expirer = expirer_of(members)
    for _ in range(2):
        expirer.poll()
    assert holds(both.members[0], twin)
    assert not holds(both.members[0], first)


def test_a_new_silence_a_person_s_and_an_alert_that_is_back_between_looks_are_kept(
    both: Pair, members: list[Alertmanager]
) -> None:
    mine, young, back = hand_over(both, "Absent", author="anna"), hand_over(both, "Absent"), hand_over(both, "Back")
    expirer = expirer_of(members, least_age_s=600)
    for _ in range(3):
        expirer.poll()
    assert {mine, young} <= both.members[0].silences()
    expirer = expirer_of(members)
    expirer.poll()
    both.raise_alert("Back", layer="device")
    expirer.poll()
    assert not holds(both.members[0], young)
    assert {mine, back} <= both.members[0].silences()


def test_an_alertmanager_that_has_just_started_does_not_count(both: Pair, members: list[Alertmanager]) -> None:
    id = hand_over(both, "Unsent")
    expirer = expirer_of(members, least_up_s=3600)
    for _ in range(3):
        expirer.poll()
    assert holds(both.members[0], id)


def test_one_member_that_is_away_does_not_keep_silences(both: Pair, members: list[Alertmanager]) -> None:
    id = hand_over(both, "Alone")
    gone = Alertmanager(f"https://localhost:{free_port()}", settings(both))
    expirer = expirer_of([gone, members[1]])
    for _ in range(2):
        expirer.poll()
    eventually(lambda: not any(holds(member, id) for member in both.members), 10, "it is ended")


@pytest.mark.parametrize(("name", "answers"), [("localhost", True), ("elsewhere", False)])
def test_a_certificate_must_hold_the_name_that_is_asked_for(both: Pair, name: str, answers: bool) -> None:
    member = Alertmanager(
        f"https://127.0.0.1:{both.members[0].web}", settings(both).model_copy(update={"server_name": name})
    )
    try:
        if answers:
            assert member.up_s() > 0
        else:
            with pytest.raises(AlertmanagerError, match="elsewhere"):
                member.silences()
    finally:
        member.close()


def test_a_new_password_counts_at_once_and_a_wrong_one_is_one_line(both: Pair, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wrong")
    alertmanagers = settings(both)
    member = Alertmanager(alertmanagers.urls[0], alertmanagers.model_copy(update={"password_file": password}))
    try:
        with pytest.raises(AlertmanagerError, match=r"^localhost:\d+: GET /silences: 401 Unauthorized$"):
            member.silences()
        password.write_text(USERS["operator"])
        assert isinstance(member.silences(), list)
        password.unlink()
        with pytest.raises(AlertmanagerError, match="cannot be read"):
            member.silences()
    finally:
        member.close()
