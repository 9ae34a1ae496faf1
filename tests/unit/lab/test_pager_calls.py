"""What a test's evidence says of calls: what the pager's real fake noticed, and no secret."""

from __future__ import annotations

import json
import time

import requests

from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.settings import READER
from ops.drills.tools.notifications import CRITICAL, Raised
from tests.support.pager_calls import Calls
from tests.unit.lab.receivers_fakes import Fakes

TITLE = "[CRITICAL] DataInconsistent"


def send(fakes: Fakes, action: str, raised: Raised) -> None:
    """An event of a condition, as Alertmanager sends it."""
    event = {
        "routing_key": fakes.secrets.phone_keys["operators"],
        "event_action": action,
        "dedup_key": f"key of {raised.name}",
        "payload": {"summary": f"{TITLE}: {raised.name}", "source": "x", "severity": "critical"},
    }
    assert requests.post(f"{fakes.base}/v2/enqueue", json=event, verify=fakes.ca, timeout=60).status_code == 202


def test_notices_are_what_was_noticed_of_some_conditions_in_the_order_of_arrival(all_fakes: Fakes) -> None:
    receivers = Receivers(all_fakes.base, (READER, all_fakes.secrets.reader_password), all_fakes.folder / "ca.crt")
    first, second, third = (Raised(CRITICAL, f"drill-{number}x", time.time() - 3.0) for number in range(3))
    send(all_fakes, "trigger", third)
    calls = Calls(receivers)
    send(all_fakes, "trigger", first)
    send(all_fakes, "trigger", first)
    assert calls.rung_after_s(first) >= 3.0
    receivers.acknowledge(*calls.of(first))
    send(all_fakes, "trigger", second)
    for raised in (first, second):
        send(all_fakes, "resolve", raised)
    assert calls.closed_after_s(second, time.time()) < 60
    notices = calls.notices(first, second)
    assert [(notice["action"], notice["dedup key"]) for notice in notices] == [
        ("trigger", "key of drill-0x"),
        ("acknowledge", "key of drill-0x"),
        ("trigger", "key of drill-1x"),
        ("resolve", "key of drill-0x"),
        ("resolve", "key of drill-1x"),
    ]
    assert {notice["contact"] for notice in notices} == {"operators"}
    assert notices[0]["title"] == f"{TITLE}: drill-0x"
    assert all(3.0 <= notice["s after its condition"] < 60 for notice in notices)
    assert calls.notices(second, third) == [notice for notice in notices if "drill-1x" in notice["dedup key"]]
    assert not [secret for secret in all_fakes.secrets.all() if secret in json.dumps(notices)]
