"""Short-lived pods that try to connect, to see what NetworkPolicies admit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ops.core.kube import Kube, wait_until

_SCRIPT = """
import json, socket, sys, threading, time
targets, patience = json.loads(sys.argv[1]), float(sys.argv[2])
found = {}
def attempt(name, host, port):
    end = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host, port), timeout=3).close()
            found[name] = "open"
            return
        except OSError as error:
            found[name] = type(error).__name__
        if time.monotonic() > end:
            return
        time.sleep(1)
threads = [threading.Thread(target=attempt, args=(name, *target)) for name, target in targets.items()]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""


def try_connecting(
    kube: Kube,
    name: str,
    image: str,
    labels: Mapping[str, str],
    targets: Mapping[str, tuple[str, int]],
    patience: float,
) -> dict[str, str]:
    """Run a hardened pod that tries every target for ``patience`` seconds; target -> ``open`` or why not."""
    kube.core.create_namespaced_pod(kube.namespace, _pod(name, image, labels, targets, patience), _request_timeout=15)
    try:
        wait_until(lambda: _phase(kube, name) in ("Succeeded", "Failed"), 60 + 3 * patience, f"pod {name}")
        said = kube.core.read_namespaced_pod_log(name, kube.namespace, _request_timeout=15)
    finally:
        kube.core.delete_namespaced_pod(name, kube.namespace, grace_period_seconds=1, _request_timeout=15)
    outcome: dict[str, str] = json.loads(said.replace("'", '"'))
    return outcome


def access_labels(policies: list[Any]) -> dict[str, str]:
    """Every access label that some NetworkPolicy admits."""
    labels_found: dict[str, str] = {}
    for policy in policies:
        for rule in policy.spec.ingress or []:
            for peer in rule._from or []:
                labels = (peer.pod_selector.match_labels if peer.pod_selector else None) or {}
                labels_found |= {key: value for key, value in labels.items() if key.startswith("obs.access/")}
    return labels_found


def open_egress(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Lets the chosen pods call anybody, so that only the servers' own policies can refuse them."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": dict(labels)}, "policyTypes": ["Egress"], "egress": [{}]},
    }


def _phase(kube: Kube, name: str) -> str:
    return str(kube.core.read_namespaced_pod_status(name, kube.namespace, _request_timeout=15).status.phase)


def _pod(
    name: str, image: str, labels: Mapping[str, str], targets: Mapping[str, tuple[str, int]], patience: float
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/usr/bin/python3", "-c", _SCRIPT, json.dumps(targets), str(patience)],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "500m", "memory": "64Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
