"""A failover agent's settings, and silences as Alertmanager's API answers with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.failover_agent.alertmanager import StoredSilence
from services.regions import FAILOVER_AGENT, MATCHER
from services.regions.witness import Silence, SilenceMatcher

NOW = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)
LAYER = SilenceMatcher(name="layer", value=".+", is_regex=True, is_equal=True)


def content(folder: Path, **changes: Any) -> dict[str, Any]:
    """A settings file's content; nothing that it names is there."""
    return {
        "region": "region-a",
        "role": "primary",
        "peer": "region-b",
        "witness": {
            "endpoint": "https://localhost:1",
            "region": "ap-northeast-1",
            "bucket": "obs-witness",
            "access_key_id_file": str(folder / "key-id"),
            "secret_access_key_file": str(folder / "secret-key"),
            "ca_file": str(folder / "ca.crt"),
        },
        "alertmanagers": {
            "urls": ["https://localhost:2"],
            "server_name": None,
            "ca_file": str(folder / "ca.crt"),
            "user": "operator",
            "password_file": str(folder / "operator"),
        },
        "egress_targets": ["localhost:3"],
        "fingerprints": {"rules": "11aa"},
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        "metrics": {"user": "scrape-failover-agent", "password_file": str(folder / "scraper")},
        "poll_interval_s": 2,
        "heartbeat_interval_s": 5,
        "isolated_s": 20,
        **changes,
    }


def matcher(text: str) -> SilenceMatcher:
    """``name=value`` or ``name=~value``."""
    name, _, value = text.partition("=")
    return SilenceMatcher(name=name, value=value.removeprefix("~"), is_regex=value.startswith("~"), is_equal=True)


def held(id: str = "one", **changes: Any) -> StoredSilence:
    """An active silence of the failover agent, from now on for 30 days."""
    state = changes.pop("state", "active")
    return StoredSilence(
        state=state,
        silence=Silence(
            **{
                "id": id,
                "matchers": (LAYER,),
                "starts_at": NOW,
                "ends_at": NOW + timedelta(days=30),
                "created_by": FAILOVER_AGENT,
                "comment": "why",
                **changes,
            }
        ),
    )


def answered(body: Mapping[str, Any]) -> StoredSilence:
    """The silence that Alertmanager has of what it was sent, active."""
    assert body["matchers"] == [MATCHER]
    return held(
        str(body.get("id", "new")),
        starts_at=datetime.fromisoformat(body["startsAt"]),
        ends_at=datetime.fromisoformat(body["endsAt"]),
        created_by=body["createdBy"],
        comment=body["comment"],
    )
