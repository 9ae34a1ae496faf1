"""Addresses inside the lab's network namespace. They are the same in every checkout: each has its own namespace."""

from __future__ import annotations

NODE = "198.18.0.1"
NODE_NAME = "lab"
NODE_PREFIX = 24
RECEIVERS = "198.18.0.2"
"""Address of what is outside the platform: receivers of notifications, directory, identity provider, storage."""
RECEIVERS_HTTPS_PORT = 8443
RECEIVERS_SMTP_PORT = 8587
DIRECTORY_PORT = 8636
STORAGE_PORT = 8444
IDENTITY_PORT = 8445
API_PORT = 6443
API_URL = f"https://{NODE}:{API_PORT}"
ETCD_PORT = 2379
SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
POD_CIDR = "10.88.0.0/16"
NODE_POD_PREFIX = 22
NODE_POD_CIDR = f"10.88.0.0/{NODE_POD_PREFIX}"
"""Addresses of the one node's pods."""
MAX_PODS = 300
"""Room for two regions."""
LOAD_BALANCER_CIDR = "198.18.0.0/24"
LOAD_BALANCER_FIRST = 100
"""First host number that is handed out to Services that ask for no address of their own."""
LOAD_BALANCER_LAST = 199
