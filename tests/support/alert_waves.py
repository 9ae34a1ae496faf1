"""Every threshold driven by the simulator's faults, in as few waves as inhibitions allow, with what came of it."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.alertmanager.receivers import FIRST_NOTIFICATION
from components.rules import Severity
from components.telemetry.thresholds import THRESHOLDS, Threshold
from lab.fakes.receivers.client import Receivers
from lab.simulator import deploy
from ops.core.context import Context
from ops.core.errors import OpsError

LOOK_EVERY_S = 2.0
_LASTS_S = 900


def waves(thresholds: Sequence[Threshold] = THRESHOLDS) -> list[list[Threshold]]:
    """Thresholds in groups in which none keeps another one quiet; sources of an inhibition come before its targets."""
    left, result = list(thresholds), []
    while left:
        names = {threshold.alert for threshold in left}
        quiet = [threshold for threshold in left if names & quieted_by(threshold) - {threshold.alert}]
        loud = [threshold for threshold in left if threshold not in quiet]
        if not loud:
            raise ValueError(f"inhibitions go in a circle: {', '.join(sorted(names))}")
        result.append(loud)
        left = quiet
    return result


@dataclass
class Row:
    """What was seen of one threshold; moments in seconds since 1970, None for never."""

    threshold: Threshold
    injected: float
    fired: float | None = None
    notified: dict[str, float] = field(default_factory=dict)
    over: float | None = None
    resolved: dict[str, float] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels by which the first notification has to come."""
        return tuple(str(channel) for channel in FIRST_NOTIFICATION.get(self.threshold.priority, ()))

    @property
    def told(self) -> bool:
        """Whether it fired, and everybody who has to be was told."""
        return self.fired is not None and set(self.channels) <= set(self.notified)

    @property
    def ended(self) -> bool:
        """Whether it is over, and everybody who was notified knows."""
        return self.over is not None and set(self.channels) <= set(self.resolved)

    def shown(self) -> dict[str, Any]:
        """The row of the table: seconds since the fault was injected, and since it ended."""

        def after(moment: float | None) -> float | None:
            return None if moment is None else round(moment - self.injected, 1)

        return {
            "priority": str(self.threshold.priority),
            "hold s": self.threshold.hold_s,
            "fired": after(self.fired),
            "notified": {name: after(moment) for name, moment in sorted(self.notified.items())},
            "over": after(self.over),
            "resolved": {name: after(moment) for name, moment in sorted(self.resolved.items())},
        }


class Watch:
    """Sets faults and takes them away, and notes what comes of them."""

    def __init__(self, context: Context, receivers: Receivers, start: int, rows: list[Row]) -> None:
        """Watch ``rows``, to which every wave adds; notifications count from the number ``start`` on."""
        self._context, self._receivers, self._start, self._rows = context, receivers, start, rows
        self._cluster = deploy.Cluster(os.environ["KUBECONFIG"])

    def inject(self, wave: Sequence[Threshold]) -> list[Row]:
        """Begin the faults of a wave now."""
        self._set([{"kind": threshold.name, "start": 0, "duration": _LASTS_S} for threshold in wave])
        new = [Row(threshold, time.time()) for threshold in wave]
        self._rows += new
        return new

    def clear(self) -> None:
        """End all faults."""
        self._set([])

    def until(self, seconds: float, rows: Sequence[Row], done: Callable[[Row], bool]) -> None:
        """Look until all of ``rows`` are done, at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not all(map(done, rows)):
            self._poll()
            time.sleep(LOOK_EVERY_S)

    def most_notifications(self) -> tuple[str, int]:
        """The alert with most notifications by one channel, and how many: nobody should be told again and again."""
        counts = Counter(
            (row.threshold.alert, notification.channel)
            for row in self._rows
            for notification in self._receivers.find(self._start, alert=row.threshold.alert)
            if notification.channel in row.channels
        )
        ((alert, channel), count), *_ = counts.most_common(1) or [(("none", "no channel"), 0)]
        return f"{alert} by {channel}", count

    def _poll(self) -> None:
        now = time.time()
        try:
            samples = self._context.thanos.instant('ALERTS{alertstate="firing",escalation=""}')
        except OpsError:
            return
        firing = {sample.labels["alertname"] for sample in samples}
        for row in self._rows:
            self._note(row, row.threshold.alert in firing, now)

    def _note(self, row: Row, firing: bool, now: float) -> None:
        if firing:
            row.fired, row.over = row.fired or now, None
        elif row.fired and row.over is None:
            row.over = now
        for status, moments in (("firing", row.notified), ("resolved", row.resolved)):
            for notification in self._receivers.find(self._start, alert=row.threshold.alert, status=status):
                moments.setdefault(notification.channel, notification.received_at)

    def _set(self, faults: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "faults.yaml"
            file.write_text(yaml.safe_dump({"faults": faults}))
            deploy.set_faults(self._cluster, file)


def quieted_by(threshold: Threshold) -> set[str]:
    """Alerts that keep this one's alert quiet."""
    return {source.alert for source in threshold.inhibited_by}


def low(rows: Sequence[Row]) -> list[Row]:
    """Rows of alerts that only the daily report tells of."""
    return [row for row in rows if row.threshold.priority is Severity.LOW]
