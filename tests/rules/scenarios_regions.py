"""Scenarios of the alerts about the pair of regions."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_POD = 'job="failover-agent",instance="10-88-0-7"'
_JOB = {"job": "failover-agent"}
_PEER = {**_JOB, "peer": "region-b"}
_UP = f"up{{{_POD}}}"
_NOTIFIES = f"failover_agent_notifies{{{_POD}}}"
_ISOLATED = f"failover_agent_isolated{{{_POD}}}"
_ERRORS = f"failover_agent_alertmanager_errors_total{{{_POD}}}"
_LEASE = f"failover_agent_lease_read_age_seconds{{{_POD}}}"
_PEER_AGE = f'failover_agent_peer_age_seconds{{{_POD},peer="region-b"}}'
_PEER_SEEN = f'failover_agent_peer_seen{{{_POD},peer="region-b"}}'
_PEER_NOTIFIES = f'failover_agent_peer_notifies{{{_POD},peer="region-b"}}'


def _role(role: str) -> str:
    return f'failover_agent_role{{{_POD},role="{role}"}}'


def _egress(name: str) -> str:
    return f'failover_agent_egress_reached_age_seconds{{{_POD},address="{name}.example.com:443"}}'


def _differs(definition: str) -> str:
    return f'failover_agent_peer_differs{{{_POD},peer="region-b",definition="{definition}"}}'


def _silenced(number: int) -> str:
    return f'failover_agent_silenced{{{_POD},alertmanager="alertmanager-{number}"}}'


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="FailoverAgentDown",
        bad={_UP: "1x9 0x40"},
        # A restart.
        good={_UP: "1x9 0 0 0 1x40"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels=_JOB,
    ),
    # The pod's name is gone.
    Scenario(
        alert="FailoverAgentDown",
        bad={_UP: "1x9 stale", 'up{job="gateway",instance="gateway-0"}': "1x50"},
        good={_UP: "1x50", 'up{job="gateway",instance="gateway-0"}': "1x9 stale"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels=_JOB,
    ),
    Scenario(
        alert="RegionLeaseUnreadable",
        bad={_LEASE: "2x9 30+30x40"},
        good={_LEASE: "2x9 30 60 90 120 2x40"},
        silent_at="7m15s",
        firing_at="7m45s",
        labels=_JOB,
    ),
    Scenario(
        alert="RegionPeerSilent",
        bad={_LEASE: "2x50", _PEER_AGE: "5x9 30+30x40"},
        # It cannot be heard while the witness does not answer: that is another alert.
        good={_LEASE: "2x9 30+30x40", _PEER_AGE: "5x9 30+30x40"},
        silent_at="6m15s",
        firing_at="6m45s",
        labels=_PEER,
    ),
    # No other region was ever seen.
    Scenario(
        alert="RegionPeerSilent",
        bad={_LEASE: "2x50", _PEER_AGE: "_x10 61+30x40"},
        good={_LEASE: "2x50"},
        silent_at="5m15s",
        firing_at="5m45s",
        labels=_PEER,
    ),
    Scenario(
        alert="RegionPeerNeverSeen",
        bad={_LEASE: "2x300", _PEER_SEEN: "0x300"},
        # It was set up the same day.
        good={_LEASE: "2x300", _PEER_SEEN: "0x100 1x200"},
        silent_at="23h55m",
        firing_at="24h5m",
        labels=_PEER,
        interval="5m",
        evaluated="5m",
    ),
    # On standby, with all else well; one channel of two.
    Scenario(
        alert="RegionPagerUnreachable",
        bad={_NOTIFIES: "0x50", _ISOLATED: "0x50", _egress("pager"): "3x9 30+30x40", _egress("mail"): "3x50"},
        # A short cut.
        good={_NOTIFIES: "0x50", _egress("pager"): "3x9 30 60 90 3x40", _egress("mail"): "3x50"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels={**_JOB, "address": "pager.example.com:443"},
    ),
    Scenario(
        alert="RegionsDiffer",
        bad={_differs("rules"): "0x9 1x60", _differs("topics"): "0x70"},
        # A change that reached the other region later.
        good={_differs("rules"): "0x9 1x18 0x60", _differs("topics"): "0x70"},
        silent_at="14m45s",
        firing_at="15m15s",
        labels={**_PEER, "definition": "rules"},
    ),
    Scenario(
        alert="RegionRoleNotLease",
        bad={_role("primary"): "1x80", _NOTIFIES: "1x9 0x70", _ISOLATED: "0x80"},
        # Silent because it is cut off, not because the lease is elsewhere.
        good={_role("primary"): "1x80", _NOTIFIES: "1x9 0x70", _ISOLATED: "0x9 1x70"},
        silent_at="19m45s",
        firing_at="20m15s",
        labels={**_JOB, "role": "primary"},
    ),
    Scenario(
        alert="RegionRoleNotLease",
        bad={_role("standby"): "1x80", _NOTIFIES: "0x9 1x70", _ISOLATED: "0x80"},
        good={_role("standby"): "1x80", _NOTIFIES: "0x80", _ISOLATED: "0x80"},
        silent_at="19m45s",
        firing_at="20m15s",
        labels={**_JOB, "role": "standby"},
    ),
    Scenario(
        alert="RegionIsolated",
        bad={_ISOLATED: "0x9 1x40"},
        # A short cut.
        good={_ISOLATED: "0x9 1 0x40"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_JOB,
    ),
    # Two members; one kept its silence when the region became active.
    Scenario(
        alert="RegionAlertmanagerNotLease",
        bad={_silenced(0): "1x9 0x40", _silenced(1): "1x50"},
        good={_silenced(0): "1x9 0x40", _silenced(1): "1x10 0x40"},
        silent_at="9m45s",
        firing_at="10m15s",
        labels=_JOB,
    ),
    # One answers no more.
    Scenario(
        alert="RegionAlertmanagerNotLease",
        bad={_ERRORS: "0x9 15+15x40", _silenced(0): "0x50", _silenced(1): "0x50"},
        # A roll.
        good={_ERRORS: "0x9 15+15x4 90x40", _silenced(0): "0x50", _silenced(1): "0x50"},
        silent_at="9m45s",
        firing_at="10m15s",
        labels=_JOB,
    ),
    Scenario(
        alert="RegionBothNotify",
        bad={_NOTIFIES: "0x9 1x40", _PEER_NOTIFIES: "1x50", _PEER_AGE: "5x50"},
        # The last word of a region that is gone.
        good={_NOTIFIES: "0x9 1x40", _PEER_NOTIFIES: "1x50", _PEER_AGE: "5x6 35+30x40"},
        silent_at="5m15s",
        firing_at="5m45s",
        labels=_PEER,
    ),
    # One of both is silent.
    Scenario(
        alert="RegionBothNotify",
        bad={_NOTIFIES: "1x50", _PEER_NOTIFIES: "0x9 1x40", _PEER_AGE: "5x50"},
        good={_NOTIFIES: "1x50", _PEER_NOTIFIES: "0x50", _PEER_AGE: "5x50"},
        silent_at="5m15s",
        firing_at="5m45s",
        labels=_PEER,
    ),
    # A failover that stopped half-way.
    Scenario(
        alert="RegionNobodyNotifies",
        bad={_LEASE: "2x50", _NOTIFIES: "1x9 0x40", _ISOLATED: "0x50", _PEER_NOTIFIES: "0x50", _PEER_AGE: "5x50"},
        # One on its way.
        good={
            _LEASE: "2x50",
            _NOTIFIES: "1x9 0x40",
            _ISOLATED: "0x50",
            _PEER_NOTIFIES: "0x10 1x40",
            _PEER_AGE: "5x50",
        },
        silent_at="6m45s",
        firing_at="7m15s",
        labels=_JOB,
    ),
    # The region that notified on-call is gone: its last word does not count.
    Scenario(
        alert="RegionNobodyNotifies",
        bad={_LEASE: "2x50", _NOTIFIES: "0x50", _PEER_NOTIFIES: "1x50", _PEER_AGE: "5x9 30+30x40"},
        # It cannot be heard, since the witness does not answer.
        good={_LEASE: "2x9 60+30x40", _NOTIFIES: "0x50", _PEER_NOTIFIES: "1x50", _PEER_AGE: "5x9 30+30x40"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels=_JOB,
    ),
    # Cut off: another alert says so.
    Scenario(
        alert="RegionNobodyNotifies",
        bad={_LEASE: "2x50", _NOTIFIES: "1x9 0x40", _ISOLATED: "0x50"},
        good={_LEASE: "2x50", _NOTIFIES: "1x9 0x40", _ISOLATED: "0x9 1x40"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels=_JOB,
    ),
)
