"""Kubernetes objects of the simulator as data: its own namespace, as a client of the platform would have it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from components.telemetry.layers import LAYER_NAMES

NAMESPACE = "obs-devices"
NAME = "simulator"
IMAGE = "registry.lab.internal/obs/services:1"
OTLP_HTTP_PORT, OTLP_GRPC_PORT = 4318, 4317
_UID = 65532
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "obs-lab"}
_CONFIG, _FAULTS, _CREDENTIALS, _RUN = (
    "/etc/simulator",
    "/etc/simulator-faults",
    "/etc/simulator-credentials",
    "/run/simulator",
)


def objects(
    outputs: Mapping[str, Any], *, devices: int, faults: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """All objects, in the order in which they are to be applied.

    Args:
        outputs: The stack's outputs: ``namespace``, ``ca_certificate``, ``otlp_credentials``.
        devices: Number of devices.
        faults: Fault plan, as in ``lab/simulator/faults.py``.

    Raises:
        KeyError: An output is missing.
    """
    platform = str(outputs["namespace"])
    credentials = {layer: str(outputs["otlp_credentials"][layer]["password"]) for layer in LAYER_NAMES}
    config = {"config.yaml": _dump(configuration(platform, devices)), "ca.crt": str(outputs["ca_certificate"])}
    checksum = hashlib.sha256(json.dumps([config, credentials], sort_keys=True).encode()).hexdigest()[:16]
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {
                    "obs.access/otlp": "true",
                    **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
                },
            },
        },
        *(_policy(name, spec) for name, spec in _policies(platform).items()),
        _object("v1", "ServiceAccount", NAME, automountServiceAccountToken=False),
        _object("v1", "Secret", f"{NAME}-credentials", type="Opaque", data=_encoded(credentials)),
        _object("v1", "ConfigMap", NAME, data=config),
        fault_plan(faults),
        _object("apps/v1", "Deployment", NAME, spec=_deployment(checksum)),
    ]


def configuration(platform: str, devices: int) -> dict[str, Any]:
    """The simulator's own configuration inside the cluster."""
    return {
        "endpoint": f"https://gateway.{platform}.svc.cluster.local:{OTLP_HTTP_PORT}",
        "protocol": "http/protobuf",
        "ca_file": f"{_CONFIG}/ca.crt",
        "credentials_dir": _CREDENTIALS,
        "devices": devices,
        "environment": platform,
        "faults_file": f"{_FAULTS}/faults.yaml",
        "ready_file": f"{_RUN}/ready",
    }


def fault_plan(faults: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """ConfigMap with the fault plan; the kubelet brings a change into the pod within about a minute."""
    return _object("v1", "ConfigMap", f"{NAME}-faults", data={"faults.yaml": _dump({"faults": [*map(dict, faults)]})})


def _encoded(values: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def _dump(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False)


def _object(api_version: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(_LABELS)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def _policy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _object("networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


def _policies(platform: str) -> dict[str, dict[str, Any]]:
    def namespace(name: str) -> dict[str, Any]:
        return {"matchLabels": {"kubernetes.io/metadata.name": name}}

    dns = {
        "to": [
            {"namespaceSelector": namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
        ],
        "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
    }
    gateway = {
        "to": [
            {
                "namespaceSelector": namespace(platform),
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}},
            }
        ],
        "ports": [{"port": port, "protocol": "TCP"} for port in (OTLP_GRPC_PORT, OTLP_HTTP_PORT)],
    }
    return {
        "default-deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        NAME: {"podSelector": {"matchLabels": dict(_LABELS)}, "policyTypes": ["Egress"], "egress": [dns, gateway]},
    }


def _deployment(checksum: str) -> dict[str, Any]:
    volumes: dict[str, dict[str, Any]] = {
        "config": {"configMap": {"name": NAME}},
        "faults": {"configMap": {"name": f"{NAME}-faults"}},
        "credentials": {"secret": {"secretName": f"{NAME}-credentials", "defaultMode": 0o440}},
        "run": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    }
    paths = {"config": _CONFIG, "faults": _FAULTS, "credentials": _CREDENTIALS, "run": _RUN}
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-m", "lab.simulator", "--config", f"{_CONFIG}/config.yaml"],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "resources": {
            "requests": {"cpu": "25m", "memory": "96Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "readinessProbe": {
            "exec": {"command": ["/usr/bin/test", "-f", f"{_RUN}/ready"]},
            "periodSeconds": 3,
            "failureThreshold": 3,
            "timeoutSeconds": 5,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": name, "mountPath": path, "readOnly": name != "run"} for name, path in paths.items()],
    }
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": dict(_LABELS)},
        "template": {
            "metadata": {"labels": dict(_LABELS), "annotations": {"obs.lab/config": checksum}},
            "spec": {
                "serviceAccountName": NAME,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 20,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _UID,
                    "runAsGroup": _UID,
                    "fsGroup": _UID,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": [{"name": name, **volume} for name, volume in volumes.items()],
            },
        },
    }
