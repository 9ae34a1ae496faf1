"""Services of four languages, with OpenTelemetry's own SDKs and what `ops connect` prints, are seen in every store."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

import pytest

from components.telemetry.attributes import CLASSES
from components.telemetry.layers import Signal
from ops.checks.ingest import COUNTED_SECONDS
from ops.checks.traces import names, reader
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.platform import PROJECT
from ops.drills.tools.search_client import stored_logs
from ops.telemetry.logs import Wanted, query
from ops.telemetry.traces import fetch_token
from tests.sdks import clients
from tests.support.results import recorded

pytestmark = [pytest.mark.e2e, pytest.mark.promise, pytest.mark.drill]
SEEN_SECONDS = 60.0
"""At most, from the end of a service, at which it sends, until its metric, its trace and its log are there."""
_REFUSED = f'sum(otelcol_gate_refused_items_total{{job="gateway",layer="{clients.LAYER}"}})'
_COUNTED = 'min(timestamp(up{job="gateway"}))'


@pytest.mark.timeout(900)
def test_clients_of_four_languages_are_seen_in_metrics_traces_and_logs(settled: Context, tmp_path: Path) -> None:
    lines = connect(tmp_path / clients.LAYER)
    refused = settled.thanos.number(_REFUSED) or 0.0
    with recorded("sdk-clients", settled.kube) as figures:
        versions: dict[str, str] = {}
        seconds: dict[Signal, dict[str, float]] = {signal: {} for signal in Signal}
        figures["SDK versions"], figures["metrics after s"] = versions, seconds[Signal.METRICS]
        figures["traces after s"], figures["logs after s"] = seconds[Signal.TRACES], seconds[Signal.LOGS]
        for language in clients.LANGUAGES:
            sent = clients.run(language, lines, SystemRandom().randrange(10_000, 100_000))
            await_seen(settled, language, sent, seconds)
            versions[language] = version(settled, sent)
        figures["languages"] = len(versions)
        wait_until(lambda: (settled.thanos.number(_COUNTED) or 0.0) > sent.ended, COUNTED_SECONDS, "the counters", 2.0)
        figures["refused"] = round((settled.thanos.number(_REFUSED) or 0.0) - refused)


def connect(folder: Path) -> str:
    """What `ops connect` prints for the layer; the login is in the folder."""
    command = [sys.executable, "-m", "ops", "connect", "--layer", clients.LAYER, "--write", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def await_seen(context: Context, language: str, sent: clients.Sent, seconds: dict[Signal, dict[str, float]]) -> None:
    """Fill in how long after the service's end each of its signals was there.

    Raises:
        OpsError: One of them is not there in time.
    """
    everything, logs = reader(context, CLASSES[-1], fetch_token(context.web, context.platform)), stored_logs(context)
    wanted = Wanted(trace=sent.trace_id, service=clients.SERVICE, text=f"work {sent.number} failed")
    looks: dict[Signal, Callable[[], bool]] = {
        Signal.METRICS: lambda: [sample.value for sample in context.thanos.instant(series(sent))] == [sent.number],
        Signal.TRACES: lambda: clients.SPAN in names(everything, sent.trace_id),
        Signal.LOGS: lambda: logs.ask(query(wanted, time.time())) == 1,
    }

    def whole() -> bool:
        for signal, look in looks.items():
            if language not in seconds[signal] and look():
                seconds[signal][language] = round(time.time() - sent.ended, 1)
        return all(language in own for own in seconds.values())

    wait_until(whole, SEEN_SECONDS, f"metric, trace {sent.trace_id} and log of the service of {language}", 0.3)


def series(sent: clients.Sent) -> str:
    """The numbered metric at the read address."""
    return f'{clients.METRIC.replace(".", "_")}_total{{job="{clients.SERVICE}",instance="{sent.instance}"}}'


def version(context: Context, sent: clients.Sent) -> str:
    """The SDK and its version, as it names itself among the attributes of its resource."""
    [info] = context.thanos.instant(f'target_info{{job="{clients.SERVICE}",instance="{sent.instance}"}}')
    return info.labels["telemetry_sdk_version"]
