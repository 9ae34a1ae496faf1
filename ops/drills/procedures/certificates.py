"""Every certificate renewed at once on the live platform, under load (K5)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from kubernetes import client

from ops.core.context import Context
from ops.core.kube import NAME_LABEL, call_errors, wait_until
from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.markers import Ticker
from ops.maintenance.certificates import GROUP, PLURAL, VERSION, listed, readers, roll

_CALL_S, _HANDSHAKE_S, _ASKED_S = 15, 5.0, 40.0
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
        """Ask for a new certificate now, as cert-manager's own command does: by a condition.

        Raises:
            OpsError: The cluster does not take it.
        """
        # cert-manager may change it between our reading and writing.
        wait_until(lambda: self._asked_for(name), _ASKED_S, f"the renewal of {name} to be taken")

    def _asked_for(self, name: str) -> bool:
        where = (GROUP, VERSION, self._namespace, PLURAL, name)
        with call_errors(f"cannot read certificate {name}"):
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
        with call_errors(f"cannot write certificate {name}"):
            self._api.patch_namespaced_custom_object_status(*where, change, _request_timeout=_CALL_S)
        return True

    def ports(self) -> list[Port]:
        """Every port that a container of a running pod declares, but of those that are about to end."""
        with call_errors(f"cannot list the pods of {self._namespace}"):
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


SERVERS: Final = frozenset(
    {"gateway", "kafka", "prometheus-primary", "thanos-query", "alertmanager", "search", "postgres"}
)
"""Some of those that must be among what is looked at, so that the look itself is not blind."""
_ISSUED_S, _TAKEN_UP_S, _LOOK_S = 180.0, 450.0, 5.0
"""Collectors look every five minutes, and a kubelet takes up to one and a half to bring a changed Secret."""


def renew_certificates(context: Context, figures: dict[str, Any]) -> list[str]:
    """Renew every certificate at once, and roll what reads its own only at the start."""
    certificates = Certificates(context)
    old = certificates.serials()
    names = {serial: name for name, serial in old.items()}
    shown = certificates.presented(certificates.ports())
    # By workload, since a roll gives a Deployment's pods other names.
    servers = {(port.workload, port.number): names[serial] for port, serial in shown.items() if serial in names}
    figures["certificates"] = len(old)
    figures["ports"] = sum(serial in names for serial in shown.values())
    at_start = {reader.workload for reader in readers(context.kube)}
    figures["read theirs at the start"] = sorted(at_start)
    unseen, late = SERVERS - {workload for workload, _ in servers}, late_pods(context)
    if unseen or late:
        return unmet(
            (not unseen, f"before the drill no certificate was seen of {', '.join(sorted(unseen))}"),
            (not late, f"before the drill these had not read their newest certificate: {', '.join(late)}"),
        )
    start, began = context.kafka.end_offsets(TOPIC), time.time()
    with OtlpLoad(context) as load, Ticker(context, f"{int(began)}", context.thanos) as ticker:
        load.run_for(durations.WARM_UP)
        requested_at = time.time()
        say(f"renewing {len(old)} certificates")
        for name in old:
            certificates.renew(name)
        wait_until(
            lambda: not {name for name, serial in certificates.serials().items() if serial == old[name]},
            _ISSUED_S,
            f"{len(old)} new certificates",
        )
        figures["issued after s"] = round(time.time() - requested_at, 1)
        new = certificates.serials()

        def stale() -> set[Port]:
            there = [port for port in certificates.ports() if (port.workload, port.number) in servers]
            shown = certificates.presented(there)
            return {port for port in there if shown.get(port) != new[servers[port.workload, port.number]]}

        def only_those_at_start() -> bool:
            return {port.workload for port in stale()} <= at_start

        problems = unmet(
            (
                {reader.workload for reader in readers(context.kube) if reader.late} == at_start,
                "not every workload that reads its certificate at the start is named as one to roll",
            )
        )
        try:
            wait_until(only_those_at_start, _TAKEN_UP_S, "renewed certificates to be presented", _LOOK_S)
        finally:
            figures["presented after s"] = round(time.time() - requested_at, 1)
            figures["old ones still presented by"] = sorted({port.workload for port in stale()})
        rolled = time.time()
        figures["rolled"] = roll(context.kube, say)
        figures["rolled after s"] = round(time.time() - rolled, 1)
        late = late_pods(context)
        figures["old ones presented at the end"] = sorted({port.pod for port in stale()})
    figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
    missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
    acknowledged = len(load.ledger.acknowledged)
    figures["acknowledged"], figures["missing"] = acknowledged, len(missing)
    figures["retries"] = load.ledger.retries
    presented = figures["old ones presented at the end"]
    return problems + unmet(
        (not late, f"after the roll these had not read their newest certificate: {', '.join(late)}"),
        (not presented, f"old certificates are still presented by {', '.join(presented)}"),
        (ticker.queries > 0, "nobody asked at the read address"),
        (ticker.failed == [], f"{len(ticker.failed)} of {ticker.queries} queries failed: {ticker.failed[:3]}"),
        (acknowledged > 0, "nothing was acknowledged"),
        (not missing, f"{len(missing)} of {acknowledged} acknowledged points are missing"),
    )


def late_pods(context: Context) -> list[str]:
    """Pods that run with an older certificate than they have."""
    return [reader.pod for reader in readers(context.kube) if reader.late]
