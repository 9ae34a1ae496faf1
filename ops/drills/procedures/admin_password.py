"""Changes the password of Kafka's administrator in the three steps of docs/secrets.md, under load (requirement K5)."""

from __future__ import annotations

import time
from typing import Any, Final

from components.telemetry.topics import METRICS_TOPIC
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.context import Context
from ops.core.kube import Kube
from ops.core.terminal import say
from ops.drills.procedure import settle
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import OtlpLoad
from ops.drills.tools.operator import ops
from ops.kafka.admin_password import answers, refusing

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
        told = answers(platform)
        refused = refusing(answers(platform.model_copy(update={"kafka_admin": old})))
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
