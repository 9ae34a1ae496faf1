"""Labels and DNS names. Every object of the platform gets them from here."""

from __future__ import annotations

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
