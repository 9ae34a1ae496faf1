"""What preflight computes by itself: quantities, what a pod asks for, where it may run, names."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.client.exceptions import ApiException

from ops.preflight.addresses import clients, dns, examples, names, networks, secret_places
from ops.preflight.checks import cert_manager, logs_plugin
from ops.preflight.command import exit_code
from ops.preflight.demand import Cluster, Need, Node, demand, pod_need, quantity
from ops.preflight.lines import Line, State
from ops.preflight.plugins import storage
from policy.model import Resource
from stacks.settings import parse
from tests.support import engine

GIB = 2.0**30


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (None, 0.0),
        ("2", 2.0),
        ("250m", 0.25),
        ("1.5", 1.5),
        ("512Mi", GIB / 2),
        ("2Gi", 2 * GIB),
        ("8G", 8e9),
        ("3920000Ki", 3920000 * 1024.0),
        ("1e3", 1000.0),
    ],
)
def test_quantities_are_numbers(text: str | None, number: float) -> None:
    assert quantity(text) == number


def _container(cpu: str, memory: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}}


def test_a_pod_asks_for_its_containers_or_for_its_largest_init_container() -> None:
    two = {"containers": [_container("100m", "1Gi"), _container("400m", "1Gi")]}
    assert pod_need(two) == Need(cpu=0.5, memory=2 * GIB)
    first = {**two, "initContainers": [_container("2", "512Mi"), _container("1", "3Gi")]}
    assert pod_need(first) == Need(cpu=2.0, memory=3 * GIB)
    assert pod_need({"containers": [{}]}) == Need()


TAINT = {"key": "dedicated", "value": "obs", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("taints", "spec", "takes"),
    [
        ([], {}, True),
        ([], {"nodeSelector": {"pool": "obs"}}, True),
        ([], {"nodeSelector": {"pool": "other"}}, False),
        ([TAINT], {}, False),
        ([{**TAINT, "effect": "PreferNoSchedule"}], {}, True),
        ([TAINT], {"tolerations": [{"operator": "Exists"}]}, True),
        ([TAINT], {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "obs"}]}, True),
        ([TAINT], {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "other"}]}, False),
        ([TAINT], {"tolerations": [{"key": "other", "operator": "Exists"}]}, False),
        ([TAINT], {"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}, False),
        ([TAINT, {**TAINT, "key": "gpu"}], {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, False),
    ],
)
def test_labels_and_taints_decide_where_a_pod_may_run(
    taints: list[dict[str, str]], spec: dict[str, Any], takes: bool
) -> None:
    node = Node(name="n", provider="", labels={"pool": "obs"}, taints=taints, capacity=Need(), used=Need())
    assert node.takes(spec) is takes


def test_the_whole_platform_is_counted_with_its_replicas() -> None:
    recording = engine.recorded("prod")
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    wanted = demand("obs", [resource for resource in resources if resource.kubernetes])
    counts = {pods.name: pods.count for pods in wanted.pods}
    assert counts["StatefulSet kafka"] == 3
    daemons = {f"DaemonSet {manifest['metadata']['name']}" for manifest in recording.kinds("DaemonSet")}
    assert {name for name, count in counts.items() if count is None} == daemons
    assert len(daemons) == 1
    assert len(counts) == len(recording.kinds("StatefulSet", "Deployment", "DaemonSet", "CronJob"))
    kafka = next(pods for pods in wanted.pods if pods.name == "StatefulSet kafka")
    requests = recording.one("StatefulSet", "kafka")["spec"]["template"]["spec"]["containers"][0]["resources"][
        "requests"
    ]
    assert kafka.need.cpu >= quantity(requests["cpu"])
    assert (wanted.storage_classes, wanted.autoscaled, len(wanted.balancers)) == ({"fast-ssd"}, True, 12)
    assert ("apps/v1", "StatefulSet") in wanted.kinds
    assert ("v1", "Secret") in wanted.kinds


def test_names_outside_must_have_an_address_and_our_own_may_get_one_later() -> None:
    settings = parse(engine.stack_settings("prod"), "Pulumi.prod.yaml")
    outside, own = names(settings, lambda host: host not in ("ldap.example.com", "otlp.region-a.obs.example.com"))
    assert (outside.state, outside.detail) == (State.FAIL, "no address from here: ldap.example.com")
    assert (own.state, own.detail) == (State.WARN, "no address from here: otlp.region-a.obs.example.com")
    hosts: list[str] = []
    assert [line.state for line in names(settings, lambda host: not hosts.append(host))] == [State.OK, State.OK]
    assert {"smtp.example.com", "login.example.com", "events.pagerduty.com", "kafka-0.region-b.obs.example.com"} < {
        *hosts
    }


def test_addresses_are_not_looked_up() -> None:
    settings = parse(engine.stack_settings("local"), "Pulumi.local.yaml")
    assert [line.state for line in names(settings, lambda host: False)] == [State.OK, State.OK]


def test_only_what_fails_makes_the_exit_code() -> None:
    lines = [Line(check="a", state=State.OK, detail=""), Line(check="b", state=State.WARN, detail="")]
    assert exit_code(lines) == 0
    assert exit_code([*lines, Line(check="c", state=State.FAIL, detail="")]) == 1


@pytest.mark.parametrize(("search", "states"), [("opensearch", [State.WARN]), ("elasticsearch", [])])
def test_logs_in_opensearch_need_a_grafana_with_its_plugin(search: str, states: list[State]) -> None:
    content = engine.stack_settings("local")
    content["search"] = {**content["search"], "engine": search}
    lines = list(logs_plugin(parse(content, "Pulumi.local.yaml")))
    assert [line.state for line in lines] == states
    assert all(line.detail.startswith("grafana-opensearch-datasource reads them") for line in lines)


class Seen:
    """A cluster as checks see it: what is at each path, pods, nodes; a path that is None is refused."""

    def __init__(self, pods: list[dict[str, Any]] | None = None, zones: tuple[str, ...] = (), **paths: Any) -> None:
        self._pods, self._paths = pods, paths
        self._zones = zones

    def objects(self, path: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] | None = self._paths[path.rpartition("/")[2]]
        if listed is None:
            raise ApiException(status=403, reason="Forbidden")
        return listed

    def names(self, path: str) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.objects(path))

    def pods(self) -> tuple[list[dict[str, Any]], bool]:
        return self._pods or [], self._pods is not None

    def dns_address(self) -> str:
        return str(self._paths.get("service", "10.96.0.10"))

    def nodes(self) -> tuple[list[Node], bool]:
        return [
            Node(name=zone, provider="", labels=_zone(zone), taints=[], capacity=Need(), used=Need())
            for zone in self._zones
        ], True

    def cluster(self) -> Cluster:
        return cast(Cluster, self)


def _zone(name: str) -> dict[str, str]:
    return {"topology.kubernetes.io/zone": name} if name else {}


def _storage(provisioner: str, drivers: list[str] | None, zones: tuple[str, ...] = (), **more: Any) -> list[Line]:
    """Lines about one class."""
    content = {"provisioner": provisioner, "allowVolumeExpansion": True, "volumeBindingMode": LATER, **more}
    listed = [{"metadata": {"name": "fast-ssd"}, **content}]
    there = None if drivers is None else [{"metadata": {"name": name}} for name in drivers]
    cluster = Seen(storageclasses=listed, csidrivers=there, zones=zones).cluster()
    return list(storage(cluster, replace(NOTHING, storage_classes=frozenset({"fast-ssd"}))))


LATER = "WaitForFirstConsumer"
NOTHING = demand("obs", [])
EBS = "ebs.csi.aws.com"


@pytest.mark.parametrize(
    ("provisioner", "drivers", "state", "detail"),
    [
        ("kubernetes.io/aws-ebs", [], State.FAIL, f"fast-ssd makes none: there is no driver {EBS}"),
        (EBS, ["efs.csi.aws.com"], State.FAIL, f"fast-ssd makes none: there is no driver {EBS}"),
        ("kubernetes.io/gce-pd", [], State.FAIL, "fast-ssd makes none: there is no driver pd.csi.storage.gke.io"),
        ("kubernetes.io/azure-disk", [], State.FAIL, "fast-ssd makes none: there is no driver disk.csi.azure.com"),
        ("kubernetes.io/aws-ebs", [EBS], State.OK, "those of fast-ssd have a driver"),
        (EBS, None, State.WARN, f"may not list CSIDrivers: whether {EBS} is there"),
        ("ebs.csi.eks.amazonaws.com", [], State.WARN, "fast-ssd may make none: there is no CSIDriver ebs.csi.eks."),
        ("rancher.io/local-path", None, State.OK, "those of fast-ssd have a driver"),
        ("kubernetes.io/no-provisioner", None, State.OK, "those of fast-ssd have a driver"),
        ("lab.obs.example/volumes", None, State.OK, "those of fast-ssd have a driver"),
        ("driver.longhorn.io", None, State.OK, "those of fast-ssd have a driver"),
    ],
)
def test_a_class_without_its_driver_makes_no_volume(
    provisioner: str, drivers: list[str] | None, state: State, detail: str
) -> None:
    there, line = _storage(provisioner, drivers)
    assert (there.check, there.state, there.detail) == ("storage class", State.OK, "fast-ssd is there")
    assert (line.check, line.state) == ("volumes", state)
    assert line.detail.startswith(detail)
    assert ("on EKS the add-on aws-ebs-csi-driver" in line.remedy) is (state is State.FAIL and EBS in detail)


@pytest.mark.parametrize(
    ("zones", "more", "details"),
    [
        ((), {"allowVolumeExpansion": False}, ["those of fast-ssd stay as large as they are: no allowVolumeExpansion"]),
        (("a", "b", ""), {"volumeBindingMode": "Immediate"}, ["those of fast-ssd get a zone (a, b) before"]),
        (("a", "b"), {"volumeBindingMode": None}, ["those of fast-ssd get a zone (a, b) before"]),
        (("a", "a"), {"volumeBindingMode": "Immediate"}, []),
        (("a", "b"), {}, []),
        (
            ("a", "b"),
            {"allowVolumeExpansion": None, "volumeBindingMode": None},
            ["those of fast-ssd stay", "those of fast-ssd get a zone"],
        ),
    ],
)
def test_volumes_that_do_not_grow_or_are_bound_too_early_are_told(
    zones: tuple[str, ...], more: dict[str, Any], details: list[str]
) -> None:
    _, *lines = _storage("rancher.io/local-path", [], zones, **more)
    told = [line for line in lines if line.state is not State.OK]
    assert [line.state for line in told] == [State.WARN] * len(details)
    assert all(line.detail.startswith(detail) for line, detail in zip(told, details, strict=True))
    assert all(line.remedy for line in told)


def test_a_class_that_is_not_there_is_one_line() -> None:
    cluster = Seen(storageclasses=[{"metadata": {"name": "gp2"}, "provisioner": EBS}], csidrivers=[]).cluster()
    [line] = storage(cluster, replace(NOTHING, storage_classes=frozenset({"fast-ssd"})))
    assert (line.state, line.detail) == (State.FAIL, "there is no fast-ssd")
    assert line.remedy == "set settings.storage.storage_class to one of gp2"


def test_names_of_aws_follow_from_the_region_and_secret_addresses_are_looked_up_where_they_can_be_read() -> None:
    settings = parse(engine.stack_settings("prod"), "Pulumi.prod.yaml")
    key = "observability:alertingSecrets"
    webhooks = {"operators": "https://hooks.slack.com/services/x", "senior-manager": "https://unused.example/"}
    values = {key: json.dumps({"slack_urls": webhooks, "heartbeat_url": "https://ping.example.net/uuid"})}
    places = secret_places(settings, values)
    assert [(place.host, place.key) for place in places] == [
        ("hooks.slack.com", "alerting.networks"),
        ("ping.example.net", "alerting.networks"),
    ]
    hosts: list[str] = []
    list(names(settings, lambda host: not hosts.append(host), more=places))
    assert {"s3.ap-northeast-1.amazonaws.com", "s3.ap-northeast-3.amazonaws.com"} < {*hosts}
    assert {"sns.ap-northeast-1.amazonaws.com", "hooks.slack.com", "ping.example.net"} < {*hosts}
    for unreadable in ({}, {key: "?"}, {key: "[]"}, {key: '{"slack_urls": 5}'}):
        assert secret_places(settings, unreadable) == []


def _line_about_networks(stack: str, known: dict[str, list[str]]) -> Line:
    return networks(
        parse(engine.stack_settings(stack), f"Pulumi.{stack}.yaml"), look_up=lambda host: known.get(host, [])
    )


def test_a_service_that_is_in_none_of_its_networks_is_told() -> None:
    s3, ldap = "s3.ap-northeast-1.amazonaws.com", "ldap.example.com"
    known = {s3: ["203.0.113.7", "52.219.1.2", "2600:1fa0::1"], ldap: ["10.1.2.3"]}
    line = _line_about_networks("prod", known)
    assert (line.state, line.detail) == (State.WARN, f"{s3} has 52.219.1.2, in none of object_storage.networks")
    assert "unless pods are given other addresses than this machine" in line.remedy
    assert _line_about_networks("prod", {s3: ["203.0.113.7", "2600:1fa0::1"], ldap: ["10.1.2.3"]}).state is State.OK
    line = _line_about_networks("prod", {ldap: ["fd00::1"], "login.example.com": ["11.0.0.1"]})
    assert line.detail == (
        "login.example.com has 11.0.0.1, in none of traces.identity.networks; "
        "ldap.example.com has fd00::1, in none of grafana.ldap.networks"
    )


def test_addresses_in_the_settings_are_compared_as_they_are() -> None:
    assert _line_about_networks("local", {}).state is State.OK
    content = engine.stack_settings("kind")
    content["object_storage"]["networks"] = ["10.0.0.0/8"]
    line = networks(parse(content, "Pulumi.kind.yaml"), look_up=lambda host: [])
    assert (line.state, line.detail) == (State.WARN, "172.18.0.1, in none of object_storage.networks")


@pytest.mark.parametrize("stack", ["local", "kind", "local-dr"])
def test_networks_of_examples_are_refused_and_no_others(stack: str) -> None:
    content = engine.stack_settings(stack)
    assert examples(parse(content, f"Pulumi.{stack}.yaml")).state is State.OK
    content["object_storage"]["networks"] = ["192.0.2.0/25", "10.0.0.0/8"]
    content["gateway"]["client_cidrs"] = ["203.0.113.9/32", "2001:db8::/32"]
    line = examples(parse(content, f"Pulumi.{stack}.yaml"))
    assert (line.check, line.state) == ("example networks", State.FAIL)
    assert line.detail == (
        "nobody has an address there (RFC 5737): gateway.client_cidrs 203.0.113.9/32, object_storage.networks "
        "192.0.2.0/25"
    )


@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_the_shipped_files_of_two_regions_have_networks_of_examples(stack: str) -> None:
    line = examples(parse(engine.stack_settings(stack), f"Pulumi.{stack}.yaml"))
    assert (line.state, line.detail.count("203.0.113.0/24")) == (State.FAIL, 3)


def _pod(name: str, namespace: str = "kube-system", address: str = "", **more: Any) -> dict[str, Any]:
    """A pod; its labels, and what else its specification has."""
    labels = more.pop("labels", {})
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{}], **more},
        "status": {"podIP": address} if address else {},
    }


def test_pods_that_count_as_clients_by_their_address_are_told() -> None:
    settings = parse(engine.stack_settings("kind"), "Pulumi.kind.yaml")
    node = _pod("proxy", address="172.18.0.2", hostNetwork=True)
    [line] = clients(Seen([node, _pod("new"), _pod("other", address="10.244.0.5")]).cluster(), settings)
    assert (line.check, line.state, line.detail) == ("clients", State.OK, "no pod's address is in a client_cidrs")
    [line] = clients(Seen([node, _pod("web", "shop", "172.18.3.4")]).cluster(), settings)
    assert line.state is State.WARN
    assert line.detail.startswith("172.18.0.0/16 of kafka.client_cidrs, gateway.client_cidrs, ")
    assert line.detail.endswith("has pods (such as shop/web, 172.18.3.4)")
    assert list(clients(Seen().cluster(), settings)) == []


RESOLVER = _pod("coredns", labels={"k8s-app": "kube-dns", "other": "x"})
LOCALIP = [{"args": ["-localip", "169.254.20.11,10.96.0.10", "-conf", "/etc/Corefile"]}]


def _cache(**more: Any) -> dict[str, Any]:
    return _pod("node-local-dns-1", labels={"k8s-app": "node-local-dns"}, **{"hostNetwork": True, **more})


@pytest.mark.parametrize(
    ("pods", "dns_settings", "state", "detail"),
    [
        ([RESOLVER], {}, State.OK, "pods that answer, and may be asked: 1"),
        ([_pod("a", "dns", labels={"k8s-app": "kube-dns"})], {}, State.FAIL, "no pod answers that has the label"),
        ([], {}, State.FAIL, "no pod answers that has the label k8s-app: kube-dns in kube-system"),
        ([], {"networks": ["169.254.169.254/32"]}, State.WARN, "no pod answers that has the label"),
        ([], {"networks": ["10.96.0.10/32"]}, State.OK, "the Service kube-dns has 10.96.0.10, in cluster.dns.networks"),
        (
            [_pod("a", "dns", labels={"app": "resolver"})],
            {"pods": [{"namespace": "dns", "labels": {"app": "resolver"}}]},
            State.OK,
            "pods that answer, and may be asked: 1",
        ),
        (
            [RESOLVER, _cache()],
            {"networks": ["169.254.20.10/32"]},
            State.WARN,
            "NodeLocal DNSCache answers at 169.254.20.10, 10.96.0.10: 10.96.0.10 in none of cluster.dns.networks",
        ),
        (
            [RESOLVER, _cache()],
            {"networks": ["169.254.20.10/32", "10.96.0.10/32"]},
            State.OK,
            "pods that answer, and may be asked: 1",
        ),
        (
            [RESOLVER, _cache(containers=LOCALIP)],
            {"networks": ["169.254.20.10/32", "10.96.0.10/32"]},
            State.WARN,
            "NodeLocal DNSCache answers at 169.254.20.11, 10.96.0.10: 169.254.20.11 in none",
        ),
        ([RESOLVER, _cache(hostNetwork=False)], {}, State.OK, "pods that answer, and may be asked: 1"),
        (None, {}, State.WARN, "may not list pods: who answers could not be seen"),
    ],
)
def test_somebody_answers_dns_questions_whom_pods_may_ask(
    pods: list[dict[str, Any]] | None, dns_settings: dict[str, Any], state: State, detail: str
) -> None:
    content = engine.stack_settings("kind")
    content["cluster"]["dns"] |= dns_settings
    line = dns(Seen(pods).cluster(), parse(content, "Pulumi.kind.yaml"))
    assert (line.check, line.state) == ("DNS", state)
    assert line.detail.startswith(detail)
    assert bool(line.remedy) is (state is not State.OK)


def _deployment(component: str, image: str, available: int = 1, **labels: str) -> dict[str, Any]:
    known = {f"app.kubernetes.io/{key}": value for key, value in {"component": component, **labels}.items()}
    return {
        "metadata": {"name": component, "namespace": "certs", "labels": known},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"availableReplicas": available},
    }


JETSTACK = "quay.io/jetstack/cert-manager"
WEBHOOK = _deployment("webhook", f"{JETSTACK}-webhook:v1.18.2")
BY_DIGEST = f"registry.example.com/certs/jetstack-cert-manager@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("deployments", "told"),
    [
        ([_deployment("controller", f"{JETSTACK}-controller:v1.18.2"), WEBHOOK], ["ok ... served, by 1.18"]),
        ([_deployment("controller", BY_DIGEST, name="cert-manager", version="v1.15.0"), WEBHOOK], ["ok ... by 1.15"]),
        ([_deployment("controller", f"{JETSTACK}-controller:v1.9.1"), WEBHOOK], ["fail 1.9 is too old"]),
        (
            [_deployment("controller", f"{JETSTACK}-controller:v1.18.2", available=0), WEBHOOK],
            ["fail no pod of certs/controller is available"],
        ),
        ([], ["warn ... no Deployment shows its version and webhook"]),
        (
            [_deployment("controller", f"{JETSTACK}-approver-policy:v0.14.0"), WEBHOOK],
            ["warn ... no Deployment shows its version"],
        ),
        ([_deployment("controller", "quay.io/argoproj/argocd:v0.1"), WEBHOOK], ["warn ... shows its version"]),
        (
            [_deployment("controller", f"{JETSTACK}-controller:v1.14.0", available=0)],
            ["fail 1.14 is too old", "fail no pod of certs/controller", "warn ... no Deployment shows its webhook"],
        ),
    ],
)
def test_the_version_and_the_webhook_of_cert_manager_are_looked_at(
    deployments: list[dict[str, Any]], told: list[str]
) -> None:
    kinds = dict.fromkeys(("Certificate", "Issuer"))
    cluster = SimpleNamespace(served=lambda _: kinds, objects=lambda _: deployments)
    lines = list(cert_manager(cast(Cluster, cluster)))
    for line, expected in zip(lines, told, strict=True):
        state, _, detail = expected.partition(" ")
        assert (line.check, line.state) == ("cert-manager", State(state))
        assert detail.removeprefix("... ") in line.detail
        assert bool(line.remedy) is (line.state is not State.OK)
