"""Step times of `make up` as evidence about the platform that just came up, where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab.errors import LabError
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.evidence import files as evidence

EVIDENCE_VARIABLE = "OBS_EVIDENCE"
"""Set to 1, `make up` leaves its step times as evidence; otherwise it changes no file of the checkout."""


def leave(taken: Mapping[str, float], stack: str, namespace: str, kubeconfig: Path) -> None:
    """Write the seconds of each step as evidence, where `EVIDENCE_VARIABLE` asks for it.

    Raises:
        LabError: The cluster does not answer.
    """
    if os.environ.get(EVIDENCE_VARIABLE) != "1":
        return
    total = sum(taken.values())
    try:
        evidence.write(
            "up-steps",
            figures={
                "total s": round(total, 1),
                "steps s": {name: round(seconds, 1) for name, seconds in taken.items()},
            },
            kube=Kube.connect(namespace, kubeconfig),
            stack=stack,
            started=datetime.now(UTC) - timedelta(seconds=total),
        )
    except OpsError as error:
        raise LabError(f"no evidence of the step times: {error}") from None
