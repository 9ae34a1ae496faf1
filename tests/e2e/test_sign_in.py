"""The personal logins of the live platform, in front of metrics and alerts: who gets in, and what they may."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import requests

from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from lab.fakes.identity import setup as identity
from lab.paths import LabPaths
from ops.core.context import Context
from ops.core.platform import Login
from tests.support.traces_login import browser, fill_in

TIMEOUT = 15
READS, SILENCES, NOBODY = "developer", "investigator", "visitor"
"""People of the lab's provider: in the group of metrics, in that of alerts too, and in neither."""


def signed_in(context: Context, stack: ExitStack, login: str, person: str) -> tuple[requests.Session, int]:
    """A browser after the login of a person, and the status of the page where that ended."""
    session = stack.enter_context(browser(context))
    account = Login(username=person, password=identity.people(LabPaths.of_checkout())[person])
    return session, fill_in(session, f"{context.platform.sign_in_urls[login]}/", account).status_code


@pytest.mark.timeout(120)
def test_people_of_the_group_query_metrics_and_silence_alerts_and_others_do_not(context: Context) -> None:
    urls = context.platform.sign_in_urls
    with ExitStack() as stack:
        reader, status = signed_in(context, stack, METRICS_LOGIN, READS)
        assert status == 200
        answer = reader.get(f"{urls[METRICS_LOGIN]}/api/v1/query?query=count(up)", timeout=TIMEOUT)
        assert int(answer.json()["data"]["result"][0]["value"][1]) > 0
        for login, person in ((METRICS_LOGIN, NOBODY), (ALERTS_LOGIN, NOBODY), (ALERTS_LOGIN, READS)):
            stranger, status = signed_in(context, stack, login, person)
            assert status == 403, f"{person} at {login}"
            assert stranger.get(f"{urls[login]}/api/v2/alerts", timeout=TIMEOUT).status_code == 401
        operator, status = signed_in(context, stack, ALERTS_LOGIN, SILENCES)
        assert status == 200
        now = datetime.now(UTC)
        silence = {
            "matchers": [{"name": "alertname", "value": "NoSuchAlertOfATest", "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=2)).isoformat(),
            "createdBy": SILENCES,
            "comment": "test of the personal login",
        }
        created = operator.post(f"{urls[ALERTS_LOGIN]}/api/v2/silences", json=silence, timeout=TIMEOUT)
        assert created.status_code == 200, created.text
        path = f"{urls[ALERTS_LOGIN]}/api/v2/silence/{created.json()['silenceID']}"
        assert operator.delete(path, timeout=TIMEOUT).status_code == 200
