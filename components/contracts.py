"""What one stage of the platform hands to the next, in the order of the flow.

A stage never imports another stage: it gets these values, so its signature says what it talks to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A user and its password.

    Attributes:
        username: Login name.
        password: The password, for the client (always a secret Output).
        bcrypt: The password's bcrypt hash, for servers that store hashes (always a secret Output).
    """

    username: str
    password: pulumi.Output[str]
    bcrypt: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class TlsIdentity:
    """Certificate of one workload, in a Secret that cert-manager writes.

    Mounted at ``/etc/tls``: ``tls.crt`` (chain), ``tls.key`` (PKCS#8), ``ca.crt`` and ``tls-combined.pem`` (key, then
    chain).

    Attributes:
        workload: The workload it belongs to.
        secret_name: Secret of the certificate.
        server_name: Name that clients verify: the workload's Service.
    """

    workload: str
    secret_name: pulumi.Input[str]
    server_name: str


@dataclass(frozen=True, kw_only=True)
class KafkaEndpoint:
    """How clients reach Kafka.

    Attributes:
        bootstrap: ``host:port`` inside the cluster (SASL_SSL, SCRAM-SHA-512).
        port: Port of the client listener.
        external: ``host:port`` of every broker outside the cluster.
        access_label: Label that a client pod needs (value ``"true"``).
        users: Workload name of a client -> credential, whose password is known once topics, user and its ACLs exist:
            before, a record would be refused for good.
    """

    bootstrap: str
    port: int
    external: tuple[str, ...]
    access_label: str
    users: Mapping[str, Credential]


@dataclass(frozen=True, kw_only=True)
class OtlpEndpoint:
    """Where the layers send their telemetry.

    Attributes:
        grpc: ``host:port`` of OTLP over gRPC (TLS).
        http: Base URL of OTLP over HTTP.
        credentials: Layer -> credential.
    """

    grpc: str
    http: str
    credentials: Mapping[str, Credential]


@dataclass(frozen=True, kw_only=True)
class PrometheusEndpoint:
    """One Prometheus server, as its writer and its readers see it.

    Attributes:
        replica: Replica that it is part of, for example ``primary``.
        shard: Part of the layers' series that it holds, from 0; 0 also scrapes the platform.
        server: Its name: that of the replica, with the shard unless it is 0.
        workload: Workload (and Service) name, for example ``prometheus-primary``.
        url: ``https://host:port`` inside the cluster.
        server_name: Name to verify in the certificate.
        port: Port of the web API.
        grpc: ``host:port`` of the Thanos StoreAPI (mutual TLS).
        store_name: Name to verify in the certificate of the StoreAPI; the same for every replica.
        access_label: Label that a client pod needs.
        writer: May send samples.
        reader: May query.
    """

    replica: str
    shard: int
    server: str
    workload: str
    url: str
    server_name: str
    port: int
    grpc: str
    store_name: str
    access_label: str
    writer: Credential
    reader: Credential


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """One target of the prober that is not found by DNS.

    Attributes:
        name: Value of the labels ``endpoint`` and ``instance``.
        address: What the prober is asked to look at.
        module: How.
        host: Name that the certificate has to carry; empty: the one in ``address``.
    """

    name: str
    address: str
    module: str
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class ProbeJob:
    """One job of Prometheus that asks the prober, which looks at one target for each request.

    Attributes:
        job: Prometheus job; also the name of the password's file.
        address: ``host:port`` of the prober inside the cluster.
        server_name: Name to verify in its certificate.
        workload: Its pods (for egress NetworkPolicies).
        port: Its port.
        credential: Login of this job only.
        interval: How often each target is looked at.
        module: How pods are looked at.
        srvs: SRV names; every pod that they list is a target.
        targets: Further targets.
    """

    job: str
    address: str
    server_name: str
    workload: str
    port: int
    credential: Credential
    interval: str
    module: str
    srvs: Sequence[str] = ()
    targets: Sequence[ProbeTarget] = ()


@dataclass(frozen=True, kw_only=True)
class PersonalLogin:
    """A login of people's own accounts in front of a server that knows no people.

    Attributes:
        url: Where people reach it, outside the cluster.
        credential: Its own login at the server.
    """

    url: str
    credential: Credential


@dataclass(frozen=True, kw_only=True)
class QueryEndpoint:
    """The one read address over all Prometheus replicas.

    Attributes:
        url: URL outside the cluster.
        internal_url: URL inside the cluster.
        server_name: Name to verify in the certificate inside the cluster.
        access_label: Label that a client pod needs.
        reader: May query.
        ruler: Asks for what rules read, where there are shards.
        people: How people come in by accounts of their own, or None.
    """

    url: str
    internal_url: str
    server_name: str
    access_label: str
    reader: Credential
    ruler: Credential | None = None
    people: PersonalLogin | None = None

    @property
    def users(self) -> tuple[Credential, ...]:
        """Everybody who may query."""
        return (
            self.reader,
            *([self.ruler] if self.ruler else []),
            *([self.people.credential] if self.people else []),
        )

    @property
    def page(self) -> str:
        """Where people look at it."""
        return self.people.url if self.people else self.url


@dataclass(frozen=True, kw_only=True)
class ScrapeTarget:
    """A workload whose metrics Prometheus collects; its pods are found by DNS SRV.

    Attributes:
        job: Prometheus job: the workload name.
        service: Headless Service.
        namespace: Namespace of the Service.
        srv: Full SRV name, ``_metrics._tcp.<service>.<namespace>.svc.<domain>``.
        port: Port number (for egress NetworkPolicies).
        path: Path of the metrics.
        server_name: Name to verify in the certificate.
        credential: Scrape user of this workload only.
    """

    job: str
    service: str
    namespace: str
    srv: str
    port: int
    server_name: str
    credential: Credential
    path: str = "/metrics"


