"""How long killed pods are away: neither a survivor nor what was not noticed yet counts as being back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod
from ops.drills.tools.faults import Returning
from tests.support.running import running

SURVIVOR = running("guard-a", "guard")
VICTIM = replace(SURVIVOR, name="guard-b", uid="b", restarts=2)
AGAIN = replace(VICTIM, restarts=3)
ANOTHER = replace(VICTIM, name="guard-c", uid="c", restarts=0)


class Cluster:
    """Shows the pods of one moment after the other, and the last ones for ever."""

    def __init__(self, *moments: Sequence[Pod] | OpsError) -> None:
        self._moments = [[SURVIVOR, VICTIM], *moments]

    def pods(self, workload: str) -> Sequence[Pod]:
        assert workload == "guard"
        now = self._moments.pop(0) if len(self._moments) > 1 else self._moments[0]
        if isinstance(now, OpsError):
            raise now
        return now


def returning(limit_s: float, *moments: Sequence[Pod] | OpsError) -> Returning:
    return Returning(cast(Kube, SimpleNamespace(pods=Cluster(*moments).pods)), VICTIM, limit_s)


@pytest.mark.parametrize("back", [AGAIN, ANOTHER])
def test_a_pod_is_back_when_it_started_again_or_another_one_took_its_place(back: Pod) -> None:
    began = time.monotonic()
    unready = [SURVIVOR, replace(back, ready=False)]
    took = returning(20.0, [SURVIVOR, VICTIM], OpsError("no answer"), [SURVIVOR], unready, [SURVIVOR, back]).after()
    assert 0.9 <= took <= time.monotonic() - began + 0.1


@pytest.mark.parametrize(
    "pods",
    [
        [SURVIVOR, VICTIM],
        [SURVIVOR],
        [SURVIVOR, replace(AGAIN, ready=False)],
        [replace(SURVIVOR, ready=False), AGAIN],
        [SURVIVOR, AGAIN, ANOTHER],
    ],
    ids=["not noticed yet", "gone", "not ready", "survivor not ready", "one too many"],
)
def test_anything_else_is_not_back(pods: list[Pod]) -> None:
    with pytest.raises(OpsError, match="waited 1 s in vain for 2 ready pods of guard"):
        returning(0.6, pods).after()
