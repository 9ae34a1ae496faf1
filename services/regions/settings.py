"""How regions may be called."""

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
