"""The real pair when the line between its members is cut, and strangers at the gossip (A1)."""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.config.alertmanager_line import State
from tests.config.alertmanager_process import LATEST_S, OPERATORS, QUIET_S, Pair, pair
from tests.config.pki import write_certificates
from tests.config.servers import eventually

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("apart")) as alertmanager_pair:
        yield alertmanager_pair


def test_a_critical_alert_is_told_by_phone_sms_and_slack_within_seconds(both: Pair) -> None:
    sent = both.raise_alert("QuickCritical")
    eventually(lambda: len(both.told("QuickCritical")) >= len(OPERATORS), 10, "all channels tell")
    assert all(notification.received_at - sent < 4 for notification in both.notifications("QuickCritical"))


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


@pytest.mark.parametrize(("who", "let_in"), [("a member", True), ("nobody", False), ("a stranger", False)])
def test_gossip_talks_to_members_only(both: Pair, tmp_path: Path, who: str, let_in: bool) -> None:
    context = ssl.create_default_context(cafile=str(both.folder / "ca.crt"))
    if who == "a member":
        context.load_cert_chain(both.folder / "tls.crt", both.folder / "tls.key")
    if who == "a stranger":
        write_certificates(tmp_path)
        context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    # Who is refused is told so, however late; who is let in hears nothing.
    assert _is_let_in(context, both.members[0].gossip, 3 if let_in else 60) is let_in


def _is_let_in(context: ssl.SSLContext, port: int, timeout: float) -> bool:
    """Whether a connection stays open: with TLS 1.3 a client learns at its first read that it was refused."""
    with socket.create_connection(("localhost", port), timeout=timeout) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as line:
                return bool(line.recv(1))
        except TimeoutError:
            return True
        except (ssl.SSLError, ConnectionError):
            return False
