"""What a cloud provider would do for the cluster: addresses for load balancers, volumes for claims.

And what a partition between two regions would do to what is made after it (`lab.cluster.disruptions`).

Runs as one small process inside the cluster's network namespace: ``python -m lab.cluster.controllers INSTANCE``.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import requests

from lab import LabError
from lab.cluster import disruptions
from lab.cluster.disruptions import PartitionMembers
from lab.cluster.network import (
    DNS_SERVICE,
    FIRST,
    LOAD_BALANCER_FIRST,
    LOAD_BALANCER_LAST,
    NODE_NAME,
    cluster_of,
)
from lab.paths import LabPaths
from lab.toolchain import tools
from lab.toolchain.tools import module_folder
from ops.preflight.demand import quantity

STORAGE_CLASS = "lab-local"
_PERIOD_S = 0.5
_FOLLOW_S = 1.0
_CALL_LIMIT_S = 10.0
_log = logging.getLogger("lab.controllers")

Object = dict[str, Any]


class Cluster:
    """The few calls that the loops need, on one connection."""

    def __init__(self, paths: LabPaths) -> None:
        pki = paths.state / "pki"
        self._url = cluster_of(paths).api_url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cert = (str(pki / "admin.crt"), str(pki / "admin.key"))
        self._session.verify = str(pki / "ca.crt")

    def items(self, path: str) -> list[Object]:
        """List the objects at an API path."""
        answer = self._session.get(self._url + path, timeout=_CALL_LIMIT_S)
        answer.raise_for_status()
        return list(answer.json()["items"])

    def create(self, path: str, body: Object) -> None:
        """Create an object; one that exists already is fine."""
        answer = self._session.post(self._url + path, json=body, timeout=_CALL_LIMIT_S)
        if answer.status_code != requests.codes.conflict:
            answer.raise_for_status()

    def patch(self, path: str, body: Object) -> None:
        """Merge-patch an object."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self._session.patch(self._url + path, json=body, headers=headers, timeout=_CALL_LIMIT_S).raise_for_status()

    def delete(self, path: str) -> None:
        """Delete an object; one that is gone already is fine."""
        answer = self._session.delete(self._url + path, timeout=_CALL_LIMIT_S)
        if answer.status_code != requests.codes.not_found:
            answer.raise_for_status()


def assign_addresses(services: list[Object], pool: str = FIRST.load_balancers) -> dict[str, str]:
    """Addresses for the LoadBalancer Services that have none yet: "namespace/name" -> address.

    A requested ``spec.loadBalancerIP`` is honoured when it lies in the pool and is free; two Services that ask for
    the same address do not both get it.
    """
    network = ipaddress.ip_network(pool)
    wanting, taken = [], set()
    for service in services:
        if service["spec"].get("type") != "LoadBalancer":
            continue
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        if ingress:
            taken.add(ingress[0]["ip"])
        else:
            wanting.append(service)
    assigned: dict[str, str] = {}
    for service in sorted(wanting, key=lambda item: not item["spec"].get("loadBalancerIP")):
        name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        load_balancer_ip = service["spec"].get("loadBalancerIP")
        if load_balancer_ip:
            address = (
                load_balancer_ip
                if ipaddress.ip_address(load_balancer_ip) in network and load_balancer_ip not in taken
                else None
            )
        else:
            candidates = (str(network[number]) for number in range(LOAD_BALANCER_FIRST, LOAD_BALANCER_LAST + 1))
            address = next((candidate for candidate in candidates if candidate not in taken), None)
        if address is None:
            _log.warning("no address for %s (asked for %s)", name, load_balancer_ip or "any")
            continue
        taken.add(address)
        assigned[name] = address
    return assigned


def volume_for(claim: Object, root: Path) -> Object:
    """A ``local`` PersistentVolume bound to the claim. The kubelet applies fsGroup to it, so non-root pods write."""
    metadata = claim["metadata"]
    name = f"pv-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]},
            "local": {"path": str(root / name)},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
                            ]
                        }
                    ]
                }
            },
        },
    }


def provide_addresses(cluster: Cluster, pool: str) -> None:
    """Set the address of every LoadBalancer Service that waits for one."""
    for name, address in assign_addresses(cluster.items("/api/v1/services"), pool).items():
        namespace, _, service = name.partition("/")
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        cluster.patch(f"/api/v1/namespaces/{namespace}/services/{service}/status", status)
        _log.info("%s has address %s", name, address)


