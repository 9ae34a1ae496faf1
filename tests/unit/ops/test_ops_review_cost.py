"""What a change costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.review.cost import Impact, cost
from ops.review.difference import compare
from ops.review.model import Planned, StackPlan
from tests.unit.ops.review_plans import (
    DEPLOYMENT,
    PASSWORD,
    PROVIDER,
    PROVIDER_URN,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    TOPIC,
    deployment,
    files,
    manifest,
    plan,
    planned,
    stateful_set,
    template,
    topic,
    urn,
)

NAMESPACE, CLAIM = "kubernetes:core/v1:Namespace", "kubernetes:core/v1:PersistentVolumeClaim"


def _costs(before: StackPlan, after: StackPlan) -> list[tuple[Impact, str]]:
    return [(item.impact, item.text) for item in cost(compare(before, after), before, after)]


def _resource(before: Planned, after: Planned) -> list[tuple[Impact, str]]:
    return _costs(plan(before), plan(after))


def test_nothing_changed_costs_nothing() -> None:
    assert _resource(stateful_set(), stateful_set()) == []


def test_a_stateful_set_restarts_one_by_one_the_last_pod_first() -> None:
    assert _resource(stateful_set(), stateful_set(template=template(checksum="b"))) == [
        (
            Impact.RESTARTS,
            "step 1: StatefulSet kafka: 3 pods restart one by one, each after the one before is ready: "
            "kafka-2, kafka-1, kafka-0 (files)",
        )
    ]


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({"replicas": 1}, "its pod restarts: away meanwhile (image)"),
        (
            {"updateStrategy": {"type": "OnDelete"}},
            "3 pods keep running as before until deleted by hand (OnDelete) (image)",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"partition": 2}}},
            "1 pods restart one by one, each after the one before is ready: kafka-2; 2 stay as they are (partition) "
            "(image)",
        ),
    ],
)
def test_how_a_stateful_set_restarts(options: dict[str, Any], way: str) -> None:
    before, after = stateful_set(**options), stateful_set(template=template("obs/kafka:2"), **options)
    assert _resource(before, after) == [(Impact.RESTARTS, f"step 1: StatefulSet kafka: {way}")]


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, "2 pods go, each after a new one is ready (image)"),
        ({"replicas": 1}, "its pod goes after the new one is ready (image)"),
        (
            {"strategy": {"type": "Recreate"}, "replicas": 1},
            "its pod stops before the new one starts: away meanwhile (image)",
        ),
        ({"strategy": {}}, "2 pods are replaced, at most 25% of them away at a time (image)"),
    ],
)
def test_how_a_deployment_restarts(options: dict[str, Any], way: str) -> None:
    before, after = deployment("web", **options), deployment("web", template=template("obs/web:2"), **options)
    assert _resource(before, after) == [(Impact.RESTARTS, f"step 1: Deployment web: {way}")]


def test_workloads_restart_in_the_order_of_their_dependencies() -> None:
    def stack(image: str) -> StackPlan:
        between = planned("kafka:index/topic:Topic", "t", {"name": "t"}, needs=((STATEFUL_SET, "kafka"),))
        return plan(
            deployment("a-client", template=template(image), needs=(("kafka:index/topic:Topic", "t"),)),
            stateful_set(template=template(image)),
            between,
            deployment("b-other", template=template(image)),
            deployment("c-last", template=template(image), needs=((DEPLOYMENT, "a-client"),)),
        )

    told = [text.partition(": ")[0::2] for _, text in _costs(stack("obs/x:1"), stack("obs/x:2"))]
    assert [(step, rest.partition(":")[0]) for step, rest in told] == [
        ("step 1", "Deployment b-other"),
        ("step 1", "StatefulSet kafka"),
        ("step 2", "Deployment a-client"),
        ("step 3", "Deployment c-last"),
    ]


@pytest.mark.parametrize(
    ("changes", "prop"),
    [
        ({"serviceName": "other"}, "spec.serviceName"),
        ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        ({"podManagementPolicy": "OrderedReady"}, "spec.podManagementPolicy"),
    ],
)
def test_a_property_that_cannot_change_in_place_replaces_the_stateful_set(changes: dict[str, Any], prop: str) -> None:
    told = _resource(stateful_set(), stateful_set(**changes, template=template("obs/kafka:2")))
    assert told == [
        (
            Impact.REPLACED,
            f"StatefulSet kafka: all 3 pods stop at once and start again: {prop} cannot change in place",
        )
    ]


def _claims(name: str = "data", size: str = "1Gi") -> list[dict[str, Any]]:
    return [{"metadata": {"name": name}, "spec": {"resources": {"requests": {"storage": size}}}}]


def test_a_larger_claim_replaces_the_set_and_leaves_its_volumes_as_they_are() -> None:
    impacts = _resource(stateful_set(), stateful_set(volumeClaimTemplates=_claims(size="2Gi")))
    assert [impact for impact, _ in impacts] == [Impact.REPLACED, Impact.NOTE]
    assert impacts[1][1].startswith(
        "StatefulSet kafka: volumes that exist (data-kafka-0, data-kafka-1, data-kafka-2) keep"
    )


SIZES = ("spec.volumeClaimTemplates[*].spec.resources.requests.storage",)


def test_a_size_that_pulumi_leaves_alone_replaces_nothing_and_names_what_grows_it() -> None:
    before, after = (
        replace(stateful_set(volumeClaimTemplates=_claims(size=size)), ignore_changes=SIZES) for size in ("1Gi", "2Gi")
    )
    assert _resource(before, after) == [
        (
            Impact.NOTE,
            "StatefulSet kafka: the update leaves its volumes as they are; `ops storage grow --part kafka` makes them "
            "2Gi instead of 1Gi, and restarts nothing",
        )
    ]
    [(impact, text)] = _resource(after, before)
    assert impact is Impact.REFUSED
    assert text.startswith("StatefulSet kafka: volumes of 1Gi instead of 2Gi: volumes never shrink")


def test_another_name_of_a_claim_is_not_ignored_with_its_size() -> None:
    before = replace(stateful_set(), ignore_changes=SIZES)
    after = replace(stateful_set(volumeClaimTemplates=_claims(name="disk", size="2Gi")), ignore_changes=SIZES)
    assert [impact for impact, _ in _resource(before, after)][:2] == [Impact.LOSS, Impact.REPLACED]


def test_a_claim_of_another_name_starts_all_replicas_empty() -> None:
    impacts = _resource(stateful_set(), stateful_set(volumeClaimTemplates=_claims(name="disk")))
    assert impacts[0] == (
        Impact.LOSS,
        "StatefulSet kafka: pods start on new, empty volumes; data-kafka-0, data-kafka-1, data-kafka-2 stay behind "
        "unused - all replicas at once, so nobody is left to copy from",
    )


def test_volumes_that_are_deleted_with_their_set_are_data_at_risk() -> None:
    retention = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}
    impacts = _resource(stateful_set(**retention), stateful_set(serviceName="other", **retention))
    assert (Impact.LOSS, "StatefulSet kafka: its volumes are deleted with it (whenDeleted: Delete)") in impacts


def test_other_objects_are_replaced_by_what_they_cannot_change() -> None:
    before, after = (manifest(SERVICE, "web", {"spec": {"clusterIP": value}}) for value in ("10.0.0.1", "None"))
    assert _resource(before, after) == [(Impact.REPLACED, "Service web: spec.clusterIP cannot change in place")]
    first, second = (manifest(SECRET, "s", {"type": value}) for value in ("Opaque", "kubernetes.io/tls"))
    assert _resource(first, second) == [(Impact.REPLACED, "Secret s: type cannot change in place")]


def test_changed_files_are_replaced_where_the_provider_does_not_change_them_in_place() -> None:
    before, after = plan(files(a="1")), plan(files(a="2"))
    strict = planned(PROVIDER, "cluster", {"enableSecretMutable": "true"})
    after = replace(after, planned={**after.planned, PROVIDER_URN: strict})
    before = replace(before, planned={**before.planned, PROVIDER_URN: strict})
    assert _costs(before, after) == [
        (
            Impact.REPLACED,
            "ConfigMap files, and with it every workload that mounts it, all pods at once (ADR 0005): data cannot "
            "change in place",
        )
    ]


def test_changed_files_without_a_restart_are_told() -> None:
    before, after = plan(files(a="1"), stateful_set()), plan(files(a="2"), stateful_set())
    assert _costs(before, after) == [
        (
            Impact.NOTE,
            "StatefulSet kafka does not restart for the changed ConfigMap files: it goes on with the old files unless "
            "its program reads them again by itself",
        )
    ]


def test_changed_files_with_a_restart_are_only_a_restart() -> None:
    before = plan(files(a="1"), stateful_set())
    after = plan(files(a="2"), stateful_set(template=template(checksum="b")))
    assert [impact for impact, _ in _costs(before, after)] == [Impact.RESTARTS]


def test_another_cluster_is_data_at_risk() -> None:
    before = plan()
    other = planned(PROVIDER, "cluster", {"context": "elsewhere", "enableConfigMapMutable": "true"})
    after = replace(before, planned={PROVIDER_URN: other})
    assert _costs(before, after) == [
        (Impact.LOSS, "everything in this stack is made anew elsewhere: context of the provider")
    ]


@pytest.mark.parametrize(
    ("changes", "impact", "start"),
    [
        ({"partitions": 12}, Impact.AMOUNT, "topic telemetry-logs: 6 more partitions. Records of one key"),
        ({"partitions": 3}, Impact.LOSS, "topic telemetry-logs is deleted with all its records and made anew: Kafka"),
        ({"replicationFactor": 2}, Impact.LOSS, "topic telemetry-logs: 2 copies of every record instead of 3"),
        ({"replicationFactor": 4}, Impact.NOTE, "topic telemetry-logs: every record is copied over the network"),
        ({"retention_ms": 86_400_000}, Impact.LOSS, "topic telemetry-logs: records older than 24 h are deleted"),
    ],
)
def test_what_a_changed_topic_costs(changes: dict[str, Any], impact: Impact, start: str) -> None:
    impacts = _resource(topic(), topic(**changes))
    assert len(impacts) == 1
    assert impacts[0][0] is impact
    assert impacts[0][1].startswith(start)


def test_a_protected_topic_that_would_shrink_is_refused() -> None:
    assert _resource(topic(protect=True), topic(protect=True, partitions=3)) == [
        (
            Impact.REFUSED,
            "topic telemetry-logs: 3 partitions instead of 6 would replace it, with all its records lost; it is "
            "protected, so Pulumi refuses: ask for at least 6",
        )
    ]


def test_a_renamed_topic_is_made_anew_and_empty() -> None:
    before, after = (planned(TOPIC, "logs", {"name": name}) for name in ("logs", "other"))
    assert _resource(before, after) == [
        (Impact.LOSS, "topic logs is deleted and made anew, empty: name cannot change in place")
    ]


@pytest.mark.parametrize("retention_ms", [2_419_200_000, -1])
def test_longer_retention_costs_nothing(retention_ms: int) -> None:
    assert _resource(topic(), topic(retention_ms=retention_ms)) == []


def test_shorter_retention_of_samples_is_data_at_risk() -> None:
    shorter = template()
    shorter["spec"]["containers"][0]["command"] = ["serve", "--storage.tsdb.retention.time=7d"]
    impacts = _resource(stateful_set(), stateful_set(template=shorter))
    assert impacts[0] == (Impact.LOSS, "StatefulSet kafka: samples beyond 7d are deleted, for good")


def test_a_removed_topic_is_data_at_risk_and_a_protected_one_is_refused() -> None:
    assert _costs(plan(topic(protect=True)), plan()) == [
        (Impact.LOSS, "topic telemetry-logs is deleted with all its records"),
        (Impact.REFUSED, "Topic telemetry-logs is protected: Pulumi refuses to delete it until it is unprotected"),
    ]


def test_removed_namespaces_claims_and_workloads_are_told() -> None:
    before = plan(
        manifest(NAMESPACE, "obs", {}), manifest(CLAIM, "disk", {"spec": {}}), stateful_set(), deployment("web")
    )
    assert _costs(before, plan()) == [
        (Impact.LOSS, "Namespace obs is deleted with everything in it, volumes included"),
        (Impact.LOSS, "PersistentVolumeClaim disk is deleted with its data (unless its StorageClass retains volumes)"),
        (Impact.AMOUNT, "Deployment web is deleted: 2 pods fewer"),
        (Impact.AMOUNT, "StatefulSet kafka is deleted: 3 pods fewer; its volumes stay, unused"),
    ]


def test_an_object_that_moves_in_the_program_needs_an_alias() -> None:
    moved = stateful_set()
    elsewhere = urn("obs:new:Parent$kubernetes:apps/v1:StatefulSet", "kafka")
    resource = replace(moved.resource, urn=elsewhere)
    after = plan(replace(moved, resource=resource))
    assert (Impact.REPLACED, True) in [
        (impact, "give it an alias" in text) for impact, text in _costs(plan(moved), after)
    ]


def test_more_and_fewer_pods_are_told() -> None:
    assert _resource(stateful_set(), stateful_set(replicas=5)) == [
        (Impact.AMOUNT, "StatefulSet kafka: 5 pods instead of 3")
    ]
    assert _resource(stateful_set(), stateful_set(replicas=1)) == [
        (Impact.AMOUNT, "StatefulSet kafka: 1 pod instead of 3; volumes of pods that go stay")
    ]
    assert _costs(plan(), plan(deployment("web"))) == [(Impact.AMOUNT, "new Deployment web: 2 pods")]


def test_an_autoscaler_keeps_its_number_of_pods() -> None:
    before, after = (replace(stateful_set(replicas=count), ignore_changes=("spec.replicas",)) for count in (2, 3))
    assert _resource(before, after) == [
        (Impact.NOTE, "StatefulSet kafka: its autoscaler owns the number of pods; the change is ignored")
    ]


def test_a_password_that_is_made_anew_is_told() -> None:
    before, after = (planned(PASSWORD, "admin", {"length": length}) for length in (32, 40))
    assert _resource(before, after) == [
        (Impact.REPLACED, "password admin is made anew: whoever keeps the old one outside is refused")
    ]


def test_many_passwords_that_are_made_anew_are_one_line() -> None:
    before, after = (plan(*(planned(PASSWORD, name, {"length": length}) for name in ("a", "b"))) for length in (32, 40))
    assert _costs(before, after) == [
        (Impact.REPLACED, "2 passwords (a, b) are made anew: whoever keeps the old one outside is refused")
    ]


def test_stacks_that_come_or_go_are_one_line() -> None:
    whole, none = plan(topic()), StackPlan("test")
    assert _costs(none, whole) == [(Impact.NOTE, "a new stack: 2 resources are made, nothing that runs is touched")]
    assert [impact for impact, _ in _costs(whole, none)] == [Impact.NOTE]
