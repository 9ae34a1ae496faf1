"""Configuration of Thanos, as data: sidecar beside each Prometheus, query layer, store gateway, compactor. And where a
replica is, and who may use the web APIs of it and of its sidecar.

The object storage of metrics is one file, which holds the key, in a Secret (requirement D1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import pulumi

from components import naming
from components.contracts import Credential, ObjectStorage, PrometheusEndpoint
from components.k8s import TLS_MOUNT, DeploymentContext, FileSet, Mount, Volume, credential, secret_files
from components.prometheus.config import (
    BLOCK_DURATION,
    CLIENT_CONFIG,
    DATA_DIRECTORY,
    RESEND_DELAY,
    RULES_FILE,
    WEB_DIRECTORY,
    WEB_PORT,
    Data,
    rendered,
)
from components.shards import REPLICA_LABEL, SHARD_LABEL, server_name

OBJECTS_DIRECTORY = "/etc/thanos-objects"
OBJECTS_FILE = "objects.yml"
AUTHORITY_FILE = "authority.crt"
VOLUME = "objects"
_AWS = "s3.{region}.amazonaws.com"

Encryption = Literal["SSE-S3", "SSE-KMS"]
"""How the storage is asked to encrypt what it keeps."""


def objects_config(
    storage: ObjectStorage,
    *,
    access_key_id: str,
    secret_access_key: str,
    private: bool,
    encryption: Encryption | None,
    directory: str = OBJECTS_DIRECTORY,
) -> Data:
    """Content of the file.

    Thanos wants a host without a scheme, and speaks TLS unless it is told not to.

    Args:
        storage: The bucket; below its prefix are the blocks.
        access_key_id: Its key id.
        secret_access_key: Its secret.
        private: Whether its certificate is signed by an authority of its own.
        encryption: How it is asked to encrypt; None: as the bucket says.
        directory: Folder of the authority's certificate.

    Raises:
        ValueError: The endpoint is not ``https://host:port``, or there is no prefix.
    """
    prefix = storage.prefix.strip("/")
    if not prefix:
        raise ValueError("prometheus.objects.prefix is empty: blocks need a folder of their own, for example metrics/")
    return {
        "type": "S3",
        "prefix": prefix,
        "config": {
            "bucket": storage.bucket,
            "endpoint": _host(storage),
            "region": storage.region,
            "access_key": access_key_id,
            "secret_key": secret_access_key,
            "bucket_lookup_type": "path" if storage.endpoint else "auto",
            "max_retries": 3,
            **({"sse_config": {"type": encryption}} if encryption else {}),
            "http_config": {
                "response_header_timeout": "30s",
                **({"tls_config": {"ca_file": f"{directory}/{AUTHORITY_FILE}"}} if private else {}),
            },
        },
    }


def objects_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    storage: ObjectStorage,
    encryption: Encryption | None,
) -> FileSet:
    """Secret ``<workload>-objects`` with the file and the authority's certificate (empty for a public authority)."""

    def written(access_key_id: str, secret_access_key: str, authority: str) -> str:
        config = objects_config(
            storage,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            private=bool(authority),
            encryption=encryption,
        )
        return rendered(config)

    known = pulumi.Output.all(storage.access_key_id, storage.secret_access_key, storage.authority)
    return secret_files(
        parent,
        context,
        name=f"{workload}-objects",
        workload=workload,
        files={
            OBJECTS_FILE: known.apply(lambda resolved: written(*map(str, resolved))),
            AUTHORITY_FILE: storage.authority,
        },
    )


def objects_volume(files: FileSet) -> Volume:
    """The Secret as a volume."""
    return Volume(name=VOLUME, files=files)


def objects_mount() -> Mount:
    """Where Thanos finds it."""
    return Mount(volume=VOLUME, path=OBJECTS_DIRECTORY)


def objects_option(directory: str = OBJECTS_DIRECTORY) -> str:
    """Argument by which each part of Thanos is told of it."""
    return f"--objstore.config-file={directory}/{OBJECTS_FILE}"


def _host(storage: ObjectStorage) -> str:
    if storage.endpoint is None:
        return _AWS.format(region=storage.region)
    parts = urlsplit(storage.endpoint)
    if parts.scheme != "https" or not parts.netloc or parts.path.strip("/"):
        raise ValueError(f"prometheus.objects.endpoint is {storage.endpoint!r}; it must be https://host:port")
    return parts.netloc


GRPC_PORT = 10901
SIDECAR_HTTP_PORT = 10902
QUERY_PORT = 9090
STORE_HTTP_PORT = 10902
QUERY_DIRECTORY = "/etc/thanos"
STORE_DIRECTORY = "/var/thanos"
STORE_NAME = "prometheus"
"""Name that the certificates of all stores share: Thanos Query verifies every store by one name (docs/adr/0006)."""
_HASHED = "--hash-func=SHA256"
"""Each block's ``meta.json`` then has the hash of each of its files, which a restore compares."""
_SHIPPER = (_HASHED, "--shipper.allow-out-of-order-uploads", "--shipper.skip-corrupted-blocks")
_NO_PAGES = ("--web.disable", "--web.disable-cors", "--disable-admin-operations")
_COARSER_FROM_DAYS = 11


