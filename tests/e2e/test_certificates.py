"""Every certificate renewed at once on the live platform, under load (K5)."""

from __future__ import annotations

import time

import pytest

from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.tools import durations
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.markers import Ticker
from ops.maintenance.certificates import readers, roll
from tests.support.certificates import Certificates, Port
from tests.support.results import recorded

ISSUED_S, TAKEN_UP_S, LOOK_S = 180.0, 450.0, 5.0
"""Collectors look every five minutes, and a kubelet takes up to one and a half to bring a changed Secret."""
SERVERS = {"gateway", "kafka", "prometheus-primary", "thanos-query", "alertmanager", "search", "postgres"}
"""Some of those that must be among what is looked at, so that the look itself is not blind."""


@pytest.mark.timeout(3600)
def test_renewed_certificates_are_taken_up_and_nobody_notices(settled: Context) -> None:
    certificates = Certificates(settled)
    with recorded("certificates-renewed", settled.kube) as figures:
        old = certificates.serials()
        names = {serial: name for name, serial in old.items()}
        shown = certificates.presented(certificates.ports())
        # By workload, since a roll gives a Deployment's pods other names.
        servers = {(port.workload, port.number): names[serial] for port, serial in shown.items() if serial in names}
        figures["certificates"] = len(old)
        figures["ports"] = sum(serial in names for serial in shown.values())
        assert {workload for workload, _ in servers} >= SERVERS
        at_start = {reader.workload for reader in readers(settled.kube)}
        figures["read theirs at the start"] = sorted(at_start)
        assert not [reader.pod for reader in readers(settled.kube) if reader.late]
        start, began = settled.kafka.end_offsets(TOPIC), time.time()
        with OtlpLoad(settled) as load, Ticker(settled, f"{int(began)}", settled.thanos) as ticker:
            load.run_for(durations.WARM_UP)
            requested_at = time.time()
            for name in old:
                certificates.renew(name)
            wait_until(
                lambda: not {name for name, serial in certificates.serials().items() if serial == old[name]},
                ISSUED_S,
                f"{len(old)} new certificates",
            )
            figures["issued after s"] = round(time.time() - requested_at, 1)
            new = certificates.serials()

            def stale() -> set[Port]:
                there = [port for port in certificates.ports() if (port.workload, port.number) in servers]
                shown = certificates.presented(there)
                return {port for port in there if shown.get(port) != new[servers[port.workload, port.number]]}

            def only_those_at_start() -> bool:
                return {port.workload for port in stale()} <= at_start

            assert {reader.workload for reader in readers(settled.kube) if reader.late} == at_start
            try:
                wait_until(only_those_at_start, TAKEN_UP_S, "renewed certificates to be presented", LOOK_S)
            finally:
                figures["presented after s"] = round(time.time() - requested_at, 1)
                figures["old ones still presented by"] = sorted({port.workload for port in stale()})
            rolled = time.time()
            figures["rolled"] = roll(settled.kube, print)
            figures["rolled after s"] = round(time.time() - rolled, 1)
            assert not [reader.pod for reader in readers(settled.kube) if reader.late]
            figures["old ones presented at the end"] = sorted({port.pod for port in stale()})
        figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        figures["acknowledged"], figures["missing"] = len(load.ledger.acknowledged), len(missing)
        figures["retries"] = load.ledger.retries
        assert figures["old ones presented at the end"] == []
        assert ticker.queries > 0
        assert ticker.failed == []
        assert load.ledger.acknowledged
        assert missing == set()
