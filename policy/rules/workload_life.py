"""How pods live: resources, probes, shutdown, restarts after a change, their identity in the cluster.

Servers that keep copies: what a start may take, what a rolling update waits for, and in which zone they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._dataplane import servers
from policy.rules._kubernetes import (
    RUNNING,
    WORKLOADS,
    Want,
    at,
    containers,
    name_of,
    number,
    of_kind,
    served,
    state,
    template,
    wanted,
    workloads,
)
from policy.rules._values import each_known, finding, shown, size, whole_number

_QUANTITIES = (
    ("requests", "cpu", "ask for the CPU that it needs"),
    ("requests", "memory", "ask for the memory that it needs"),
    ("limits", "memory", "limit it to the memory that it may use"),
)


def _resources(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in containers(template(resource)["spec"], ("initContainers", "containers")):
        for group, what, fix in _QUANTITIES:
            node = container["resources"][group][what]
            if not node.exists:
                yield at(resource, node, f"{name_of(container)} has no {what} {group.rstrip('s')}", fix)


def _probes(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in template(resource)["spec"]["containers"].elements():
        for probe, use in (("readinessProbe", "can do its work"), ("livenessProbe", "still runs at all")):
            if not any(container[probe][how].exists for how in ("exec", "httpGet", "tcpSocket", "grpc")):
                yield at(resource, container[probe], f"{name_of(container)} has no {probe}", f"probe whether it {use}")


def _grace(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    grace = pod["terminationGracePeriodSeconds"]
    seconds = 30 if not grace.exists else number(grace.value) or 0
    if seconds < options["least_s"]:
        yield at(
            resource,
            grace,
            f"terminationGracePeriodSeconds {state(grace.raw)}",
            f"give at least {options['least_s']} s",
        )
    for container in pod["containers"].elements():
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        if pause.exists and (number(pause.value) or 0) >= seconds:
            yield at(
                resource,
                pause,
                f"{name_of(container)} sleeps {pause.value:g} s of {seconds:g} s before it may end",
                "sleep shorter, or give more terminationGracePeriodSeconds",
            )


def _identity(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    if not pod.exists:
        return
    yield from wanted(
        resource,
        pod,
        (
            Want(
                "serviceAccountName",
                lambda account_name: account_name not in (None, "", "default"),
                "name the workload's own one",
            ),
            Want("automountServiceAccountToken", lambda mounts_token: mounts_token is False, "set it to false"),
        ),
    )


def _token(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.object_name in options["workloads"]:
        return
    for volume in template(resource)["spec"]["volumes"].elements():
        for source in volume["projected"]["sources"].elements():
            token = source["serviceAccountToken"]
            if token.exists:
                yield at(resource, token, f"volume {volume['name'].text()} holds a token", "remove the volume's source")


def _account(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kubernetes:
        want = Want("automountServiceAccountToken", lambda mounts_token: mounts_token is False, "set it to false")
        yield from wanted(resource, resource.node, (want,))


def _own_account(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    accounts = {(resource.namespace, resource.object_name) for resource in of_kind(resources, "ServiceAccount")}
    users: dict[tuple[str, str], str] = {}
    for workload in workloads(resources):
        node = template(workload)["spec"]["serviceAccountName"]
        account = (workload.namespace, node.text())
        if not node.exists or node.text() == "default":
            continue
        if account not in accounts:
            yield at(
                workload, node, f"ServiceAccount {node.text()} is not part of the stack", "make it with the workload"
            )
        elif account in users:
            yield at(
                workload,
                node,
                f"ServiceAccount {node.text()} is that of {users[account]} as well",
                "give the workload its own ServiceAccount",
            )
        users.setdefault(account, workload.label)


def sources(pod: Node) -> Iterator[tuple[str, Node]]:
    """Kind and name of every ConfigMap and Secret that a pod mounts or takes variables from; optional ones not."""
    for volume in pod["volumes"].elements():
        holders = [(volume, "secretName"), *((node, "name") for node in volume["projected"]["sources"].elements())]
        for holder, secret_name in holders:
            for kind, key, field in (("ConfigMap", "configMap", "name"), ("Secret", "secret", secret_name)):
                node = holder[key]
                if node.exists and node["optional"].value is not True:
                    yield kind, node[field]
    for container in containers(pod):
        for entry in (
            *container["envFrom"].elements(),
            *(variable["valueFrom"] for variable in container["env"].elements()),
        ):
            for kind in ("ConfigMap", "Secret"):
                lower = kind[0].lower() + kind[1:]
                for node in (entry[f"{lower}Ref"], entry[f"{lower}KeyRef"]):
                    if node.exists and node["optional"].value is not True:
                        yield kind, node["name"]


def _files_exist(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    declared_objects = _made(resources)
    for certificate in of_kind(resources, "Certificate"):
        declared_objects.add(("Secret", certificate.namespace, certificate.node.at("spec.secretName").text()))
    used = (
        (workload, kind, node)
        for workload in workloads(resources)
        for kind, node in sources(template(workload)["spec"])
    )
    yield from each_known(_exists(workload, kind, node, declared_objects) for workload, kind, node in used)


def _made(resources: Sequence[Resource]) -> set[tuple[str, str, str]]:
    return {
        (resource.kind, resource.namespace, resource.object_name)
        for resource in of_kind(resources, "ConfigMap", "Secret")
    }


def _exists(
    workload: Resource, kind: str, node: Node, declared_objects: set[tuple[str, str, str]]
) -> Iterator[Finding]:
    name = node.text()
    if (kind, workload.namespace, name) not in declared_objects:
        yield at(workload, node, f"{kind} {name} is not part of the stack", f"make the {kind}, or name the right one")


def _restart(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    declared_objects = _made(resources)
    yield from each_known(
        _restarts(workload, declared_objects, options["annotation"]) for workload in workloads(resources, RUNNING)
    )


def _restarts(workload: Resource, declared_objects: set[tuple[str, str, str]], annotation: str) -> Iterator[Finding]:
    spec = template(workload)
    node = spec["metadata"]["annotations"][annotation]
    if node.text():
        return
    used = {(kind, workload.namespace, source.text()) for kind, source in sources(spec["spec"])} & declared_objects
    if used:
        names = ", ".join(f"{kind} {name}" for kind, _, name in sorted(used))
        yield at(
            workload,
            node,
            f"the pods do not notice a change of {names}: annotation {annotation} is missing",
            "set it to a checksum of the mounted files",
        )


def _own_name(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    services = {(one.object_name, one.namespace): one for one in of_kind(resources, "Service")}
    for workload in of_kind(resources, "StatefulSet"):
        name = workload.node.at("spec.serviceName")
        service = services.get((name.text(), workload.namespace))
        if service and workload not in served(service, resources):
            problem = f"its pods have no names of their own: {name.text()} is the Service of others"
            yield at(workload, name, problem, "name the Service that takes its pods")


_SERVERS = ("obs/kafka", "obs/opensearch", "elasticsearch/elasticsearch")
_ASKS = ("exec", "httpGet", "grpc")
_KINDS = frozenset({"StatefulSet"})


def _servers(resource: Resource, options: Options) -> Iterator[tuple[Node, float]]:
    """Containers that run such a server, and the bytes of their largest volume."""
    if not resource.kubernetes:
        return
    claims = {
        claim["metadata"]["name"].text(): size(claim["spec"]["resources"]["requests"]["storage"].text()) or 0.0
        for claim in resource.node.at("spec.volumeClaimTemplates").elements()
    }
    for container in template(resource)["spec"]["containers"].elements():
        repository = re.split(r"@|:(?=[^/]*$)", container["image"].text(), maxsplit=1)[0]
        names = [mount["name"].text() for mount in container["volumeMounts"].elements()]
        mounted = [claims[name] for name in names if name in claims]
        if mounted and any(f"/{repository}".endswith(f"/{server}") for server in options["servers"]):
            yield container, max(mounted)


def _startup(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, volume in _servers(resource, options):
        probe = container["startupProbe"]
        asks_more = next((probe[how] for how in _ASKS if probe[how].exists), None)
        if asks_more is not None:
            yield at(
                resource,
                asks_more,
                f"{name_of(container)} is killed when it takes long to answer more than an open port",
                "let startupProbe open the port, and readinessProbe ask for copies",
            )
            continue
        needed = min(options["most_s"], max(options["least_s"], volume / options["bytes_per_s"]))
        limit = (number(probe["failureThreshold"].value) or 3) * (number(probe["periodSeconds"].value) or 10)
        if not probe.exists or limit < needed:
            problem = f"{name_of(container)} has {limit if probe.exists else 0:g} s to read its volume"
            yield at(resource, probe, problem, f"give startupProbe at least {needed:.0f} s")


def _readiness(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.object_name in options["alone"]:
        return
    for container, _ in _servers(resource, options):
        command = container["readinessProbe"]["exec"]["command"]
        if not command.exists:
            problem = f"{name_of(container)} is ready before it has its copies: command {state(command.raw)}"
            yield at(resource, command, problem, "let readinessProbe run a command that asks for them")


def _zone(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        rack = server["broker.rack"]
        if server.broker and rack.text() != f"${{env:{options['variable']}}}":
            problem = f"the broker does not say in which zone it is: broker.rack {shown(rack)}"
            yield finding(resource, rack, problem, f"set broker.rack to ${{env:{options['variable']}}}")
    if resource.kind not in _KINDS or resource.object_name in options["alone"]:
        return
    for container, _ in _servers(resource, options):
        named = [entry for entry in container["env"].elements() if entry["name"].text() == options["variable"]]
        paths = {entry.at("valueFrom.fieldRef.fieldPath").text() for entry in named}
        if paths != {f"metadata.labels['{options['label']}']"}:
            problem = f"{name_of(container)} is not told in which zone it is"
            fix = f"set variable {options['variable']} from the pod's label {options['label']}"
            yield at(resource, container["env"], problem, fix)


_WHICH = Option(
    default=list(_SERVERS),
    schema={"type": "array", "items": {"type": "string"}},
    meaning="images of servers that keep copies",
)
_ALONE = Option(
    default=["kafka-controller"],
    schema={"type": "array", "items": {"type": "string"}},
    meaning="workloads of these servers that a quorum, and no copy, waits for",
)


RULES: tuple[Rule, ...] = (
    Rule(
        id="pod-resources",
        promise="Every container asks for CPU and memory and has a memory limit.",
        why="A pod without them is the first to be evicted, or takes the memory of its neighbours.",
        sources=("S1", "M4"),
        kinds=frozenset(WORKLOADS),
        resource=_resources,
    ),
    Rule(
        id="pod-probes",
        promise="Every container that serves is probed for readiness and liveness.",
        why="Without probes requests go to a server that cannot answer, and a hung one is never restarted.",
        sources=("O1", "P1"),
        kinds=RUNNING,
        resource=_probes,
    ),
    Rule(
        id="pod-grace",
        promise="Every pod has the time to finish what it holds before it is killed.",
        why="A pod that is killed in its work loses what it has not sent or written yet.",
        sources=("O1", "O5"),
        options={"least_s": whole_number(20, "least seconds until the kill")},
        kinds=RUNNING,
        resource=_grace,
    ),
    Rule(
        id="pod-service-account",
        promise="Every pod names a ServiceAccount of its own and gets no token of it.",
        why="A token lets a taken-over process ask the API server, with the rights of all who share the account.",
        sources=("M4",),
        kinds=frozenset(WORKLOADS),
        resource=_identity,
    ),
    Rule(
        id="pod-api-token",
        promise="No pod mounts a token of the API server but those that read there.",
        why="A token lets a taken-over process ask the API server for all that the account may read.",
        sources=("M4", "M1"),
        options={
            "workloads": Option(
                default=["audit", "cluster-state", "volumes"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="workloads that read at the API server",
            )
        },
        kinds=frozenset(WORKLOADS),
        resource=_token,
    ),
    Rule(
        id="service-account-token",
        promise="No ServiceAccount hands out its token by itself.",
        why="Every pod that forgets to refuse the token would get it.",
        sources=("M4",),
        kinds=frozenset({"ServiceAccount"}),
        resource=_account,
    ),
    Rule(
        id="service-account-own",
        promise="Every workload has a ServiceAccount in the stack that no other workload uses.",
        why="Rights that one workload needs would be rights of all that share its account.",
        sources=("M4",),
        stack=_own_account,
    ),
    Rule(
        id="stateful-own-names",
        promise="The pods of every StatefulSet have their names from the Service that takes them.",
        why="Brokers and members are known by these names: none of them would find the others.",
        sources=("K1", "M4"),
        stack=_own_name,
    ),
    Rule(
        id="pod-files-exist",
        promise="Every ConfigMap and Secret that a pod needs is made by the stack, as the kind that it is mounted as.",
        why="The pod would not start, or would run with a file that nobody reviews.",
        sources=("M4",),
        stack=_files_exist,
    ),
    Rule(
        id="pod-restart-on-change",
        promise="Pods are restarted one by one when a file that they mount changes.",
        why="They would go on with the old file: a changed password or limit would not hold until some later restart.",
        sources=("M4",),
        options={
            "annotation": Option(
                default="obs.config/checksum", schema={"type": "string"}, meaning="pod annotation with the checksum"
            )
        },
        stack=_restart,
    ),
    Rule(
        id="startup-holds-volume",
        promise="A server that keeps copies is started once its port is open, and has the time to read its volume.",
        why="A broker or search node that is killed while it recovers begins again, for ever.",
        sources=("K1", "T2"),
        options={
            "servers": _WHICH,
            "bytes_per_s": whole_number(100 * 2**20, "bytes of a volume that a server reads in a second"),
            "least_s": whole_number(600, "seconds that every server gets"),
            "most_s": whole_number(76_800, "seconds after which a server may count as hanging"),
        },
        kinds=_KINDS,
        resource=_startup,
    ),
    Rule(
        id="readiness-waits-for-copies",
        promise="A server that keeps copies is ready once it has them back.",
        why="A rolling update would stop the next one while copies are missing.",
        sources=("K1", "T2"),
        options={
            "servers": _WHICH,
            "alone": _ALONE,
        },
        kinds=_KINDS,
        resource=_readiness,
    ),
    Rule(
        id="broker-knows-zone",
        promise="A broker is told the zone of the node that it runs on.",
        why="All copies of a partition may be in one zone, and are away together with it.",
        sources=("K1", "S1"),
        options={
            "servers": Option(
                default=["obs/kafka"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="images of brokers",
            ),
            "alone": _ALONE,
            "variable": Option(
                default="ZONE", schema={"type": "string"}, meaning="variable of a broker that says its zone"
            ),
            "label": Option(
                default="topology.kubernetes.io/zone",
                schema={"type": "string"},
                meaning="label of pods that says the zone of their node",
            ),
        },
        kinds=_KINDS | {"ConfigMap", "Secret"},
        resource=_zone,
    ),
)
"""Rules of this concern."""