def sidecar_command(
    *, tls_directory: str = TLS_MOUNT, web_directory: str = WEB_DIRECTORY, shipping: bool = False
) -> list[str]:
    """Program and arguments of the sidecar: StoreAPI over mutual TLS, own metrics over TLS with a password.

    Args:
        tls_directory: Folder of the certificate.
        web_directory: Folder of the web configuration.
        shipping: Whether it ships blocks. It looks for new ones twice a minute. Merged blocks are none of its business
            (``--shipper.upload-compacted``): their parts are in the storage already. A block that cannot be read or
            shipped does not hold up the others.
    """
    return [
        "/bin/thanos",
        "sidecar",
        f"--tsdb.path={DATA_DIRECTORY}",
        f"--prometheus.url=https://localhost:{WEB_PORT}",
        f"--prometheus.http-client-file={CLIENT_CONFIG}",
        "--prometheus.ready_timeout=20m",
        f"--http-address=0.0.0.0:{SIDECAR_HTTP_PORT}",
        f"--http.config={web_directory}/sidecar-web.yml",
        *_store_api(tls_directory),
        *([objects_option(), *_SHIPPER] if shipping else []),
        "--log.format=json",
    ]


def store_command(
    *, serves_after: str = "0s", index_cache: str, chunk_pool: str, tls_directory: str = TLS_MOUNT
) -> list[str]:
    """Program and arguments of the store gateway: what is in the object storage, by the StoreAPI.

    Blocks are found by listing everything below the prefix, 1,000 objects a request; the default asks for every block.

    Args:
        serves_after: Age from which it answers; younger samples come from Prometheus alone. ``0s``: of any age.
        index_cache: Most memory for parts of indices.
        chunk_pool: Most memory for samples of questions that run.
        tls_directory: Folder of the certificate.
    """
    return [
        "/bin/thanos",
        "store",
        f"--data-dir={STORE_DIRECTORY}",
        objects_option(),
        f"--http-address=0.0.0.0:{STORE_HTTP_PORT}",
        f"--http.config={WEB_DIRECTORY}/web.yml",
        *_store_api(tls_directory),
        "--sync-block-duration=1m",
        "--block-discovery-strategy=recursive",
        "--store.enable-index-header-lazy-reader",
        # The option for the size alone asks for `125MB` at least, since that is the largest item.
        f"--index-cache.config={_index_cache(index_cache)}",
        f"--chunk-pool-size={chunk_pool}",
        # Else one question could ask for everything that was ever stored.
        "--store.grpc.downloaded-bytes-limit=2GB",
        *([] if serves_after == "0s" else [f"--max-time=-{serves_after}"]),
        *_NO_PAGES,
        "--log.format=json",
    ]


def _index_cache(size: str) -> str:
    return json.dumps({"type": "IN-MEMORY", "config": {"max_size": size, "max_item_size": size}})


def compact_command(*, keep_days: int) -> list[str]:
    """Program and arguments of the compactor, of which there must never be two: it merges and deletes blocks.

    Blocks of one replica overlap wherever samples came late; it halts at that unless it may merge them ("vertically").
    The replicas stay apart: merging them could not be undone, and Thanos Query takes their duplicates away anyhow.

    Args:
        keep_days: Age at which samples go, of every resolution. Below eleven days nothing coarser is made: Thanos
            refuses to make what would be deleted before it is used.

    Raises:
        ValueError: Nothing would be kept.
    """
    if keep_days < 1:
        raise ValueError(f"prometheus.compactor.keep_days is {keep_days}; it must be 1 or more: 0 would keep for ever")
    coarser = ["--downsampling.disable"] if keep_days < _COARSER_FROM_DAYS else []
    return [
        "/bin/thanos",
        "compact",
        f"--data-dir={STORE_DIRECTORY}",
        objects_option(),
        f"--http-address=0.0.0.0:{STORE_HTTP_PORT}",
        f"--http.config={WEB_DIRECTORY}/web.yml",
        "--wait",
        "--wait-interval=5m",
        "--block-discovery-strategy=recursive",
        "--compact.enable-vertical-compaction",
        *(f"--retention.resolution-{resolution}={keep_days}d" for resolution in ("raw", "5m", "1h")),
        *coarser,
        _HASHED,
        *_NO_PAGES,
        "--log.format=json",
    ]


def _store_api(tls_directory: str) -> list[str]:
    return [
        f"--grpc-address=0.0.0.0:{GRPC_PORT}",
        f"--grpc-server-tls-cert={tls_directory}/tls.crt",
        f"--grpc-server-tls-key={tls_directory}/tls.key",
        f"--grpc-server-tls-client-ca={tls_directory}/ca.crt",
        "--grpc-server-tls-min-version=1.2",
    ]


