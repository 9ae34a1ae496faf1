"""Sends what is about two people, erases one of them, and looks whether the other one is still there."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from components.telemetry.layers import LAYERS, Signal, layers_sending
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.drills.gate_forgery import new_run
from ops.privacy import command as stores
from ops.privacy.record import Holding, PrivacyRecord, masking_key, pseudonym_of
from ops.privacy.stores import search_all

ARRIVAL_S: Final = 240.0
_DEVICE: Final = LAYERS[0].name
_TRACED: Final = layers_sending(Signal.TRACES)[0].name
_SEARCHED: Final = ("traces", "logs")


def _send(context: Context, subject: str) -> None:
    """A point and a log record of a device, and a failed span of a user, all with the same id."""
    device = otlp.resource_of(_DEVICE, "e2e", f"erasure-{new_run()}", subject)
    point = otlp.gauge(device, "obs_verify_probe", [(time.time_ns(), 1.0, {})])
    logs = ExportLogsServiceRequest()
    group = logs.resource_logs.add()
    group.resource.attributes.extend(otlp.attributes(device))
    group.scope_logs.add().log_records.add(time_unix_nano=time.time_ns()).body.string_value = "erasure"
    span = otlp.span(otlp.resource_of(_TRACED, "e2e", f"erasure-{new_run()}"), "erasure", failed=True)
    span.resource_spans[0].scope_spans[0].spans[0].attributes.extend(otlp.attributes({"enduser.id": subject}))
    for signal, layer, request in (("metrics", _DEVICE, point), ("logs", _DEVICE, logs), ("traces", _TRACED, span)):
        status, answer = context.otlp.post(signal, request.SerializeToString(), context.otlp.login(layer))
        if status != 200:
            raise OpsError(f"the gateway answered {status} to {signal}: {answer.decode(errors='replace')[:200]}")


def erase_on_platform(context: Context, figures: dict[str, Any]) -> list[str]:
    """Erase somebody who was never there before; what did not hold.

    Args:
        context: The platform.
        figures: Filled with what was seen.

    Raises:
        OpsError: A store refuses, does not answer, or does not get what was sent.
    """
    key = masking_key(context.kube)
    subject, other = (f"drill-{new_run()}" for _ in range(2))
    pseudonym, others = (pseudonym_of(plain, key) for plain in (subject, other))
    for plain in (subject, other):
        _send(context, plain)
    search, families = stores.search_store(context)

    def held(who: str) -> list[Holding]:
        metrics = [stores.metric_store(context, server).find(who) for server in context.platform.prometheus_servers]
        return [*search_all(search, families, who, erase=False), *metrics]

    def counts(holdings: list[Holding]) -> dict[str, int]:
        stored: dict[str, int] = {}
        for holding in holdings:
            stored[holding.store] = stored.get(holding.store, 0) + (holding.matches or 0)
        return stored

    def arrived() -> bool:
        return all(
            min(counts(held(who)).get(store, 0) for store in (*_SEARCHED, "metrics")) > 0 for who in (pseudonym, others)
        )

    say("waiting until both people are found in traces, logs and metrics")
    wait_until(arrived, ARRIVAL_S, "both people in every store", 5.0)
    before, others_before = counts(held(pseudonym)), counts(held(others))
    say("erasing one of them")
    started = time.monotonic()
    erased = stores.holdings(context, pseudonym, erase=True, scan=None, told=say)
    seconds = time.monotonic() - started
    after, others_after = counts(held(pseudonym)), counts(held(others))
    record = PrivacyRecord(
        action="erase",
        dry_run=False,
        operator="drill",
        reference="drill",
        platform=context.platform.platform,
        region=context.platform.region,
        pseudonym=pseudonym,
        time=datetime.now(UTC),
        holdings=erased,
    )
    left = {holding.store: holding.as_json()["expires"] for holding in record.remaining}
    figures |= {
        "found before": before,
        "removed": sum(holding.removed for holding in erased),
        "left in traces and logs": sum(after.get(store, 0) for store in _SEARCHED),
        "left until": left,
        "of the other person lost": sum(max(0, count - others_after[store]) for store, count in others_before.items()),
        "seconds": round(seconds, 1),
        "plain ids in the record": json.dumps(record.as_json()).count(subject),
    }
    return [f"{holding.store}: no end is told" for holding in record.remaining if holding.expires is None]
