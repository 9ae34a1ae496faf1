"""``ops silence``: nobody is notified of the alerts of planned work; a list of silences, and the end of one.

``ops ack``: "I am on it" (requirement A2). An acknowledgement is a silence on the alert's identity, which stops the
alert and its escalation.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote_plus

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX
from components.rules import ID_LABEL
from ops.core import platform as platform_module
from ops.core.alertmanager import Alertmanager, FiringAlert, Matcher, Silence, connect
from ops.core.errors import OpsError, one_line
from ops.core.prometheus_text import seconds_of_option
from ops.core.terminal import Table

LONGEST = "7d"
WATCHDOG = "Watchdog"
"""The alert whose absence the dead man's switch outside notices: it must never be silent."""

_NAME = "alertname"
_MATCHER = re.compile(r"([A-Za-z_]\w*)(=~|!~|!=|=)(.*)", re.DOTALL)
_SIGNS = {"=": (False, True), "!=": (False, False), "=~": (True, True), "!~": (True, False)}
_SHORT_ID = 8


def duration(text: str, longest: str = LONGEST) -> timedelta:
    """Time that ``--for`` asks for: ``90m``, ``2h`` or ``3d``.

    Raises:
        OpsError: It is no such text, less than a minute, or more than ``longest``.
    """
    seconds_of_option("--longest", longest, shortest="1m", longest="365d", example=LONGEST)
    return timedelta(seconds=seconds_of_option("--for", text, shortest="1m", longest=longest, example="2h"))


def parse_matcher(text: str) -> Matcher:
    """A matcher as it is written on a command line: ``layer=device``, ``instance=~"kafka-.*"``.

    Raises:
        OpsError: It is none, or its regular expression is none.
    """
    match = _MATCHER.fullmatch(text.strip())
    if not match:
        raise OpsError(f"{text!r} is not a matcher: write label=value, or != , =~ , !~ in place of =")
    name, sign, value = match.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    regex, equal = _SIGNS[sign]
    if regex:
        try:
            re.compile(value)
        except re.error as error:
            raise OpsError(f"{text!r}: {value!r} is not a regular expression: {one_line(error)}") from None
    return Matcher(name=name, value=value, regex=regex, equal=equal)


def with_twins(matcher: Matcher) -> Matcher:
    """The same matcher; one on the alert's name takes in the alert that is raised again when nobody acknowledges."""
    if matcher.name != _NAME or not matcher.value or (not matcher.regex and matcher.value.endswith(SUFFIX)):
        return matcher
    pattern = matcher.value if matcher.regex else re.escape(matcher.value)
    return replace(matcher, value=f"(?:{pattern})(?:{SUFFIX})?", regex=True)


def refuse_heartbeat(matchers: Sequence[Matcher], alerts: Iterable[FiringAlert]) -> None:
    """Refuse a silence that would keep the heartbeat from the dead man's switch.

    Raises:
        OpsError: The watchdog meets all matchers.
    """
    beats: list[Mapping[str, str]] = [alert.labels for alert in alerts if alert.name == WATCHDOG]
    for labels in beats or [{_NAME: WATCHDOG}]:
        if all(matcher.matches(labels) for matcher in matchers):
            raise OpsError(
                f"these matchers also match {WATCHDOG}: without its heartbeat the dead man's switch pages on-call; "
                f"add a matcher that excludes it, for example {_NAME}!={WATCHDOG}"
            )


def warn_if_alone(alertmanager: Alertmanager) -> None:
    """Say that a silence may hold at one member only."""
    if alertmanager.cluster().members < 2:
        typer.echo("only one Alertmanager has it: others that run still notify on-call", err=True)


def choose(silences: Iterable[Silence], text: str) -> Silence:
    """The one silence that has not ended and whose id is, or begins with, ``text``.

    Raises:
        OpsError: There is none, or more than one.
    """
    matches = [silence for silence in silences if text and silence.id.startswith(text) and silence.state != "expired"]
    if len(matches) != 1:
        how = f"{len(matches)} unexpired silences begin" if matches else "no unexpired silence begins"
        raise OpsError(f"{how} with {text!r}: `ops silence list` lists them")
    return matches[0]


