"""A zone is gone: one of everything that runs twice or thrice, at once and without warning (K1, D3)."""

from __future__ import annotations

import time

import pytest

from lab.fakes.receivers.client import Receivers
from ops.core.alertmanager import FiringAlert
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.procedure import is_settled
from ops.drills.tools import durations
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.markers import Ticker
from tests.support.alerts import CRITICAL, Injector, collected, duplicates
from tests.support.results import recorded
from tests.support.zone import away, members

BACK_S, TOLD_S, LOOK_S, ANSWERS_S = 600.0, 120.0, 2.0, 60.0
NOTICED_S = 40.0
"""Until then callers run into what is gone; readiness probes and sessions end it."""


def began_to_fire(context: Context, since: float) -> set[str]:
    """Names of alerts that began after a moment. A connection from before may lead to a member that is gone."""
    alerts: list[FiringAlert] = []

    def answered() -> bool:
        alerts[:] = context.alertmanager().alerts()
        return True

    wait_until(answered, ANSWERS_S, "an answer of Alertmanager")
    return {alert.name for alert in alerts if alert.starts.timestamp() >= since}


@pytest.mark.timeout(1500)
def test_a_zone_is_gone_and_everything_goes_on(settled: Context) -> None:
    receivers = Receivers.of_lab()
    with recorded("zone-gone", settled.kube) as figures:
        start, notifications = settled.kafka.end_offsets(TOPIC), receivers.newest()
        began = time.time()
        with Injector(settled) as injector, Ticker(settled, f"{int(began)}", settled.thanos) as ticker:
            with OtlpLoad(settled, give_up_after=240) as load:
                load.run_for(durations.WARM_UP)
                wait_until(lambda: ticker.queries > 3, 60, "the marker at Thanos Query")
                zone = members(settled)
                figures["taken away"] = sorted(pod.name for pod in zone)
                with away(settled, zone) as how:
                    gone = time.time()
                    figures["how"] = how
                    at_once = injector.raise_one(CRITICAL)
                    load.run_for(NOTICED_S)
                    later = injector.raise_one(CRITICAL)
                    load.run_for(max(0.0, durations.ZONE_GONE - (time.time() - gone)))
                    figures["alerts"] = sorted(began_to_fire(settled, gone) - {CRITICAL.alert})
                    figures["away s"] = round(time.time() - gone, 1)
                back = time.time()
                figures["longest pause of clients s"] = round(load.ledger.longest_gap(gone, back), 1)
                load.run_for(durations.AFTER_FAULT)
                wait_until(lambda: is_settled(settled), BACK_S, "all pods ready and all replicas in sync", LOOK_S)
                figures["whole again after s"] = round(time.time() - back, 1)
            told = collected(receivers, notifications, injector.raised, TOLD_S)
        for what, raised in (("at once", at_once), ("once noticed", later)):
            latency = raised.latency(told)
            figures[f"Critical {what} told after s"] = None if latency is None else round(latency, 1)
        figures["notices twice"] = duplicates(
            [notification for one in injector.raised for notification in one.notifications(told)]
        )
        figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        figures["acknowledged"], figures["missing"] = len(load.ledger.acknowledged), len(missing)
        figures["retries"], figures["given up"] = load.ledger.retries, len(load.ledger.given_up)
        for replica in settled.platform.prometheus_replicas:
            window = int(time.time() - began + 60)
            arrived = load.in_prometheus(settled.prometheus(replica), window, durations.ARRIVAL)
            figures[f"missing in prometheus-{replica}"] = len(load.ledger.missing(arrived))
        assert missing == set()
        assert figures["given up"] == 0
        assert {
            figures[f"missing in prometheus-{prometheus_replica}"]
            for prometheus_replica in settled.platform.prometheus_replicas
        } == {0}
        assert figures["alerts"], "nothing fired although a zone was gone"
        assert figures["longest pause of clients s"] <= NOTICED_S
        assert figures["Critical at once told after s"] is not None
        assert figures["Critical once noticed told after s"] is not None
        assert figures["Critical once noticed told after s"] <= CRITICAL.limit_s
