"""What the index manager does in a real search cluster."""

from __future__ import annotations

import re
import time

from components.search import access
from tests.config.index_manager_process import (
    FAMILIES,
    USERS,
    IndexManagerFiles,
    index_manager,
)
from tests.config.search.documents import TRACE, readable_documents
from tests.config.search_process import SearchProcesses, hashes
from tests.config.servers import eventually


def test_the_index_manager_makes_every_family_with_its_aliases(
    cluster: SearchProcesses, files: IndexManagerFiles
) -> None:
    aliases = cluster.as_admin("GET", "/_alias").json()
    for family in FAMILIES:
        assert set(aliases[f"{family.name}-000001"]["aliases"]) == {family.write_alias, *family.read_aliases}
    cluster.wait(nodes=3)


def test_the_index_manager_measures_the_cluster(files: IndexManagerFiles) -> None:
    text = (files.folder / "metrics.txt").read_text()
    for line in (
        "search_cluster_status 0.0",
        "search_nodes 3.0",
        "search_nodes_expected 3.0",
        'search_family_indices{family="logs"} 1.0',
        'search_family_keep_seconds{family="logs"} 1.2096e+06',
        'search_node_rejected_total{node="search-0",pool="write"} 0.0',
    ):
        assert line in text
    last = re.search(r"^index_manager_last_success_timestamp_seconds (\S+)", text, re.MULTILINE)
    assert last is not None
    assert time.time() - float(last[1]) < 600


def test_an_alias_that_shows_confidential_spans_to_the_public_shows_nothing_and_is_taken_away(
    spans: SearchProcesses, files: IndexManagerFiles
) -> None:
    index, alias = "confidential-jaeger-span-000001", "public-jaeger-span-read"
    spans.as_admin("POST", "/_aliases", {"actions": [{"add": {"index": index, "alias": alias}}]}).raise_for_status()
    assert spans.ask("GET", f"/{alias}/_search", "jaeger-query-public").status_code == 403
    with index_manager(files.settings()) as (turned, metrics):
        turned.reconcile()
        assert metrics.registry.get_sample_value("index_manager_alias_repairs_total") == 1
        assert len(readable_documents(spans, "jaeger-query-public", alias)) == 1


def test_a_second_index_manager_changes_nothing(cluster: SearchProcesses, files: IndexManagerFiles) -> None:
    before = cluster.as_admin("GET", "/_cluster/state/metadata?filter_path=metadata.indices,metadata.index_template")
    said: list[str] = []
    with index_manager(files.settings(), said) as (turned, metrics):
        turned.reconcile()
        assert turned.ready()
        assert said == [
            "users and roles are those of the file",
            f"{len(FAMILIES)} families of indices are in place",
        ]
        after = cluster.as_admin("GET", "/_cluster/state/metadata?filter_path=metadata.indices,metadata.index_template")
        assert before.json() == after.json()
        assert metrics.registry.get_sample_value("index_manager_alias_repairs_total") == 0


def test_full_indices_are_followed_by_new_ones_and_old_ones_are_deleted(
    spans: SearchProcesses, files: IndexManagerFiles
) -> None:
    settings = files.settings()
    full = {"rollover": settings.families[0].rollover.model_copy(update={"documents": 1}), "keep_s": 1}
    short = tuple(
        family.model_copy(update=full) if family.name == "internal-jaeger-span" else family
        for family in settings.families
    )
    with index_manager(settings.model_copy(update={"families": short})) as (turned, metrics):
        turned.reconcile()
        aliases = spans.as_admin("GET", "/internal-jaeger-span-0*/_alias").json()
        readable = {"internal-jaeger-span-read", "confidential-jaeger-span-read"}
        assert set(aliases["internal-jaeger-span-000001"]["aliases"]) == readable
        assert set(aliases["internal-jaeger-span-000002"]["aliases"]) == {*readable, "internal-jaeger-span-write"}
        assert (
            len(
                readable_documents(
                    spans, "jaeger-query-internal", "internal-jaeger-span-read", {"term": {"traceID": TRACE}}
                )
            )
            == 2
        )

        def only_the_new_one() -> bool:
            turned.reconcile()
            return set(spans.as_admin("GET", "/internal-jaeger-span-0*/_alias").json()) == {
                "internal-jaeger-span-000002"
            }

        eventually(only_the_new_one, 30, "the old index is older than it may be, and deleted")
        assert (
            metrics.registry.get_sample_value("index_manager_deletions_total", {"family": "internal-jaeger-span"}) == 1
        )
        assert only_the_new_one(), "an empty index was ended"
        assert len(readable_documents(spans, "jaeger-query-internal", "internal-jaeger-span-read")) == 1


def test_what_an_interrupted_index_manager_left_undone_is_done_by_the_next_round(
    cluster: SearchProcesses, files: IndexManagerFiles
) -> None:
    family = "public-jaeger-service"
    cluster.as_admin("DELETE", f"/{family}-000001").raise_for_status()
    cluster.as_admin("DELETE", "/_index_template/public-jaeger-dependencies").raise_for_status()
    remove = {"remove": {"index": "logs-000001", "alias": "logs-write"}}
    cluster.as_admin("POST", "/_aliases", {"actions": [remove]}).raise_for_status()
    with index_manager(files.settings()) as (turned, _):
        turned.reconcile()
        assert turned.ready()
        assert "public-jaeger-service-write" in cluster.as_admin("GET", f"/{family}-000001/_alias").text
        assert "logs-write" in cluster.as_admin("GET", "/logs-000001/_alias").text
        assert cluster.as_admin("GET", "/_index_template/public-jaeger-dependencies").status_code == 200


def test_a_new_password_replaces_the_old_one_and_a_user_that_is_gone_is_refused(
    cluster: SearchProcesses, files: IndexManagerFiles
) -> None:
    renewed = hashes(USERS) | {"grafana": hashes([access.log_reader("renewed")])["renewed"]}
    files.write_access([user for user in USERS if user.name != "log-reader"], renewed)
    with index_manager(files.settings()) as (turned, _):
        turned.reconcile()
        assert cluster.ask("GET", "/", "grafana").status_code == 401
        assert cluster.ask("GET", "/logs-read/_search", "grafana", password="renewed-password").status_code == 200
        assert cluster.ask("GET", "/", "log-reader").status_code == 401
        files.write_access(USERS, hashes(USERS))
        turned.reconcile()
        assert cluster.ask("GET", "/", "log-reader").status_code == 200
