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

from lab.receivers.keys import MAIL_USER
from lab.receivers.notification_content import status
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


def config(made: Fakes, **changes: str) -> dict[str, Any]:
    secrets = {
        "phone": made.secrets.phone_keys["senior-manager"],
        "aws_key": made.secrets.aws_key,
        "aws_secret": made.secrets.aws_secret,
        "slack": made.secrets.slack_tokens["operators"],
        "mail": made.secrets.mail_password,
        "heartbeat": made.secrets.heartbeat_token,
        **changes,
    }
    tls = {"ca_file": made.ca}
    http = {"send_resolved": True, "http_config": {"tls_config": tls}}
    receiver = {
        "name": "all",
        "pagerduty_configs": [{**http, "routing_key": secrets["phone"], "url": f"{made.base}/v2/enqueue"}],
        "sns_configs": [
            {
                **http,
                "api_url": f"{made.base}/",
                "topic_arn": TOPIC,
                "sigv4": {
                    "region": "ap-northeast-1",
                    "access_key": secrets["aws_key"],
                    "secret_key": secrets["aws_secret"],
                },
            }
        ],
        "slack_configs": [{**http, "api_url": f"{made.base}/services/{secrets['slack']}"}],
        "email_configs": [
            {
                "send_resolved": True,
                "to": "operators@example.org",
                "from": "alerts@example.org",
                "smarthost": f"localhost:{made.mail_port}",
                "auth_username": MAIL_USER,
                "auth_password": secrets["mail"],
                "tls_config": tls,
            }
        ],
        "webhook_configs": [{**http, "url": f"{made.base}/heartbeat/{secrets['heartbeat']}"}],
    }
    return {
        "route": {"receiver": "all", "group_wait": "0s", "group_interval": "1s", "group_by": ["alertname"]},
        "receivers": [receiver],
    }


@contextmanager
def alertmanager(made: Fakes, content: dict[str, Any]) -> Iterator[str]:
    """A real Alertmanager, until the block ends."""
    port = free_port()
    (made.folder / "alertmanager.yml").write_text(json.dumps(content))
    command = [
        str(tools.path("alertmanager")),
        f"--config.file={made.folder / 'alertmanager.yml'}",
        f"--storage.path={made.folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(command, made.folder / "alertmanager.log", port):
        yield f"http://127.0.0.1:{port}"


def tell(base: str, *, over: bool = False) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "KafkaBrokerDown", "alert_id": "KafkaBrokerDown/instance=kafka-1"},
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        "endsAt": (now if over else now + timedelta(hours=1)).isoformat(),
    }
    assert requests.post(f"{base}/api/v2/alerts", json=[alert], timeout=10).status_code == 200


@pytest.fixture
def all_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    for name in [each for each in os.environ if each.startswith("AWS_") or each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with fakes(tmp_path) as made:
        yield made


def test_its_notifications_are_taken_on_every_channel(all_fakes: Fakes) -> None:
    record = all_fakes.record
    with alertmanager(all_fakes, config(all_fakes)) as base:
        tell(base)
        eventually(lambda: len(record.since()) == len(CHANNELS), 20, "every channel has the notification")
        firing = record.since()
        tell(base, over=True)
        eventually(lambda: len(record.since()) == 2 * len(CHANNELS) - 1, 20, "all but the switch know that it is over")
    assert {each.channel: each.audience for each in firing} == CHANNELS
    assert {status(each) for each in firing} == {"firing"}
    assert all("KafkaBrokerDown" in json.dumps(each.data()) for each in firing)
    assert {each.channel for each in record.since(len(CHANNELS))} == {"phone", "sms", "slack", "mail"}
    assert {status(each) for each in record.since(len(CHANNELS))} == {"resolved"}
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
            text = requests.get(f"{base}/metrics", timeout=10).text
            name = "alertmanager_notification_requests_failed_total"
            failures = [line for line in text.splitlines() if line.startswith(name) and not line.endswith(" 0")]
            kinds = ("pagerduty", "sns", "slack", "email", "webhook")
            return all(any(f'integration="{kind}"' in line for line in failures) for kind in kinds)

        eventually(failed, 20, "every channel has failed")
    assert all_fakes.record.since() == []
