"""How old the passwords are that the program made; the state says when each was (docs/secrets.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi
from ops.core.rows import Finding
from ops.maintenance.model import Tools

LONGEST: Final = timedelta(days=365)
BOTH: Final = timedelta(days=30)
"""So long two passwords of a user may be taken."""
_TYPE: Final = "random:index/randomPassword:RandomPassword"
_KEPT: Final = re.compile(r"gateway-hash-key|.*-keystore")
"""Names of those that open nothing by themselves, or cannot be changed without loss."""
_GENERATIONS: Final = re.compile(r"(gateway-.+?)(?:-g\d+)?")
"""Of passwords of which two may be taken at a time: name without the generation."""
_LIMIT_S: Final = 60.0
_MOST_NAMED: Final = 5

Created = Callable[[], Mapping[str, datetime]]


def created() -> dict[str, datetime]:
    """Name -> when it was made, of every password in the selected stack's state; no secret is decrypted.

    Raises:
        OpsError: No ``pulumi``, no stack, no answer in time, or no state.
    """
    done = run_pulumi(PROJECT, "stack", "export", "--non-interactive", limit_s=_LIMIT_S)
    if done.returncode:
        raise OpsError(f"cannot export the stack's state: {one_line(done.stderr.decode(errors='replace'))}")
    try:
        return {
            entry["urn"].rpartition("::")[2]: datetime.fromisoformat(entry["created"])
            for entry in json.loads(done.stdout)["deployment"]["resources"]
            if entry["type"] == _TYPE
        }
    except (ValueError, KeyError, TypeError):
        raise OpsError("`pulumi stack export` did not print a state that says when passwords were made") from None


def _both(ages: Mapping[str, timedelta]) -> dict[str, timedelta]:
    """User of whom two passwords are taken -> age of the newer one."""
    users: dict[str, list[timedelta]] = {}
    for name, age in ages.items():
        if match := _GENERATIONS.fullmatch(name):
            users.setdefault(match[1], []).append(age)
    return {user: min(both) for user, both in users.items() if len(both) > 1}


def young(read: Created = created) -> Callable[[Tools], Finding]:
    """A check that none is older than `LONGEST`, but for those that are to stay."""

    def check(tools: Tools) -> Finding:
        finding = Finding()
        known = {name: tools.now - moment for name, moment in read().items() if not _KEPT.fullmatch(name)}
        old = sorted((name for name, age in known.items() if age > LONGEST), key=lambda name: -known[name])
        finding.wrong += [f"{name} is {known[name].days} days old" for name in old[:_MOST_NAMED]]
        if len(old) > _MOST_NAMED:
            finding.wrong.append(f"{len(old) - _MOST_NAMED} more")
        finding.wrong += [
            f"two passwords of {user} have been taken for {age.days} days: `ops gateway rotate-passwords --finish`"
            for user, age in _both(known).items()
            if age > BOTH
        ]
        finding.expect(bool(known), "the state has no password")
        oldest = max((age.days for age in known.values()), default=0)
        finding.figures.append(f"{len(known)} passwords, the oldest {oldest} days")
        return finding

    return check
