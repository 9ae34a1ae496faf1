"""A made-up platform whose Alertmanager is real: a pair with the platform's own configuration, and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from components.rules import Inhibition
from ops import __main__ as cli
from ops.core.alertmanager import Alertmanager, Silence, connect
from ops.core.errors import OpsError
from ops.core.platform import Platform, parse
from tests.config.alertmanager_files import USERS
from tests.config.alertmanager_process import Member, Pair, pair

Run = Callable[..., Result]
"""The command line, without its fixtures."""

INHIBITIONS = (Inhibition(source=("TheCause",), targets=("TheConsequence", "TheConsequenceEscalated")),)


@contextmanager
def running(folder: Path) -> Iterator[Pair]:
    """A pair that notifies."""
    with pair(folder, inhibitions=INHIBITIONS) as both:
        yield both


def platform_of(both: Pair, outputs: Mapping[str, Any], member: Member | None = None, password: str = "") -> Platform:
    """What the stack would tell about it; ``member`` is the one that the address leads to."""
    return parse(
        {
            **outputs,
            "ca_certificate": (both.folder / "ca.crt").read_text(),
            "alertmanager_url": f"https://localhost:{(member or both.members[0]).web}",
            "alertmanager_operator": {"username": "operator", "password": password or USERS["operator"]},
            "alert_escalation": {"critical": "5m", "high": "30m", "medium": "4h"},
        }
    )


@contextmanager
def client(platform: Platform) -> Iterator[Alertmanager]:
    """The platform's client."""
    with connect(platform) as alertmanager:
        yield alertmanager


def run(monkeypatch: pytest.MonkeyPatch, platform: Platform, *words: str, columns: int = 100) -> Result:
    """The command line on a screen of some width.

    Raises:
        OpsError: What a person would see as one line.
    """
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("USER", "ayumi")
    monkeypatch.setattr("ops.core.platform.load", lambda: platform)
    done = CliRunner().invoke(cli.app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def mistake(monkeypatch: pytest.MonkeyPatch, platform: Platform, *words: str) -> str:
    """The one line that a person sees."""
    with pytest.raises(OpsError) as raised:
        run(monkeypatch, platform, *words)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def identity(name: str, instance: str = "kafka-1") -> str:
    """What an alert of the helper is called."""
    return f"{name}/instance={instance}/job=kafka"


def fire(both: Pair, name: str, severity: str = "critical", instance: str = "kafka-1", **labels: str) -> str:
    """Raise an alert on an instance; its identity."""
    original = identity(name.removesuffix("Escalated"), instance)
    both.raise_alert(name, severity, instance=instance, alert_id=original, **labels)
    return original


def shown(run: Run, *words: str) -> dict[str, dict[str, Any]]:
    """Identity -> alert, as ``--json`` has them."""
    content = json.loads(run("alerts", "--json", *words).stdout)
    return {alert["alert_id"]: alert for alert in content["alerts"]}


def acks(platform: Platform, alert: str) -> list[Silence]:
    """Acknowledgements of an alert that hold."""
    with client(platform) as alertmanager:
        return [
            silence
            for silence in alertmanager.silences()
            if silence.acknowledges == alert and silence.state == "active"
        ]
