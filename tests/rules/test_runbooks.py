"""PromQL on the page of any alert is PromQL, of series that the platform has, typed as they are called there.

`test_thresholds_runbooks.py` asks more of the pages of the layers' and objectives' alerts.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from components.dashboards.promql import SERIES, metrics
from components.rules import Recording
from tests.rules.promtool import accepted
from tests.rules.test_rules import GROUPS, RUNBOOKS

PAGES = sorted(RUNBOOKS.glob("*.md"))
IN_RULES = frozenset(name for group in GROUPS for rule in group.rules for name in metrics(rule.expr))
RECORDED = frozenset(rule.record for group in GROUPS for rule in group.rules if isinstance(rule, Recording))
LOOKED_AT = frozenset(
    {
        "alertmanager_config_last_reload_success_timestamp_seconds",
        "audit_posts_total",
        "failover_agent_peer_clock_difference_seconds",
        "grafana_database_conn_wait_duration_seconds",
        "grafana_http_request_duration_seconds_sum",
        "grafana_stat_totals_folder",
        "index_manager_errors_total",
        "jaeger_storage_bulk_index_attempts_total",
        "jaeger_storage_bulk_index_latency_ok_seconds_count",
        "jaeger_storage_bulk_index_latency_ok_seconds_sum",
        "kafka_archive_failures_total",
        "kafka_archive_partitions",
        "kafka_archive_paused",
        "kafka_lag_collection_errors_total",
        "kafka_network_requests_total",
        "kafka_server_replicamanager_leadercount",
        "backup_removed_total",
        "backup_retention_failures_total",
        "log_indexer_documents_waiting",
        "otelcol_otlprecords_splits_total",
        "pg_stat_activity_count",
        "pg_stat_database_tup_inserted",
        "pg_wal_size_bytes",
        "prometheus_tsdb_head_max_time_seconds",
        "prometheus_tsdb_head_min_time_seconds",
        "prometheus_tsdb_head_series_created_total",
        "search_shards",
        "service_graph_failures_total",
        "service_graph_records_total",
        "target_info",
        "thanos_alert_sender_errors_total",
        "thanos_compact_group_compactions_failures_total",
        "thanos_compact_retries_total",
        "thanos_objstore_bucket_operation_failures_total",
    }
)
"""Series that neither a rule nor a dashboard asks for, only people. Whoever adds one has seen it on a platform, or in
the program where it begins with its first event."""
KNOWN = SERIES | IN_RULES | RECORDED | LOOKED_AT
PARTS = frozenset(name.partition("_")[0] for name in KNOWN if "_" in name and ":" not in name)
"""What names of series begin with."""
NO_SERIES = frozenset(
    {
        "grafana_connections",
        "index_not_found_exception",
        "log_end_offsets",
        "pg_dump",
        "pg_stat_activity",
        "service_reserved",
        "service_unknown",
    }
)
"""Words of the pages that look like a series and are none."""
_CODE = re.compile(r"`([^`\n]+)`")
_PLACEHOLDER = re.compile(r"<[a-z]+>")
_CALL = re.compile(
    r"(?:sum|avg|min|max|count|topk|bottomk|rate|increase|deriv|delta|timestamp|predict_linear|histogram_quantile"
    r"|\w+_over_time)\b[^(]*\("
)
_BARE = re.compile(r"([a-z][a-z0-9]*)_[a-z0-9_]+|(?:obs|slo):\w+(?::\w+)?")


def queries(text: str) -> list[str]:
    """Code that is meant for Prometheus: it calls a function, selects a series, or is the name of one."""
    snippets = [_PLACEHOLDER.sub("x", snippet) for snippet in _CODE.findall(text)]
    return [snippet for snippet in snippets if is_query(snippet)]


def is_query(snippet: str) -> bool:
    """Whether a piece of code of a page is PromQL, or looks like it."""
    if _CALL.match(snippet) or snippet.startswith("{__name__"):
        return True
    first = _BARE.match(snippet)
    if not first or snippet in NO_SERIES or first[0] in NO_SERIES:
        return False
    rest = snippet[first.end() :]
    return (not first[1] or first[1] in PARTS) and (not rest or bool(re.match(r"[\[{ ]", rest)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_promql_of_a_page_is_promql_of_series_that_there_are(page: Path, tmp_path: Path) -> None:
    expressions = queries(page.read_text())
    if not expressions:
        return
    rules = [{"record": f"page:x:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
    accepted("check", "rules", "--lint=none", str(tmp_path / "rules.yml"))
    unknown = {name for expr in expressions for name in metrics(expr)} - KNOWN
    assert not unknown, f"{page.name} asks for {', '.join(sorted(unknown))}, which nothing here has"


@pytest.mark.parametrize("snippet", ["kafka_server_no_such_total", "obs:no_such:ratio", 'pg_no_such{datname="x"}'])
def test_a_series_that_there_is_not_is_noticed(snippet: str) -> None:
    assert queries(f"Look at `{snippet}`.") == [snippet]
    assert not metrics(snippet) <= KNOWN
