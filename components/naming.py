"""Labels, DNS names and sizes, as Kubernetes writes them. Every object of the platform gets its labels and names from
here.
"""

from __future__ import annotations

import re
from typing import Final

PART_OF = "obs"
METRICS_ACCESS = "obs.access/metrics"
"""Pods with this label may scrape the ``metrics`` port of every workload."""
OTLP_ACCESS = "obs.access/otlp"
"""Namespaces with this label may send OTLP to the gateway."""
METRICS_PORT = "metrics"
"""Name of the port that every workload offers its own metrics on."""


def selector(workload: str) -> dict[str, str]:
    """Labels that select the pods of a workload; they never change, and carry no version."""
    return {"app.kubernetes.io/name": workload, "app.kubernetes.io/part-of": PART_OF}


def labels(workload: str) -> dict[str, str]:
    """Labels of every object that belongs to a workload."""
    return {**selector(workload), "app.kubernetes.io/managed-by": "pulumi"}


def access_label(server: str) -> str:
    """Label that a client pod carries to be let in by a server's NetworkPolicy."""
    return f"obs.access/{server}"


def headless(workload: str) -> str:
    """Name of the headless Service of a workload."""
    return f"{workload}-headless"


def service_host(service: str, namespace: str, cluster_domain: str) -> str:
    """DNS name of a Service."""
    return f"{service}.{namespace}.svc.{cluster_domain}"


def pod_host(workload: str, index: int, namespace: str, cluster_domain: str) -> str:
    """Stable DNS name of a StatefulSet's pod."""
    return f"{workload}-{index}.{service_host(headless(workload), namespace, cluster_domain)}"


def scrape_user(workload: str) -> str:
    """User that may read the metrics of one workload, and of no other."""
    return f"scrape-{workload}"


_UNITS: Final = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"))
_SIZE: Final = re.compile(r"(\d+)([MGT][iB])")
_BYTES: Final = {name.replace("i", letter): unit for unit, name in _UNITS for letter in "iB"}


def size_text(size: float) -> str:
    """Bytes in the unit of Kubernetes' sizes, rounded up: ``2.3Ti``."""
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (_UNITS[-1]))
    tenths = -(-size * 10 // unit) / 10
    return f"{tenths:g}{name}"


def size_of(text: str) -> int:
    """Bytes of a size such as ``500Mi`` or ``350GB``, which Prometheus reads in powers of 1024 as well.

    Raises:
        ValueError: It is not a whole number of Mi, Gi or Ti.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"size is {text!r}, must be a whole number with Mi, Gi or Ti, for example 4Gi")
    return int(match[1]) * _BYTES[match[2]]


def heap_limit(memory_limit: str) -> dict[str, str]:
    """Environment of a Go program that collects garbage more often as it comes near the memory limit of its container.

    Raises:
        ValueError: As `size_of`.
    """
    return {"GOMEMLIMIT": f"{size_of(memory_limit) * 8 // 10 // 2**20}MiB"}
