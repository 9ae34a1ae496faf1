"""The provider, roles and bindings."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_kubernetes import GONE, changed, k8s, said


def provider() -> Resource:
    """The Kubernetes provider, with the texts that the engine gives."""
    return Resource(
        "pulumi:providers:kubernetes", "cluster", {"enableConfigMapMutable": "true", "enableSecretMutable": "true"}
    )


def role() -> Resource:
    """A narrow role."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["query-web"], "verbs": ["get"]},
    ]
    return k8s("rbac.authorization.k8s.io/v1:Role", "reader", rules=rules)


def binding() -> Resource:
    """A narrow binding."""
    return k8s(
        "rbac.authorization.k8s.io/v1:RoleBinding",
        "reader",
        roleRef={"kind": "Role", "name": "reader"},
        subjects=[{"kind": "ServiceAccount", "name": "query"}],
    )


@pytest.mark.parametrize("key", ["enableConfigMapMutable", "enableSecretMutable"])
@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), (False, "is false"), ("false", 'is "false"')])
def test_a_provider_that_replaces_files_is_told(key: str, value: Any, state: str) -> None:
    assert said("changes-in-place", provider()) == []
    assert said("changes-in-place", changed(provider(), key, True)) == []
    assert said("changes-in-place", changed(provider(), key, value)) == [
        f"kubernetes cluster, {key}: {key} {state} -> set it to true (ADR 0005)"
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("verbs", ["*"], 'verbs: verbs are ["*"] -> name what is needed'),
        ("resources", ["*"], 'resources: resources are ["*"] -> name what is needed'),
        ("resources", ["*/scale"], 'resources: resources are ["*/scale"] -> name what is needed'),
        ("apiGroups", ["*"], 'apiGroups: apiGroups are ["*"] -> name what is needed'),
        ("nonResourceURLs", ["/*"], 'nonResourceURLs: nonResourceURLs are ["/*"] -> name what is needed'),
        (
            "verbs",
            ["bind", "escalate"],
            "verbs: it may bind, escalate, which gives every other right -> remove it",
        ),
        (
            "resources",
            ["pods", "secrets"],
            "resources: it reads every Secret -> name the Secrets in resourceNames",
        ),
    ],
)
def test_a_wide_role_is_told(path: str, value: Any, message: str) -> None:
    assert said("role-narrow", role()) == []
    assert said("role-narrow", changed(role(), f"rules/0/{path}", value)) == [f"Role obs/reader, rules[0].{message}"]


@pytest.mark.parametrize("name", ["cluster-admin", "admin", "edit"])
def test_a_strong_role_is_told(name: str) -> None:
    assert said("role-binding-narrow", changed(binding(), "roleRef/name", name)) == [
        f'RoleBinding obs/reader, roleRef.name: it gives the role "{name}" -> bind a role with what is needed'
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Group", "system:authenticated"),
        ("Group", "system:serviceaccounts:obs"),
        ("User", "system:anonymous"),
        ("ServiceAccount", "default"),
    ],
)
def test_rights_for_many_are_told(kind: str, name: str) -> None:
    assert said("role-binding-narrow", binding()) == []
    assert said("role-binding-narrow", changed(binding(), "subjects/0", {"kind": kind, "name": name})) == [
        f'RoleBinding obs/reader, subjects[0].name: name "{name}" stands for many -> name one ServiceAccount'
    ]
