"""The fakes with every secret set, and a real Alertmanager as their sender: its keys, signatures, login and TLS."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.fakes.receivers.record import status
from lab.fakes.receivers.settings import MAIL_USER
from lab.toolchain import tools
from tests.config.servers import eventually, free_port, running
from tests.unit.lab.receivers_fakes import TOPIC, Fakes, fakes

CHANNELS = {
    "phone": "senior-manager",
    "sms": TOPIC,
    "slack": "operators",
    "mail": "operators@example.org",
    "heartbeat": "operators",
}


def config(receivers: Fakes, **changes: str) -> dict[str, Any]:
    secrets = {
        "phone": receivers.secrets.phone_keys["senior-manager"],
        "aws_key": receivers.secrets.aws_key,
        "aws_secret": receivers.secrets.aws_secret,
        "slack": receivers.secrets.slack_tokens["operators"],
        "mail": receivers.secrets.mail_password,
        "heartbeat": receivers.secrets.heartbeat_token,
        **changes,
    }
    tls = {"ca_file": receivers.ca}
    http = {"send_resolved": True, "http_config": {"tls_config": tls}}
    receiver = {
        "name": "all",
        "pagerduty_configs": [{**http, "routing_key": secrets["phone"], "url": f"{receivers.base}/v2/enqueue"}],
        "sns_configs": [
            {
                **http,
                "api_url": f"{receivers.base}/",
                "topic_arn": TOPIC,
                "sigv4": {
                    "region": "ap-northeast-1",
                    "access_key": secrets["aws_key"],
                    "secret_key": secrets["aws_secret"],
                },
            }
        ],
        "slack_configs": [{**http, "api_url": f"{receivers.base}/services/{secrets['slack']}"}],
        "email_configs": [
            {
                "send_resolved": True,
                "to": "operators@example.org",
                "from": "alerts@example.org",
                "smarthost": f"localhost:{receivers.mail_port}",
                "auth_username": MAIL_USER,
                "auth_password": secrets["mail"],
                "tls_config": tls,
            }
        ],
        "webhook_configs": [{**http, "url": f"{receivers.base}/heartbeat/{secrets['heartbeat']}"}],
    }
    return {
        "route": {"receiver": "all", "group_wait": "0s", "group_interval": "1s", "group_by": ["alertname"]},
        "receivers": [receiver],
    }


@contextmanager
def alertmanager(receivers: Fakes, content: dict[str, Any]) -> Iterator[str]:
    """A real Alertmanager, until the block ends."""
    port = free_port()
    (receivers.folder / "alertmanager.yml").write_text(json.dumps(content))
    command = [
        str(tools.path("alertmanager")),
        f"--config.file={receivers.folder / 'alertmanager.yml'}",
        f"--storage.path={receivers.folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(command, receivers.folder / "alertmanager.log", port):
        yield f"http://127.0.0.1:{port}"


def tell(base: str, *, over: bool = False) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "KafkaBrokerDown", "alert_id": "KafkaBrokerDown/instance=kafka-1"},
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        "endsAt": (now if over else now + timedelta(hours=1)).isoformat(),
    }
    assert requests.post(f"{base}/api/v2/alerts", json=[alert], timeout=60).status_code == 200


@pytest.fixture
def all_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    for name in [
        variable for variable in os.environ if variable.startswith("AWS_") or variable.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    with fakes(tmp_path) as receivers:
        yield receivers


def test_its_notifications_are_taken_on_every_channel(all_fakes: Fakes) -> None:
    record = all_fakes.record
    with alertmanager(all_fakes, config(all_fakes)) as base:
        tell(base)
        eventually(lambda: len(record.since()) == len(CHANNELS), 20, "every channel has the notification")
        firing = record.since()
        tell(base, over=True)
        eventually(lambda: len(record.since()) == 2 * len(CHANNELS) - 1, 20, "all but the switch know that it is over")
    assert {notification.channel: notification.audience for notification in firing} == CHANNELS
    assert {status(notification) for notification in firing} == {"firing"}
    assert all("KafkaBrokerDown" in json.dumps(notification.data()) for notification in firing)
    assert {notification.channel for notification in record.since(len(CHANNELS))} == {"phone", "sms", "slack", "mail"}
    assert {status(notification) for notification in record.since(len(CHANNELS))} == {"resolved"}
    written = (all_fakes.folder / "notifications.jsonl").read_text()
    assert not [secret for secret in all_fakes.secrets.all() if secret in written]


def test_with_wrong_secrets_nothing_is_taken(all_fakes: Fakes) -> None:
    wrong = config(
        all_fakes,
        phone="0" * 32,
        aws_secret="wrong",
        slack="T/B/wrong",
        mail="wrong",
        heartbeat="wrong",
    )
    with alertmanager(all_fakes, wrong) as base:
        tell(base)

        def failed() -> bool:
            text = requests.get(f"{base}/metrics", timeout=60).text
            name = "alertmanager_notification_requests_failed_total"
            failures = [line for line in text.splitlines() if line.startswith(name) and not line.endswith(" 0")]
            kinds = ("pagerduty", "sns", "slack", "email", "webhook")
            return all(any(f'integration="{kind}"' in line for line in failures) for kind in kinds)

        eventually(failed, 20, "every channel has failed")
    assert all_fakes.record.since() == []
