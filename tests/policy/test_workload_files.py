"""Files that pods mount: they exist, and a change of them is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, UnknownValueError
from policy.runner import Runner
from tests.policy.fixtures_kubernetes import (
    GONE,
    certificate,
    changed,
    container,
    deployment,
    k8s,
    place,
    platform,
    pod,
    rule,
    said,
    swapped,
    without,
)

POD = "spec/template/spec"
CHECKSUM = "spec/template/metadata/annotations"


@pytest.mark.parametrize(
    ("path", "value", "where", "kind", "name"),
    [
        ("volumes/0/configMap/name", "gone", "", "ConfigMap", "gone"),
        ("volumes/1/secret/secretName", "gone", "", "Secret", "gone"),
        (
            "volumes/0",
            {"name": "all", "projected": {"sources": [{"configMap": {"name": "query"}}, {"secret": {"name": "gone"}}]}},
            ".projected.sources[1].secret.name",
            "Secret",
            "gone",
        ),
        ("containers/0/envFrom", [{"configMapRef": {"name": "gone"}}], "[0].configMapRef.name", "ConfigMap", "gone"),
        (
            "containers/0/env/0",
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "a"}}},
            ".valueFrom.secretKeyRef.name",
            "Secret",
            "gone",
        ),
    ],
)
def test_a_file_that_nobody_makes_is_told(path: str, value: Any, where: str, kind: str, name: str) -> None:
    broken = swapped(platform(), changed(deployment(), f"{POD}/{path}", value))
    assert said("pod-files-exist", broken) == [
        f"Deployment obs/query, spec.template.spec.{place(path)}{where}: {kind} {name} is not part of the stack"
        f" -> make the {kind}, or name the right one"
    ]


def test_files_of_the_stack_and_of_its_certificates_pass() -> None:
    assert said("pod-files-exist", platform()) == []


def test_a_secret_that_became_a_config_map_is_told() -> None:
    published = k8s("core/v1:ConfigMap", "query-web", data={"web.yml": ""})
    assert said("pod-files-exist", swapped(without(platform(), "Secret", "query-web"), published)) == [
        "Deployment obs/query, spec.template.spec.volumes[1].secret.secretName: Secret query-web is not part of the"
        " stack -> make the Secret, or name the right one"
    ]


def test_a_certificate_that_is_gone_is_told() -> None:
    assert said("pod-files-exist", without(platform(), "Certificate", "query")) == [
        "Deployment obs/query, spec.template.spec.volumes[2].secret.secretName: Secret query-tls is not part of the"
        " stack -> make the Secret, or name the right one"
    ]


def test_optional_files_may_be_missing() -> None:
    volume = {"name": "config", "configMap": {"name": "later", "optional": True}}
    assert said("pod-files-exist", swapped(platform(), changed(deployment(), f"{POD}/volumes/0", volume))) == []


@pytest.mark.parametrize(("path", "value"), [(CHECKSUM, GONE), (f"{CHECKSUM}/obs.config~checksum", "")])
def test_pods_that_do_not_notification_a_change_are_told(path: str, value: Any) -> None:
    assert said("pod-restart-on-change", swapped(platform(), changed(deployment(), path, value))) == [
        'Deployment obs/query, spec.template.metadata.annotations."obs.config/checksum": the pods do not notice a'
        " change of ConfigMap query, Secret query-web: annotation obs.config/checksum is missing"
        " -> set it to a checksum of the mounted files"
    ]


def test_pods_without_files_of_the_stack_need_no_checksum() -> None:
    assert said("pod-restart-on-change", platform()) == []
    spec = pod(container(volumeMounts=[]))
    spec["volumes"] = spec["volumes"][2:]
    plain = changed(changed(deployment(), POD, spec), CHECKSUM, GONE)
    assert said("pod-restart-on-change", swapped(platform(), plain)) == []


def test_the_name_of_the_checksum_is_an_option() -> None:
    [message] = said("pod-restart-on-change", platform(), annotation="example.com/sum")
    assert message.startswith('Deployment obs/query, spec.template.metadata.annotations."example.com/sum": ')


def test_a_name_that_a_preview_does_not_know_hides_no_other_finding() -> None:
    one = changed(deployment(), f"{POD}/volumes/0/configMap/name", UNKNOWN)
    two = changed(one, f"{POD}/volumes/1/secret/secretName", "gone")
    verdicts = Runner(rules=[rule("pod-files-exist")], agreed=[]).all(swapped(platform(), two))
    assert [(verdict.unknown, verdict.stops) for verdict in verdicts] == [(False, True), (True, False)]
    assert verdicts[1].message == (
        "stack, spec.template.spec.volumes[0].configMap.name: not known before the update, so pod-files-exist could not"
        " look at it yet"
    )


def test_a_setting_that_a_preview_does_not_know_hides_no_other_finding() -> None:
    context = changed(deployment(), f"{POD}/securityContext/runAsNonRoot", UNKNOWN)
    broken = changed(context, f"{POD}/securityContext/runAsUser", 0)
    verdicts = Runner(rules=[rule("pod-user")], agreed=[]).all([broken])
    assert [verdict.unknown for verdict in verdicts] == [False, True]
    with pytest.raises(UnknownValueError):
        said("pod-user", context)


def test_the_certificate_of_the_fixture_is_the_one_that_is_mounted() -> None:
    assert certificate().node.at("spec.secretName").value == "query-tls"
