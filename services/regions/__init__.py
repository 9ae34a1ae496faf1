"""Which of two regions is active: what the witness bucket holds, and how it is read and written."""

from __future__ import annotations

import re
from typing import Annotated

from services.runtime.settings import checked

REGION = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
TAKEN = "lease"
"""Where the witness bucket has something else."""


def is_region(value: object) -> bool:
    """Whether a region may be called so."""
    return isinstance(value, str) and re.match(REGION, value) is not None and value != TAKEN


RegionName = Annotated[
    str, checked(is_region, f"a name of small letters, digits and -, for example region-a, not {TAKEN}")
]


FAILOVER_AGENT = "failover-agent"
"""Who made the silence of a region that does not hold the lease."""
HANDOVER_AUTHOR = "silence-handover"
"""Who made the silence of an alert that the other region has told."""
REGION_AUTHORS = frozenset({FAILOVER_AGENT, HANDOVER_AUTHOR})
"""Whose silences say which region tells; none of them says that somebody has the alert."""
MATCHER: dict[str, str | bool] = {"name": "layer", "value": ".+", "isRegex": True, "isEqual": True}
"""The one matcher of the failover agent's silence, as Alertmanager's API has it: telemetry alerts carry ``layer``."""
