"""Stack outputs: what operators, tests and the other region read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.contracts import Credential
from stacks.object_storage import witness
from stacks.platform import Platform
from stacks.recovery import METRICS_PREFIX
from stacks.recovery import PREFIX as BACKUP_PREFIX
from stacks.secrets import backup_recipients
from stacks.traces import GROUPS as TRACE_GROUPS


def outputs(platform: Platform) -> dict[str, Any]:
    """Name -> value of every output; everything with a password is secret."""
    kafka, settings = platform.kafka, platform.settings
    return {
        "platform": settings.platform,
        "region": settings.region,
        "namespace": settings.namespace,
        "ca_certificate": kafka.authority,
        "otlp_grpc": platform.gateway.endpoint.grpc,
        "otlp_http": platform.gateway.endpoint.http,
        "otlp_credentials": _credentials(platform.gateway.endpoint.credentials),
        "kafka_bootstrap": ",".join(kafka.endpoint.external),
        "kafka_admin": _login(kafka.admin),
        "kafka_users": pulumi.Output.secret(
            pulumi.Output.all(**{name: user.password for name, user in kafka.endpoint.users.items()})
        ),
        "topics": list(settings.topics),
        "consumer_groups": [*(consumer.group for consumer in platform.consumers), *TRACE_GROUPS],
        "prometheus_replicas": list(settings.prometheus.replicas),
        "prometheus_credentials": _credentials(
            {replica: endpoint.reader for replica, endpoint in platform.prometheus.endpoints.items()}
        ),
        "query_url": platform.query.endpoint.url,
        "query_reader": _login(platform.query.endpoint.reader),
        "trace_query_urls": {name: query.endpoint.url for name, query in platform.traces.queries.items()},
        "trace_login": _secret(platform.traces.login),
        "sampling_url": platform.traces.collector.endpoint.sampling_url,
        "sampling_login": _login(platform.traces.collector.endpoint.sampling_user),
        "search_url": platform.traces.search.endpoint.url,
        "log_reader": _login(platform.traces.log_reader),
        "alertmanager_url": platform.alerting.alertmanager.endpoint.url,
        "alertmanager_operator": _login(platform.alerting.alertmanager.endpoint.operator),
        "alert_escalation": settings.alerting.escalation.model_dump(),
        "notify_channels": platform.alerting.notify_channels,
        "grafana_url": platform.visualization.grafana.endpoint.url,
        "grafana_admin": _login(platform.visualization.grafana.endpoint.administrator),
        "reports": _reports(platform),
        "backups": _backups(platform),
        "fingerprints": platform.regions.fingerprints,
        "id_hash_key": pulumi.Output.secret(platform.gateway.hash_key),
        "regions": _regions(platform),
        "scrape_credentials": _credentials({scrape.job: scrape.credential for scrape in platform.scrapes}),
    }


def _reports(platform: Platform) -> pulumi.Output[dict[str, Any]]:
    settings, reader = platform.settings.reports, platform.visualization.reports.reader
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
    """How operators reach the backups; `ops.core.backup_access.BackupAccess` reads it."""
    settings, storage = platform.settings.backups, platform.recovery.objects
    known = {
        "endpoint": storage.endpoint,
        "region": storage.region,
        "bucket": storage.bucket,
        "prefix": BACKUP_PREFIX,
        "metrics_prefix": METRICS_PREFIX,
        "recipients": list(backup_recipients()),
        "time_zone": settings.time_zone,
        "schedules": settings.schedules.model_dump(),
        "search": settings.search,
    }
    secrets = pulumi.Output.all(
        access_key_id=storage.access_key_id,
        secret_access_key=storage.secret_access_key,
        authority=storage.authority,
    )
    return pulumi.Output.secret(secrets.apply(lambda resolved: {**known, **resolved}))


def _regions(platform: Platform) -> pulumi.Output[dict[str, Any]]:
    """How operators see and move the pair of regions; `ops.regions` reads it."""
    settings, pair, mirror = platform.settings, platform.settings.regions, platform.regions.mirror
    known = {
        "role": str(platform.role),
        "region": settings.region,
        "peer": {"stack": pair.peer.stack, "region": pair.peer.region} if pair.peer else None,
        "dns": pair.dns.model_dump() if pair.dns else None,
        "targets": {"otlp": settings.gateway.host},
        "fingerprints": platform.regions.fingerprints,
        "mirror": {"source": mirror.flow.source, "topics": list(mirror.flow.topics), "groups": list(mirror.flow.groups)}
        if mirror
        else None,
    }
    place = witness(settings)
    secrets = pulumi.Output.all(
        access_key_id=place.access_key_id, secret_access_key=place.secret_access_key, authority=place.authority
    )
    where = {"endpoint": place.endpoint, "region": place.region, "bucket": place.bucket}
    return pulumi.Output.secret(secrets.apply(lambda resolved: {**known, "witness": {**where, **resolved}}))


def _secret(value: Mapping[str, pulumi.Input[str]] | None) -> pulumi.Output[dict[str, str]] | None:
    return None if value is None else pulumi.Output.secret(pulumi.Output.all(**value))


def _login(credential: Credential) -> pulumi.Output[dict[str, str]]:
    return pulumi.Output.secret(
        credential.password.apply(lambda password: {"username": credential.username, "password": password})
    )


def _credentials(credentials: Mapping[str, Credential]) -> pulumi.Output[dict[str, dict[str, str]]]:
    return pulumi.Output.secret(
        pulumi.Output.all(**{name: _login(credential) for name, credential in credentials.items()})
    )
