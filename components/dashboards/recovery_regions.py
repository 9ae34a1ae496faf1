"""Row about the second region (requirements D2, D3, G4): which region is active, and could the other one take over?

Where there is no other region, or nothing is copied into this one, panels say so in words: their queries then answer
`_NONE`, so that no panel is empty.
"""

from __future__ import annotations

from typing import Final

from components.dashboards import limits
from components.dashboards.model import Query, Row, State, series, stat

_NONE: Final = -1
OF_THE_OTHER: Final = frozenset(
    ("failover_agent_peer_age_seconds", "failover_agent_peer_differs", "failover_agent_peer_notifies")
)
"""Series that are there once another region has been heard of."""
OF_THE_COPY: Final = frozenset(("obs:mirror_lag:records", "obs:mirror_latency:seconds", "obs:mirror_records:rate1m"))
"""Series that are there in the region into which the other one is copied."""
_PEER_AGE: Final = "max(failover_agent_peer_age_seconds)"
_FRESH_S: Final = limits.PLATFORM["RegionPeerSilent"]
_MOST_KINDS: Final = 6
"""Kinds of definitions that are compared, and one more."""

_HERE = (State(value=1, text="active", tone="good"), State(value=0, text="is silent", tone="note"))
_OTHER = (
    State(value=3, text="active", tone="good"),
    State(value=2, text="is silent", tone="note"),
    State(value=1, text="says nothing", tone="bad"),
    State(value=0, text="there is none", tone="note"),
)
_CUT_OFF = (State(value=0, text="no", tone="good"), State(value=1, text="yes", tone="bad"))
_NO_REGION = State(value=_NONE, text="no other region", tone="note")
_DIFFER = (
    _NO_REGION,
    State(value=0, text="the same", tone="good"),
    *(State(value=number, text=f"{number} differ", tone="warning") for number in range(1, _MOST_KINDS + 1)),
)
_NO_MIRROR = (State(value=_NONE, text="no copy here", tone="note"),)


def _or_none(expr: str) -> str:
    return f"{expr} or vector({_NONE})"


REGIONS = Row(
    title="Second region",
    panels=(
        stat(
            "This region",
            "Whether its Alertmanagers notify on-call of the layers' alerts. One region of two does.",
            "",
            Query(expr="max by (region) (failover_agent_notifies)", legend="{{region}}"),
            states=_HERE,
        ),
        stat(
            "Other region",
            "What it said of itself last; older than a minute, it says nothing.",
            "",
            Query(
                expr=f"({_PEER_AGE} <= bool {_FRESH_S:g}) * (1 + max(failover_agent_peer_notifies)) + 1 or vector(0)",
                legend="other region",
            ),
            states=_OTHER,
        ),
        stat(
            "Other region's last word",
            "Time since its heartbeat in the witness bucket. It comes every 5 s.",
            "s",
            Query(expr=_or_none(_PEER_AGE), legend="ago"),
            limits=limits.platform("RegionPeerSilent"),
            states=(_NO_REGION,),
        ),
        stat(
            "Definitions of both regions",
            "Kinds of definitions (rules, dashboards, topics, permissions, notifications) in which the regions differ. "
            "`ops regions parity` names them.",
            "{kind}",
            Query(expr=_or_none("sum(max by (definition) (failover_agent_peer_differs))"), legend="differ"),
            states=_DIFFER,
        ),
        stat(
            "Copied late",
            "Age of records when they arrive here from the other region, of the slowest topic. If that region is lost "
            "now, about so much is lost.",
            "s",
            Query(expr=_or_none("max(obs:mirror_latency:seconds)"), legend="slowest topic"),
            limits=limits.platform("MirrorLag"),
            states=_NO_MIRROR,
        ),
        stat(
            "Not copied yet",
            "Records that the other region has and this one has not.",
            "{record}",
            Query(expr=_or_none("sum(obs:mirror_lag:records)"), legend="waiting"),
            states=_NO_MIRROR,
        ),
        series(
            "Records copied",
            "Records per second that arrive from the other region; 0 where nothing is copied into this one.",
            "{record}/s",
            Query(expr="sum(obs:mirror_records:rate1m) or vector(0)", legend="copied"),
            width=10,
        ),
        series(
            "Age of the last lease poll",
            "The failover agent reads the lease every 2 s. Beyond the limit, a failover could not silence this region.",
            "s",
            Query(expr="max by (region) (failover_agent_lease_read_age_seconds)", legend="{{region}}"),
            limits=limits.platform("RegionLeaseUnreadable"),
            width=6,
        ),
        stat(
            "Changes of the holder",
            "Epoch of the lease: one more at each failover and failback.",
            "{change}",
            Query(expr=_or_none("max(failover_agent_lease_epoch)"), legend="epoch"),
            states=(State(value=_NONE, text="not read yet", tone="warning"),),
            height=8,
        ),
        stat(
            "Cut off",
            "Whether neither the witness nor any pager could be reached, so that the region fell silent by itself.",
            "",
            Query(expr="max by (region) (failover_agent_isolated)", legend="{{region}}"),
            states=_CUT_OFF,
            height=8,
        ),
    ),
)
"""For those who have to decide whether the other region can take over."""
