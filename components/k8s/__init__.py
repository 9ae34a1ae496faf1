"""Hardened Kubernetes building blocks without business meaning."""

from components.k8s.certificates import SecretKey, certificate
from components.k8s.daemon import daemon_set, node_service
from components.k8s.deployment_context import CertificatePolicy, DeploymentContext
from components.k8s.files import FileSet, checksum, config_files, secret_files
from components.k8s.jobs import MISTAKE, TRUST_MOUNT, Schedule, cron_job
from components.k8s.network import (
    Allow,
    default_deny,
    namespaces_with,
    network,
    network_policy,
    to_storage,
    with_access,
    workload_pods,
)
from components.k8s.passwords import credential, scrape_target
from components.k8s.pods import TLS_MOUNT, UID, Container, Mount, Probe, Resources, Volume
from components.k8s.services import cluster_service, headless_service, load_balancer
from components.k8s.workload import Autoscale, StorageClaim, Workload, deployment, stateful_set

__all__ = [
    "MISTAKE",
    "TLS_MOUNT",
    "TRUST_MOUNT",
    "UID",
    "Allow",
    "Autoscale",
    "CertificatePolicy",
    "Container",
    "DeploymentContext",
    "FileSet",
    "Mount",
    "Probe",
    "Resources",
    "Schedule",
    "SecretKey",
    "StorageClaim",
    "Volume",
    "Workload",
    "certificate",
    "checksum",
    "cluster_service",
    "config_files",
    "credential",
    "cron_job",
    "daemon_set",
    "default_deny",
    "deployment",
    "headless_service",
    "load_balancer",
    "namespaces_with",
    "network",
    "network_policy",
    "node_service",
    "scrape_target",
    "secret_files",
    "stateful_set",
    "to_storage",
    "with_access",
    "workload_pods",
]
