"""The recording engine of the tests ends whatever ran before it."""

from __future__ import annotations

import pulumi

from tests.support.engine import Recording, run


def test_an_output_that_nobody_finishes_does_not_hold_up_a_later_run() -> None:
    pulumi.Output.secret("made outside a run")
    run(Recording(), "unit", lambda: None)
