"""What nobody agreed on is a finding: edits that once passed every rule."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from policy.documents import properties
from policy.model import Resource
from policy.rules import RULES

_BY_ID = {rule.id: rule for rule in RULES}
_OTELCOL = ["/otelcol", "--config=/etc/otelcol/config.yaml"]
_KAFKA = ["java", "-Xmx1g", "@/opt/kafka/java.args", "kafka.Kafka", "/etc/kafka/server-$(POD_INDEX).properties"]


def problems(rule_id: str, resource: Resource) -> list[str]:
    """What a rule says of one resource."""
    rule = _BY_ID[rule_id]
    assert rule.resource is not None
    return [finding.problem for finding in rule.resource(resource, rule.defaults())]


def workload(command: list[str], **container: Any) -> Resource:
    """A StatefulSet of one container."""
    pod = {"containers": [{"name": "one", "image": "registry.example/one:1", "command": command, **container}]}
    props = {"metadata": {"name": "one", "namespace": "obs"}, "spec": {"template": {"spec": pod}}}
    return Resource("kubernetes:apps/v1:StatefulSet", "one", props)


def config_map(name: str, content: Any) -> Resource:
    """A ConfigMap of one file."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    return Resource("kubernetes:core/v1:ConfigMap", "one", {"metadata": {"name": "one"}, "data": {name: text}})


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("allow.everyone.if.no.acl.found true", "allow.everyone.if.no.acl.found", "true"),
        ("min.insync.replicas\t1", "min.insync.replicas", "1"),
        ("min.insync.replica\\u0073=1", "min.insync.replicas", "1"),
        ("unclean.leader.\\\n    election.enable = true", "unclean.leader.election.enable", "true"),
        ("# never continued \\\nssl.client.auth: none", "ssl.client.auth", "none"),
        ("path=C:\\\\dir", "path", "C:\\dir"),
    ],
)
def test_properties_are_read_as_java_reads_them(line: str, key: str, value: str) -> None:
    assert properties(f"{key}=before\n{line}\n") == {key: value}


@pytest.mark.parametrize("separator", ["=", " "])
def test_a_node_is_opened_by_no_separator(separator: str) -> None:
    node = config_map(
        "server.properties", f"listeners=A://:1\nmin.insync.replicas=2\nmin.insync.replicas{separator}1\n"
    )
    assert any("min.insync.replicas is 1" in text for text in problems("kafka-broker-replication", node))


@pytest.mark.parametrize(
    "kind",
    [
        "kubernetes:core/v1:ConfigMapPatch",
        "kubernetes:apps/v1:StatefulSetPatch",
        "kubernetes:core/v1:ReplicationController",
        "kubernetes:helm.sh/v3:Release",
        "kubernetes:yaml:ConfigFile",
        "kubernetes:cilium.io/v2:CiliumNetworkPolicy",
        "kubernetes:admissionregistration.k8s.io/v1:MutatingWebhookConfiguration",
        "command:local:Command",
    ],
)
def test_a_resource_that_no_rule_looks_at_is_refused(kind: str) -> None:
    assert problems("resource-type-agreed", Resource(kind, "one", {})) == [f"no rule looks at resources of type {kind}"]
    assert problems("resource-type-agreed", config_map("a", "b")) == []


@pytest.mark.parametrize(
    "command",
    [
        ["/usr/bin/env", *_OTELCOL],
        ["sh", "-c", "exec /otelcol --config=/tmp/x.yaml"],
        ["/tmp/otelcol", *_OTELCOL[1:]],
        ["/usr/bin/socat", "TCP-LISTEN:8888,fork", "TCP:127.0.0.1:16686"],
        [*_OTELCOL, "-set", "receivers.otlp=null"],
        [*_OTELCOL, "--config=/tmp/other.yaml"],
        ["/bin/prometheus", "@/prometheus/flags"],
        ["/bin/prometheus", "--web.enable-lifecycle"],
        ["/bin/prometheus", "--web.config.file="],
        ["/bin/oauth2-proxy", "--alpha-config=/tmp/x"],
        ["/usr/share/grafana/bin/grafana", "server", "cfg:auth.anonymous.enabled=true"],
        ["java", "-agentlib:jdwp=transport=dt_socket,server=y,address=*:5005", *_KAFKA[1:]],
        ["java", "@/tmp/options", *_KAFKA[1:]],
        ["java", "-cp", "/tmp/evil.jar", "kafka.Kafka", "/etc/kafka/server-0.properties"],
        [*_KAFKA[:-1], "/var/lib/kafka/data/other.properties"],
    ],
)
def test_a_program_is_started_as_agreed_or_not_at_all(command: list[str]) -> None:
    assert problems("program-agreed", workload(command))


