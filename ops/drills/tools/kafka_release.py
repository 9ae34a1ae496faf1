"""Kafka's release, and the format of its metadata, as its nodes tell them: programs in their pods, no settings."""

from __future__ import annotations

import os
import re
from typing import Final

from components import java
from components.kafka import nodes
from components.kafka.config import BROKERS, CONFIG_DIRECTORY, CONTROLLERS, INTERNAL_PORT
from ops.core import jobs
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, Pod
from ops.drills.procedure import CannotRunError

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


def releases(kube: Kube) -> dict[str, str]:
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
