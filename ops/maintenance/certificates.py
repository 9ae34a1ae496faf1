"""``ops certificates``: who still shows a certificate that was renewed since it was read, and a roll of those (K5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Annotated, Any

import typer
from kubernetes import client
from rich.console import Console
from rich.text import Text

from components.k8s.workload import AT_START, CERTIFICATE_READ
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kube import DEPLOYMENT, NAME_LABEL, STATEFUL_SET, Kube, call_errors, wait_until
from ops.core.terminal import Table

MOUNTED_S = 150.0
"""The longest that a kubelet takes to bring a changed Secret into a pod that runs."""
ROLL_LIMIT_S = 900.0
_LOOK_S = 3.0
_CALL_S = 15
GROUP, VERSION, PLURAL = "cert-manager.io", "v1", "certificates"
"""Where Kubernetes has certificates."""
_OWNERS = {"StatefulSet": STATEFUL_SET, "ReplicaSet": DEPLOYMENT}


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A pod whose process reads its certificate only when it starts.

    Attributes:
        pod: Its name.
        workload: The workload that it belongs to.
        kind: Kind of that.
        certificate: Name of the certificate.
        created: When the pod was made, and with it the files in it.
        read: When the first of its containers started that run now.
        issued: When the certificate was issued that the Secret holds.
        renewed: Whether there was one before: a pod without any waits for the first.
        ends: When that one ends.
    """

    pod: str
    workload: str
    kind: str
    certificate: str
    created: datetime
    read: datetime
    issued: datetime
    renewed: bool
    ends: datetime

    @property
    def late(self) -> bool:
        """Whether it may show an older one: it read before the renewal, or before the kubelet brought the new one."""
        waited = self.created >= self.issued or not self.renewed
        mounted = timedelta(0) if waited else timedelta(seconds=MOUNTED_S)
        return self.read < self.issued + mounted


def readers(kube: Kube) -> list[Reader]:
    """Every such pod of the platform, by workload and name.

    Certificates of an issuer that dates them back are taken for that much older.

    Raises:
        OpsError: The cluster does not answer, or a certificate is missing or was never issued.
    """
    issued = _issued(kube)
    with call_errors("cannot list pods"):
        pods = kube.core.list_namespaced_pod(kube.namespace, _request_timeout=_CALL_S)
    readers = [
        _reader(item, issued)
        for item in pods.items
        if (item.metadata.annotations or {}).get(CERTIFICATE_READ) == AT_START
        and item.status.phase == "Running"
        and item.metadata.deletion_timestamp is None
    ]
    return sorted(readers, key=lambda reader: (reader.workload, reader.pod))


def roll(kube: Kube, tell: Callable[[str], None]) -> list[str]:
    """Roll the workloads that have late pods, one after the other, each pod by pod.

    Returns:
        Workloads that were rolled.

    Raises:
        OpsError: A workload is not whole, so that a roll would take another pod away, or does not become so again.
    """
    rolled: list[str] = []
    for name, kind in sorted({(reader.workload, reader.kind) for reader in readers(kube) if reader.late}):
        if not kube.rolled(name, kind):
            done = ", ".join(rolled) or "none"
            raise OpsError(f"{name} is not whole: bring all of its pods back first, then repeat; rolled so far: {done}")
        tell(f"rolling {name}, up to {ROLL_LIMIT_S / 60:.0f} min")
        kube.restart(name, datetime.now(UTC).isoformat(), kind)
        took = wait_until(partial(kube.rolled, name, kind), ROLL_LIMIT_S, f"{name} to be rolled", _LOOK_S)
        tell(f"{name} rolled in {took:.0f} s")
        rolled.append(name)
    return rolled


def certificates(
    roll_late: Annotated[
        bool, typer.Option("--roll", help="Roll the workloads that show an old one, one after the other.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print lines for machines.")] = False,
) -> None:
    """Show who still has a certificate that was renewed since (exit code 1), of those that read it at the start."""
    platform = platform_module.load()
    console = Console(stderr=True)
    kube = Kube.of(platform)
    try:
        rolled = roll(kube, lambda line: console.print(line, highlight=False)) if roll_late else []
        pod_readers = readers(kube)
    finally:
        kube.close()
    if as_json:
        typer.echo(_as_json(pod_readers, rolled))
    else:
        Console().print(_table(pod_readers))
    if any(reader.late for reader in pod_readers):
        raise typer.Exit(1)


def _as_json(readers: Iterable[Reader], rolled: list[str]) -> str:
    rows = [
        {
            "pod": reader.pod,
            "workload": reader.workload,
            "certificate": reader.certificate,
            "read": reader.read.isoformat(),
            "issued": reader.issued.isoformat(),
            "ends": reader.ends.isoformat(),
            "late": reader.late,
        }
        for reader in readers
    ]
    return json.dumps({"readers": rows, "rolled": rolled}, indent=2)


def _table(readers: Iterable[Reader]) -> Table:
    """A row per workload, since pods of one have one certificate."""
    table = Table("workload", "issued (UTC)", "read from", "state")
    for workload, pods in groupby(readers, key=lambda reader: reader.workload):
        own = list(pods)
        late = sum(reader.late for reader in own)
        moments = (f"{moment:%m-%d %H:%M:%S}" for moment in (own[0].issued, min(reader.read for reader in own)))
        state = Text(f"{late} of {len(own)} old", "bold red") if late else Text(f"{len(own)} newest", "green")
        table.add_row(workload, *moments, state)
    return table


def listed(kube: Kube) -> list[Any]:
    """The platform's certificates as Kubernetes has them, the authority's own too.

    Raises:
        OpsError: The cluster does not answer.
    """
    api: Any = client.CustomObjectsApi(kube.core.api_client)
    with call_errors("cannot list certificates"):
        listing = api.list_namespaced_custom_object(GROUP, VERSION, kube.namespace, PLURAL, _request_timeout=_CALL_S)
    return list(listing["items"])


@dataclass(frozen=True, kw_only=True)
class _Certificate:
    name: str
    issued: datetime
    renewed: bool
    ends: datetime


def _issued(kube: Kube) -> dict[str, _Certificate]:
    """Secret -> its certificate."""
    certificates_by_secret = {}
    for certificate in listed(kube):
        status = certificate.get("status", {})
        if "notBefore" in status:
            begins, ends = (datetime.fromisoformat(status[key]) for key in ("notBefore", "notAfter"))
            certificates_by_secret[certificate["spec"]["secretName"]] = _Certificate(
                name=certificate["metadata"]["name"], issued=begins, renewed=status.get("revision") != 1, ends=ends
            )
    return certificates_by_secret


def _reader(item: Any, issued: dict[str, _Certificate]) -> Reader:
    name = item.metadata.name
    secrets = [volume.secret.secret_name for volume in item.spec.volumes if volume.secret]
    certificate = next((issued[secret] for secret in secrets if secret in issued), None)
    if certificate is None:
        raise OpsError(f"{name} has no certificate that was issued: `kubectl describe certificate` says why")
    owner = item.metadata.owner_references[0].kind
    started = [
        container_status.state.running.started_at
        for container_status in item.status.container_statuses or []
        if container_status.state.running
    ]
    return Reader(
        pod=name,
        workload=item.metadata.labels[NAME_LABEL],
        kind=_OWNERS[owner],
        certificate=certificate.name,
        created=item.metadata.creation_timestamp,
        read=min(started, default=item.metadata.creation_timestamp),
        issued=certificate.issued,
        renewed=certificate.renewed,
        ends=certificate.ends,
    )
