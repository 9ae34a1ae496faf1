"""What brings data back: backups, the archive of Kafka, and metrics in the object storage."""

from __future__ import annotations

from typing import Final

import pulumi

from components.alerting.durations import milliseconds
from components.backups.component import Backups, BackupsArgs, backups_scrapes
from components.backups.config import ARCHIVE_USER, Archiving, BackupTarget, Blocks, SearchSource
from components.backups.config import USER as BACKUP_USER
from components.backups.schedule import Kind
from components.contracts import DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint, ScrapeTarget, SearchEndpoint
from components.grafana.process import WORKLOAD as GRAFANA
from components.k8s import DeploymentContext
from components.kafka.access import AclRule, User
from components.prometheus.compactor import WORKLOAD as COMPACTOR
from components.prometheus.compactor import Compactor, CompactorArgs, compactor_scrape
from components.prometheus.store import WORKLOAD as STORE
from components.prometheus.store import StoreEndpoint, StoreGateway, StoreGatewayArgs, store_scrape
from components.search.access import SearchUser, backup_reader, members
from components.search.indices import LOGS, TRACE_KINDS, trace_family
from components.telemetry.classification import CLASSES
from components.telemetry.topics import TOPICS
from stacks.object_storage import object_storage
from stacks.secrets import backup_recipients
from stacks.settings import Settings
from stacks.sizing import Sizing

PREFIX: Final = "backups/"
METRICS_PREFIX: Final = "metrics/"
ENCRYPTION: Final = "SSE-S3"
"""How the storage is asked to encrypt blocks of metrics; what we write ourselves is encrypted before it gets there."""
EXPORTED: Final = (LOGS, *(trace_family(name, kind) for name in CLASSES for kind in TRACE_KINDS))
"""Families of indices that a job exports where the search cluster makes no snapshots."""
_INDICES = tuple(map(members, EXPORTED))


def users() -> tuple[User, ...]:
    """Clients of Kafka: one sees what there is, one reads every topic."""
    return (
        User(
            name=BACKUP_USER,
            describes_all=True,
            grants=(
                AclRule(operation="Describe", resource_type="Cluster", resource="kafka-cluster"),
                AclRule(operation="DescribeConfigs", resource_type="Topic", resource="*"),
            ),
        ),
        User(name=ARCHIVE_USER, reads=tuple(topic.name for topic in TOPICS)),
    )


def search_users(settings: Settings) -> tuple[SearchUser, ...]:
    """Clients of the search cluster: who exports it, where a job does."""
    return (backup_reader(BACKUP_USER, EXPORTED),) if settings.backups.search else ()


class Recovery:
    """Made in two steps: metrics endpoints and stores first, since Prometheus and readers have to know them.

    Attributes:
        gateways: Stores of metrics that Prometheus has no more.
        scrapes: Metrics of all of these.
        backups: Jobs, archive and exporter.
    """

    backups: Backups

    def __init__(self, parent: pulumi.Resource, settings: Settings, sizing: Sizing, context: DeploymentContext) -> None:
        self._options = pulumi.ResourceOptions(parent=parent)
        self._settings, self._sizing, self._context = settings, sizing.backups, context
        self.objects = object_storage(settings, METRICS_PREFIX)
        self._scrapes = backups_scrapes(parent, context)
        of_store, of_compactor = store_scrape(parent, context), compactor_scrape(parent, context)
        self.gateways: tuple[StoreEndpoint, ...] = (self._store(of_store).endpoint,)
        self._compactor(of_compactor)
        self.scrapes: tuple[ScrapeTarget, ...] = (*self._scrapes.all, of_store, of_compactor)

    @property
    def block_s(self) -> int:
        """Seconds that a block of metrics covers."""
        return milliseconds(self._settings.backups.metrics_block) // 1000

    def connect(
        self, *, kafka: KafkaEndpoint, database: DatabaseEndpoint, grafana: GrafanaEndpoint, search: SearchEndpoint
    ) -> None:
        """Make what reads the others.

        Args:
            kafka: What is archived.
            database: Grafana's database.
            grafana: Whose definitions are backed up.
            search: What is exported, where the settings say so.
        """
        settings, sizing = self._settings.backups, self._sizing
        keep = settings.keep_days
        self.backups = Backups(
            "backups",
            BackupsArgs(
                context=self._context,
                scrapes=self._scrapes,
                target=BackupTarget(
                    platform=self._context.platform,
                    region=self._context.region,
                    storage=object_storage(self._settings, PREFIX),
                    recipients=backup_recipients(),
                ),
                time_zone=settings.time_zone,
                schedules={kind: getattr(settings.schedules, kind.value.replace("-", "_")) for kind in Kind},
                keep_days={kind: getattr(keep, kind.value.replace("-", "_")) for kind in Kind},
                databases=[database],
                grafana=grafana,
                grafana_workload=GRAFANA,
                kafka=kafka,
                search=SearchSource(endpoint=search, indices=tuple(map(members, EXPORTED)))
                if settings.search
                else None,
                archiving=Archiving(
                    keep_days=keep.archive,
                    flush_s=sizing.flush_s,
                    segment_bytes=sizing.segment_bytes,
                    memory_bytes=sizing.memory_bytes,
                ),
                blocks=Blocks(prefix=METRICS_PREFIX, range_s=self.block_s),
                job=sizing.job,
                archive=sizing.archive,
                exporter=sizing.exporter,
            ),
            self._options,
        )

    def _store(self, scrape: ScrapeTarget) -> StoreGateway:
        sizing = self._sizing
        return StoreGateway(
            STORE,
            StoreGatewayArgs(
                context=self._context,
                objects=self.objects,
                encryption=ENCRYPTION,
                scrape=scrape,
                replicas=sizing.stores,
                resources=sizing.store,
                storage=sizing.store_volume,
                index_cache=sizing.index_cache,
                chunk_pool=sizing.chunk_pool,
                serves_after=sizing.serves_after,
            ),
            self._options,
        )

    def _compactor(self, scrape: ScrapeTarget) -> Compactor:
        sizing = self._sizing
        return Compactor(
            COMPACTOR,
            CompactorArgs(
                context=self._context,
                objects=self.objects,
                encryption=ENCRYPTION,
                scrape=scrape,
                resources=sizing.compactor,
                storage=sizing.compactor_volume,
                keep_days=self._settings.backups.keep_days.metrics,
            ),
            self._options,
        )