@pytest.mark.parametrize("command", [_OTELCOL, _KAFKA])
def test_an_agreed_program_passes(command: list[str]) -> None:
    assert problems("program-agreed", workload(command)) == []


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (_KAFKA, "JDK_JAVA_OPTIONS"),
        (_KAFKA, "KAFKA_OPTS"),
        (_OTELCOL, "HTTPS_PROXY"),
        (_OTELCOL, "LD_PRELOAD"),
        (_OTELCOL, "SSL_CERT_FILE"),
        (["/usr/bin/python3", "-m", "services.audit"], "PYTHONPATH"),
    ],
)
def test_a_variable_that_changes_a_program_is_refused_without_its_value(command: list[str], name: str) -> None:
    changed = workload(command, env=[{"name": name, "value": "hidden"}])
    assert problems("program-agreed", changed) == [f"{command[0]} is started with {name}, which is not agreed on"]


@pytest.mark.parametrize(
    "more",
    [
        {"envFrom": [{"configMapRef": {"name": "options"}}]},
        {"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "id"]}}}},
        {"lifecycle": {"preStop": {"exec": {"command": ["sh"]}}}},
    ],
)
def test_nothing_runs_or_is_set_beside_the_program(more: dict[str, Any]) -> None:
    assert problems("program-agreed", workload(_OTELCOL, **more))


@pytest.mark.parametrize(
    "word",
    [
        "--upstream=http://127.0.0.1:1",
        "--api-route=.*",
        "--reverse-proxy=true",
        "--pass-access-token=true",
        "--cookie-expire=87600h",
        "--email-domain=example.com",
    ],
)
def test_the_sign_in_of_traces_has_agreed_values(word: str) -> None:
    command = ["/bin/oauth2-proxy", "--https-address=0.0.0.0:4180", "--allowed-group=a", "--allowed-group=b"]
    assert problems("program-agreed", workload(command)) == []
    name = word.partition("=")[0]
    assert problems("program-agreed", workload([*command, word])) == [
        f"{name} of /bin/oauth2-proxy is not agreed on, or not with that value"
    ]


def test_a_flag_is_given_once_unless_it_is_a_list() -> None:
    assert problems("program-agreed", workload([*_OTELCOL, _OTELCOL[1]])) == ["--config of /otelcol is given 2 times"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hostAliases", [{"ip": "203.0.113.9", "hostnames": ["kafka-0.kafka.obs.svc"]}]),
        ("dnsPolicy", "None"),
        ("dnsConfig", {"nameservers": ["203.0.113.9"]}),
        ("runtimeClassName", "insecure"),
        ("hostUsers", True),
    ],
)
def test_a_pod_has_agreed_settings_only(key: str, value: Any) -> None:
    pod = workload(_OTELCOL)
    pod.props["spec"]["template"]["spec"][key] = value
    assert problems("pod-settings-agreed", pod) == [f"{key} is not agreed on"]


def test_scratch_space_hides_no_certificates() -> None:
    for path, wanted in (("/tmp", 0), ("/etc/tls", 1), ("/etc/kafka", 1)):
        pod = workload(_OTELCOL, volumeMounts=[{"name": "scratch", "mountPath": path}])
        pod.props["spec"]["template"]["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        assert len(problems("pod-settings-agreed", pod)) == wanted


def test_a_secret_is_of_an_agreed_type() -> None:
    for kind, wanted in (("Opaque", 0), ("kubernetes.io/service-account-token", 1)):
        secret = Resource("kubernetes:core/v1:Secret", "one", {"type": kind})
        assert len(problems("secret-type-agreed", secret)) == wanted


@pytest.mark.parametrize(
    "line",
    [
        "ssl.cipher.suites=TLS_RSA_WITH_NULL_SHA256",
        "listener.name.client.principal.builder.class=evil.Everyone",
        "ssl.engine.factory.class=evil.TrustAll",
        "early.start.listeners=CLIENT",
        "listener.name.client.scram-sha-512.sasl.server.callback.handler.class=evil.Any",
    ],
)
def test_a_setting_of_kafka_that_no_rule_reads_is_refused(line: str) -> None:
    node = config_map("server.properties", f"listeners=A://:1\n{line}\n")
    assert problems("kafka-settings-agreed", node) == [f"{line.partition('=')[0]} is not agreed on"]


def test_a_setting_of_a_topic_that_no_rule_reads_is_refused() -> None:
    topic = Resource("kafka:index/topic:Topic", "audit", {"name": "audit", "config": {"remote.storage.enable": "true"}})
    assert problems("kafka-settings-agreed", topic) == ["remote.storage.enable is not agreed on"]


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("receivers", "syslog"),
        ("exporters", "debug"),
        ("exporters", "file"),
        ("processors", "probabilistic_sampler"),
        ("processors", "filter"),
    ],
)
def test_a_part_of_a_collector_that_no_rule_knows_is_refused(section: str, kind: str) -> None:
    parts = {"receivers": {"otlp": {}}, "exporters": {"otlp": {}}, "service": {"pipelines": {}}}
    parts[section] = {f"{kind}/x": {}}
    assert problems("collector-parts-agreed", config_map("config.yaml", parts)) == [
        f"{section} of type {kind} are not agreed on"
    ]


