"""Gives every client of Kafka a new login, under load (requirement K5, ADR 0062)."""

from __future__ import annotations

import time
from typing import Any, Final

from components.telemetry.topics import METRICS_TOPIC
from ops.core import platform as platform_module
from ops.core.context import Context, reached
from ops.core.pulumi import UP_LIMIT_S
from ops.core.terminal import say
from ops.drills.procedure import settle
from ops.drills.procedures.logs import account_logs
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import OtlpLoad
from ops.drills.tools.log_load import LogLoad, gateway
from ops.drills.tools.operator import ops
from ops.kafka.logins import answers

AFTER_S: Final = 60.0
"""So that the brokers' counts are scraped once more."""
_REFUSED: Final = 'sum(increase(kafka_server_authentications_total{{job="kafka",result="failed"}}[{seconds}s]))'


def rotate_logins(context: Context, figures: dict[str, Any]) -> list[str]:
    """Rotate while points and log records are sent, then try what each broker says to the logins of before."""
    before = context.platform
    start, began = context.kafka.end_offsets(METRICS_TOPIC.name), time.time()
    points, records = OtlpLoad(context), LogLoad(context.ca_file, gateway(context))
    with points, records:
        points.run_for(durations.WARM_UP)
        say("ops kafka rotate-logins")
        changed = time.monotonic()
        ops("kafka", "rotate-logins", "--yes", limit_s=2 * UP_LIMIT_S)
        figures["rotated within s"] = round(time.monotonic() - changed, 1)
        points.run_for(AFTER_S)
    refusals = context.thanos.instant(_REFUSED.format(seconds=int(time.time() - began)))
    figures["logins refused meanwhile"] = round(refusals[0].value) if refusals else None
    after = platform_module.load()
    names = {login.username for login in after.kafka_users.values()}
    old = {client: login for client, login in before.kafka_users.items() if login.username not in names}
    say(f"{len(old)} logins of before are tried at every broker")
    told = answers(after, old)
    refused = sum(all(answer.refused for answer in said) for said in told.values())
    figures["generation"] = f"{before.kafka_login_generations[0]} to {after.kafka_login_generations[0]}"
    figures["clients"], figures["old logins refused by every broker"] = len(old), refused
    with reached(after) as new_context:
        settle(new_context)
        missing = points.missing(new_context, start, began)
        log_problems = account_logs(figures, new_context, records)
    figures["acknowledged"], figures["missing"] = len(points.ledger.acknowledged), sum(map(len, missing.values()))
    figures["retries"] = points.ledger.retries
    figures["longest pause of a client s"] = points.longest_pause(began)
    meanwhile = figures["logins refused meanwhile"]
    return (
        unmet(
            (bool(old), "no client has another login"),
            (
                refused == len(old),
                f"{len(old) - refused} of {len(old)} logins of before are not refused by every broker",
            ),
            (meanwhile is not None, "Prometheus does not know how many logins brokers refused"),
            (not meanwhile, f"brokers refused {meanwhile} logins while clients changed over"),
            *all_arrived(points, missing),
        )
        + log_problems
    )
