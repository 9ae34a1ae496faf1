"""``python -m lab notifications``: what the fakes received, as a table for people."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.fakes.receivers import notification_content
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.phone import State
from lab.fakes.receivers.record import HEARTBEAT
from lab.paths import LabPaths


def show_notifications(paths: LabPaths, *, last: int, alert: str | None, heartbeats: bool) -> None:
    """Print the newest notifications, oldest first, and the states of the pager and of the dead man's switch.

    Args:
        paths: The lab.
        last: How many.
        alert: Only those that mention this alert, by name or ``alert_id``.
        heartbeats: Whether heartbeats count too.

    Raises:
        LabError: The fakes do not answer.
    """
    receivers = Receivers.of_lab(paths)
    notifications = [
        notification
        for notification in receivers.since()
        if (heartbeats or notification.channel != HEARTBEAT)
        and (alert is None or notification_content.mentions(notification, alert))
    ]
    table = Table("at", "channel", "for", "says", "state")
    for notification in notifications[-last:]:
        moment = datetime.fromtimestamp(notification.received_at).strftime("%m-%d %H:%M:%S")
        cells = (
            moment,
            notification.channel,
            notification.audience,
            notification.title,
            notification_content.status(notification) or "",
        )
        table.add_row(*map(Text, cells))
    console = Console()
    console.print(table if notifications else "no notification yet")
    incidents = receivers.incidents()
    still_open = sum(incident.state is not State.RESOLVED for incident in incidents)
    merged = sum(incident.merged for incident in incidents)
    console.print(f"pager: {still_open} incidents open, {merged} triggers merged into open ones", highlight=False)
    switch = receivers.switch()
    state = "tells that the platform is silent" if switch["silent"] else "quiet" if switch["armed"] else "not armed yet"
    since = f", last heartbeat {switch['quiet_s']:.0f} s ago" if switch["armed"] else ""
    console.print(f"dead man's switch: {state}{since}", highlight=False)
