"""Collects a drill's figures and writes them as evidence, also when the drill fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ops import evidence
from ops.errors import one_line
from ops.kube import Kube


@contextmanager
def recorded(name: str, kube: Kube) -> Iterator[dict[str, Any]]:
    """Figures to fill in; the drill passed when the block ends without an error and every target of the catalog held.

    Raises:
        AssertionError: A target was missed.
    """
    figures: dict[str, Any] = {}
    started, failure = datetime.now(UTC), None
    try:
        yield figures
    except BaseException as error:
        failure = one_line(f"{type(error).__name__}: {error}", 300)
        raise
    finally:
        problems = (failure,) if failure else ()
        written = evidence.write(
            name, figures=figures, kube=kube, passed=failure is None, problems=problems, started=started
        )
    assert written.passed, f"{name}: {'; '.join(written.problems)}"
