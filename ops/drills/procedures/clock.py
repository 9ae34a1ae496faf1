"""A client whose clock is set: what it sends is kept, and nobody else notices (O1, P1)."""

from __future__ import annotations

import time
from typing import Any

from ops.core.context import Context
from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import account
from ops.drills.tools.load import TOPIC, OtlpLoad


def step_clock(context: Context, figures: dict[str, Any]) -> list[str]:
    """Set the clock of a client ahead, then back, then right, beside one whose clock is right all the time."""
    start, began = context.kafka.end_offsets(TOPIC), time.time()
    step = durations.CLOCK_STEP
    with OtlpLoad(context, workers=2, clock_changes=True) as client, OtlpLoad(context, workers=2) as neighbour:
        client.run_for(durations.WARM_UP)
        for ahead_s in (step, -step, 0.0):
            say(f"clock of the client {ahead_s:+.0f} s")
            client.ahead_s = ahead_s
            client.run_for(durations.AFTER_FAULT)
    figures["step s"] = step
    problems = list[str]()
    for name, load in (("client", client), ("neighbour", neighbour)):
        missing = load.missing(context, start, began)
        figures[f"{name} missing in"] = {store: len(numbers) for store, numbers in missing.items()}
        problems += account(figures, name, load, len(set[Any]().union(*missing.values())))
        figures[f"longest pause of the {name} s"] = load.longest_pause(began)
    return problems
