"""Collects a drill's figures and writes them as evidence, also when the drill fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ops.core.errors import one_line
from ops.core.kube import Kube
from ops.drills.tools import durations
from ops.evidence import files as evidence


@contextmanager
def recorded(name: str, kube: Kube) -> Iterator[dict[str, Any]]:
    """Figures to fill in; the drill passed when the block ends without an error and every target of the catalog held.

    An interruption (Ctrl-C) is no result about the platform and leaves nothing.

    Raises:
        AssertionError: A target was missed.
    """
    figures: dict[str, Any] = {}
    started = datetime.now(UTC)

    def write(*problems: str) -> evidence.Evidence:
        return evidence.write(
            name,
            figures=figures,
            kube=kube,
            passed=not problems,
            problems=problems,
            started=started,
            settings={"durations": durations.in_force()},
        )

    try:
        yield figures
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        write(one_line(f"{type(error).__name__}: {error}", 300))
        raise
    written = write()
    assert written.passed, f"{name}: {'; '.join(written.problems)}"