def query_command(
    *, queries_at_once: int, directory: str = QUERY_DIRECTORY, tls_directory: str = TLS_MOUNT
) -> list[str]:
    """Program and arguments of the query layer.

    Replicas that are down are left out of an answer instead of failing it: that is the readers' failover. A series that
    has moved to another shard is one series all the same: the label of the shard is taken away as the replica's is.

    Args:
        queries_at_once: Queries that run at the same time.
        directory: Folder of its configuration.
        tls_directory: Folder of the certificate.
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
        *(f"--query.replica-label={label}" for label in (REPLICA_LABEL, SHARD_LABEL)),
        "--query.partial-response",
        "--query.timeout=60s",
        f"--query.max-concurrent={queries_at_once}",
        "--query.max-concurrent-select=2",
        "--query.auto-downsampling",
        "--web.disable-cors",
        "--log.format=json",
    ]


@dataclass(frozen=True, kw_only=True)
class RulerConfig:
    """What a ruler's command line depends on.

    Attributes:
        labels: External labels of what it records and raises.
        query_url: Address that alerts lead people to.
        block_duration: Time that a block covers.
        config_directory: Folder of the rules, and of who is asked and told.
        data_directory: Folder of what it records.
        objects_directory: Folder with the object storage's file.
        web_directory: Folder of the web configuration.
        tls_directory: Folder of the certificate.
    """

    labels: Mapping[str, str]
    query_url: str
    block_duration: str = BLOCK_DURATION
    config_directory: str
    data_directory: str
    objects_directory: str = OBJECTS_DIRECTORY
    web_directory: str = WEB_DIRECTORY
    tls_directory: str = TLS_MOUNT


def ruler_command(config: RulerConfig) -> list[str]:
    """Program and arguments of a ruler, whose times are those of Prometheus' own rules."""
    return [
        "/bin/thanos",
        "rule",
        f"--data-dir={config.data_directory}",
        f"--rule-file={config.config_directory}/{RULES_FILE}",
        f"--query.config-file={config.config_directory}/query.yml",
        f"--alertmanagers.config-file={config.config_directory}/alertmanagers.yml",
        "--alertmanagers.sd-dns-interval=15s",
        f"--alert.query-url={config.query_url}",
        *(f'--label={name}="{value}"' for name, value in config.labels.items()),
        # Else the alerts of the two rulers would be different ones, and everybody would be told twice.
        *(f"--alert.label-drop={label}" for label in (REPLICA_LABEL, SHARD_LABEL)),
        "--eval-interval=10s",
        "--for-grace-period=30s",
        f"--resend-delay={RESEND_DELAY}",
        f"--tsdb.block-duration={config.block_duration}",
        "--tsdb.retention=48h",
        objects_option(config.objects_directory),
        _HASHED,
        f"--http-address=0.0.0.0:{STORE_HTTP_PORT}",
        f"--http.config={config.web_directory}/web.yml",
        *_store_api(config.tls_directory),
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


@dataclass(frozen=True, kw_only=True)
class Users:
    """Who may use the web API of one replica. Prometheus knows users, not rights: each of them may read and write."""

    reader: Credential
    writer: Credential
    sidecar: Credential
    scrape: Credential
    sidecar_scrape: Credential

    def all(self) -> tuple[Credential, ...]:
        """Those of Prometheus itself."""
        return (self.reader, self.writer, self.sidecar, self.scrape)


def workload_name(server: str) -> str:
    """Workload (and Service) of a server."""
    return f"prometheus-{server}"


def sidecar_name(server: str) -> str:
    """Scrape job of a server's Thanos sidecar."""
    return f"thanos-sidecar-{server}"


def prometheus_endpoint(
    parent: pulumi.Resource, context: DeploymentContext, replica: str, shard: int = 0
) -> PrometheusEndpoint:
    """Where a server will be, with the passwords of its writer and its readers.

    Args:
        parent: Component that owns the passwords.
        context: Deployment context.
        replica: Name of the replica.
        shard: Its part of the layers' series.
    """
    server = server_name(replica, shard)
    workload = workload_name(server)

    def new_credential(username: str) -> Credential:
        return credential(parent, name=f"{workload}-{username}", username=username)

    return PrometheusEndpoint(
        replica=replica,
        shard=shard,
        server=server,
        workload=workload,
        url=f"https://{context.host(workload)}:{WEB_PORT}",
        server_name=context.host(workload),
        port=WEB_PORT,
        grpc=f"{context.host(naming.headless(workload))}:{GRPC_PORT}",
        store_name=context.host(STORE_NAME),
        access_label=naming.access_label(workload),
        writer=new_credential("writer"),
        reader=new_credential("reader"),
    )
