"""Configuration of the search nodes as data, for both engines that the cluster can run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

WORKLOAD = "search"
ADMIN = "search-admin"
"""Common name of the certificate that may change users and roles."""
HTTP_PORT = 9200
TRANSPORT_PORT = 9300
DATA_DIRECTORY = "/var/lib/search"
NODE_NAME = "${NODE_NAME}"
"""The node's own name, which the server takes from its environment."""


class Engine(StrEnum):
    """Server that the nodes run."""

    OPENSEARCH = "opensearch"
    ELASTICSEARCH = "elasticsearch"


CONFIG_DIRECTORIES: Mapping[Engine, str] = {
    Engine.OPENSEARCH: "/etc/opensearch",
    Engine.ELASTICSEARCH: "/etc/elasticsearch",
}
_TLS_PROTOCOLS = ["TLSv1.3", "TLSv1.2"]


@dataclass(frozen=True, kw_only=True)
class SearchCluster:
    """What the configuration of a node depends on.

    Attributes:
        name: Name of the cluster.
        engine: Server.
        nodes: Names of the nodes.
        seeds: ``host:port`` of each node's transport; the certificate of a node is checked for its host.
        publish_host: A node's own host; may use variables of the pod.
        allow_mmap: Map index files into memory; needs ``vm.max_map_count`` of at least 262144 on the machine.
        disk_watermarks: Used share of a disk at which a node gets no further shards, hands shards over, and stops
            writes, for example ``("85%", "90%", "95%")``.
        ciphers: Cipher suites of TLS; empty: the engine's own.
        collects_before_refusing: Whether the JVM collects garbage where its heap is too full for a request: a server
            with another collector than G1 refuses it at once, for the sake of what nobody holds any more, and so counts
            only what is held.
        bind_host: Address that a node listens on.
        http_port: Port of the API.
        transport_port: Port between nodes.
        config_directory: Folder of the configuration.
        data_directory: Folder of the data.
        log_directory: Folder for the few files that cannot go to standard output.
    """

    name: str
    engine: Engine
    nodes: tuple[str, ...]
    seeds: tuple[str, ...]
    publish_host: str
    allow_mmap: bool
    disk_watermarks: tuple[str, str, str]
    ciphers: tuple[str, ...] = ()
    collects_before_refusing: bool = True
    bind_host: str = "0.0.0.0"  # noqa: S104  (a pod; its NetworkPolicy says who connects)
    http_port: int = HTTP_PORT
    transport_port: int = TRANSPORT_PORT
    config_directory: str
    data_directory: str = DATA_DIRECTORY
    log_directory: str = "/tmp"

    def tls(self, file: str) -> str:
        """A file of the node's certificate; inside the configuration folder, since the server may read nothing else."""
        return f"{self.config_directory}/tls/{file}"


def settings_file(engine: Engine) -> str:
    """Name of the engine's settings file."""
    return f"{engine.value}.yml"


def node_settings(cluster: SearchCluster) -> dict[str, Any]:
    """Settings of every node; what differs comes from its environment."""
    low, high, flood = cluster.disk_watermarks
    disk = "cluster.routing.allocation.disk.watermark"
    common: dict[str, Any] = {
        "cluster.name": cluster.name,
        "node.name": NODE_NAME,
        "network.bind_host": cluster.bind_host,
        "network.publish_host": cluster.publish_host,
        "http.port": cluster.http_port,
        "transport.port": cluster.transport_port,
        "discovery.seed_hosts": list(cluster.seeds),
        "path.data": cluster.data_directory,
        "path.logs": cluster.log_directory,
        "node.store.allow_mmap": cluster.allow_mmap,
        "action.auto_create_index": "false",
        "action.destructive_requires_name": True,
        f"{disk}.low": low,
        f"{disk}.high": high,
        f"{disk}.flood_stage": flood,
    }
    if not cluster.collects_before_refusing:
        common["indices.breaker.total.use_real_memory"] = False
    special = _opensearch if cluster.engine is Engine.OPENSEARCH else _elasticsearch
    return common | special(cluster)


