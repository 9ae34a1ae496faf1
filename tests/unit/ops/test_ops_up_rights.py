"""Roles for an account that is no administrator: everything in one namespace, its own objects by name outside of it."""

from __future__ import annotations

from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.preflight.demand import Served
from ops.rights import manifests, subject_of
from policy.model import Resource

USER = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}
RULES = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
RBAC = "rbac.authorization.k8s.io"
SERVED = {
    ("v1", "Namespace"): Served(group="", resource="namespaces", namespaced=False),
    ("v1", "Secret"): Served(group="", resource="secrets", namespaced=True),
    ("apps/v1", "StatefulSet"): Served(group="apps", resource="statefulsets", namespaced=True),
    (f"{RBAC}/v1", "Role"): Served(group=RBAC, resource="roles", namespaced=True),
    (f"{RBAC}/v1", "ClusterRole"): Served(group=RBAC, resource="clusterroles", namespaced=False),
}


def _resource(kind: str, name: str, **props: Any) -> Resource:
    return Resource(type=f"kubernetes:{kind}", name=name, props={"metadata": {"name": name}, **props})


RESOURCES = [
    Resource(type="random:index:RandomPassword", name="password", props={}),
    _resource("core/v1:Namespace", "obs"),
    _resource("core/v1:Secret", "one"),
    _resource("core/v1:Secret", "two"),
    _resource("apps/v1:StatefulSet", "kafka"),
    _resource(f"{RBAC}/v1:Role", "state", rules=[{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["watch"]}]),
    _resource(f"{RBAC}/v1:ClusterRole", "obs-state", rules=RULES),
]


@pytest.fixture(scope="module")
def roles() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in manifests("obs", RESOURCES, SERVED, USER)}


def _verbs(role: dict[str, Any], resource: str, name: str = "") -> set[str]:
    """What a role allows of a resource, of one name only where that is what is asked."""
    return {
        verb
        for rule in role["rules"]
        if resource in rule["resources"] and rule.get("resourceNames", [""]) == [name]
        for verb in rule["verbs"]
    }


def test_the_namespace_comes_first_and_each_role_is_bound(roles: dict[str, dict[str, Any]]) -> None:
    assert list(roles) == ["Namespace", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]
    for kind in ("Role", "ClusterRole"):
        assert roles[f"{kind}Binding"]["roleRef"] == {"apiGroup": RBAC, "kind": kind, "name": "obs-installer"}
        assert roles[f"{kind}Binding"]["subjects"] == [USER]
    assert (
        roles["Role"]["metadata"] == roles["RoleBinding"]["metadata"] == {"name": "obs-installer", "namespace": "obs"}
    )


def test_what_is_rendered_in_the_namespace_may_be_made_and_removed_there(roles: dict[str, dict[str, Any]]) -> None:
    every = {"get", "list", "watch", "create", "update", "patch", "delete"}
    for resource in ("secrets", "statefulsets", "roles"):
        assert _verbs(roles["Role"], resource) == every
        assert _verbs(roles["ClusterRole"], resource) == set()
    assert _verbs(roles["Role"], "pods/portforward") == {"get", "create"}


def test_what_is_rendered_outside_of_it_may_be_changed_by_its_name_alone(roles: dict[str, dict[str, Any]]) -> None:
    for resource, name in {"namespaces": "obs", "clusterroles": "obs-state"}.items():
        assert _verbs(roles["ClusterRole"], resource, name) - {"bind"} == {"get", "update", "patch", "delete"}
        assert _verbs(roles["ClusterRole"], resource) == {"list", "watch", "create"}
    assert _verbs(roles["ClusterRole"], "namespaces", "kube-system") == {"get"}


def test_who_makes_a_role_has_what_is_in_it_and_may_bind_it(roles: dict[str, dict[str, Any]]) -> None:
    assert _verbs(roles["Role"], "roles", "state") == {"bind"}
    assert "watch" in _verbs(roles["Role"], "jobs")
    assert "list" in _verbs(roles["ClusterRole"], "nodes")


def test_a_kind_that_nobody_serves_is_named() -> None:
    known = {place: served for place, served in SERVED.items() if place[1] != "StatefulSet"}
    with pytest.raises(OpsError, match=r"^the cluster does not serve StatefulSet of apps/v1: install what serves it$"):
        manifests("obs", RESOURCES, known, USER)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("user:ann", USER),
        ("group:sre", {**USER, "kind": "Group", "name": "sre"}),
        ("account:ci/deployer", {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"}),
    ],
)
def test_a_subject_is_a_user_a_group_or_an_account(text: str, subject: dict[str, str]) -> None:
    assert subject_of(text) == subject


@pytest.mark.parametrize("text", ["", "ann", "user:", "account:deployer", "account:/deployer", "account:ci/", "all:x"])
def test_any_other_subject_is_refused(text: str) -> None:
    with pytest.raises(OpsError, match="allowed is user:NAME, group:NAME, account:NAMESPACE/NAME"):
        subject_of(text)
