"""What autoscalers of the embedded cluster read: the metrics API and recommended sizes, each an add-on of upstream's.

metrics-server answers autoscalers and ``kubectl top``, with verified TLS both ways: it asks the kubelet, whose
certificate it checks, and the API server checks its. The recommender of Kubernetes' vertical pod autoscaler reads that
API and writes what it recommends into the status of VerticalPodAutoscaler objects. Upstream's programs that change
pods, the updater and the admission controller, are not part of the cluster, nor are their rights.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from lab import LabError
from lab.cluster import controllers, network
from lab.cluster.node import METRICS_SERVER as METRICS_NAME
from lab.paths import LabPaths
from lab.toolchain.recipes import METRICS_SERVER, VERTICAL_AUTOSCALER, VERTICAL_AUTOSCALER_MODULE
from lab.toolchain.tools import module_folder

METRICS_API = "v1beta1.metrics.k8s.io"
METRICS_IMAGE = f"registry.lab.internal/metrics-server/metrics-server:{METRICS_SERVER}"
RESOLUTION_S = 30
"""Twice as long as upstream's: an idle platform should cost little."""
_NAMESPACE = "kube-system"
_METRICS_PORT = 10250
_TLS = "/etc/metrics-server"
_METRICS_LABELS = {"k8s-app": METRICS_NAME}
_METRICS_METADATA = {"name": METRICS_NAME, "namespace": _NAMESPACE}

Object = dict[str, Any]


def apply_metrics_api(paths: LabPaths) -> None:
    """Apply metrics-server, with upstream's rights; safe to repeat.

    Raises:
        LabError: The API server refused, or the node is of an older checkout.
    """
    rights = module_folder("sigs.k8s.io/metrics-server", f"v{METRICS_SERVER}") / "manifests" / "base" / "rbac.yaml"
    pki = paths.state / "pki"
    if not (pki / f"{METRICS_NAME}.crt").exists():
        raise LabError(f"the node, of an older checkout, has no certificate for {METRICS_NAME}: run `make down` first")
    files = {"ca.crt": "ca.crt", "tls.crt": f"{METRICS_NAME}.crt", "tls.key": f"{METRICS_NAME}.key"}
    secret = {name: (pki / file).read_bytes() for name, file in files.items()}
    controllers.apply_to(paths.kubeconfig, network.enter(paths.netns), [rights], metrics_api_objects(secret))


def metrics_api_objects(files: dict[str, bytes]) -> list[Object]:
    """Everything of metrics-server but its rights.

    Args:
        files: ``ca.crt``, ``tls.crt`` and ``tls.key`` of its certificate.
    """
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    api = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": METRICS_NAME, "namespace": _NAMESPACE},
        "caBundle": encoded["ca.crt"],
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    port = {"name": "https", "port": 443, "targetPort": "https", "appProtocol": "https"}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": _METRICS_METADATA, "data": encoded},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _METRICS_METADATA,
            "spec": {"replicas": 1, "selector": {"matchLabels": _METRICS_LABELS}, "template": _metrics_pod()},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _METRICS_METADATA,
            "spec": {"selector": _METRICS_LABELS, "ports": [port]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": METRICS_API},
            "spec": api,
        },
    ]


