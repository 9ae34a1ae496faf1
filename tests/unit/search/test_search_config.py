"""Settings, users and indices as data, for both engines."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.search import access, config, copies_started, indices, nodes
from components.search.access import SearchUser
from components.search.component import check
from components.search.config import Engine
from components.search.nodes import NodeSet, search_cluster
from components.telemetry import attributes
from lab.toolchain.recipes import RECIPES, GoTool
from lab.toolchain.tools import module_folder
from tests.unit.search import recording as cluster

HASH = "$2b$10$" + "x" * 53


def node_settings(kind: Engine, *flags: str) -> dict[str, Any]:
    args = cluster.search_args(kind)
    size = replace(args.size, jvm_flags=flags) if flags else args.size
    return config.node_settings(
        search_cluster(
            NodeSet(
                context=args.context,
                engine=kind,
                count=args.nodes,
                size=size,
                users=args.users,
                credentials={},
            )
        )
    )


@pytest.mark.parametrize("kind", list(Engine))
def test_both_engines_share_what_does_not_depend_on_the_engine(kind: Engine) -> None:
    settings = node_settings(kind)
    assert settings["action.auto_create_index"] == "false"
    assert settings["action.destructive_requires_name"] is True
    assert settings["node.store.allow_mmap"] is False
    assert settings["network.publish_host"] == "${NODE_NAME}.search-headless.obs.svc.cluster.local"
    assert settings["discovery.seed_hosts"][2] == "search-2.search-headless.obs.svc.cluster.local:9300"


@pytest.mark.parametrize("kind", list(Engine))
def test_only_a_collector_that_is_run_first_lets_garbage_count(kind: Engine) -> None:
    setting = "indices.breaker.total.use_real_memory"
    assert node_settings(kind, "-XX:+UseParallelGC")[setting] is False
    assert setting not in node_settings(kind, "-XX:+UseG1GC"), "the server's own"


def test_opensearch_encrypts_both_layers_and_checks_the_hosts_of_nodes() -> None:
    settings = node_settings(Engine.OPENSEARCH)
    security = {
        key.removeprefix("plugins.security."): value for key, value in settings.items() if key.startswith("plugins.")
    }
    assert security["disabled"] is False
    assert security["ssl.http.enabled"] is True
    assert security["ssl.transport.enabled"] is True
    assert security["ssl.transport.enforce_hostname_verification"] is True
    assert security["ssl.transport.resolve_hostname"] is False
    assert security["ssl.http.pemkey_filepath"] == "/etc/opensearch/tls/tls.key"
    assert security["restapi.roles_enabled"] == []
    assert not [key for key in settings if key.startswith("xpack.")]
    assert settings["cluster.initial_cluster_manager_nodes"] == ["search-0", "search-1", "search-2"]


def test_elasticsearch_encrypts_both_layers_and_checks_the_hosts_of_nodes() -> None:
    settings = node_settings(Engine.ELASTICSEARCH)
    assert settings["xpack.security.enabled"] is True
    assert settings["xpack.security.http.ssl.enabled"] is True
    assert settings["xpack.security.transport.ssl.verification_mode"] == "full"
    assert settings["xpack.security.transport.ssl.client_authentication"] == "required"
    assert settings["xpack.security.authc.reserved_realm.enabled"] is False
    assert settings["xpack.security.authc.realms.file.users.order"] == 0
    assert not [key for key in settings if key.startswith("plugins.")]
    assert settings["cluster.initial_master_nodes"] == ["search-0", "search-1", "search-2"]


@pytest.mark.parametrize(("heap", "direct"), [("384m", "192m"), ("4g", "2048m")])
def test_memory_outside_the_heap_is_bounded_by_half_of_it(heap: str, direct: str) -> None:
    command = nodes.server_command(Engine.OPENSEARCH, heap, ("-XX:+UseG1GC",))
    assert f"-Xmx{heap}" in command
    assert f"-XX:MaxDirectMemorySize={direct}" in command
    assert "-XX:+UseG1GC" in command


def test_elasticsearch_gets_heap_and_flags_by_its_own_file() -> None:
    assert nodes.environment(Engine.ELASTICSEARCH)["ES_PATH_CONF"] == "/etc/elasticsearch"
    assert "-Xmx4g\n" in nodes.jvm_options("4g", ("-XX:+UseG1GC",))


def test_one_role_for_one_user_and_no_pattern_that_fits_an_alias() -> None:
    documents = access.security_documents(cluster.USERS, {user.name: HASH for user in cluster.USERS})
    assert set(documents["roles"]) == set(documents["internalusers"]) == {user.name for user in cluster.USERS}
    assert documents["rolesmapping"]["grafana"]["users"] == ["grafana"]
    patterns = [
        pattern
        for role in documents["roles"].values()
        for grant in role["index_permissions"]
        for pattern in grant["index_patterns"]
    ]
    assert patterns
    assert all(pattern.endswith("-0*") for pattern in patterns)


def test_who_backs_up_reads_what_it_is_told_and_writes_nothing() -> None:
    user = access.backup_reader("backup", ["logs"])
    [grant] = access.security_documents([user], {"backup": HASH})["roles"]["backup"]["index_permissions"]
    assert grant["index_patterns"] == ["logs-0*"]
    assert {"indices:data/read/*", "indices:admin/get"} <= set(grant["allowed_actions"])
    assert not [action for action in grant["allowed_actions"] if "write" in action or "delete" in action]
    assert user.aliases == ()


def test_readers_and_writers_have_nothing_in_common() -> None:
    def actions(user: SearchUser) -> set[str]:
        role = access.security_documents([user], {user.name: HASH})["roles"][user.name]
        return {action for grant in role["index_permissions"] for action in grant["allowed_actions"]}

    assert not actions(access.log_reader("r")) & actions(access.log_writer("w"))
    assert not [action for action in actions(access.log_writer("w")) if "delete" in action or "mapping" in action]
    assert access.log_reader("r").aliases == ("logs-read",)
    assert access.log_writer("w").aliases == ("logs-write",)


@pytest.mark.parametrize("clearance", attributes.CLASSES)
def test_a_clearance_is_let_into_its_class_and_those_below(clearance: str) -> None:
    user = access.trace_reader("query", clearance)
    classes = {family.partition("-")[0] for family in user.reads}
    assert classes == set(attributes.readable(clearance))
    assert all(alias.startswith(f"{clearance}-jaeger-") and alias.endswith("-read") for alias in user.aliases)


def test_elasticsearch_knows_the_same_users_in_its_own_words() -> None:
    users = (
        *cluster.USERS,
        access.dependency_writer("service-graph"),
        *access.own_users(["logs"], Engine.ELASTICSEARCH),
    )
    files = access.elasticsearch_files(users, {user.name: HASH for user in users})
    assert "grafana:$2a$10$" in files["users"]
    assert "grafana:grafana\n" in files["users_roles"]
    assert files["roles.yml"]["grafana"] == {
        "cluster": ["monitor"],
        "indices": [{"names": ["logs-0*", "logs-read"], "privileges": ["read", "view_index_metadata"]}],
    }
    assert files["roles.yml"]["index-manager"]["indices"][0]["names"] == ["logs-*"]
    assert files["roles.yml"]["search-restorer"] == {
        "cluster": ["monitor"],
        "indices": [{"names": ["*logs-*"], "privileges": ["all"]}],
    }


def test_a_restore_has_a_user_only_where_no_certificate_makes_an_administrator() -> None:
    names = {kind: {user.name for user in access.own_users(["logs"], kind)} for kind in Engine}
    assert names[Engine.ELASTICSEARCH] - names[Engine.OPENSEARCH] == {access.RESTORER}


def test_a_class_is_read_by_its_clearance_and_those_above() -> None:
    families = {family.name: family for family in cluster_families()}
    assert families["public-jaeger-span"].read_aliases == tuple(
        f"{name}-jaeger-span-read" for name in ("public", "internal", "confidential")
    )
    assert families["confidential-jaeger-dependencies"].read_aliases == ("confidential-jaeger-dependencies-read",)
    assert families["logs"].write_alias == "logs-write"


def cluster_families(kind: Engine = Engine.OPENSEARCH) -> tuple[indices.Family, ...]:
    args = cluster.search_args(kind)
    return indices.families(kind, traces=args.traces, logs=args.logs)


def test_templates_carry_the_read_aliases_and_the_shards() -> None:
    template = cluster_families()[-1].template()
    assert template["index_patterns"] == ["logs-0*"]
    assert template["template"]["aliases"] == {"logs-read": {}}
    assert template["template"]["settings"]["index.number_of_shards"] == 2
    assert template["template"]["settings"]["index.number_of_replicas"] == 1


def test_attributes_of_logs_are_one_field_each_in_both_engines() -> None:
    for kind, flat in ((Engine.OPENSEARCH, "flat_object"), (Engine.ELASTICSEARCH, "flattened")):
        fields = cluster_families(kind)[-1].mapping["properties"]
        assert fields["attributes"] == {"type": flat}
        assert fields["resource"] == {"type": "object", "enabled": False}
        assert fields["origin"]["type"] == "keyword"


@pytest.mark.parametrize("kind", ["span", "service"])
def test_fields_of_traces_are_those_of_jaeger(kind: str) -> None:
    recipe = next(recipe for recipe in RECIPES if isinstance(recipe, GoTool) and recipe.name == "jaeger")
    folder = module_folder(recipe.module, recipe.module_version)
    text = (folder / f"internal/storage/v1/elasticsearch/mappings/jaeger-{kind}-7.json").read_text()
    text = re.sub(r"\{\{-? if \.UseILM \}\}.*?\{\{-? end \}\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{\{ \.(Shards|Replicas) \}\}", "1", text).replace("{{ .IndexPrefix }}", "")
    theirs = json.loads(text)
    ours = {"span": indices.span_mapping, "service": indices.service_mapping}[kind]()
    assert ours == theirs["mappings"]
    template = next(
        cluster_family for cluster_family in cluster_families() if cluster_family.name == f"public-jaeger-{kind}"
    ).template()
    settings = template["template"]["settings"]
    assert theirs["settings"].items() <= settings.items()


def test_unclassified_counts_as_the_most_restricted_class() -> None:
    assert attributes.DEFAULT == attributes.CLASSES[-1] == "confidential"
    assert attributes.readable("internal") == ("public", "internal")
    assert attributes.clearances("internal") == ("internal", "confidential")
    with pytest.raises(ValueError, match="secret"):
        attributes.readable("secret")


def state(*copies: tuple[str | None, str]) -> dict[str, Any]:
    shards = {str(number): [{"node": node, "state": what}] for number, (node, what) in enumerate(copies)}
    return {"nodes": {"a": {"name": "search-0"}}, "routing_table": {"indices": {"i": {"shards": shards}}}}


YELLOW = {"status": "yellow", "unassigned_shards": 1}


@pytest.mark.parametrize(
    ("health", "of_cluster", "running_s", "reason"),
    [
        ({"status": "green"}, {}, 0.0, ""),
        (YELLOW, {"nodes": {}, "routing_table": {"indices": {}}}, 999.0, "search-0 is not part of the cluster yet"),
        (YELLOW, state(("a", "INITIALIZING")), 999.0, "1 copies of search-0 are being recovered"),
        (YELLOW, state(("a", "STARTED"), (None, "UNASSIGNED")), 10.0, "the cluster is yellow: 1 copies have no node"),
        (YELLOW, state(("a", "STARTED"), (None, "UNASSIGNED")), 301.0, ""),
        (YELLOW, state(("b", "INITIALIZING")), 301.0, ""),
        (YELLOW, state(("a", "RELOCATING")), 301.0, ""),
    ],
)
def test_a_node_is_ready_when_its_copies_are_back(
    health: dict[str, Any], of_cluster: dict[str, Any], running_s: float, reason: str
) -> None:
    assert copies_started.judge(health, of_cluster, "search-0", running_s, 300) == reason


@pytest.mark.parametrize(("running_s", "question"), [(299, nodes.WHOLE), (300, nodes.NOTHING_COMES)])
def test_elasticsearch_is_asked_whether_the_cluster_is_green_and_later_whether_no_copy_is_on_its_way(
    running_s: int, question: str, tmp_path: Path
) -> None:
    """A program in the place of curl writes down what it is told."""
    (tmp_path / "curl").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "curl").chmod(0o755)
    command = nodes.probe_command(Engine.ELASTICSEARCH, files="/f", secrets="/s", ca_file="/ca")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNNING_S": str(running_s)}
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert told[-1] == f"https://localhost:9200/_cluster/health?timeout=20s&{question}"
    assert {"--fail", "--cacert", "/ca", "-K", "/s/curl"} <= set(told)


def test_two_users_of_one_name_are_refused() -> None:
    args = cluster.search_args()
    with pytest.raises(ValueError, match="the user grafana occurs twice"):
        check(replace(args, users=[*args.users, access.log_reader("grafana")]))


def _properties(users: tuple[SearchUser, ...]) -> dict[str, str]:
    lines = nodes.log_configuration(users).splitlines()
    return dict(line.split(" = ", 1) for line in lines)


GRANTED = {"audit_category": "GRANTED_PRIVILEGES", "audit_request_effective_user": "log-indexer"}
HIDING = {"audit_category": "GRANTED_PRIVILEGES", "audit_request_effective_user": "grafana"}


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        (GRANTED, True),
        ({**GRANTED, "audit_trace_indices": ['"audit_category":"FAILED_LOGIN"']}, True),
        ({**GRANTED, "audit_request_effective_user": "log-indexer-2"}, False),
        ({**GRANTED, "audit_request_effective_user": "log-reader"}, False),
        ({**GRANTED, "audit_request_effective_user": access.ERASER}, False),
        ({**GRANTED, "audit_request_effective_user": f"CN={config.ADMIN}"}, False),
        ({**GRANTED, "audit_category": "MISSING_PRIVILEGES"}, False),
        ({**GRANTED, "audit_category": "FAILED_LOGIN"}, False),
        ({"audit_category": "GRANTED_PRIVILEGES"}, False),
        # What a client writes into the parameters of its request.
        ({"audit_category": "FAILED_LOGIN", "audit_rest_request_params": HIDING}, False),
        ({"audit_rest_request_params": HIDING, **GRANTED, "audit_category": "FAILED_LOGIN"}, False),
        ({"audit_rest_request_params": HIDING, **GRANTED, "audit_request_effective_user": "log-reader"}, False),
    ],
)
def test_of_what_is_let_in_only_that_of_services_is_left_out_of_the_log(fields: dict[str, Any], dropped: bool) -> None:
    users = (
        access.log_writer("log-indexer"),
        access.log_reader("grafana"),
        access.log_reader("log-reader", people=True),
        *access.own_users(["logs"], Engine.OPENSEARCH),
    )
    properties = _properties(users)
    assert properties["logger.audit.filter.services.onMatch"] == "DENY"
    said = json.dumps(fields, separators=(",", ":"))
    assert bool(re.fullmatch(properties["logger.audit.filter.services.regex"], said)) is dropped


def test_a_client_begins_no_line_of_the_log() -> None:
    assert _properties(())["appender.console.layout.pattern"].endswith(" %enc{%m%xEx}{CRLF}%n")
    assert not [key for key in _properties(()) if "audit" in key]


def test_the_audit_log_of_the_server_ignores_nobody() -> None:
    settings = node_settings(Engine.OPENSEARCH)
    assert settings["plugins.security.audit.config.ignore_users"] == []


@pytest.mark.parametrize("kind", list(Engine))
def test_settings_have_no_yaml_alias_which_the_server_would_take_for_a_text(kind: Engine) -> None:
    assert not re.search(r"[&*]id\d+", config.rendered(node_settings(kind)))