def author(given: str | None) -> str:
    """Who acts: the given name, else the user of this machine, for root the name that git knows."""
    if given is not None and given.strip():
        return given.strip()
    user = os.environ.get("USER", "")
    if user in ("", "root"):
        user = _git_name() or user
    try:
        return user or getpass.getuser()
    except (KeyError, OSError):
        raise OpsError("cannot determine your name from this machine: give it with --by") from None


def _git_name() -> str:
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def clock(moment: datetime, now: datetime) -> str:
    """A moment in UTC, with the day where it is not today."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%H:%M" if moment.date() == now.date() else "%d %b %H:%M")


def span(length: timedelta) -> str:
    """A length of time in its two largest units, from a minute on to the minute."""
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    seconds = round(length.total_seconds() / 60) * 60
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number)


def in_force(silences: Iterable[Silence]) -> list[Silence]:
    """Silences that have not ended, the one that ends first in front."""
    return sorted((silence for silence in silences if silence.state != "expired"), key=lambda silence: silence.ends)


def as_json(silence: Silence) -> dict[str, Any]:
    """A silence for machines."""
    return {
        "id": silence.id,
        "state": silence.state,
        "kind": "acknowledgement" if silence.acknowledges else "silence",
        "matchers": [str(matcher) for matcher in silence.matchers],
        "starts": silence.starts.isoformat(),
        "ends": silence.ends.isoformat(),
        "by": silence.author,
        "comment": silence.comment,
    }


def silence_table(silences: Sequence[Silence], now: datetime) -> Table:
    """Silences for people."""
    table = Table("id", "by", "ends (UTC)", title="Silences", title_justify="left")
    table.add_column("silenced", overflow="fold")
    for silence in silences:
        left = f"{clock(silence.ends, now)}\nin {span(silence.ends - now)}"
        begins = f"begins {clock(silence.starts, now)}: " if silence.state == "pending" else ""
        what = "acknowledged " + silence.acknowledges if silence.acknowledges else ", ".join(map(str, silence.matchers))
        table.add_row(
            silence.id[:_SHORT_ID], Text(silence.author), left, Text(f"{begins}{what}\n{silence.comment}".strip())
        )
    return table


class _MatchersFirst(TyperGroup):
    """A group whose default command takes the matchers: ``ops silence layer=device``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``add`` in front of what is no command."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["add", *args]
        return super().parse_args(ctx, args)


silence_app = typer.Typer(
    cls=_MatchersFirst,
    no_args_is_help=True,
    help="Silence alerts during planned work: `ops silence layer=device --for 4h --comment TEXT`.",
)


@silence_app.command("add")
def add(
    matchers: Annotated[
        list[str], typer.Argument(help="Matchers, all of which must match: label=value, or !=, =~, !~.")
    ],
    comment: Annotated[str, typer.Option(help="Reason for the silence.")],
    length: Annotated[str, typer.Option("--for", help="Duration: 30m, 4h, 2d.")] = "4h",
    by: Annotated[str | None, typer.Option(help="Your name; default: the user of this machine.")] = None,
    longest: Annotated[str, typer.Option(help="Upper limit of --for.")] = LONGEST,
) -> None:
    """Silence alerts from now on (the default command)."""
    lasts = duration(length, longest)
    wanted = tuple(with_twins(parse_matcher(matcher)) for matcher in matchers)
    if not comment.strip():
        raise OpsError("--comment is empty: give the reason for the silence")
    who = author(by)
    with connect(platform_module.load()) as alertmanager:
        alerts = alertmanager.alerts()
        refuse_heartbeat(wanted, alerts)
        now = datetime.now(UTC)
        silence_id = alertmanager.silence(wanted, now + lasts, who, comment.strip())
        warn_if_alone(alertmanager)
    met = sorted({alert.identity or alert.name for alert in alerts if all(one.matches(alert.labels) for one in wanted)})
    typer.echo(f"silence {silence_id} by {who} until {clock(now + lasts, now)} UTC: {', '.join(map(str, wanted))}")
    typer.echo(f"firing and silenced: {', '.join(met) or 'none'}")


