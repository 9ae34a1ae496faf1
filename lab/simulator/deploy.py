"""Puts the simulator on the embedded cluster: ``python -m lab.simulator.deploy {apply|remove|faults FILE}``.

The API server listens inside the lab's network namespace only, so `deploy` and `remove` run this module there; the
stack's outputs, which hold passwords, and the pull secret go through its standard input.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.telemetry.layers import LAYER_NAMES
from lab import LabError
from lab.cluster.network import enter
from lab.paths import CHECKOUT
from lab.simulator.config import FAULT_KINDS, SimulatorError, parse_document

NAMESPACE = "obs-devices"
NAME = "simulator"
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
    outputs: Mapping[str, Any],
    image: str,
    pull_secret: Mapping[str, Any],
    *,
    devices: int,
    faults: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """All objects, in the order in which they are to be applied.

    Args:
        outputs: The stack's outputs: ``namespace``, ``ca_certificate``, ``otlp_credentials``.
        image: Full reference of the simulator's image.
        pull_secret: Secret of `NAMESPACE` with which the image is pulled.
        devices: Number of devices.
        faults: Fault plan, as in ``lab/simulator/config.py``.

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
        dict(pull_secret),
        _object("v1", "ServiceAccount", NAME, automountServiceAccountToken=False),
        _object("v1", "Secret", f"{NAME}-credentials", type="Opaque", data=_encoded(credentials)),
        _object("v1", "ConfigMap", NAME, data=config),
        fault_plan(faults),
        _object("apps/v1", "Deployment", NAME, spec=_deployment(checksum, image, str(pull_secret["metadata"]["name"]))),
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


