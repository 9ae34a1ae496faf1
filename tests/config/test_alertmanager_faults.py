"""The real pair when a member is killed, or both are restarted (A1)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.alertmanager.config import ready_probe_command
from components.rules import Inhibition
from lab.toolchain import tools
from tests.config.alertmanager_process import LATEST_S, OPERATORS, QUIET_S, Member, Pair, pair
from tests.config.servers import eventually

pytestmark = pytest.mark.timed

ENTRIES = 5
"""Of a Critical alert in the notification log: phone and events of one receiver; Slack, SMS and events of another."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("faults")) as alertmanager_pair:
        yield alertmanager_pair


def first_to_tell(both: Pair) -> Member:
    """The member that tells without waiting: the one whose name comes first."""
    return min(both.members, key=lambda member: str(member.call("GET", "/api/v2/status").json()["cluster"]["name"]))


def restart(both: Pair, member: Member) -> None:
    both.start(member)
    both.together()


@pytest.mark.parametrize("moment", ["before", "just after"])
def test_a_member_is_killed_and_the_other_one_tells_everything_once(both: Pair, moment: str) -> None:
    """Killed before an alert, or after both got it and before the first told it; nothing is lost, nothing twice."""
    names = [f"Killed{moment.title().replace(' ', '')}{index}" for index in range(3)]
    victim = first_to_tell(both)
    if moment == "before":
        both.stop(victim, kill=True)
    sent = time.time()
    for name in names:
        both.raise_alert(name)
    if moment == "just after":
        both.stop(victim, kill=True)
    try:
        eventually(lambda: all(len(both.told(name)) >= len(OPERATORS) for name in names), 20, "all are told")
        last = max(notification.received_at for name in names for notification in both.notifications(name))
        assert last - sent < LATEST_S, f"told after {last - sent:.1f} s"
        time.sleep(QUIET_S)
        assert {name: both.told(name) for name in names} == dict.fromkeys(names, OPERATORS)
    finally:
        restart(both, victim)


def test_a_silence_is_on_both_members_and_survives_the_restart_of_both(both: Pair) -> None:
    first, second = both.members
    silence = first.silence(alert_id="Survivor/instance=kafka-1/job=kafka")
    eventually(lambda: silence in second.silences(), 5, "the silence is on the other member")
    for member in both.members:
        both.stop(member)
    for member in both.members:
        both.start(member)
    both.together()
    assert all(silence in member.silences() for member in both.members)
    both.raise_alert("Survivor")
    both.raise_alert("AwakeCritical")
    eventually(lambda: len(both.told("AwakeCritical")) >= 3, 10, "another alert is told")
    time.sleep(QUIET_S)
    assert both.told("Survivor") == []


def test_a_silence_outlives_the_kill_of_a_member_that_has_not_written_it_yet(both: Pair) -> None:
    first, second = both.members
    silence = first.silence(alert_id="Gossip/x=y")
    eventually(lambda: silence in second.silences(), 5, "the silence is on the other member")
    both.stop(first, kill=True)
    restart(both, first)
    eventually(lambda: silence in first.silences(), 20, "the other one handed it over")


def test_what_was_told_before_a_restart_is_not_told_again(both: Pair) -> None:
    both.raise_alert("ToldCritical")
    eventually(lambda: len(both.told("ToldCritical")) >= 3, 10, "told")
    time.sleep(QUIET_S)
    for member in both.members:
        both.stop(member)
    for member in both.members:
        both.start(member)
    both.together()
    both.raise_alert("ToldCritical")
    time.sleep(QUIET_S + 4)
    assert both.told("ToldCritical") == OPERATORS


def test_the_readiness_probe_of_the_pod_succeeds_with_its_password_only(both: Pair) -> None:
    def probe(config: Path) -> int:
        changed = {
            "--alertmanager.url": f"https://localhost:{both.members[0].web}",
            "--http.config.file": str(config),
        }
        words = []
        for word in ready_probe_command()[1:]:
            name = word.partition("=")[0]
            words.append(f"{name}={changed[name]}" if name in changed else word)
        return subprocess.run([str(tools.path("amtool")), *words], capture_output=True, timeout=60).returncode

    right = both.folder / "client.yml"
    wrong = both.folder / "wrong.yml"
    (both.folder / "wrong-password").write_text("wrong")
    wrong.write_text(right.read_text().replace("client-password", "wrong-password"))
    assert probe(right) == 0
    assert probe(wrong) != 0


def test_a_member_that_starts_does_not_tell_what_has_a_known_cause(tmp_path: Path) -> None:
    """The effect comes back long before its cause, as from two rule groups of Prometheus."""
    inhibition = Inhibition(source=("Cause",), targets=("Effect",), equal=("job",))
    with pair(tmp_path, inhibitions=(inhibition,)) as both:
        both.raise_alert("Cause")
        both.raise_alert("Effect")
        eventually(lambda: both.logged() >= ENTRIES, 15, "the cause is told, and both members have written that down")
        for member in both.members:
            both.stop(member)
        both.start_delay_s, started = 40, time.monotonic()
        for member in both.members:
            both.start(member)
        both.raise_alert("Effect")
        # From here on gossip does not keep them from telling any more: only the delay of the start does.
        eventually(lambda: all(member.settled() for member in both.members), 30, "gossip settles")
        both.raise_alert("Cause")
        assert time.monotonic() - started < both.start_delay_s, "the cause came back after the delay: nothing is shown"
        both.raise_alert("FreshCritical")
        eventually(lambda: len(both.told("FreshCritical")) == 3, 50, "the members tell again")
        time.sleep(QUIET_S)
        assert both.told("Cause in words") == OPERATORS
        assert both.notifications("Effect/instance") == []
