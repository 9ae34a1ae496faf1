"""``python -m lab notices``: what the doubles received, as a table for people."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.paths import LabPaths
from lab.receivers import carried
from lab.receivers.client import Receivers
from lab.receivers.phone import State
from lab.receivers.record import HEARTBEAT


def show_notices(paths: LabPaths, *, last: int, alert: str | None, heartbeats: bool) -> None:
    """Print the newest notices, oldest first, and the states of the pager and of the dead man's switch.

    Args:
        paths: The lab.
        last: How many.
        alert: Only those that mention this alert, by name or ``alert_id``.
        heartbeats: Whether heartbeats count too.

    Raises:
        LabError: The doubles do not answer.
    """
    receivers = Receivers.of_lab(paths)
    found = [
        notice
        for notice in receivers.since()
        if (heartbeats or notice.channel != HEARTBEAT) and (alert is None or carried.mentions(notice, alert))
    ]
    table = Table("at", "channel", "for", "says", "state")
    for notice in found[-last:]:
        moment = datetime.fromtimestamp(notice.received_at).strftime("%m-%d %H:%M:%S")
        cells = (moment, notice.channel, notice.audience, notice.title, carried.status(notice) or "")
        table.add_row(*map(Text, cells))
    console = Console()
    console.print(table if found else "no notice yet")
    incidents = receivers.incidents()
    still_open = sum(each.state is not State.RESOLVED for each in incidents)
    merged = sum(each.merged for each in incidents)
    console.print(f"pager: {still_open} incidents open, {merged} triggers merged into open ones", highlight=False)
    switch = receivers.switch()
    state = "tells that the platform is silent" if switch["silent"] else "quiet" if switch["armed"] else "not armed yet"
    since = f", last heartbeat {switch['quiet_s']:.0f} s ago" if switch["armed"] else ""
    console.print(f"dead man's switch: {state}{since}", highlight=False)
