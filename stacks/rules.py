"""The rules of all components and the inhibitions between their alerts, as every Prometheus evaluates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from components.agent.rules import RULES as AGENT_RULES
from components.alertevents.rules import INHIBITIONS as EVENT_INHIBITIONS
from components.alertevents.rules import RULES as EVENT_RULES
from components.alerting import inhibitions
from components.alerting.escalation import LEVELS, EscalationDelays, escalated, milliseconds
from components.alertmanager.rules import INHIBITIONS as ALERTMANAGER_INHIBITIONS
from components.alertmanager.rules import alertmanager_rules
from components.audit.rules import INHIBITIONS as AUDIT_INHIBITIONS
from components.audit.rules import RULES as AUDIT_RULES
from components.backups.rules import INHIBITIONS as BACKUP_INHIBITIONS
from components.backups.rules import RULES as BACKUP_RULES
from components.clusterstate.rules import INHIBITIONS as CLUSTER_STATE_INHIBITIONS
from components.clusterstate.rules import cluster_state_rules, volume_rules
from components.consumers.rules import RULES as CONSUMER_RULES
from components.gateway.rules import INHIBITIONS as GATEWAY_INHIBITIONS
from components.gateway.rules import RULES as GATEWAY_RULES
from components.grafana.rules import INHIBITIONS as GRAFANA_INHIBITIONS
from components.grafana.rules import grafana_rules
from components.jaeger.rules import RULES as JAEGER_RULES
from components.kafka.rules import INHIBITIONS as KAFKA_INHIBITIONS
from components.kafka.rules import kafka_rules
from components.logs.rules import RULES as LOG_RULES
from components.mirror.rules import INHIBITIONS as MIRROR_INHIBITIONS
from components.mirror.rules import RULES as MIRROR_RULES
from components.naming import size_of
from components.postgres.rules import INHIBITIONS as POSTGRES_INHIBITIONS
from components.postgres.rules import RULES as POSTGRES_RULES
from components.probes.rules import INHIBITIONS as PROBE_INHIBITIONS
from components.probes.rules import probe_rules
from components.prometheus.rules import INHIBITIONS as PROMETHEUS_INHIBITIONS
from components.prometheus.rules import prometheus_rules
from components.prometheus.thanos_rules import RULER_INHIBITIONS
from components.regions.rules import INHIBITIONS as REGION_INHIBITIONS
from components.regions.rules import RULES as REGION_RULES
from components.reports.rules import INHIBITIONS as REPORT_INHIBITIONS
from components.reports.rules import RULES as REPORT_RULES
from components.rules import Inhibition, Reads, RuleGroup
from components.sampler.rules import RULES as SAMPLER_RULES
from components.search.rules import RULES as SEARCH_RULES
from components.servicegraph.rules import RULES as GRAPH_RULES
from components.telemetry.rules import INHIBITIONS as LAYER_INHIBITIONS
from components.telemetry.rules import RULES as LAYER_RULES
from stacks.settings import Settings
from stacks.sizing import Sizing
from stacks.stage_settings import Alerting

FIXED: Final = (
    *LAYER_RULES,
    *GATEWAY_RULES,
    *AGENT_RULES,
    *CONSUMER_RULES,
    *SEARCH_RULES,
    *JAEGER_RULES,
    *SAMPLER_RULES,
    *GRAPH_RULES,
    *LOG_RULES,
    *EVENT_RULES,
    *AUDIT_RULES,
    *REPORT_RULES,
    *BACKUP_RULES,
)
"""Rules that no size or address of a stack is part of."""


_INHIBITIONS = (
    *inhibitions.PLATFORM,
    *LAYER_INHIBITIONS,
    *KAFKA_INHIBITIONS,
    *GATEWAY_INHIBITIONS,
    *PROMETHEUS_INHIBITIONS,
    *ALERTMANAGER_INHIBITIONS,
    *EVENT_INHIBITIONS,
    *AUDIT_INHIBITIONS,
    *CLUSTER_STATE_INHIBITIONS,
    *PROBE_INHIBITIONS,
    *POSTGRES_INHIBITIONS,
    *GRAFANA_INHIBITIONS,
    *REPORT_INHIBITIONS,
    *BACKUP_INHIBITIONS,
    *REGION_INHIBITIONS,
)


def delays(settings: Alerting) -> EscalationDelays:
    """How long people may take, as the stack file says; None where the next contact has no channel."""
    return EscalationDelays(
        **{
            severity.value: getattr(settings.escalation, severity.value) if severity in settings.steps else None
            for severity in LEVELS
        }
    )


def region_rules(*, witness: bool, mirrored: bool) -> tuple[RuleGroup, ...]:
    """Rules about the pair of regions.

    Args:
        witness: Whether there is a lease that says which region is active.
        mirrored: Whether the other region is copied into this one.
    """
    return (*(REGION_RULES if witness else ()), *(MIRROR_RULES if mirrored else ()))


def groups(
    jobs: Sequence[str], settings: Settings, sizing: Sizing, *, mirrored: bool = False, ruled: bool = False
) -> tuple[RuleGroup, ...]:
    """All rules, with those that raise unacknowledged alerts again.

    Args:
        jobs: Names of all scrape jobs.
        settings: Volumes, certificates, delays of the escalation.
        sizing: Numbers of pods, and bounds of autoscalers.
        mirrored: Whether the other region is copied into this one.
        ruled: Whether there are rulers.
    """
    sized = (
        *kafka_rules(min_insync_replicas=sizing.min_insync_replicas, volume_bytes=size_of(settings.storage.kafka)),
        *alertmanager_rules(sizing.alerting.alertmanagers, paged=settings.alerting.pages),
        *probe_rules(settings.certificates.workloads.renew_before),
        *grafana_rules(sizing.visualization.grafanas),
        *(cluster_state_rules(nodes=settings.cluster.state == "cluster") if settings.cluster.state else ()),
        *(volume_rules() if settings.cluster.kubelets else ()),
        *(POSTGRES_RULES if settings.database.embedded else ()),
        *prometheus_rules(
            jobs,
            volume_bytes=size_of(settings.storage.prometheus),
            memory_bytes=size_of(sizing.prometheus.memory_limit),
            block_duration_s=milliseconds(settings.backups.metrics_block) // 1000,
            ruled=ruled,
        ),
    )
    regions = region_rules(witness=settings.regions.witness is not None, mirrored=mirrored)
    return escalated((*FIXED, *sized, *regions), delays(settings.alerting))


def divided(all_groups: Sequence[RuleGroup], shards: int) -> Mapping[Reads, tuple[RuleGroup, ...]]:
    """Groups by who evaluates them: `PLATFORM` the first shard, `SHARD` every other one too, `LAYERS` the rulers.

    Args:
        all_groups: All rules.
        shards: How many there are; of a single one Prometheus evaluates everything.
    """
    if shards == 1:
        return {Reads.PLATFORM: tuple(all_groups), Reads.SHARD: (), Reads.LAYERS: ()}
    by = {reads: tuple(group for group in all_groups if group.reads is reads) for reads in Reads}
    return {**by, Reads.PLATFORM: (*by[Reads.PLATFORM], *by[Reads.SHARD])}


def inhibit_rules(
    all_groups: Sequence[RuleGroup],
    *,
    mirrored: bool = False,
    database: bool = True,
    witness: bool = True,
    volumes: bool = True,
    ruled: bool = False,
) -> tuple[Inhibition, ...]:
    """Inhibitions among the alerts of these groups.

    Args:
        all_groups: All rules.
        mirrored: Whether the other region is copied into this one.
        database: Whether the database is the platform's own.
        witness: Whether there is a lease that says which region is active.
        volumes: Whether kubelets are asked how full volumes are.
        ruled: Whether there are rules about rulers.
    """
    absent = (
        *(() if database else POSTGRES_INHIBITIONS),
        *(() if witness else REGION_INHIBITIONS),
        *(() if volumes else CLUSTER_STATE_INHIBITIONS),
        *(() if ruled else RULER_INHIBITIONS),
    )
    fixed = [inhibition for inhibition in _INHIBITIONS if inhibition not in absent]
    return inhibitions.collected(all_groups, (*fixed, *(MIRROR_INHIBITIONS if mirrored else ())))
