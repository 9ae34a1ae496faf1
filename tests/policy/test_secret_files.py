"""How pods get secrets: read-only files of their own user."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Level
from tests.policy.fixtures_kubernetes import GONE, changed, deployment, place, rule, said

POD = "spec/template/spec"
HERE = "Deployment obs/query, spec.template.spec"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("volumes/1/secret/defaultMode", GONE, "defaultMode of secret volume web is missing, so 0644"),
        ("volumes/1/secret/defaultMode", 0o644, "defaultMode of secret volume web is 0644"),
        ("volumes/1/secret/defaultMode", 0o777, "defaultMode of secret volume web is 0777"),
        ("volumes/1/secret/defaultMode", 0o460, "defaultMode of secret volume web is 0460"),
    ],
)
def test_secrets_that_others_may_read_are_told(path: str, value: Any, problem: str) -> None:
    assert said("secret-file-mode", changed(deployment(), f"{POD}/{path}", value)) == [
        f"{HERE}.{place(path)}: {problem} -> set it to 0440 or less"
    ]


@pytest.mark.parametrize("mode", [0o440, 0o400, 288.0])
def test_secrets_of_the_own_user_pass(mode: float) -> None:
    assert said("secret-file-mode", changed(deployment(), f"{POD}/volumes/1/secret/defaultMode", mode)) == []


def test_single_files_and_projected_volumes_are_looked_at() -> None:
    items = changed(deployment(), f"{POD}/volumes/1/secret/items", [{"key": "a", "path": "a", "mode": 0o444}])
    assert said("secret-file-mode", items) == [
        f"{HERE}.volumes[1].secret.items[0].mode: mode of secret volume web is 0444 -> set it to 0440 or less"
    ]
    volume = {"name": "web", "projected": {"sources": [{"secret": {"name": "query-web"}}]}}
    projected = changed(deployment(), f"{POD}/volumes/1", volume)
    assert said("secret-file-mode", projected) == [
        f"{HERE}.volumes[1].projected.defaultMode: defaultMode of secret volume web is missing, so 0644"
        " -> set it to 0440 or less"
    ]
    assert said("secret-mount-read-only", changed(projected, f"{POD}/containers/0/volumeMounts/1/readOnly", False)) == [
        f"{HERE}.containers[0].volumeMounts[1].readOnly: readOnly of web in container query is false -> set it to true"
    ]


@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), (False, "is false")])
@pytest.mark.parametrize(("index", "volume"), [(1, "web"), (2, "tls")])
def test_secrets_that_a_container_may_write_are_told(index: int, volume: str, value: Any, state: str) -> None:
    assert said("secret-mount-read-only", deployment()) == []
    path = f"containers/0/volumeMounts/{index}/readOnly"
    assert said("secret-mount-read-only", changed(deployment(), f"{POD}/{path}", value)) == [
        f"{HERE}.{place(path)}: readOnly of {volume} in container query {state} -> set it to true"
    ]


def test_secrets_as_variables_are_shown_but_do_not_stop() -> None:
    assert rule("secret-as-variable").level is Level.ADVISORY
    assert said("secret-as-variable", deployment()) == []
    variable = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "query-web", "key": "a"}}}
    assert said("secret-as-variable", changed(deployment(), f"{POD}/containers/0/env/0", variable)) == [
        f"{HERE}.containers[0].env[0].valueFrom.secretKeyRef: PASSWORD of container query comes from a Secret"
        " -> mount the Secret as a file where the program can read one"
    ]
    whole = changed(deployment(), f"{POD}/containers/0/envFrom", [{"secretRef": {"name": "query-web"}}])
    assert said("secret-as-variable", whole) == [
        f"{HERE}.containers[0].envFrom[0].secretRef: container query gets a whole Secret as variables"
        " -> mount the Secret as files where the program can read them"
    ]
