"""The alert that `ops verify M3` raises, at a real pair of Alertmanagers: it fires, and nobody is notified."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.alertmanager.config import DAILY_REPORT, TIMINGS
from components.rules import Severity
from ops.checks import alerting
from ops.core.alertmanager import Alertmanager
from ops.core.errors import OpsError
from ops.core.web import Web
from ops.incidents.record import Store
from tests.config.alertmanager_files import USERS
from tests.config.alertmanager_process import Pair, pair

pytestmark = pytest.mark.timed

QUICK = {severity: replace(timing, group_wait="1s", group_interval="1s") for severity, timing in TIMINGS.items()}
"""With these, an alert that is not silent is told at once."""
QUIET_S = 8.0


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("verify"), timings=QUICK) as alertmanager_pair:
        yield alertmanager_pair


@pytest.fixture
def context(both: Pair) -> Iterator[Any]:
    """Clients of both members, by number."""
    web = Web(str(both.folder / "ca.crt"))

    def client(member: str) -> Alertmanager:
        port = both.members[int(member)].web
        return Alertmanager(web, f"https://localhost:{port}", ("operator", USERS["operator"]))

    yield SimpleNamespace(alertmanager=client)
    web.close()


def test_it_fires_is_silent_at_every_member_and_leaves_nothing_behind(both: Pair, context: Any, tmp_path: Path) -> None:
    began = time.monotonic()
    with alerting.raised(context, ["0", "1"]) as identity:
        for member in ("0", "1"):
            [alert] = [alert for alert in context.alertmanager(member).alerts() if alert.identity == identity]
            assert (alert.state, alert.receivers) == ("suppressed", (DAILY_REPORT,))
            assert alert.labels["severity"] == Severity.LOW.value
        record = alerting.recorded(Store(tmp_path), context, "0", identity)
        time.sleep(3)
    assert time.monotonic() - began < 30
    assert (record.state, len(record.notes), record.cause) == ("closed", 4, alerting.CAUSE)
    assert record.responded is not None
    time.sleep(QUIET_S)
    for member in ("0", "1"):
        assert [alert for alert in context.alertmanager(member).alerts() if alert.identity == identity] == []
        assert {silence.state for silence in context.alertmanager(member).silences()} == {"expired"}
    assert both.notifications(alerting.NAME) == []
    assert both.events(alerting.NAME) == []


def test_a_failure_in_between_ends_it_too(both: Pair, context: Any) -> None:
    with pytest.raises(OpsError, match="nothing works"), alerting.raised(context, ["0", "1"]) as identity:
        raise OpsError("nothing works")
    time.sleep(QUIET_S)
    assert [alert for alert in context.alertmanager("1").alerts() if alert.identity == identity] == []
    assert both.notifications(alerting.NAME) == []


def test_without_a_ready_member_nothing_is_raised() -> None:
    kube = SimpleNamespace(pods=lambda _: [SimpleNamespace(name="alertmanager-0", ready=False)])
    with pytest.raises(OpsError, match="no Alertmanager is ready"):
        alerting.m3(SimpleNamespace(kube=kube))  # type: ignore[arg-type]
