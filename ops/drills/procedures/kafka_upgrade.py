"""Kafka from the release before to the platform's own, back and forward again, under load; then its format (K1, M4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from components.kafka.config import BROKERS, CONTROLLERS
from components.versions import release
from ops.core import pulumi
from ops.core.context import Context
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError, settle
from ops.drills.procedures.kafka import InSync, scratch_topic
from ops.drills.tools import durations, kafka_release
from ops.drills.tools.accounts import account, all_arrived, must, unmet
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad
from ops.drills.tools.query_runner import QueryRunner

IMAGE: Final = "kafka"


def upgrade_kafka(context: Context, figures: dict[str, Any]) -> list[str]:
    """Upgrade, take back, upgrade, raise the format, all while points are sent; count what is missing.

    The platform keeps the newer release and its format.
    """
    old, new = _old_release(context), release(IMAGE)
    old_digest, new_digest = kafka_release.running_digest(context.kube), kafka_release.target_digest()
    rolled: dict[str, float] = {}
    figures["releases"], figures["rolled in s"] = " to ".join((old, new, old, new)), rolled
    with scratch_topic(context) as topic:
        in_sync = InSync(context, (*context.platform.topics, topic))
        start = context.kafka.end_offsets(TOPIC)
        began = time.time()
        with (
            OtlpLoad(context) as load,
            ProducerLoad(context, topic, timeout=60) as direct,
            QueryRunner(in_sync.look),
            _back_to(context, old_digest) as kept,
        ):
            load.run_for(durations.WARM_UP)
            before = kafka_release.metadata_format(context.kube)
            changed = time.time()
            for title, digest, to in (
                (f"{old} to {new}", new_digest, new),
                (f"{new} to {old}", old_digest, old),
                (f"{old} to {new} again", new_digest, new),
            ):
                say(f"Kafka {title}")
                rolled[title] = _rolled(context, digest, to)
                load.run_for(durations.AFTER_FAULT)
            must(kafka_release.metadata_format(context.kube) == before, "the format changed before it was raised")
            say(f"raising the format {before}")
            kept.append(new_digest)
            kafka_release.raise_format(context.kube, new)
            after = kafka_release.metadata_format(context.kube)
            refused = kafka_release.refuses_to_lower(context.kube, old)
            load.run_for(durations.AFTER_FAULT)
        figures["format"] = f"{before} to {after}"
        figures["refused to lower it"] = refused
        figures["longest pause of a client s"] = load.longest_pause(changed)
        figures["longest pause of a producer s"] = direct.longest_pause(changed)
        missing = load.missing(context, start, began)
        figures["acknowledged"], figures["retries"] = len(load.ledger.acknowledged), load.ledger.retries
        figures["missing"] = sum(map(len, missing.values()))
        lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
        problems = account(figures, "producer", direct, len(lost))
    still = kafka_release.metadata_format(context.kube)
    return [
        *problems,
        *in_sync.note(figures),
        *unmet(
            *all_arrived(load, missing),
            (
                after.startswith(kafka_release.series(new)),
                f"the format is {after}, not one of {kafka_release.series(new)}",
            ),
            (refused and still == after, f"Kafka lowered the format from {after} to {still}"),
        ),
    ]


def _old_release(context: Context) -> str:
    """The release that all nodes run.

    Raises:
        CannotRunError: It is not one before the platform's.
    """
    running, new = kafka_release.releases(context.kube), release(IMAGE)
    releases = sorted(set(running.values()))
    if len(releases) != 1 or kafka_release.number(releases[0]) >= kafka_release.number(new):
        raise CannotRunError(
            f"the brokers run Kafka {', '.join(releases) or 'of no release'}, not one release before {new}: bring a "
            "new platform up with it (in the lab: `make destroy`, then `python -m lab up --kafka previous`)"
        )
    return releases[0]


def _rolled(context: Context, digest: str, to: str) -> float:
    """Bring the stack up with another image, and wait until every node runs it and is in sync; seconds it took.

    Raises:
        OpsError: One does not, or not in time.
    """
    pulumi.set_digest(IMAGE, digest)
    say("pulumi up")
    began = time.monotonic()
    pulumi.up()
    for workload in sorted({pod.workload for pod in kafka_release.pods(context.kube)} & {BROKERS, CONTROLLERS}):
        context.kube.wait_rolled(workload)
    seconds = round(time.monotonic() - began, 1)
    settle(context)
    running = kafka_release.releases(context.kube)
    must(set(running.values()) == {to}, f"not every node runs Kafka {to}: {running}")
    return seconds


@contextmanager
def _back_to(context: Context, digest: str) -> Iterator[list[str]]:
    """Go back to an image where the block fails, unless one that is kept was named in the list that it gets."""
    kept: list[str] = []
    try:
        yield kept
    except BaseException:
        if not kept:
            say("Kafka goes back to the release that it had")
            pulumi.set_digest(IMAGE, digest)
            pulumi.up()
        raise
