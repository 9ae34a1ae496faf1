"""The silences that a pair of regions makes by itself, told from people's by who made them.

Nothing here needs the witness's client: a small program may import it.
"""

from __future__ import annotations

FAILOVER_AGENT = "failover-agent"
"""Who made the silence of a region that does not hold the lease."""
HANDOVER_AUTHOR = "silence-handover"
"""Who made the silence of an alert that the other region has told."""
REGION_AUTHORS = frozenset({FAILOVER_AGENT, HANDOVER_AUTHOR})
"""Whose silences say which region tells; none of them says that somebody has the alert."""
MATCHER: dict[str, str | bool] = {"name": "layer", "value": ".+", "isRegex": True, "isEqual": True}
"""The one matcher of the failover agent's silence, as Alertmanager's API has it: telemetry alerts carry ``layer``."""
