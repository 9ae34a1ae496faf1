"""Gives the layers new passwords at the gateway while clients send with both (requirement O1, ADR 63)."""

from __future__ import annotations

import time
from typing import Any, Final

from components.telemetry.topics import METRICS_TOPIC
from ops.connect.passwords import REFUSED, answers, senders
from ops.core import platform as platform_module
from ops.core.context import Context, reached
from ops.core.errors import OpsError
from ops.core.pulumi import UP_LIMIT_S
from ops.core.terminal import say
from ops.drills.procedure import settle
from ops.drills.procedures.logs import account_logs
from ops.drills.tools import durations, outside
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import LAYER, OtlpLoad
from ops.drills.tools.log_load import LAYER as LOG_LAYER
from ops.drills.tools.log_load import LogLoad, agent
from ops.drills.tools.operator import ops

QUIET_S: Final = 60
COUNTED_S: Final = QUIET_S + 45.0
"""Until what was sent has been counted for `QUIET_S`, with two scrapes between."""
AFTER_S: Final = 30.0
_ROTATE: Final = ("gateway", "rotate-passwords")
_WRONG: Final = "HTTP 401"


def rotate_passwords(context: Context, figures: dict[str, Any]) -> list[str]:
    """Rotate while one load keeps its password, and another has the new one; then end those of before."""
    clients = outside.client_commands()
    start, began = context.kafka.end_offsets(METRICS_TOPIC.name), time.time()
    former, former_at_agent = OtlpLoad(context), LogLoad(context.ca_file, agent(context))
    with former, former_at_agent:
        former.run_for(durations.WARM_UP)
        say("ops gateway rotate-passwords")
        changed = time.monotonic()
        ops(*_ROTATE, "--yes", limit_s=UP_LIMIT_S)
        figures["both taken within s"] = round(time.monotonic() - changed, 1)
        both = platform_module.load()
        with reached(both) as new_context:
            newer, at_agent = OtlpLoad(new_context), LogLoad(new_context.ca_file, agent(new_context))
            with newer, at_agent:
                newer.run_for(COUNTED_S)
                counted = senders(new_context.thanos, QUIET_S)
                early = _finished_early()
                former.stop()
                former_at_agent.stop()
                outside.run(clients.renew, outside.TAKE_AWAY_S)
                newer.run_for(COUNTED_S)
                say("ops gateway rotate-passwords --finish")
                changed = time.monotonic()
                ops(*_ROTATE, "--finish", "--quiet", str(QUIET_S), "--yes", limit_s=UP_LIMIT_S)
                figures["ended within s"] = round(time.monotonic() - changed, 1)
                newer.run_for(AFTER_S)
            said = answers(new_context.otlp, both.otlp_former_credentials)
            settle(new_context)
            missing = [load.missing(new_context, start, began) for load in (former, newer)]
            problems = account_logs(figures, new_context, at_agent)
    refused = sum(answer == REFUSED for answer in said.values())
    points = (former, newer)
    loads = (*points, former_at_agent, at_agent)
    figures["generations"] = f"{context.platform.otlp_password_generations[0]} to {both.otlp_password_generations[0]}"
    figures["layers"], figures["passwords of before refused"] = len(said), refused
    figures["requests with one of before counted"] = sum(counted.values())
    figures["acknowledged"] = sum(len(load.ledger.acknowledged) for load in points)
    figures["missing"] = sum(len(numbers) for stores in missing for numbers in stores.values())
    figures["refused with a good password"] = sum(load.ledger.problems.get(_WRONG, 0) for load in loads)
    figures["longest pause of a client s"] = max(former.longest_pause(began), newer.longest_pause(_first(newer)))
    return problems + unmet(
        (bool(said), "no layer has another password"),
        (refused == len(said), f"{len(said) - refused} of {len(said)} passwords of before are not refused"),
        (counted.keys() >= {LAYER, LOG_LAYER}, "requests with a password of before are not all counted"),
        (not early, "--finish ended passwords that were still sent"),
        (
            not figures["refused with a good password"],
            f"clients were refused {figures['refused with a good password']} times with a password that was good",
        ),
        *all_arrived(former, missing[0]),
        *all_arrived(newer, missing[1]),
    )


def _first(load: OtlpLoad) -> float:
    """Unix time of the first acknowledgement of a load; now, where there is none."""
    return min(load.ledger.acknowledged.values(), default=time.time())


def _finished_early() -> bool:
    """Whether the command ends passwords that are still in use."""
    try:
        ops(*_ROTATE, "--finish", "--quiet", str(QUIET_S), "--yes", limit_s=UP_LIMIT_S)
    except OpsError as error:
        if LAYER not in str(error):
            raise
        return False
    return True