@silence_app.command("list")
def show(
    as_json_: Annotated[bool, typer.Option("--json", help="Print silences as JSON.")] = False,
) -> None:
    """List unexpired silences, including acknowledgements."""
    with connect(platform_module.load()) as alertmanager:
        active_silences = in_force(alertmanager.silences())
    if as_json_:
        typer.echo(
            json.dumps(
                {"silences": [as_json(active_silence) for active_silence in active_silences]},
                indent=2,
                ensure_ascii=False,
            )
        )
    elif active_silences:
        Console().print(silence_table(active_silences, datetime.now(UTC)))
    else:
        typer.echo("no unexpired silences")


@silence_app.command("end")
def end(silence: Annotated[str, typer.Argument(help="Id of the silence, or a prefix of it.")]) -> None:
    """End a silence: its alerts notify again."""
    with connect(platform_module.load()) as alertmanager:
        chosen = choose(alertmanager.silences(), silence)
        alertmanager.end(chosen.id)
    typer.echo(f"ended {chosen.id}: {', '.join(map(str, chosen.matchers))}")


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
        str, typer.Argument(metavar="ALERT", help="Identity (alert_id), a prefix of it, or the alert's name.")
    ],
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="LABEL=VALUE", help="Selects one of several alerts with this name.")
    ] = None,
    length: Annotated[str, typer.Option("--for", help="Duration: 30m, 2h, 1d.")] = "2h",
    comment: Annotated[str, typer.Option(help="Findings, or what you are doing.")] = "",
    by: Annotated[str | None, typer.Option(help="Your name; default: the user of this machine.")] = None,
    every: Annotated[bool, typer.Option("--every", help="Acknowledge all matching alerts.")] = False,
    end: Annotated[
        bool, typer.Option("--end", help="Remove the acknowledgement: by ALERT, or by the silence's id.")
    ] = False,
) -> None:
    """Acknowledge an alert: it does not notify or escalate until the acknowledgement expires.

    Acknowledging it again extends the time. Without --every, an ALERT that matches several is refused.
    """
    lasts = duration(length)
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
                typer.echo(f"it was escalated: {', '.join(told)} was notified, report that you are handling it")
        warn_if_alone(alertmanager)


def _take_back(alertmanager: Alertmanager, text: str, labels: Mapping[str, str], every: bool) -> list[str]:
    silences = alertmanager.silences()
    known = acknowledgements(silences)
    identities = taken(known, text, labels)
    if not identities:
        chosen = choose(silences, text)
        if not chosen.acknowledges:
            raise OpsError(f"{chosen.id} is not an acknowledgement: end it with `ops silence end {chosen.id}`")
        identities, known = [chosen.acknowledges], {chosen.acknowledges: chosen}
    lines = []
    for identity in _chosen(identities, text, every):
        alertmanager.end(known[identity].id)
        lines.append(f"acknowledgement removed: {identity}, silence {known[identity].id}")
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
        raise OpsError(f"no firing alert has the name or identity prefix {text!r}: `ops alerts` lists firing alerts")
    if len(identities) > 1 and not every:
        for identity in identities:
            typer.echo(identity, err=True)
        raise OpsError(f"{text!r} matches these {len(identities)}: give one of them, or --every for all")
    return identities


def _labels(texts: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, sign, _ in pairs if not text or not sign]
    if wrong:
        raise OpsError(f"{wrong[0]!r} is not a label: write LABEL=VALUE, for example instance=kafka-1")
    return {name: value for name, _, value in pairs}
