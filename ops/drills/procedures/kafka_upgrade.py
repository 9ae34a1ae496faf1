"""Kafka from the release before to the platform's own, back and forward again, under load; then its format (K1, M4)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from components import java
from components.kafka import nodes
from components.kafka.config import BROKERS, CONFIG_DIRECTORY, CONTROLLERS, INTERNAL_PORT
from components.versions import release
from ops.core import jobs, pulumi
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, Pod
from ops.core.terminal import say, uninterrupted
from ops.drills.procedure import CannotRunError, settle
from ops.drills.procedures.kafka import InSync, scratch_topic
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, all_arrived, must, unmet
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad
from ops.drills.tools.markers import QueryRunner

VARIABLE: Final = "OBS_DRILL_KAFKA_DIGEST"
"""Environment variable with the digest that the registry has for the platform's release of Kafka."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FORMAT = re.compile(r"^Feature: metadata\.version\b.*\bFinalizedVersionLevel: (\S+)", re.MULTILINE)
_REFUSED: Final = "operation(s) failed"
_JAVA: Final = (
    *("java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    f"-Dlog4j2.configurationFile={CONFIG_DIRECTORY}/log4j2-probe.yaml",
    f"@{java.ARGUMENTS}",
)


def target_digest() -> str:
    """The digest of the platform's release, as the environment names it.

    Raises:
        CannotRunError: It names none.
    """
    digest = os.environ.get(VARIABLE, "")
    if not _DIGEST.fullmatch(digest):
        raise CannotRunError(
            f"{VARIABLE} must have the digest of the platform's release of Kafka, sha256:... "
            "(`ops images digests --registry R kafka`; in the lab: python -m lab exec --)"
        )
    return digest


def pods(kube: Kube) -> list[Pod]:
    """Brokers, and controllers of their own where there are some."""
    return [*kube.pods(BROKERS), *kube.pods(CONTROLLERS)]


def releases_of(kube: Kube) -> dict[str, str]:
    """Pod -> release of the Kafka in it.

    Raises:
        OpsError: One does not tell.
    """
    return {pod.name: _run(kube, pod, "kafka.Kafka", "--version").split()[0] for pod in pods(kube)}


def running_digest(kube: Kube) -> str:
    """The digest of the image that all nodes are to run.

    Raises:
        CannotRunError: They have no digest, or different ones.
    """
    digests = {pod.images[pod.containers.index(nodes.CONTAINER)].partition("@")[2] for pod in pods(kube)}
    if len(digests) != 1 or not _DIGEST.fullmatch(digest := digests.pop()):
        raise CannotRunError("Kafka's pods do not run one image by its digest: `ops images digests --write` pins it")
    return digest


def number(release: str) -> tuple[int, ...]:
    """A release as numbers that can be compared."""
    return tuple(map(int, release.split(".")))


def series(release: str) -> str:
    """Name of a release's formats: ``4.3`` of ``4.3.1``."""
    return release.rpartition(".")[0]


def metadata_format(kube: Kube) -> str:
    """The format that is in force (``metadata.version``), for example ``4.3-IV0``.

    Raises:
        OpsError: The brokers do not tell.
    """
    described = _feature(kube, "describe")
    match = _FORMAT.search(described)
    if match is None:
        raise OpsError(f"no metadata.version in what Kafka tells: {one_line(described)}")
    return match[1]


def raise_format(kube: Kube, release: str) -> None:
    """Raise the format to that of a release; it cannot be lowered again.

    Raises:
        OpsError: Kafka refuses.
    """
    _feature(kube, "upgrade", "--release-version", series(release))


def refuses_to_lower(kube: Kube, release: str) -> bool:
    """Try to lower the format to that of a release; whether Kafka refuses.

    Raises:
        OpsError: It does not answer.
    """
    try:
        _feature(kube, "downgrade", "--release-version", series(release))
    except OpsError as error:
        if _REFUSED in str(error):
            return True
        raise
    return False


def _feature(kube: Kube, *words: str) -> str:
    client = ("--bootstrap-server", f"localhost:{INTERNAL_PORT}")
    login = ("--command-config", f"{CONFIG_DIRECTORY}/probe-client.properties")
    return _run(kube, kube.ready_pod(BROKERS), "org.apache.kafka.tools.FeatureCommand", *client, *login, *words)


def _run(kube: Kube, pod: Pod, *words: str) -> str:
    return jobs.run_in_pod(kube, pod.name, nodes.CONTAINER, (*_JAVA, *words))


IMAGE: Final = "kafka"


def upgrade_kafka(context: Context, figures: dict[str, Any]) -> list[str]:
    """Upgrade, take back, upgrade, raise the format, all while points are sent; count what is missing.

    The platform keeps the newer release and its format.
    """
    old, new = _old_release(context), release(IMAGE)
    old_digest, new_digest = running_digest(context.kube), target_digest()
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
            before = metadata_format(context.kube)
            changed = time.time()
            for title, digest, to in (
                (f"{old} to {new}", new_digest, new),
                (f"{new} to {old}", old_digest, old),
                (f"{old} to {new} again", new_digest, new),
            ):
                say(f"Kafka {title}")
                rolled[title] = _rolled(context, digest, to)
                load.run_for(durations.AFTER_FAULT)
            must(metadata_format(context.kube) == before, "the format changed before it was raised")
            say(f"raising the format {before}")
            kept.append(new_digest)
            raise_format(context.kube, new)
            after = metadata_format(context.kube)
            refused = refuses_to_lower(context.kube, old)
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
    still = metadata_format(context.kube)
    return [
        *problems,
        *in_sync.note(figures),
        *unmet(
            *all_arrived(load, missing),
            (
                after.startswith(series(new)),
                f"the format is {after}, not one of {series(new)}",
            ),
            (refused and still == after, f"Kafka lowered the format from {after} to {still}"),
        ),
    ]


def _old_release(context: Context) -> str:
    """The release that all nodes run.

    Raises:
        CannotRunError: It is not one before the platform's.
    """
    running, new = releases_of(context.kube), release(IMAGE)
    releases = sorted(set(running.values()))
    if len(releases) != 1 or number(releases[0]) >= number(new):
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
    for workload in sorted({pod.workload for pod in pods(context.kube)} & {BROKERS, CONTROLLERS}):
        context.kube.wait_rolled(workload)
    seconds = round(time.monotonic() - began, 1)
    settle(context)
    running = releases_of(context.kube)
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
            with uninterrupted():
                pulumi.set_digest(IMAGE, digest)
                pulumi.up()
        raise
