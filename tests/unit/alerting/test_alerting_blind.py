"""Alerts that say that others are blind: they are as urgent as those."""

from __future__ import annotations

import pytest

from components.agent.rules import RULES as AGENT_RULES
from components.clusterstate.rules import cluster_state_rules, volume_rules
from components.probes.rules import probe_rules
from components.rules import Severity

ALERTS = {
    alert.name: alert
    for group in (*cluster_state_rules(nodes=True), *volume_rules(), *AGENT_RULES, *probe_rules("720h"))
    for alert in group.alerts
}
BLINDED = {
    "ClusterStateUnknown": {"PodPending", "PodRestartsOften", "JobFailed", "NodeNotReady", "NodeUnderPressure"},
    "VolumesUnknown": {"VolumeFilling", "VolumeInodesFilling", "VolumeFillsSoon"},
    "NodeMetricsMissing": {"NodeCpuSaturated", "NodeMemoryLow", "NodeDiskBusy"},
    "ProbesMissing": {
        "CertificateExpiresSoon",
        "CertificateEnds",
        "EndpointUnreachable",
        "EndpointUnauthenticated",
    },
}
URGENCY = list(Severity)


@pytest.mark.parametrize("name", BLINDED)
def test_who_is_told_that_alerts_are_blind_is_told_as_soon_as_of_them(name: str) -> None:
    most_urgent = min(URGENCY.index(ALERTS[blinded].severity) for blinded in BLINDED[name])
    # Nobody is called for it: nothing has failed yet.
    assert URGENCY.index(ALERTS[name].severity) == max(most_urgent, URGENCY.index(Severity.HIGH))
