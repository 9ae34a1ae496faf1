"""Recommended sizes of containers: the recommender of Kubernetes' vertical pod autoscaler as an add-on.

It reads the metrics API and writes what it recommends into the status of VerticalPodAutoscaler objects. Upstream's
programs that change pods, the updater and the admission controller, are not part of the cluster, nor are their rights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab.cluster import controllers, network
from lab.paths import LabPaths
from lab.toolchain.recipes import VERTICAL_AUTOSCALER, VERTICAL_AUTOSCALER_MODULE
from lab.toolchain.tools import module_folder

NAME = "vpa-recommender"
IMAGE = f"registry.lab.internal/autoscaling/vpa-recommender:{VERTICAL_AUTOSCALER}"
DEFINITIONS = ("verticalpodautoscalers.autoscaling.k8s.io", "verticalpodautoscalercheckpoints.autoscaling.k8s.io")
"""Names of the resource definitions."""
INTERVAL_S = 120
"""Twice as long as upstream's: at each look every object and every checkpoint is written."""
_PORT = 8942
_MIB = 2**20
_LABELS = {"k8s-app": NAME}
_METADATA = {"name": NAME, "namespace": "kube-system"}

Object = dict[str, Any]


def apply(paths: LabPaths) -> None:
    """Apply it, with upstream's resource definitions; safe to repeat.

    Raises:
        LabError: The API server refused.
    """
    upstream = module_folder(VERTICAL_AUTOSCALER_MODULE, f"v{VERTICAL_AUTOSCALER}") / "deploy"
    items = [*rights(upstream / "vpa-rbac.yaml"), deployment()]
    controllers.apply_to(paths.kubeconfig, network.enter(paths.netns), [upstream / "vpa-v1-crd-gen.yaml"], items)


def rights(manifest: Path) -> list[Object]:
    """The recommender's account, roles and bindings, of those of all programs of the autoscaler.

    Args:
        manifest: Upstream's file.
    """
    documents = [document for document in yaml.safe_load_all(manifest.read_text(encoding="utf-8")) if document]
    bindings = []
    for document in documents:
        subjects = [subject for subject in document.get("subjects", ()) if subject["name"] == NAME]
        if subjects:
            bindings.append({**document, "subjects": subjects})
    used = {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}
    used.add(("ServiceAccount", NAME))
    return [*(item for item in documents if (item["kind"], item["metadata"]["name"]) in used), *bindings]


def deployment() -> Object:
    """The program. Its history is in memory and, for a restart, in checkpoint objects."""
    probe = {"path": "/health-check", "port": "metrics"}
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/recommender"],
        "args": [
            f"--address=:{_PORT}",
            f"--recommender-interval={INTERVAL_S}s",
            "--memory-saver=true",
            # Upstream recommends no pod less than 25 millicores and 250 MiB: more than most pods of the lab use.
            "--pod-recommendation-min-cpu-millicores=1",
            "--pod-recommendation-min-memory-mb=1",
            f"--round-memory-bytes={_MIB}",
            "--update-worker-count=2",
            "--v=1",
        ],
        "ports": [{"name": "metrics", "containerPort": _PORT}],
        "resources": {"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "192Mi"}},
        "readinessProbe": {"httpGet": probe, "periodSeconds": 2, "failureThreshold": 30},
        "livenessProbe": {"httpGet": probe, "periodSeconds": 30, "failureThreshold": 3},
        "securityContext": controllers.RESTRICTED,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _METADATA,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {"serviceAccountName": NAME, "containers": [container]},
            },
        },
    }
