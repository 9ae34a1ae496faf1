"""Certificates of the live platform: what was issued, what each port presents, and renewal on request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from kubernetes import client

from ops.core.context import Context
from ops.core.kube import NAME_LABEL
from ops.maintenance.certificates import GROUP, PLURAL, VERSION, listed

_CALL_S, _HANDSHAKE_S = 15, 5.0
_POSTGRES_PORT, _POSTGRES_ASKS_FOR_TLS = 5432, bytes([0, 0, 0, 8, 4, 210, 22, 47])
_AT_ONCE = 6


@dataclass(frozen=True, order=True)
class Port:
    """A port of a pod, which has another address each time that it is made anew."""

    workload: str
    pod: str
    number: int
    address: str = field(compare=False)


class Certificates:
    """Certificates of workloads in the platform's namespace; the authority's own is not one of them."""

    def __init__(self, context: Context) -> None:
        self._kube = context.kube
        self._core, self._namespace = context.kube.core, context.kube.namespace
        self._api: Any = client.CustomObjectsApi(self._core.api_client)
        self._trust = ssl.create_default_context(cafile=context.ca_file)
        # Pods are asked by their address, for which only few certificates are valid.
        self._trust.check_hostname = False

    def serials(self) -> dict[str, int]:
        """Name of each certificate -> serial number of what its Secret has."""
        serial_numbers = {}
        for certificate in listed(self._kube):
            if not certificate["spec"].get("isCA"):
                pem = self._kube.secret_entry(certificate["spec"]["secretName"], "tls.crt")
                issued = x509.load_pem_x509_certificate(pem.encode())
                serial_numbers[certificate["metadata"]["name"]] = issued.serial_number
        return serial_numbers

    def renew(self, name: str) -> None:
        """Ask for a new certificate now, as cert-manager's own command does: by a condition."""
        where = (GROUP, VERSION, self._namespace, PLURAL, name)
        certificate = self._api.get_namespaced_custom_object_status(*where, _request_timeout=_CALL_S)
        issuing = {
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "asked for by a drill",
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "observedGeneration": certificate["metadata"]["generation"],
        }
        kept = [
            condition
            for condition in certificate["status"].get("conditions", [])
            if condition["type"] != issuing["type"]
        ]
        change = {
            "metadata": {"resourceVersion": certificate["metadata"]["resourceVersion"]},
            "status": {"conditions": [*kept, issuing]},
        }
        self._api.patch_namespaced_custom_object_status(*where, change, _request_timeout=_CALL_S)

    def ports(self) -> list[Port]:
        """Every port that a container of a running pod declares, but of those that are about to end."""
        pods = self._core.list_namespaced_pod(
            self._namespace, field_selector="status.phase=Running", _request_timeout=_CALL_S
        )
        return sorted(
            Port(pod.metadata.labels.get(NAME_LABEL, ""), pod.metadata.name, port, address)
            for pod in pods.items
            if (address := pod.status.pod_ip) and pod.metadata.deletion_timestamp is None
            for port in {
                declared.container_port
                for container in pod.spec.containers
                for declared in container.ports or []
                if declared.protocol == "TCP"
            }
        )

    def presented(self, ports: Iterable[Port]) -> Mapping[Port, int]:
        """Serial number of the certificate that each port presents; without those that present none."""
        port_list = list(ports)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            serials = zip(port_list, pool.map(self._serial, port_list), strict=True)
            return {port: serial for port, serial in serials if serial is not None}

    def _serial(self, port: Port) -> int | None:
        try:
            with socket.create_connection((port.address, port.number), timeout=_HANDSHAKE_S) as plain:
                if port.number == _POSTGRES_PORT:
                    plain.sendall(_POSTGRES_ASKS_FOR_TLS)
                    if plain.recv(1) != b"S":
                        return None
                with self._trust.wrap_socket(plain) as secured:
                    der = secured.getpeercert(binary_form=True)
        except OSError:
            return None
        return None if der is None else x509.load_der_x509_certificate(der).serial_number