def _opensearch(cluster: SearchCluster) -> dict[str, Any]:
    """What only OpenSearch with its security plugin has."""
    security = "plugins.security"
    settings: dict[str, Any] = {
        "cluster.initial_cluster_manager_nodes": list(cluster.nodes),
        f"{security}.disabled": False,
        f"{security}.allow_default_init_securityindex": True,
        f"{security}.nodes_dn": [f"CN={WORKLOAD}"],
        f"{security}.authcz.admin_dn": [f"CN={ADMIN}"],
        f"{security}.restapi.roles_enabled": [],
        **_audit(f"{security}.audit"),
        f"{security}.ssl.certificates_hot_reload.enabled": True,
        f"{security}.ssl.http.enabled": True,
        f"{security}.ssl.http.clientauth_mode": "OPTIONAL",
        f"{security}.ssl.transport.enabled": True,
        f"{security}.ssl.transport.enforce_hostname_verification": True,
        f"{security}.ssl.transport.resolve_hostname": False,
    }
    for layer in ("http", "transport"):
        settings |= {
            f"{security}.ssl.{layer}.pemcert_filepath": cluster.tls("tls.crt"),
            f"{security}.ssl.{layer}.pemkey_filepath": cluster.tls("tls.key"),
            f"{security}.ssl.{layer}.pemtrustedcas_filepath": cluster.tls("ca.crt"),
        }
        if cluster.ciphers:
            settings[f"{security}.ssl.{layer}.enabled_ciphers"] = list(cluster.ciphers)
    # The plugin takes a list of protocols for the API only; between nodes it uses 1.2 and 1.3 by itself.
    settings[f"{security}.ssl.http.enabled_protocols"] = _TLS_PROTOCOLS
    return settings


def _audit(prefix: str) -> dict[str, Any]:
    """Who is refused and who is let in, a line of JSON each, without what was asked for: bodies hold data.

    Nobody is ignored by name, which would hide refusals too: what services are let do is dropped where lines are
    written (`components.search.nodes.log_configuration`).
    """
    config = f"{prefix}.config"
    quiet = ["AUTHENTICATED", "INDEX_EVENT", "SSL_EXCEPTION"]
    return {
        f"{prefix}.type": "log4j",
        f"{config}.enable_rest": True,
        f"{config}.enable_transport": True,
        f"{config}.disabled_rest_categories": quiet,
        f"{config}.disabled_transport_categories": quiet,
        f"{config}.ignore_users": [],
        f"{config}.log_request_body": False,
        f"{config}.resolve_indices": False,
        f"{config}.resolve_bulk_requests": False,
        f"{config}.exclude_sensitive_headers": True,
    }


def _elasticsearch(cluster: SearchCluster) -> dict[str, Any]:
    """What only Elasticsearch has; its users and roles are files, which it reads again when they change."""
    security = "xpack.security"
    settings: dict[str, Any] = {
        "cluster.initial_master_nodes": list(cluster.nodes),
        "ingest.geoip.downloader.enabled": False,
        "xpack.ml.enabled": False,
        f"{security}.enabled": True,
        f"{security}.autoconfiguration.enabled": False,
        f"{security}.audit.enabled": True,
        f"{security}.authc.reserved_realm.enabled": False,
        f"{security}.authc.realms.file.users.order": 0,
        f"{security}.http.ssl.enabled": True,
        f"{security}.http.ssl.client_authentication": "none",
        f"{security}.transport.ssl.enabled": True,
        f"{security}.transport.ssl.client_authentication": "required",
        f"{security}.transport.ssl.verification_mode": "full",
    }
    for layer in ("http", "transport"):
        settings |= {
            f"{security}.{layer}.ssl.certificate": cluster.tls("tls.crt"),
            f"{security}.{layer}.ssl.key": cluster.tls("tls.key"),
            f"{security}.{layer}.ssl.certificate_authorities": [cluster.tls("ca.crt")],
            f"{security}.{layer}.ssl.supported_protocols": _TLS_PROTOCOLS,
        }
        if cluster.ciphers:
            settings[f"{security}.{layer}.ssl.cipher_suites"] = list(cluster.ciphers)
    return settings


class _Dumper(yaml.SafeDumper):
    """Writes what is there twice twice: the servers take an alias for a text."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whether an object is written again; always."""
        return True


def rendered(settings: Mapping[str, Any]) -> str:
    """A YAML file."""
    return yaml.dump(dict(settings), Dumper=_Dumper, sort_keys=True, allow_unicode=True)
