"""The metrics API of the embedded cluster: metrics-server as an add-on, with verified TLS both ways.

Autoscalers and ``kubectl top`` ask it. It asks the kubelet, whose certificate it checks, and the API server checks its.
"""

from __future__ import annotations

import base64
from typing import Any

from lab import LabError
from lab.cluster import controllers, network
from lab.cluster.node import METRICS_SERVER as NAME
from lab.paths import LabPaths
from lab.toolchain.recipes import METRICS_SERVER
from lab.toolchain.tools import module_folder

API_SERVICE = "v1beta1.metrics.k8s.io"
IMAGE = f"registry.lab.internal/metrics-server/metrics-server:{METRICS_SERVER}"
RESOLUTION_S = 30
"""Twice as long as upstream's: an idle platform should cost little."""
_NAMESPACE = "kube-system"
_PORT = 10250
_TLS = "/etc/metrics-server"
_LABELS = {"k8s-app": NAME}
_METADATA = {"name": NAME, "namespace": _NAMESPACE}

Object = dict[str, Any]


def apply(paths: LabPaths) -> None:
    """Apply it, with upstream's rights; safe to repeat.

    Raises:
        LabError: The API server refused, or the node is of an older checkout.
    """
    rights = module_folder("sigs.k8s.io/metrics-server", f"v{METRICS_SERVER}") / "manifests" / "base" / "rbac.yaml"
    pki = paths.state / "pki"
    if not (pki / f"{NAME}.crt").exists():
        raise LabError(f"the node, of an older checkout, has no certificate for {NAME}: run `make down` first")
    files = {"ca.crt": "ca.crt", "tls.crt": f"{NAME}.crt", "tls.key": f"{NAME}.key"}
    secret = {name: (pki / file).read_bytes() for name, file in files.items()}
    controllers.apply_to(paths.kubeconfig, network.enter(paths.netns), [rights], objects(secret))


def objects(files: dict[str, bytes]) -> list[Object]:
    """Everything but its rights.

    Args:
        files: ``ca.crt``, ``tls.crt`` and ``tls.key`` of its certificate.
    """
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    api = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": NAME, "namespace": _NAMESPACE},
        "caBundle": encoded["ca.crt"],
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    port = {"name": "https", "port": 443, "targetPort": "https", "appProtocol": "https"}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": _METADATA, "data": encoded},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _METADATA,
            "spec": {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": _pod()},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _METADATA,
            "spec": {"selector": _LABELS, "ports": [port]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": api,
        },
    ]


def _pod() -> Object:
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/metrics-server"],
        "args": [
            f"--secure-port={_PORT}",
            f"--tls-cert-file={_TLS}/tls.crt",
            f"--tls-private-key-file={_TLS}/tls.key",
            f"--kubelet-certificate-authority={_TLS}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-use-node-status-port",
            f"--metric-resolution={RESOLUTION_S}s",
            "--profiling=false",
        ],
        "ports": [{"name": "https", "containerPort": _PORT}],
        "volumeMounts": [{"name": "tls", "mountPath": _TLS, "readOnly": True}],
        "resources": {"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "192Mi"}},
        "readinessProbe": _probe("/readyz", period_s=2, failures=30),
        "livenessProbe": _probe("/livez", period_s=30, failures=3),
        "securityContext": controllers.RESTRICTED,
    }
    return {
        "metadata": {"labels": _LABELS},
        "spec": {
            "serviceAccountName": NAME,
            "priorityClassName": "system-cluster-critical",
            "securityContext": {"fsGroup": 65532},
            "containers": [container],
            "volumes": [{"name": "tls", "secret": {"secretName": NAME, "defaultMode": 0o440}}],
        },
    }


def _probe(path: str, *, period_s: int, failures: int) -> Object:
    request = {"path": path, "port": "https", "scheme": "HTTPS"}
    return {"httpGet": request, "periodSeconds": period_s, "failureThreshold": failures}
