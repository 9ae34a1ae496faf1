"""Whether StorageClasses are there, and make volumes that grow and that the pod's node reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kubernetes.client.exceptions import ApiException

from ops.preflight.demand import FORBIDDEN, Cluster, Demand
from ops.preflight.lines import Line, fail, ok, warn

_API: Final = "/apis/storage.k8s.io/v1"
_CHECK: Final = "volumes"
_ZONE: Final = "topology.kubernetes.io/zone"
_MOVED: Final[Mapping[str, str]] = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
}
"""Provisioner that Kubernetes had itself -> the driver that answers for it."""
_ADD_ONS: Final[Mapping[str, str]] = {"ebs.csi.aws.com": "on EKS the add-on aws-ebs-csi-driver"}
_ELSE: Final = "or set settings.storage.storage_class to a class whose driver is there"


def storage(cluster: Cluster, demand: Demand) -> Iterator[Line]:
    """StorageClasses are there, and what is to be known of their volumes."""
    there = {str(one["metadata"]["name"]): one for one in cluster.objects(f"{_API}/storageclasses")}
    names = ", ".join(sorted(demand.storage_classes)) or "none"
    if missing := sorted(demand.storage_classes - set(there)):
        remedy = f"set settings.storage.storage_class to one of {', '.join(sorted(there))}" if there else "make one"
        yield fail("storage class", f"there is no {', '.join(missing)}", remedy)
    else:
        yield ok("storage class", f"{names} is there")
    used = {name: there[name] for name in sorted(demand.storage_classes & set(there))}
    if used:
        lines = [*_drivers(cluster, used), *_growth(used), *_zones(cluster, used)]
        yield from lines or [
            ok(_CHECK, f"those of {', '.join(used)} have a driver, grow, and are where their pods are")
        ]


def _drivers(cluster: Cluster, classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """The drivers that classes name are there, as far as their provisioners are drivers (CSI) by their name.

    Only of those that clouds bring is it sure that each has an object CSIDriver; others may do without.
    """
    asked_for = {name: _MOVED.get(str(one["provisioner"]), str(one["provisioner"])) for name, one in classes.items()}
    wanted = {name: driver for name, driver in asked_for.items() if "/" not in driver and "csi" in driver.split(".")}
    if not wanted:
        return
    try:
        there = cluster.names(f"{_API}/csidrivers")
    except ApiException as error:
        if error.status != FORBIDDEN:
            raise
        told = ", ".join(sorted(set(wanted.values())))
        yield warn(_CHECK, f"may not list CSIDrivers: whether {told} is there", "look at `kubectl get csidrivers`")
        return
    for name, driver in wanted.items():
        if driver in there:
            continue
        problem = f"{name} makes none: there is no driver {driver}"
        if driver in _MOVED.values():
            yield fail(_CHECK, problem, f"install it ({_ADD_ONS.get(driver, 'your cloud has an add-on')}), {_ELSE}")
        else:
            yield warn(_CHECK, f"{name} may make none: there is no CSIDriver {driver}", f"install it, {_ELSE}")


def _growth(classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    fixed = [name for name, one in classes.items() if not one.get("allowVolumeExpansion")]
    if fixed:
        remedy = "set it where the driver can: sizes are raised later, and never lowered"
        yield warn(_CHECK, f"those of {', '.join(fixed)} stay as large as they are: no allowVolumeExpansion", remedy)


def _zones(cluster: Cluster, classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    at_once = [name for name, one in classes.items() if one.get("volumeBindingMode") != "WaitForFirstConsumer"]
    zones = _of(cluster)
    if at_once and len(zones) > 1:
        yield warn(
            _CHECK,
            f"those of {', '.join(at_once)} get a zone ({', '.join(zones)}) before their pods have a node: a pod may "
            "fit in another one alone",
            "take a class with volumeBindingMode: WaitForFirstConsumer",
        )


def _of(cluster: Cluster) -> Sequence[str]:
    ready, _ = cluster.nodes()
    return sorted({node.labels[_ZONE] for node in ready if _ZONE in node.labels})
