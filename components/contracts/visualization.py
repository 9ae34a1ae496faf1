"""Visualization: database, dashboards, object storage."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.contracts.credentials import Credential


@dataclass(frozen=True, kw_only=True)
class DatabaseEndpoint:
    """A PostgreSQL database and the one user that owns it.

    Attributes:
        host: Name to connect to and to verify in the certificate (``sslmode=verify-full``).
        port: Port number.
        name: Database.
        user: Owner of the database.
        private_authority: Whether its certificate is signed by the platform's authority (else by a public one).
        workload: Workload of this platform that serves it, or None where it is elsewhere.
        networks: Where it is, when it is elsewhere (for egress NetworkPolicies).
        access_label: Label that a client pod needs, or None.
        after: Resources that exist once it takes logins, for ``depends_on``.
    """

    host: str
    port: int
    name: str
    user: Credential
    private_authority: bool
    workload: str | None = None
    networks: tuple[str, ...] = ()
    access_label: str | None = None
    after: tuple[pulumi.Resource, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GrafanaEndpoint:
    """Grafana as people and tools see it.

    Attributes:
        url: URL outside the cluster.
        internal_url: URL inside the cluster.
        port: Port number of a replica.
        server_name: Name to verify in the certificate.
        access_label: Label that a client pod needs.
        administrator: The account that makes the content; people log in through the directory.
        after: Resources that exist once every replica is ready, for ``depends_on``.
    """

    url: str
    internal_url: str
    port: int
    server_name: str
    access_label: str
    administrator: Credential
    after: tuple[pulumi.Resource, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ObjectStorage:
    """A bucket of an S3-compatible object storage, outside the cluster.

    Attributes:
        endpoint: ``https://host:port``, or None for AWS' own.
        region: Region of the bucket.
        bucket: Its name.
        prefix: What every key starts with, for example ``reports/``.
        networks: Where it is (for egress NetworkPolicies).
        port: Port of it.
        access_key_id: Key id (a secret).
        secret_access_key: Its secret.
        authority: PEM of the authority that signs its certificate; empty for a public one.
    """

    endpoint: str | None
    region: str
    bucket: str
    prefix: str
    networks: tuple[str, ...]
    port: int
    access_key_id: pulumi.Output[str]
    secret_access_key: pulumi.Output[str]
    authority: pulumi.Output[str]
