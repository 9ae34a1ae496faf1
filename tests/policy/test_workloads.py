"""What pods may do, how they live, and which files and accounts they have."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_kubernetes import (
    GONE,
    LABELS,
    NAMESPACE,
    changed,
    container,
    deployment,
    k8s,
    namespace,
    place,
    platform,
    pod,
    said,
    stateful_set,
    swapped,
    without,
)

POD = "spec/template/spec"
IDS = "set it to an id of at least 1000"
OFF = "remove it"
FILTER = 'set it to "RuntimeDefault"'
ROOT = "set it to true and mount an emptyDir to write to"
OWN = "use a ConfigMap, a Secret, an emptyDir or a claim"
S = "securityContext"
C = "containers/0"
CS = "containers/0/securityContext"
RESOURCE_RULES = (
    "pod-user",
    "pod-seccomp",
    "pod-privileges",
    "pod-read-only-root",
    "pod-host",
    "pod-resources",
    "pod-probes",
    "pod-grace",
    "pod-service-account",
)

BROKEN: list[tuple[str, str, Any, str, str]] = [
    ("pod-user", f"{S}/runAsNonRoot", GONE, "runAsNonRoot is missing", "set it to true"),
    ("pod-user", f"{S}/runAsNonRoot", False, "runAsNonRoot is false", "set it to true"),
    ("pod-user", f"{S}/runAsUser", GONE, "runAsUser is missing", IDS),
    ("pod-user", f"{S}/runAsUser", 0, "runAsUser is 0", IDS),
    ("pod-user", f"{S}/runAsUser", 999, "runAsUser is 999", IDS),
    ("pod-user", f"{S}/runAsGroup", GONE, "runAsGroup is missing", IDS),
    ("pod-user", f"{S}/runAsGroup", 0, "runAsGroup is 0", IDS),
    ("pod-user", f"{S}/fsGroup", 0, "fsGroup is 0", IDS),
    (
        "pod-user",
        f"{S}/supplementalGroups",
        [65532, 0],
        "supplementalGroups is [65532, 0]",
        "only use ids of at least 1000",
    ),
    ("pod-user", f"{CS}/runAsNonRoot", False, "runAsNonRoot is false", "remove it or set it to true"),
    ("pod-user", f"{CS}/runAsUser", 0, "runAsUser is 0", IDS),
    ("pod-user", f"{CS}/runAsGroup", 0, "runAsGroup is 0", IDS),
    ("pod-seccomp", f"{S}/seccompProfile/type", GONE, "type is missing", FILTER),
    ("pod-seccomp", f"{S}/seccompProfile/type", "Unconfined", 'type is "Unconfined"', FILTER),
    ("pod-seccomp", f"{S}/appArmorProfile/type", "Unconfined", 'type is "Unconfined"', FILTER),
    ("pod-seccomp", f"{CS}/seccompProfile/type", "Unconfined", 'type is "Unconfined"', FILTER),
    ("pod-seccomp", f"{CS}/appArmorProfile/type", "Unconfined", 'type is "Unconfined"', FILTER),
    ("pod-seccomp", f"{CS}/procMount", "Unmasked", 'procMount is "Unmasked"', OFF),
    ("pod-privileges", f"{CS}/privileged", True, "privileged is true", OFF),
    (
        "pod-privileges",
        f"{CS}/allowPrivilegeEscalation",
        GONE,
        "allowPrivilegeEscalation is missing",
        "set it to false",
    ),
    ("pod-privileges", f"{CS}/allowPrivilegeEscalation", True, "allowPrivilegeEscalation is true", "set it to false"),
    (
        "pod-privileges",
        f"{CS}/capabilities/drop",
        GONE,
        "container query keeps Linux capabilities: drop is missing",
        'set drop to ["ALL"]',
    ),
    (
        "pod-privileges",
        f"{CS}/capabilities/drop",
        ["NET_RAW"],
        'container query keeps Linux capabilities: drop is ["NET_RAW"]',
        'set drop to ["ALL"]',
    ),
    (
        "pod-privileges",
        f"{CS}/capabilities/add",
        ["SYS_ADMIN"],
        'container query gets the Linux capabilities ["SYS_ADMIN"]',
        "remove add",
    ),
    ("pod-read-only-root", f"{CS}/readOnlyRootFilesystem", GONE, "readOnlyRootFilesystem is missing", ROOT),
    ("pod-read-only-root", f"{CS}/readOnlyRootFilesystem", False, "readOnlyRootFilesystem is false", ROOT),
    ("pod-host", "hostNetwork", True, "hostNetwork is true", OFF),
    ("pod-host", "hostPID", True, "hostPID is true", OFF),
    ("pod-host", "hostIPC", True, "hostIPC is true", OFF),
    ("pod-host", "shareProcessNamespace", True, "shareProcessNamespace is true", OFF),
    ("pod-host", "volumes/0/hostPath", {"path": "/"}, "volume config is a hostPath, outside the pod's own files", OWN),
    ("pod-host", "volumes/0/nfs", {"server": "a"}, "volume config is a nfs, outside the pod's own files", OWN),
    ("pod-host", f"{C}/ports/0/hostPort", 9090, "hostPort is 9090", OFF),
    (
        "pod-resources",
        f"{C}/resources/requests/cpu",
        GONE,
        "container query has no cpu request",
        "ask for the CPU that it needs",
    ),
    (
        "pod-resources",
        f"{C}/resources/requests/memory",
        GONE,
        "container query has no memory request",
        "ask for the memory that it needs",
    ),
    (
        "pod-resources",
        f"{C}/resources/limits/memory",
        GONE,
        "container query has no memory limit",
        "limit it to the memory that it may use",
    ),
    (
        "pod-probes",
        f"{C}/readinessProbe",
        GONE,
        "container query has no readinessProbe",
        "probe whether it can do its work",
    ),
    (
        "pod-probes",
        f"{C}/livenessProbe",
        {"periodSeconds": 5},
        "container query has no livenessProbe",
        "probe whether it still runs at all",
    ),
    ("pod-grace", "terminationGracePeriodSeconds", 19, "terminationGracePeriodSeconds is 19", "give at least 20 s"),
    (
        "pod-grace",
        f"{C}/lifecycle/preStop/sleep/seconds",
        30,
        "container query sleeps 30 s of 30 s before it may end",
        "sleep shorter, or give more terminationGracePeriodSeconds",
    ),
    (
        "pod-service-account",
        "serviceAccountName",
        GONE,
        "serviceAccountName is missing",
        "name the workload's own one",
    ),
    (
        "pod-service-account",
        "serviceAccountName",
        "default",
        'serviceAccountName is "default"',
        "name the workload's own one",
    ),
    (
        "pod-service-account",
        "automountServiceAccountToken",
        GONE,
        "automountServiceAccountToken is missing",
        "set it to false",
    ),
    (
        "pod-service-account",
        "automountServiceAccountToken",
        True,
        "automountServiceAccountToken is true",
        "set it to false",
    ),
]


@pytest.mark.parametrize(("rule_id", "path", "value", "problem", "fix"), BROKEN)
def test_a_broken_setting_of_a_pod_is_told(rule_id: str, path: str, value: Any, problem: str, fix: str) -> None:
    broken = changed(deployment(), f"{POD}/{path}", value)
    assert said(rule_id, broken) == [f"Deployment obs/query, spec.template.spec.{place(path)}: {problem} -> {fix}"]


def test_a_token_is_mounted_where_somebody_reads_at_the_api_server_only() -> None:
    volume = {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    broken = changed(deployment(), f"{POD}/volumes", [volume])
    assert said("pod-api-token", broken) == [
        "Deployment obs/query, spec.template.spec.volumes[0].projected.sources[0].serviceAccountToken: "
        "volume api holds a token -> remove the volume's source"
    ]
    assert said("pod-api-token", changed(broken, "metadata/name", "audit")) == []


@pytest.mark.parametrize("rule_id", RESOURCE_RULES)
def test_a_compliant_pod_passes(rule_id: str) -> None:
    assert said(rule_id, deployment()) == []
    assert said(rule_id, stateful_set()) == []


@pytest.mark.parametrize(
    "rule_id", [rule_id for rule_id in RESOURCE_RULES if rule_id not in ("pod-probes", "pod-grace")]
)
def test_jobs_and_bare_pods_are_looked_at_too(rule_id: str) -> None:
    bare = {"containers": [container(securityContext={"privileged": True}, resources={})], "hostPID": True}
    for kind, spec in (
        ("batch/v1:Job", {"template": {"spec": bare}}),
        ("batch/v1:CronJob", {"jobTemplate": {"spec": {"template": {"spec": bare}}}}),
        ("core/v1:Pod", bare),
        ("apps/v1:DaemonSet", {"template": {"spec": bare}}),
    ):
        assert said(rule_id, k8s(kind, "bare", spec=spec)), kind


def test_init_containers_are_hardened_but_not_probed() -> None:
    first = container(name="first")
    del first["livenessProbe"], first["readinessProbe"]
    spec = changed(deployment(), f"{POD}/initContainers", [first])
    assert [said(rule_id, spec) for rule_id in RESOURCE_RULES] == [[]] * len(RESOURCE_RULES)
    spec = changed(spec, f"{POD}/initContainers/0/securityContext/privileged", True)
    assert said("pod-privileges", spec) == [
        "Deployment obs/query, spec.template.spec.initContainers[0].securityContext.privileged: privileged is true"
        " -> remove it"
    ]


def test_only_harmless_kernel_settings_are_taken() -> None:
    sysctls = [{"name": "net.ipv4.tcp_keepalive_time", "value": "60"}, {"name": "kernel.msgmax", "value": "1"}]
    assert said("pod-host", changed(deployment(), f"{POD}/{S}/sysctls", sysctls)) == [
        "Deployment obs/query, spec.template.spec.securityContext.sysctls[1]: sysctl kernel.msgmax changes the node"
        " -> remove it"
    ]


def test_a_container_may_have_a_filter_of_its_own() -> None:
    assert said("pod-seccomp", changed(deployment(), f"{POD}/{CS}/seccompProfile", {"type": "Localhost"})) == []


def test_the_lowest_id_and_the_least_grace_are_options() -> None:
    assert said("pod-user", changed(deployment(), f"{POD}/{S}/runAsUser", 999), lowest_id=500) == []
    assert said("pod-grace", deployment(), least_s=60) == [
        "Deployment obs/query, spec.template.spec.terminationGracePeriodSeconds: terminationGracePeriodSeconds is 30"
        " -> give at least 60 s"
    ]


@pytest.mark.parametrize("mode", ["enforce", "audit", "warn"])
@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), ("baseline", 'is "baseline"')])
def test_a_namespace_that_takes_other_pods_is_told(mode: str, value: Any, state: str) -> None:
    label = f"pod-security.kubernetes.io/{mode}"
    broken = changed(namespace(), f"metadata/labels/{label.replace('/', '~')}", value)
    assert said("namespace-pod-security", broken) == [
        f'Namespace obs, metadata.labels."{label}": label {label} {state} -> set it to "restricted"'
    ]
    assert said("namespace-pod-security", namespace()) == []


def test_a_namespace_that_nobody_makes_is_told() -> None:
    assert said("namespace-made", without(platform(), "Namespace", NAMESPACE)) == [
        "Deployment obs/query, metadata.namespace: namespace obs is not part of the stack"
        " -> make it with the labels of Pod Security"
    ]
    assert said("namespace-made", platform()) == []


@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), (True, "is true")])
def test_an_account_that_hands_out_its_token_is_told(value: Any, state: str) -> None:
    account = k8s("core/v1:ServiceAccount", "query", automountServiceAccountToken=False)
    assert said("service-account-token", account) == []
    assert said("service-account-token", changed(account, "automountServiceAccountToken", value)) == [
        "ServiceAccount obs/query, automountServiceAccountToken: automountServiceAccountToken"
        f" {state} -> set it to false"
    ]


def test_every_workload_has_an_account_of_its_own() -> None:
    assert said("service-account-own", platform()) == []
    assert said("service-account-own", without(platform(), "ServiceAccount", "query")) == [
        "Deployment obs/query, spec.template.spec.serviceAccountName: ServiceAccount query is not part of the stack"
        " -> make it with the workload"
    ]
    other = k8s("apps/v1:Deployment", "other", spec={"template": {"metadata": {"labels": LABELS}, "spec": pod()}})
    assert said("service-account-own", swapped(platform(), other)) == [
        "Deployment obs/other, spec.template.spec.serviceAccountName: ServiceAccount query is that of Deployment"
        " obs/query as well -> give the workload its own ServiceAccount"
    ]