def provide_volumes(cluster: Cluster, root: Path) -> None:
    """Make a volume for each pending claim, grow those whose claims ask for more, remove those whose claim is gone.

    A volume is a directory on the machine's disk: its size is what Kubernetes says of it, and nothing enforces it. So
    growing is a number here; the kubelet, which grows file systems, finds nothing to do and writes it into the claim.
    """
    claims = cluster.items("/api/v1/persistentvolumeclaims")
    for claim in claims:
        if claim["status"].get("phase") == "Pending" and claim["spec"].get("storageClassName") == STORAGE_CLASS:
            volume = volume_for(claim, root)
            folder = Path(volume["spec"]["local"]["path"])
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o770)
            cluster.create("/api/v1/persistentvolumes", volume)
    sizes = {claim["spec"].get("volumeName"): claim["spec"]["resources"]["requests"]["storage"] for claim in claims}
    for volume in cluster.items("/api/v1/persistentvolumes"):
        name, size = volume["metadata"]["name"], volume["spec"]["capacity"]["storage"]
        if volume["spec"].get("storageClassName") == STORAGE_CLASS and quantity(sizes.get(name)) > quantity(size):
            cluster.patch(f"/api/v1/persistentvolumes/{name}", {"spec": {"capacity": {"storage": sizes[name]}}})
            _log.info("%s has %s instead of %s", name, sizes[name], size)
        if volume["status"].get("phase") == "Released":
            cluster.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")
            shutil.rmtree(volume["spec"]["local"]["path"], ignore_errors=True)


def main() -> None:
    """Run both loops until SIGTERM; an API server that is away is waited for."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    paths = LabPaths(sys.argv[1])
    os.umask(0)
    cluster, pool = Cluster(paths), cluster_of(paths).load_balancers
    partitioned: dict[str, PartitionMembers] = {}
    followed = time.monotonic()
    while True:
        try:
            provide_addresses(cluster, pool)
            provide_volumes(cluster, paths.state / "volumes")
            if time.monotonic() - followed >= _FOLLOW_S:
                followed = time.monotonic()
                disruptions.follow(paths, cluster, partitioned)
        except LabError as error:
            _log.warning("a partition is not followed: %s", error)
            time.sleep(2)
        except requests.RequestException as error:
            _log.warning("the API server did not answer: %s", error)
            time.sleep(2)
        time.sleep(_PERIOD_S)


DNS_IMAGE = "registry.lab.internal/coredns/coredns:1.14.7"
_COREFILE = """.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods disabled
        ttl 5
    }
    cache 5
    loop
    reload
}
"""
_LABELS = {"k8s-app": "kube-dns"}


RESTRICTED: Final[Object] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Security context of an add-on's container."""


def _dns() -> list[Object]:
    metadata = {"name": "coredns", "namespace": "kube-system"}
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    container = {
        "name": "coredns",
        "image": DNS_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/coredns", "-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1, "failureThreshold": 30},
        "securityContext": RESTRICTED,
    }
    pod = {
        "metadata": {"labels": _LABELS},
        "spec": {
            "serviceAccountName": "coredns",
            "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
        },
    }
    ports = [
        {"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": 53, "protocol": "TCP"},
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "lab-coredns"},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "lab-coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lab-coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": _COREFILE}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": pod},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": DNS_SERVICE, "selector": _LABELS, "ports": ports},
        },
    ]


def objects() -> list[Object]:
    """Everything but the resource definitions, which cert-manager ships as files."""
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    return [storage, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cert-manager"}}, *_dns()]


def apply(kubeconfig: Path, prefix: list[str]) -> None:
    """Apply the add-ons that everything needs; safe to repeat.

    Raises:
        LabError: The API server refused.
    """
    crds = module_folder("github.com/cert-manager/cert-manager", "v1.21.2") / "deploy" / "crds"
    names = ("issuers", "clusterissuers", "certificates", "certificaterequests")
    apply_to(kubeconfig, prefix, [_crd(crds, name) for name in names], objects())


def apply_to(kubeconfig: Path, prefix: list[str], files: Sequence[Path], items: Sequence[Object]) -> None:
    """Apply files, then objects, with server-side apply; safe to repeat.

    Args:
        kubeconfig: Administrator's.
        prefix: Enters the network namespace.
        files: Manifests.
        items: Objects.

    Raises:
        LabError: The API server refused.
    """
    command = [
        *prefix,
        str(tools.path("kubectl")),
        f"--kubeconfig={kubeconfig}",
        "apply",
        "--server-side",
        "--force-conflicts",
    ]
    named = [argument for file in files for argument in ("-f", str(file))]
    for arguments, stdin in ((named, None), (["-f", "-"], "\n---\n".join(json.dumps(item) for item in items))):
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise LabError(f"kubectl apply of the cluster's add-ons failed: {done.stderr.strip()[-400:]}")


def _crd(folder: Path, name: str) -> Path:
    paths = [path for path in folder.iterdir() if path.stem.endswith(f"_{name}") or path.stem == f"crd-{name}"]
    if len(paths) != 1:
        raise LabError(f"cert-manager's definition of {name} was not found in {folder}")
    return paths[0]


if __name__ == "__main__":
    main()
