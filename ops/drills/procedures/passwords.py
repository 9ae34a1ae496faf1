"""Passwords change under load: those of layers at the gateway, of Kafka's clients and its administrator (O1, K5)."""

from __future__ import annotations

import time
from typing import Any, Final

from components.telemetry.topics import METRICS_TOPIC
from ops.connect.gateway import REFUSED, senders
from ops.connect.gateway import answers as gateway_answers
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.context import Context, reached
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.pulumi import UP_LIMIT_S
from ops.core.terminal import say
from ops.drills.procedure import settle
from ops.drills.procedures.telemetry import account_logs
from ops.drills.tools import durations, outside
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import LAYER, LOG_LAYER, LogLoad, OtlpLoad, agent, gateway
from ops.drills.tools.outside import ops
from ops.kafka.command import administrator_answers, answers, refusing

PASSWORD: Final = "**RandomPassword::kafka-admin"  # noqa: S105  (part of a resource's name)
AFTER_S: Final = 30.0


def change_password(context: Context, figures: dict[str, Any]) -> list[str]:
    """Let Pulumi replace the password, Kafka take it, Pulumi give it to the rest, all while points are sent.

    Where it ends in between, the next steps of docs/secrets.md are still to do.
    """
    topic, old = METRICS_TOPIC.name, context.platform.kafka_admin
    start = context.kafka.end_offsets(topic)
    began = time.time()
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        say("pulumi up, which replaces the password")
        changed = time.monotonic()
        pulumi.up(target_replace=PASSWORD)
        figures["replaced after s"] = round(time.monotonic() - changed, 1)
        platform = platform_module.load()
        say("ops kafka admin-password")
        changed = time.monotonic()
        ops("kafka", "admin-password", "--yes")
        figures["set in Kafka after s"] = round(time.monotonic() - changed, 1)
        told = administrator_answers(platform)
        refused = refusing(administrator_answers(platform.model_copy(update={"kafka_admin": old})))
        say("pulumi up")
        changed = time.monotonic()
        pulumi.up()
        figures["pulumi up s"] = round(time.monotonic() - changed, 1)
        load.run_for(AFTER_S)
    figures["brokers"] = len(told)
    figures["brokers that take the new one"] = sum(not answer.problem for answer in told)
    figures["brokers that refuse the old one"] = len(refused)
    with Context(platform, Kube.of(platform)) as later:
        settle(later)
        missing = load.missing(later, start, began)
    figures["acknowledged"] = len(load.ledger.acknowledged)
    figures["retries"] = load.ledger.retries
    figures["longest pause of a client s"] = load.longest_pause(began)
    figures["missing"] = sum(map(len, missing.values()))
    silent = [f"{answer.address}: {answer.problem}" for answer in told if answer.problem]
    return unmet(
        (platform.kafka_admin != old, "Pulumi has not replaced the password"),
        (not silent, f"the new password is not taken by {'; '.join(silent)}"),
        (len(refused) == len(told), f"the old password is refused by {len(refused)} of {len(told)} brokers only"),
        *all_arrived(load, missing),
    )


ROTATED_S: Final = UP_LIMIT_S + 300.0
"""An update of the stack has its own limit, and ends itself; what is beside it has the rest."""
LOGINS_AFTER_S: Final = 60.0
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
        ops("kafka", "rotate-logins", "--yes", limit_s=UP_LIMIT_S + ROTATED_S)
        figures["rotated within s"] = round(time.monotonic() - changed, 1)
        points.run_for(LOGINS_AFTER_S)
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


QUIET_S: Final = 60
COUNTED_S: Final = QUIET_S + 45.0
"""Until what was sent has been counted for `QUIET_S`, with two scrapes between."""

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
        ops(*_ROTATE, "--yes", limit_s=ROTATED_S)
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
                ops(*_ROTATE, "--finish", "--quiet", str(QUIET_S), "--yes", limit_s=ROTATED_S)
                figures["ended within s"] = round(time.monotonic() - changed, 1)
                newer.run_for(AFTER_S)
            said = gateway_answers(new_context.otlp, both.otlp_former_credentials)
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
        ops(*_ROTATE, "--finish", "--quiet", str(QUIET_S), "--yes", limit_s=ROTATED_S)
    except OpsError as error:
        if LAYER not in str(error):
            raise
        return False
    return True
