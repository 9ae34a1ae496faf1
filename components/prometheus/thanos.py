"""Configuration of Thanos: the sidecar beside each Prometheus, and the query layer over all of them; as data."""

from __future__ import annotations

from collections.abc import Sequence

from components.k8s import TLS_MOUNT
from components.prometheus.config import CLIENT_CONFIG, DATA_DIRECTORY, REPLICA_LABEL, WEB_DIRECTORY, WEB_PORT, Data

GRPC_PORT = 10901
SIDECAR_HTTP_PORT = 10902
QUERY_PORT = 9090
QUERY_DIRECTORY = "/etc/thanos"


def sidecar_command(*, tls_directory: str = TLS_MOUNT, web_directory: str = WEB_DIRECTORY) -> list[str]:
    """Program and arguments of the sidecar: StoreAPI over mutual TLS, own metrics over TLS with a password."""
    return [
        "/bin/thanos",
        "sidecar",
        f"--tsdb.path={DATA_DIRECTORY}",
        f"--prometheus.url=https://localhost:{WEB_PORT}",
        f"--prometheus.http-client-file={CLIENT_CONFIG}",
        "--prometheus.ready_timeout=20m",
        f"--http-address=0.0.0.0:{SIDECAR_HTTP_PORT}",
        f"--http.config={web_directory}/sidecar-web.yml",
        f"--grpc-address=0.0.0.0:{GRPC_PORT}",
        f"--grpc-server-tls-cert={tls_directory}/tls.crt",
        f"--grpc-server-tls-key={tls_directory}/tls.key",
        f"--grpc-server-tls-client-ca={tls_directory}/ca.crt",
        "--grpc-server-tls-min-version=1.2",
        "--log.format=json",
    ]


def query_command(*, directory: str = QUERY_DIRECTORY, tls_directory: str = TLS_MOUNT) -> list[str]:
    """Program and arguments of the query layer.

    Replicas that are down are left out of an answer instead of failing it: that is the readers' failover.
    """
    return [
        "/bin/thanos",
        "query",
        f"--http-address=0.0.0.0:{QUERY_PORT}",
        f"--http.config={directory}/web/web.yml",
        f"--grpc-address=127.0.0.1:{GRPC_PORT}",
        f"--grpc-server-tls-cert={tls_directory}/tls.crt",
        f"--grpc-server-tls-key={tls_directory}/tls.key",
        f"--grpc-server-tls-client-ca={tls_directory}/ca.crt",
        f"--endpoint.sd-config-file={directory}/endpoints/endpoints.yml",
        "--store.sd-dns-interval=5s",
        "--store.response-timeout=5s",
        f"--query.replica-label={REPLICA_LABEL}",
        "--query.partial-response",
        "--query.timeout=60s",
        "--query.auto-downsampling",
        "--web.disable-cors",
        "--log.format=json",
    ]


def endpoints_config(stores: Sequence[str], server_name: str, tls_directory: str = TLS_MOUNT) -> Data:
    """Content of the endpoint file.

    Thanos dials addresses that it looks up by DNS with the default client settings alone, and in clear text where
    there are none (seen with 0.42.0: an endpoint's own ``client_config`` is not used for ``dns+`` addresses). So all
    stores share one certificate name.

    Args:
        stores: Address of each StoreAPI, ``host:port``.
        server_name: Name that every store's certificate carries.
        tls_directory: Folder of the client certificate.
    """
    return {
        "default_client_config": {
            "tls_config": {
                "enabled": True,
                "cert_file": f"{tls_directory}/tls.crt",
                "key_file": f"{tls_directory}/tls.key",
                "ca_file": f"{tls_directory}/ca.crt",
                "min_version": "1.2",
            },
            "server_name": server_name,
        },
        "endpoints": [{"address": f"dns+{address}"} for address in stores],
    }