def _deployment(checksum: str, image: str, pull_secret: str) -> dict[str, Any]:
    volumes: dict[str, dict[str, Any]] = {
        "config": {"configMap": {"name": NAME}},
        "faults": {"configMap": {"name": f"{NAME}-faults"}},
        "credentials": {"secret": {"secretName": f"{NAME}-credentials", "defaultMode": 0o440}},
        "run": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    }
    paths = {"config": _CONFIG, "faults": _FAULTS, "credentials": _CREDENTIALS, "run": _RUN}
    ready = ["/usr/bin/test", "-f", f"{_RUN}/ready"]
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-m", "lab.simulator", "--config", f"{_CONFIG}/config.yaml"],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "resources": {
            "requests": {"cpu": "25m", "memory": "96Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        # Each run of a command in a container costs a few hundredths of a second of processor: often while it starts.
        "startupProbe": {"exec": {"command": ready}, "periodSeconds": 2, "failureThreshold": 1800, "timeoutSeconds": 5},
        "readinessProbe": {"exec": {"command": ready}, "periodSeconds": 15, "failureThreshold": 3, "timeoutSeconds": 5},
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
                "imagePullSecrets": [{"name": pull_secret}],
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


READY_LIMIT_S = 90.0
_CALL_LIMIT_S = 15
_FIELD_MANAGER = "obs-lab-simulator"
_DEVICES = 36


def deploy(
    outputs: Mapping[str, Any],
    image: str,
    pull_secret: Mapping[str, Any],
    kubeconfig: str,
    netns: str,
    *,
    devices: int = _DEVICES,
) -> None:
    """Apply the simulator from outside the lab's network namespace and wait until it is Ready.

    Args:
        outputs: Stack outputs with secrets in clear.
        image: Full reference of the simulator's image.
        pull_secret: Secret of `NAMESPACE` with which the image is pulled.
        kubeconfig: Path of the administrator's kubeconfig.
        netns: Name of the lab's network namespace.
        devices: Number of simulated devices.

    Raises:
        LabError: An output is missing, the API server refused, or the pod did not become Ready.
    """
    given = json.dumps({"outputs": dict(outputs), "image": image, "pull_secret": dict(pull_secret)})
    _inside(netns, ["apply", "--devices", str(devices)], kubeconfig, given)


def remove(kubeconfig: str, netns: str) -> None:
    """Remove the simulator's namespace and wait until it is gone.

    Raises:
        LabError: The API server refused, or the namespace is still there after the limit.
    """
    _inside(netns, ["remove"], kubeconfig, "")


def _inside(netns: str, arguments: list[str], kubeconfig: str, text: str) -> None:
    command = [*enter(netns), sys.executable, "-m", "lab.simulator.deploy", "--kubeconfig", kubeconfig, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    try:
        done = subprocess.run(
            command,
            check=False,
            input=text,
            capture_output=True,
            text=True,
            timeout=2 * READY_LIMIT_S,
            env=environment,
            cwd=CHECKOUT,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"simulator: {arguments[0]} took over {2 * READY_LIMIT_S:.0f} s and was ended") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise LabError(f"simulator: {lines[-1].removeprefix('error: ')}")


class Cluster:
    """The few calls to the API server that are needed, each with a time limit."""

    def __init__(self, kubeconfig: str) -> None:
        from kubernetes import client, config, dynamic

        untyped_config: Any = config
        untyped_dynamic: Any = dynamic
        api = untyped_config.new_client_from_config(config_file=kubeconfig)
        self._core: Any = client.CoreV1Api(api)
        self._apps: Any = client.AppsV1Api(api)
        self._dynamic: Any = untyped_dynamic.DynamicClient(api)

    def apply(self, body: dict[str, Any]) -> None:
        """Server-side apply one object."""
        resource = self._dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])
        self._dynamic.server_side_apply(
            resource,
            body=body,
            name=body["metadata"]["name"],
            namespace=body["metadata"].get("namespace"),
            field_manager=_FIELD_MANAGER,
            force_conflicts=True,
            _request_timeout=_CALL_LIMIT_S,
        )

    def wait_ready(self, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until the Deployment's pod runs the newest template and the gateway takes its telemetry.

        Raises:
            LabError: Not within the limit; the message says what the pod waits for.
        """
        deadline = time.monotonic() + limit_s
        while True:
            deployment = self._apps.read_namespaced_deployment(NAME, NAMESPACE, _request_timeout=_CALL_LIMIT_S)
            status = deployment.status
            if (
                status.observed_generation == deployment.metadata.generation
                and status.updated_replicas == status.available_replicas == status.replicas == 1
            ):
                return
            if time.monotonic() > deadline:
                raise LabError(f"pod of {NAME} is not Ready after {limit_s:.0f} s: {self._why()}")
            time.sleep(1)

    def remove(self, limit_s: float = READY_LIMIT_S) -> None:
        """Delete the namespace and wait until it is gone.

        Raises:
            LabError: It is still there after the limit.
        """
        from kubernetes.client.exceptions import ApiException

        deadline = time.monotonic() + limit_s
        while True:
            try:
                self._core.delete_namespace(NAMESPACE, _request_timeout=_CALL_LIMIT_S)
            except ApiException as error:
                if error.status == 404:
                    return
                if error.status != 409:
                    raise
            if time.monotonic() > deadline:
                raise LabError(f"namespace {NAMESPACE} is still there after {limit_s:.0f} s")
            time.sleep(1)

    def nudge(self) -> None:
        """Make the kubelet look at the pod now; else a changed ConfigMap is in the pod up to a minute later."""
        stamp = {"metadata": {"annotations": {"obs-lab/looked-at": f"{time.time():.3f}"}}}
        for pod in self._core.list_namespaced_pod(NAMESPACE, _request_timeout=_CALL_LIMIT_S).items:
            self._core.patch_namespaced_pod(pod.metadata.name, NAMESPACE, stamp, _request_timeout=_CALL_LIMIT_S)

    def _why(self) -> str:
        pods = self._core.list_namespaced_pod(NAMESPACE, _request_timeout=_CALL_LIMIT_S).items
        if not pods:
            return "no pod was created; see `kubectl -n obs-devices describe replicaset`"
        pod = pods[-1]
        for status in pod.status.container_statuses or ():
            if status.state.waiting is not None:
                return f"{status.state.waiting.reason}: {status.state.waiting.message or ''}".strip(": ")
            if status.state.running is not None:
                log = self._core.read_namespaced_pod_log(
                    pod.metadata.name, NAMESPACE, tail_lines=1, _request_timeout=_CALL_LIMIT_S
                )
                return f"it runs, but the gateway does not take its telemetry; last line: {log.strip()}"
        return f"phase {pod.status.phase}"


def apply(
    outputs: Mapping[str, Any],
    image: str,
    pull_secret: Mapping[str, Any],
    cluster: Cluster,
    *,
    devices: int = _DEVICES,
) -> None:
    """Apply every object and wait until the pod is Ready.

    Raises:
        LabError: An output is missing, or the pod did not become Ready.
    """
    try:
        bodies = objects(outputs, image, pull_secret, devices=devices)
    except (KeyError, TypeError) as error:
        raise LabError(f"the outputs of the local stack lack {error}: run `make up` first") from error
    for body in bodies:
        cluster.apply(body)
    cluster.wait_ready()


def set_faults(cluster: Cluster, file: Path) -> None:
    """Replace the fault plan of the running simulator.

    Raises:
        LabError: The file cannot be read, or a fault in it is wrong.
    """
    try:
        faults = parse_document(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}") from error
    except SimulatorError as error:
        raise LabError(str(error)) from error
    cluster.apply(fault_plan([_as_entry(fault.__dict__) for fault in faults]))
    cluster.nudge()


def _as_entry(fault: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fault.items() if key != "targets" or FAULT_KINDS[fault["kind"]].devices}


def main(arguments: list[str] | None = None) -> int:
    """Run one command inside the lab's network namespace; 1 and one line when it failed."""
    import urllib3.exceptions
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException

    parser = argparse.ArgumentParser(prog="lab.simulator.deploy")
    parser.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG", ""))
    commands = parser.add_subparsers(dest="command", required=True)
    applying = commands.add_parser("apply", help="outputs, image and its pull secret (JSON) on standard input")
    applying.add_argument("--devices", type=int, default=_DEVICES)
    commands.add_parser("remove", help="remove the simulator")
    commands.add_parser("faults", help="replace the fault plan").add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    try:
        cluster = Cluster(given.kubeconfig)
        if given.command == "apply":
            text = json.load(sys.stdin)
            apply(text["outputs"], text["image"], text["pull_secret"], cluster, devices=given.devices)
        elif given.command == "faults":
            set_faults(cluster, given.file)
        else:
            cluster.remove()
    except LabError as error:
        return _fail(str(error))
    except ApiException as error:
        return _fail(f"API server answered {error.status} {error.reason}: {_message(error.body)}")
    except (urllib3.exceptions.HTTPError, ConfigException) as error:
        return _fail(f"cannot reach the cluster of {given.kubeconfig!r}: {error}")
    return 0


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(body)


def _fail(text: str) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
