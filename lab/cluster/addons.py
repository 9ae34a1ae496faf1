"""Objects that every cluster brings along: cluster DNS, the storage class, cert-manager's resource definitions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from lab.cluster.addresses import DNS_SERVICE
from lab.cluster.controllers import STORAGE_CLASS
from lab.errors import LabError
from lab.toolchain import tools
from lab.toolchain.build import module_folder

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

Object = dict[str, Any]


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
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
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
    }
    return [storage, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cert-manager"}}, *_dns()]


def apply(kubeconfig: Path, prefix: list[str]) -> None:
    """Apply the add-ons with server-side apply; safe to repeat."""
    crds = module_folder("github.com/cert-manager/cert-manager", "v1.21.2") / "deploy" / "crds"
    names = ("issuers", "clusterissuers", "certificates", "certificaterequests")
    command = [
        *prefix,
        str(tools.path("kubectl")),
        f"--kubeconfig={kubeconfig}",
        "apply",
        "--server-side",
        "--force-conflicts",
    ]
    files = [argument for name in names for argument in ("-f", str(_crd(crds, name)))]
    for arguments, stdin in ((files, None), (["-f", "-"], "\n---\n".join(json.dumps(item) for item in objects()))):
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise LabError(f"kubectl apply of the cluster's add-ons failed: {done.stderr.strip()[-400:]}")


def _crd(folder: Path, name: str) -> Path:
    paths = [path for path in folder.iterdir() if path.stem.endswith(f"_{name}") or path.stem == f"crd-{name}"]
    if len(paths) != 1:
        raise LabError(f"cert-manager's definition of {name} was not found in {folder}")
    return paths[0]