def _metrics_pod() -> Object:
    container = {
        "name": METRICS_NAME,
        "image": METRICS_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/metrics-server"],
        "args": [
            f"--secure-port={_METRICS_PORT}",
            f"--tls-cert-file={_TLS}/tls.crt",
            f"--tls-private-key-file={_TLS}/tls.key",
            f"--kubelet-certificate-authority={_TLS}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-use-node-status-port",
            f"--metric-resolution={RESOLUTION_S}s",
            "--profiling=false",
        ],
        "ports": [{"name": "https", "containerPort": _METRICS_PORT}],
        "volumeMounts": [{"name": "tls", "mountPath": _TLS, "readOnly": True}],
        "resources": {"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "192Mi"}},
        "readinessProbe": _probe("/readyz", period_s=2, failures=30),
        "livenessProbe": _probe("/livez", period_s=30, failures=3),
        "securityContext": controllers.RESTRICTED,
    }
    return {
        "metadata": {"labels": _METRICS_LABELS},
        "spec": {
            "serviceAccountName": METRICS_NAME,
            "priorityClassName": "system-cluster-critical",
            "securityContext": {"fsGroup": 65532},
            "containers": [container],
            "volumes": [{"name": "tls", "secret": {"secretName": METRICS_NAME, "defaultMode": 0o440}}],
        },
    }


def _probe(path: str, *, period_s: int, failures: int) -> Object:
    request = {"path": path, "port": "https", "scheme": "HTTPS"}
    return {"httpGet": request, "periodSeconds": period_s, "failureThreshold": failures}


RECOMMENDER = "vpa-recommender"
RECOMMENDER_IMAGE = f"registry.lab.internal/autoscaling/vpa-recommender:{VERTICAL_AUTOSCALER}"
RECOMMENDER_DEFINITIONS = (
    "verticalpodautoscalers.autoscaling.k8s.io",
    "verticalpodautoscalercheckpoints.autoscaling.k8s.io",
)
"""Names of the resource definitions."""
RECOMMENDER_INTERVAL_S = 120
"""Twice as long as upstream's: at each look every object and every checkpoint is written."""
_RECOMMENDER_PORT = 8942
_MIB = 2**20
_RECOMMENDER_LABELS = {"k8s-app": RECOMMENDER}
_RECOMMENDER_METADATA = {"name": RECOMMENDER, "namespace": _NAMESPACE}


def apply_recommender(paths: LabPaths) -> None:
    """Apply the recommender, with upstream's resource definitions; safe to repeat.

    Raises:
        LabError: The API server refused.
    """
    upstream = module_folder(VERTICAL_AUTOSCALER_MODULE, f"v{VERTICAL_AUTOSCALER}") / "deploy"
    items = [*recommender_rights(upstream / "vpa-rbac.yaml"), recommender_deployment()]
    controllers.apply_to(paths.kubeconfig, network.enter(paths.netns), [upstream / "vpa-v1-crd-gen.yaml"], items)


def recommender_rights(manifest: Path) -> list[Object]:
    """The recommender's account, roles and bindings, of those of all programs of the autoscaler.

    Args:
        manifest: Upstream's file.
    """
    documents = [document for document in yaml.safe_load_all(manifest.read_text(encoding="utf-8")) if document]
    bindings = []
    for document in documents:
        subjects = [subject for subject in document.get("subjects", ()) if subject["name"] == RECOMMENDER]
        if subjects:
            bindings.append({**document, "subjects": subjects})
    used = {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}
    used.add(("ServiceAccount", RECOMMENDER))
    return [*(item for item in documents if (item["kind"], item["metadata"]["name"]) in used), *bindings]


def recommender_deployment() -> Object:
    """The recommender. Its history is in memory and, for a restart, in checkpoint objects."""
    probe = {"path": "/health-check", "port": "metrics"}
    container = {
        "name": RECOMMENDER,
        "image": RECOMMENDER_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/recommender"],
        "args": [
            f"--address=:{_RECOMMENDER_PORT}",
            f"--recommender-interval={RECOMMENDER_INTERVAL_S}s",
            "--memory-saver=true",
            # Upstream recommends no pod less than 25 millicores and 250 MiB: more than most pods of the lab use.
            "--pod-recommendation-min-cpu-millicores=1",
            "--pod-recommendation-min-memory-mb=1",
            f"--round-memory-bytes={_MIB}",
            "--update-worker-count=2",
            "--v=1",
        ],
        "ports": [{"name": "metrics", "containerPort": _RECOMMENDER_PORT}],
        "resources": {"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "192Mi"}},
        "readinessProbe": {"httpGet": probe, "periodSeconds": 2, "failureThreshold": 30},
        "livenessProbe": {"httpGet": probe, "periodSeconds": 30, "failureThreshold": 3},
        "securityContext": controllers.RESTRICTED,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _RECOMMENDER_METADATA,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _RECOMMENDER_LABELS},
            "template": {
                "metadata": {"labels": _RECOMMENDER_LABELS},
                "spec": {"serviceAccountName": RECOMMENDER, "containers": [container]},
            },
        },
    }
