"""``ops ack``: "I am on it" (requirement A2).

An acknowledgement is a silence on the alert's identity, which stops the alert and its escalation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote_plus

import typer

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX
from components.rules import ID_LABEL
from ops.alerts.silences import author, choose, clock, duration, span, warn_if_alone
from ops.core import platform as platform_module
from ops.core.alertmanager import Alertmanager, FiringAlert, Matcher, Silence, connect
from ops.core.errors import OpsError

_COMMENT = "acknowledged"


def candidates(alerts: Iterable[FiringAlert], text: str, labels: Mapping[str, str]) -> list[str]:
    """Identities of firing alerts that ``text`` may mean: a whole identity, else a name, else how identities begin.

    Args:
        alerts: What fires.
        text: As people write it.
        labels: Labels that the alert has to carry.
    """
    firing = [
        alert
        for alert in alerts
        if alert.identity and all(alert.labels.get(name) == value for name, value in labels.items())
    ]
    whole = {alert.identity for alert in firing if alert.identity == text}
    named = {alert.identity for alert in firing if text in (alert.name, alert.name.removesuffix(SUFFIX))}
    begun = {alert.identity for alert in firing if text and alert.identity.startswith(text)}
    return sorted(whole or named or begun)


def acknowledgements(silences: Iterable[Silence]) -> dict[str, Silence]:
    """Identity -> the acknowledgement in force that lasts longest."""
    active_silences = [silence for silence in silences if silence.state == "active" and silence.acknowledges]
    return {
        active_silence.acknowledges: active_silence
        for active_silence in sorted(active_silences, key=lambda active_silence: active_silence.ends)
    }


def acknowledge(
    alertmanager: Alertmanager,
    identity: str,
    lasts: timedelta,
    who: str,
    comment: str,
    before: Silence | None,
) -> tuple[str, datetime]:
    """Acknowledge one alert, or extend its acknowledgement (it never gets shorter): id of the silence, and its end."""
    ends = datetime.now(UTC) + lasts
    if before is not None:
        ends, comment = max(ends, before.ends), comment or before.comment
    matcher = Matcher(name=ID_LABEL, value=identity)
    return alertmanager.silence((matcher,), ends, who, comment or _COMMENT, replaces=before), ends


def ack(
    alert: Annotated[
        str, typer.Argument(metavar="ALERT", help="Identity (alert_id) or its beginning, or the alert's name.")
    ],
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="LABEL=VALUE", help="Which one, if several have the name.")
    ] = None,
    length: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")] = "2h",
    comment: Annotated[str, typer.Option(help="What you found, or what you do.")] = "",
    by: Annotated[str | None, typer.Option(help="Who you are; else the user of this machine.")] = None,
    every: Annotated[bool, typer.Option("--every", help="All alerts that are meant, not only one.")] = False,
    end: Annotated[bool, typer.Option("--end", help="Take it back: by ALERT, or by the silence's id.")] = False,
) -> None:
    """Acknowledge an alert: nobody else is notified of it, and it is not escalated, until the time is over.

    A second time extends it. Nothing is acknowledged when ALERT may mean several and --every is not given.
    """
    lasts = duration(length, "--for")
    wanted = _labels(labels or ())
    with connect(platform_module.load()) as alertmanager:
        if end:
            for line in _take_back(alertmanager, alert, wanted, every):
                typer.echo(line)
            return
        alerts = alertmanager.alerts()
        identities = _chosen(candidates(alerts, alert, wanted), alert, every)
        before = acknowledgements(alertmanager.silences())
        who, now = author(by), datetime.now(UTC)
        for identity in identities:
            last = before.get(identity)
            silence_id, ends = acknowledge(alertmanager, identity, lasts, who, comment.strip(), last)
            how = "acknowledged" if last is None else "still acknowledged" if ends == last.ends else "extended"
            left = f"until {clock(ends, now)} UTC ({span(ends - now)})"
            typer.echo(f"{how}: {identity} by {who} {left}, silence {silence_id}")
            if told := sorted(
                {firing.labels.get(ESCALATION_LABEL, "") for firing in alerts if firing.identity == identity} - {""}
            ):
                typer.echo(f"it had been escalated: {', '.join(told)} knows of it, say that you have it")
        warn_if_alone(alertmanager)


def _take_back(alertmanager: Alertmanager, text: str, labels: Mapping[str, str], every: bool) -> list[str]:
    silences = alertmanager.silences()
    known = acknowledgements(silences)
    identities = taken(known, text, labels)
    if not identities:
        chosen = choose(silences, text)
        if not chosen.acknowledges:
            raise OpsError(f"{chosen.id} is no acknowledgement: end it with `ops silence end {chosen.id}`")
        identities, known = [chosen.acknowledges], {chosen.acknowledges: chosen}
    lines = []
    for identity in _chosen(identities, text, every):
        alertmanager.end(known[identity].id)
        lines.append(f"taken back: {identity}, silence {known[identity].id}")
    return lines


def taken(identities: Iterable[str], text: str, labels: Mapping[str, str]) -> list[str]:
    """Identities among the acknowledged ones that ``text`` may mean; labels are read from them: alerts may be over."""
    wanted = {f"{name}={quote_plus(value)}" for name, value in labels.items()}
    matching_identities = [identity for identity in identities if wanted <= set(identity.split("/")[1:])]
    whole = [silence for silence in matching_identities if silence == text]
    named = [identity for identity in matching_identities if identity.partition("/")[0] == text.removesuffix(SUFFIX)]
    begun = [identity for identity in matching_identities if text and identity.startswith(text)]
    return sorted(whole or named or begun)


def _chosen(identities: Sequence[str], text: str, every: bool) -> Sequence[str]:
    """What is meant.

    Raises:
        OpsError: Nothing, or several without ``every``; then they are listed on standard error.
    """
    if not identities:
        raise OpsError(f"no alert that fires is, is called or begins with {text!r}: `ops alerts` shows what fires")
    if len(identities) > 1 and not every:
        for identity in identities:
            typer.echo(identity, err=True)
        raise OpsError(f"{text!r} may mean these {len(identities)}: give one of them, or --every for all")
    return identities


def _labels(texts: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, sign, _ in pairs if not text or not sign]
    if wrong:
        raise OpsError(f"{wrong[0]!r} is no label: write LABEL=VALUE, for example instance=kafka-1")
    return {name: value for name, _, value in pairs}