@pytest.mark.parametrize(
    "inhibition",
    [
        {"source_matchers": ['alertname="Watchdog"'], "target_matchers": ['alertname="A"']},
        {"source_matchers": ['severity="low"'], "target_matchers": ['alertname="A"']},
        {"source_matchers": ['alertname=~".+"'], "target_matchers": ['alertname="A"']},
        {"source_match_re": {"alertname": ".+"}, "target_match": {"alertname": "A"}},
        {"source_matchers": ['alertname="B"'], "target_matchers": ['severity="critical"']},
    ],
)
def test_an_inhibition_with_a_pattern_is_refused(inhibition: dict[str, Any]) -> None:
    route = {"route": {"receiver": "a"}, "receivers": [{"name": "a"}]}
    assert problems("alertmanager-inhibitions", config_map("am.yml", {**route, "inhibit_rules": [inhibition]}))
    named = {"source_matchers": ['alertname=~"B|C"'], "target_matchers": ['alertname="A"']}
    assert problems("alertmanager-inhibitions", config_map("am.yml", {**route, "inhibit_rules": [named]})) == []


@pytest.mark.parametrize(
    "alerting",
    [
        {"alert_relabel_configs": [{"action": "drop", "regex": "critical", "source_labels": ["severity"]}]},
        {"alert_relabel_configs": [{"target_label": "severity", "replacement": "low"}]},
        {"alert_relabel_configs": [{"action": "labeldrop", "regex": ".*"}]},
        {"alertmanagers": [{"alert_relabel_configs": [{"action": "drop", "regex": ".*"}]}]},
        {"alertmanagers": [{"relabel_configs": [{"action": "drop", "regex": ".*"}]}]},
    ],
)
def test_alerts_are_not_changed_on_their_way(alerting: dict[str, Any]) -> None:
    assert problems("alert-delivery-whole", config_map("p.yml", {"scrape_configs": [], "alerting": alerting}))
    dropped = {"alert_relabel_configs": [{"action": "labeldrop", "regex": "prometheus_replica"}]}
    assert problems("alert-delivery-whole", config_map("p.yml", {"scrape_configs": [], "alerting": dropped})) == []


_ANY = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}


@pytest.mark.parametrize(
    "peer",
    [
        {"namespaceSelector": _ANY},
        {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}},
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}},
        {"ipBlock": {"cidr": "52.0.0.0/8"}},
        {"ipBlock": {"cidr": "169.254.169.254/32"}},
    ],
)
def test_a_peer_that_is_anybody_in_other_words_is_refused(peer: dict[str, Any]) -> None:
    def policy(one: dict[str, Any]) -> Resource:
        rule = {"from": [one], "ports": [{"port": 1}]}
        spec = {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"], "ingress": [rule]}
        return Resource("kubernetes:networking.k8s.io/v1:NetworkPolicy", "one", {"spec": spec})

    assert problems("network-policy-rules", policy(peer))
    assert problems("network-policy-rules", policy({"ipBlock": {"cidr": "10.0.0.0/8"}})) == []


@pytest.mark.parametrize(
    ("resources", "verbs"),
    [
        (["pods/exec"], ["create"]),
        (["nodes/proxy"], ["get"]),
        (["serviceaccounts/token"], ["create"]),
        (["secrets"], ["create", "patch"]),
    ],
)
def test_rights_that_are_rights_of_others_are_refused(resources: list[str], verbs: list[str]) -> None:
    role = {"rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs, "resourceNames": ["one"]}]}
    assert problems("role-narrow", Resource("kubernetes:rbac.authorization.k8s.io/v1:Role", "one", role))


def test_rights_go_to_no_group_and_no_role_of_the_system() -> None:
    for name, kind in (("system:node", "ServiceAccount"), ("view", "Group")):
        binding = {"roleRef": {"name": name}, "subjects": [{"kind": kind, "name": "somebody"}]}
        kept = Resource("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", "one", binding)
        assert len(problems("role-binding-narrow", kept)) == 1


@pytest.mark.parametrize(("name", "memory"), [("prometheus-a", "24Gi"), ("prometheus-a-shard-5", "24Gi"), ("one", "0")])
def test_replicas_and_shards_of_any_name_may_take_the_memory_that_was_agreed_on(name: str, memory: str) -> None:
    for limit, number in ((memory, 0), ("25Gi", 1)):
        server = workload(_OTELCOL, name="prometheus", resources={"limits": {"memory": limit}})
        server.props["metadata"]["name"] = name
        assert len(problems("memory-agreed", server)) == number


def test_the_last_value_of_a_flag_counts() -> None:
    command = ["/bin/prometheus", "--storage.tsdb.retention.size=1GB", "--storage.tsdb.retention.time=30d"]
    again = workload([*command, "--storage.tsdb.retention.time", "1h"])
    assert [text for text in problems("prometheus-retention", again) if "is 1h" in text]
