"""What became of a load, as figures; and conditions as sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ops.core.errors import OpsError
from ops.drills.tools.load import OtlpLoad, ProducerLoad
from ops.drills.tools.sequences import Number


def account(figures: dict[str, Any], label: str, load: OtlpLoad | ProducerLoad, missing: int) -> list[str]:
    """Note what a load sent and what is missing; a problem where something is, or where nothing was acknowledged."""
    acknowledged = len(load.ledger.acknowledged)
    figures[f"{label} acknowledged"] = acknowledged
    figures[f"{label} missing"] = missing
    figures[f"{label} retries"] = load.ledger.retries
    return unmet(
        (acknowledged > 0, f"{label}: nothing was acknowledged"),
        (missing == 0, f"{label}: {missing} of {acknowledged} acknowledged are missing"),
    )


def all_arrived(load: OtlpLoad, missing: Mapping[str, Collection[Number]]) -> list[tuple[bool, str]]:
    """Conditions for `unmet`: something was acknowledged, and every store has all of it.

    Args:
        load: What was sent.
        missing: As `OtlpLoad.missing` tells it.
    """
    return [
        (bool(load.ledger.acknowledged), "no point was acknowledged"),
        *(
            (not numbers, f"{len(numbers)} acknowledged points are not in {place}")
            for place, numbers in missing.items()
        ),
    ]


def unmet(*conditions: tuple[bool, str]) -> list[str]:
    """Sentences of the conditions that do not hold, of pairs of a condition and what to say where it does not."""
    return [sentence for holds, sentence in conditions if not holds]


def must(holds: bool, otherwise: str) -> None:
    """End with a sentence where a condition does not hold.

    Raises:
        OpsError: It does not.
    """
    if not holds:
        raise OpsError(otherwise)
