"""One allowed and one refused access at each source: the audit log tells of them within a minute (requirement M1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ops.audit.reading import read
from ops.audit.report import findings
from ops.audit.tries import LIMIT_S, attempts, recorded
from ops.core.context import Context
from ops.core.terminal import say
from ops.drills.tools.accounts import unmet
from services.audit.records import Outcome

_BACK: Final = timedelta(hours=1)


def tell_of_accesses(context: Context, figures: dict[str, Any]) -> list[str]:
    """Carry accesses out and read the audit log until it tells of them; what did not hold.

    Args:
        context: The platform.
        figures: Filled with what was seen.

    Raises:
        OpsError: A server does not answer, or lets in what it must refuse.
    """
    say("an allowed and a refused access at each source")
    tried = attempts(context)
    seconds = recorded(context, tried)
    known = {name: taken for name, taken in seconds.items() if taken is not None}
    now = datetime.now(UTC)
    seen = findings(read(context.platform, now - _BACK), now - _BACK, now, UTC)
    figures["accesses"] = len(tried)
    figures["told after s"] = known
    figures["slowest s"] = max(known.values(), default=LIMIT_S)
    figures["not told"] = len(seconds) - len(known)
    figures["records"] = len(seen.records)
    figures["breaks"] = len(seen.broken)
    listed = {record.target for record in seen.refused}
    refused = [attempt for attempt in tried if attempt.outcome is Outcome.REFUSED]
    return unmet(
        *((name in known, f"{name}: not in the audit log within {LIMIT_S:.0f} s") for name in seconds),
        (bool(refused), "no refused access was tried"),
        (bool(listed), "the report lists no refused access"),
        (not seen.broken, f"the chain does not hold: {[vars(link) for link in seen.broken[:3]]}"),
    )