@dataclass(frozen=True, kw_only=True)
class TracesEndpoint:
    """Where samplers send the traces that are kept, and where SDKs ask how much to sample.

    Attributes:
        grpc: ``host:port`` of OTLP over gRPC; mutual TLS with a certificate of the platform.
        server_name: Name to verify in the certificate.
        port: Port of it.
        workload: Workload that serves it (the peer of egress NetworkPolicies).
        access_label: Label that a client pod needs.
        sampling_url: Jaeger's remote sampling over HTTPS; add ``/sampling?service=NAME``.
        sampling_user: May ask for strategies.
    """

    grpc: str
    server_name: str
    port: int
    workload: str
    access_label: str
    sampling_url: str
    sampling_user: Credential


@dataclass(frozen=True, kw_only=True)
class TraceQueryEndpoint:
    """Where the traces of one clearance are read, after a login.

    Attributes:
        clearance: Most restricted class of spans that it shows; it shows the lower ones too.
        workload: Workload that serves it.
        url: URL outside the cluster.
        groups: Groups whose members are let in.
    """

    clearance: str
    workload: str
    url: str
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TraceReaderEndpoint:
    """A Jaeger query that Grafana itself may ask (docs/adr/0023).

    Attributes:
        url: Where it is inside the cluster.
        access_label: Label that a client pod needs.
        user: Login of Grafana; None: it shows people's own tokens, for which they have to come by OpenID Connect.
    """

    url: str
    access_label: str
    user: Credential | None


@dataclass(frozen=True, kw_only=True)
class OidcEndpoint:
    """The OpenID Connect provider that people and tools sign in at.

    Attributes:
        issuer: Issuer URL, as its tokens name it.
        port: Port of it.
        client_id: Client of the trace queries; tokens must have it as their audience.
        client_secret: The client's password (always a secret).
        networks: Where it is (for egress NetworkPolicies).
        authority: PEM of who signs its certificate; empty for a public authority.
    """

    issuer: str
    port: int
    client_id: str
    client_secret: pulumi.Input[str]
    networks: tuple[str, ...]
    authority: str = ""


@dataclass(frozen=True, kw_only=True)
class SearchEndpoint:
    """How clients reach the search cluster.

    Attributes:
        url: ``https://host:port`` inside the cluster.
        port: Port of the API.
        workload: Workload that serves it (the peer of egress NetworkPolicies).
        server_name: Name to verify in the certificate.
        access_label: Label that a client pod needs.
        users: User name -> credential; the user of a client is its workload name.
        ready: Resolves when users, templates, first indices and aliases exist.
        after: Resources that exist from then on, for ``depends_on``.
    """

    url: str
    port: int
    workload: str
    server_name: str
    access_label: str
    users: Mapping[str, Credential]
    ready: pulumi.Output[bool]
    after: tuple[pulumi.Resource, ...]


@dataclass(frozen=True, kw_only=True)
class DatabaseEndpoint:
    """A PostgreSQL database and the one user that owns it.

    Attributes:
        host: Name to connect to and to verify in the certificate (``sslmode=verify-full``).
        port: Port number.
        name: Database.
        user: Owner of the database.
        authority: PEM of who signs its certificate; empty for a public authority, None for the platform's.
        workload: Workload of this platform that serves it, or None where it is elsewhere.
        networks: Where it is, when it is elsewhere (for egress NetworkPolicies).
        access_label: Label that a client pod needs, or None.
        after: Resources that exist once it takes logins, for ``depends_on``.
    """

    host: str
    port: int
    name: str
    user: Credential
    authority: str | None = None
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


@dataclass(frozen=True, kw_only=True)
class AlertReceiver:
    """Something that a Prometheus sends its alerts to, by Alertmanager's API (``POST <path_prefix>/api/v2/alerts``).

    Attributes:
        name: Name of it, and of the password's file.
        workload: Its pods (for egress NetworkPolicies).
        srv: SRV name that lists every pod: Prometheus sends to each of them.
        port: Port number.
        server_name: Name to verify in the certificates.
        path_prefix: In front of the API's path; ``/`` for none.
        credential: Login of Prometheus.
        access_label: Label that a client pod needs.
    """

    name: str
    workload: str
    srv: str
    port: int
    server_name: str
    path_prefix: str
    credential: Credential
    access_label: str


@dataclass(frozen=True, kw_only=True)
class AlertEventsEndpoint:
    """Where Alertmanager tells what it notified, so that Kafka has it (requirement A3).

    Attributes:
        url: URL of the webhook inside the cluster.
        server_name: Name to verify in the certificate.
        workload: Its pods (for egress NetworkPolicies).
        port: Port number.
        credential: Login of Alertmanager.
        access_label: Label that a client pod needs.
    """

    url: str
    server_name: str
    workload: str
    port: int
    credential: Credential
    access_label: str


@dataclass(frozen=True, kw_only=True)
class AlertmanagerEndpoint:
    """The Alertmanager cluster as people and tools see it.

    Attributes:
        url: URL outside the cluster (any member: silences spread to all).
        internal_url: URL inside the cluster.
        members: Name of every pod.
        port: Port number of a member's API.
        server_name: Name to verify in the members' certificates.
        access_label: Label that a client pod needs.
        operator: May read and silence.
        people: How people come in by accounts of their own, or None.
    """

    url: str
    internal_url: str
    members: tuple[str, ...]
    port: int
    server_name: str
    access_label: str
    operator: Credential
    people: PersonalLogin | None = None

    @property
    def page(self) -> str:
        """Where people look at it."""
        return self.people.url if self.people else self.url
