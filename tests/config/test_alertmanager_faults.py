"""The real pair when something breaks: a member killed, the line cut, both restarted, strangers at the gossip (A1)."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.alertmanager.process import ready_probe_command
from components.rules import Inhibition
from lab.toolchain import tools
from tests.config.alertmanager_files import ROUTING_KEYS, topic
from tests.config.alertmanager_line import State
from tests.config.alertmanager_process import Member, Pair, pair
from tests.config.pki import write_certificates
from tests.config.servers import eventually

pytestmark = pytest.mark.timed

QUIET_S = 7.0
"""Longer than the second member waits for the first."""
LATEST_S = 14.0
"""Group wait, the second member's wait, and 8 s for a busy machine."""
ENTRIES = 5
"""Of a Critical alert in the notification log: phone and events of one receiver; Slack, SMS and events of another."""
OPERATORS = [("phone", ROUTING_KEYS["operators"]), ("slack", "operators"), ("sms", topic("operators"))]


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


@pytest.mark.parametrize("how", [State.REFUSED, State.SILENT], ids=lambda state: state.name.lower())
def test_a_pair_that_is_cut_apart_tells_everything_twice_and_loses_nothing(both: Pair, how: State) -> None:
    names = [f"Apart{how.name.title()}{index}" for index in range(4)]
    twice = [*OPERATORS, *(operator for operator in OPERATORS if operator[0] != "phone")]
    with apart(both, how):
        sent = time.time()
        for name in names:
            both.raise_alert(name)
        eventually(lambda: all(len(both.told(name)) >= len(twice) for name in names), 20, "both tell")
        last = max(notification.received_at for name in names for notification in both.notifications(name))
        assert last - sent < LATEST_S, f"told after {last - sent:.1f} s"
        time.sleep(QUIET_S)
        told = {name: Counter(both.told(name)) for name in names}
        assert told == {name: Counter(twice) for name in names}
        eventually(
            lambda: merged(both, names) == [1] * len(names), 5, "the pager merges the second, which rings nobody"
        )
    mended = f"Mended{how.name.title()}"
    both.raise_alert(mended)
    eventually(lambda: len(both.told(mended)) >= len(OPERATORS), 10, "told after they are a pair again")
    time.sleep(QUIET_S)
    assert both.told(mended) == OPERATORS


@contextmanager
def apart(both: Pair, how: State) -> Iterator[None]:
    """Members that do not reach each other; whether they have noticed makes no difference to people."""
    for member in both.members:
        member.line.set(how)
    try:
        yield
    finally:
        for member in both.members:
            member.line.set(State.WHOLE)
        both.together()
        silence = both.members[0].silence(alert_id=f"mended {time.time()}")
        eventually(lambda: silence in both.members[1].silences(), 40, "gossip flows again")


def merged(both: Pair, names: list[str]) -> list[int]:
    """How many notifications the pager merged into the one incident of each alert."""
    return [incident.merged for name in names for incident in both.incidents(name)]


def test_an_alert_that_reaches_one_member_only_is_told(both: Pair) -> None:
    for index, member in enumerate(both.members):
        both.raise_alert(f"Lonely{index}Critical", to=[member])
    for index in range(2):
        eventually(lambda: len(both.told(f"Lonely{index}Critical")) >= 3, 15, "told by the one that has it")  # noqa: B023
        assert both.told(f"Lonely{index}Critical") == OPERATORS


def test_silences_made_while_apart_hold_on_both_once_they_are_a_pair_again(both: Pair) -> None:
    first, second = both.members
    with apart(both, State.REFUSED):
        silence_ids = {first.silence(alert_id="one"), second.silence(alert_id="two")}
        time.sleep(2)
        assert [len(silence_ids & member.silences()) for member in both.members] == [1, 1]
    eventually(lambda: all(silence_ids <= member.silences() for member in both.members), 30, "both have both silences")


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


@pytest.mark.parametrize(("who", "let_in"), [("a member", True), ("nobody", False), ("a stranger", False)])
def test_gossip_talks_to_members_only(both: Pair, tmp_path: Path, who: str, let_in: bool) -> None:
    context = ssl.create_default_context(cafile=str(both.folder / "ca.crt"))
    if who == "a member":
        context.load_cert_chain(both.folder / "tls.crt", both.folder / "tls.key")
    if who == "a stranger":
        write_certificates(tmp_path)
        context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert _is_let_in(context, both.members[0].gossip) is let_in


def _is_let_in(context: ssl.SSLContext, port: int) -> bool:
    """Whether a connection stays open: with TLS 1.3 a client learns at its first read that it was refused."""
    with socket.create_connection(("localhost", port), timeout=3) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as line:
                return bool(line.recv(1))
        except TimeoutError:
            return True
        except (ssl.SSLError, ConnectionError):
            return False


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
