"""What a failover changes in a region, and that it changes no size and restarts nothing else (docs/adr/0041)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stacks.settings import Role
from tests.support import engine

STACKS = (*engine.STACKS, "local-dr")
SIZED = (
    "StatefulSet",
    "Deployment",
    "DaemonSet",
    "CronJob",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "PersistentVolumeClaim",
)
"""Kinds that say how many pods there are, how large they are, what they store and what runs in them."""
MIRROR = {("Deployment", "mirror-maker"), ("PodDisruptionBudget", "mirror-maker")}
"""Runs where the other region is copied from."""
REPORTS = {("CronJob", f"report-{kind}") for kind in ("daily", "weekly", "monthly")}
"""Each report is made in one region."""
FAILOVER_AGENT = ("Deployment", "failover-agent")
"""Reads the role from its settings when it starts."""
CHECKSUM = "obs.config/checksum"

Objects = dict[tuple[str, str], dict[str, Any]]


def _sized(stack: str, role: Role) -> Objects:
    manifests = engine.recorded(stack, str(role)).kinds(*SIZED)
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}


def _without_role(identity: tuple[str, str], manifest: dict[str, Any]) -> dict[str, Any]:
    """An object without the one field that says the role."""
    neutral = copy.deepcopy(manifest)
    if identity in REPORTS:
        del neutral["spec"]["suspend"]
    if identity == FAILOVER_AGENT:
        del neutral["spec"]["template"]["metadata"]["annotations"][CHECKSUM]
    return neutral


@pytest.fixture(params=STACKS)
def roles(request: pytest.FixtureRequest) -> tuple[Objects, Objects]:
    """Sized objects of a stack as primary, and as standby."""
    return _sized(request.param, Role.PRIMARY), _sized(request.param, Role.STANDBY)


def test_only_the_mirror_comes_and_goes_with_the_role(roles: tuple[Objects, Objects]) -> None:
    primary, standby = roles
    assert set(standby) - set(primary) == MIRROR
    assert set(primary) <= set(standby)


def test_replicas_resources_storage_and_pods_are_the_same_in_both_roles(roles: tuple[Objects, Objects]) -> None:
    primary, standby = roles
    differing = [
        identity
        for identity, manifest in primary.items()
        if _without_role(identity, manifest) != _without_role(identity, standby[identity])
    ]
    assert differing == []


def test_the_role_reaches_the_reports_and_the_failover_agent(roles: tuple[Objects, Objects]) -> None:
    primary, standby = roles
    differing = {identity for identity, manifest in primary.items() if manifest != standby[identity]}
    assert differing == {*REPORTS, FAILOVER_AGENT}


def test_both_regions_of_production_have_the_same_sizes() -> None:
    profiles = {stack: engine.stack_settings(stack)["profile"] for stack in STACKS}
    assert profiles["prod"] == profiles["dr"]
