"""Stack outputs: what operators, tests and the other region read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pulumi

from components.audit import READER as AUDIT_READER
from components.contracts import Credential
from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from components.storage_roles import BACKUP_PREFIX, METRICS_PREFIX, StorageRole
from services.backup_exporter import PULUMI_STATE
from stacks.check import not_promised
from stacks.endpoints import Endpoints, topic_partitions
from stacks.kafka_quotas import TRACE_GROUPS, former_logins
from stacks.platform import Platform
from stacks.rules import delays
from stacks.secrets import backup_recipients, object_storage, witness
from stacks.settings import Settings
from stacks.traces import LOG_READER


def outputs(platform: Platform) -> dict[str, Any]:
    """Name -> value of every output; everything with a password is secret."""
    kafka, settings, endpoints = platform.kafka, platform.inputs.settings, platform.inputs.endpoints
    return {
        "platform": settings.platform,
        "region": settings.region,
        "namespace": settings.namespace,
        "not_promised": not_promised(settings),
        "image_digests": dict(settings.images.digests),
        "ca_certificate": kafka.authority,
        "otlp_grpc": platform.gateway.endpoint.grpc,
        "otlp_http": platform.gateway.endpoint.http,
        "otlp_credentials": _credentials(platform.gateway.endpoint.credentials),
        "otlp_former_credentials": _credentials(endpoints.gateway.former),
        "otlp_password_generations": list(settings.gateway.password_generations),
        "kafka_bootstrap": ",".join(kafka.endpoint.external),
        "kafka_admin": _login(kafka.admin),
        "kafka_users": _credentials(kafka.endpoint.users),
        "audit_reader": _login(kafka.endpoint.users[AUDIT_READER]),
        "kafka_login_generations": settings.kafka.login_generations,
        "kafka_former_logins": former_logins(settings),
        "topics": list(settings.topics),
        "consumer_groups": list(
            dict.fromkeys([*(consumer.group for consumer in platform.metrics.consumers), *TRACE_GROUPS])
        ),
        "prometheus_replicas": list(settings.prometheus.replicas),
        "prometheus_shards": settings.prometheus.shards,
        "prometheus_credentials": _credentials({endpoint.server: endpoint.reader for endpoint in endpoints.prometheus}),
        "query_url": endpoints.query.url,
        "query_reader": _login(endpoints.query.reader),
        "trace_query_urls": {name: query.endpoint.url for name, query in platform.traces.queries.items()},
        "trace_login": _secret(platform.traces.login),
        "sampling_url": endpoints.traces.sampling_url,
        "sampling_login": _login(endpoints.traces.sampling_user),
        "search_url": platform.traces.search.endpoint.url,
        "log_reader": _login(platform.traces.search.endpoint.users[LOG_READER]),
        "alertmanager_url": endpoints.alertmanager.url,
        "alertmanager_operator": _login(endpoints.alertmanager.operator),
        "alert_escalation": asdict(delays(settings.alerting)),
        "notify_channels": _notify_channels(settings, endpoints),
        "sign_in_urls": _sign_in_urls(endpoints),
        "grafana_url": platform.visualization.grafana.endpoint.url,
        "grafana_admin": _login(platform.visualization.grafana.endpoint.administrator),
        "reports": _reports(platform),
        "backups": _backups(platform),
        "fingerprints": platform.inputs.endpoints.fingerprints,
        "topic_partitions": topic_partitions(settings),
        "id_hash_key": pulumi.Output.secret(endpoints.gateway.hash_key),
        "regions": _regions(platform),
        "scrape_credentials": _credentials({scrape.job: scrape.credential for scrape in endpoints.scrapes.values()}),
    }


def _sign_in_urls(endpoints: Endpoints) -> dict[str, str]:
    """Workload of each personal login -> where people reach it."""
    logins = {METRICS_LOGIN: endpoints.query.people, ALERTS_LOGIN: endpoints.alertmanager.people}
    return {name: login.url for name, login in logins.items() if login}


def _reports(platform: Platform) -> pulumi.Output[dict[str, Any]]:
    settings, reader = platform.inputs.settings.reports, platform.visualization.reports.reader
    return pulumi.Output.secret(
        reader.password.apply(
            lambda password: {
                "time_zone": settings.time_zone,
                "languages": list(settings.languages),
                "reader": reader.username,
                "password": password,
            }
        )
    )


def _backups(platform: Platform) -> pulumi.Output[dict[str, Any]]:
    """How operators reach the backups; `ops.core.access.BackupAccess` reads it."""
    settings = platform.inputs.settings
    backups, storage = settings.backups, object_storage(settings, BACKUP_PREFIX, StorageRole.OPERATOR)
    known = {
        "endpoint": storage.endpoint,
        "region": storage.region,
        "bucket": storage.bucket,
        "prefix": BACKUP_PREFIX,
        "metrics_prefix": METRICS_PREFIX,
        "recipients": list(backup_recipients()),
        "time_zone": backups.time_zone,
        "schedules": backups.schedules.model_dump(),
        "search": backups.search,
    }
    secrets = pulumi.Output.all(
        access_key_id=storage.access_key_id,
        secret_access_key=storage.secret_access_key,
        authority=storage.authority,
        signing_keys=[platform.backups.signing_key],
        state_seal_key=platform.backups.seal_keys[PULUMI_STATE],
    )
    return pulumi.Output.secret(secrets.apply(lambda resolved: {**known, **resolved}))


def _regions(platform: Platform) -> pulumi.Output[dict[str, Any]]:
    """How operators see and move the pair of regions; `ops.regions` reads it."""
    settings, mirror = platform.inputs.settings, platform.regions.mirror
    pair = settings.regions
    known = {
        "role": str(platform.inputs.role),
        "region": settings.region,
        "peer": {"stack": pair.peer.stack, "region": pair.peer.region} if pair.peer else None,
        "dns": pair.dns.model_dump() if pair.dns else None,
        "targets": {"otlp": settings.gateway.host},
        "fingerprints": platform.inputs.endpoints.fingerprints,
        "mirror": {"source": mirror.flow.source, "topics": list(mirror.flow.topics), "groups": list(mirror.flow.groups)}
        if mirror
        else None,
    }
    place = witness(settings)
    if place is None:
        return pulumi.Output.secret({**known, "witness": None})
    secrets = pulumi.Output.all(
        access_key_id=place.access_key_id, secret_access_key=place.secret_access_key, authority=place.authority
    )
    where = {"endpoint": place.endpoint, "region": place.region, "bucket": place.bucket}
    return pulumi.Output.secret(secrets.apply(lambda resolved: {**known, "witness": {**where, **resolved}}))


def _notify_channels(settings: Settings, endpoints: Endpoints) -> pulumi.Output[dict[str, Any]]:
    """What `ops notify` needs to notify on-call without the platform."""
    alerting = settings.alerting
    known = {
        "channels": alerting.channels.model_dump(),
        "contacts": {name: contact.model_dump() for name, contact in alerting.contacts.items()},
    }

    def with_secrets(secrets: Mapping[str, Any]) -> dict[str, Any]:
        return {**known, "secrets": {name: value for name, value in secrets.items() if name != "heartbeat_url"}}

    return pulumi.Output.secret(endpoints.channel_secrets.apply(with_secrets))


def _secret(value: Mapping[str, pulumi.Input[str]] | None) -> pulumi.Output[dict[str, str]] | None:
    return None if value is None else pulumi.Output.secret(pulumi.Output.all(**value))


def _login(credential: Credential) -> pulumi.Output[dict[str, str]]:
    return pulumi.Output.secret(
        credential.password.apply(lambda password: {"username": credential.username, "password": password})
    )


def _credentials(credentials: Mapping[str, Credential]) -> pulumi.Output[dict[str, dict[str, str]]]:
    logins = {name: _login(credential) for name, credential in credentials.items()}
    return pulumi.Output.secret(pulumi.Output.all(logins).apply(lambda known: dict(known[0])))
