"""What protects the platform, and how it can be weakened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policy.documents import Format
from tests.support import mutation_mirror


class _Gone:
    """Stands for "taken away"."""


GONE: Final = _Gone()

NEEDED = frozenset(
    {"PodDisruptionBudget", "NetworkPolicy", "Acl", "UserScramCredential", "Quota", "Topic", "ServiceAccount"}
)
"""Kinds of which none may go."""


def everybody(_: Any) -> Any:
    """Open to all addresses."""
    return ["0.0.0.0/0"]


def latest(image: str) -> str:
    """An image without a fixed release."""
    return image.split("@")[0].rsplit(":", 1)[0] + ":latest"


def untagged(image: str) -> str:
    """An image without a tag."""
    return image.split("@")[0].rsplit(":", 1)[0]


def elsewhere(image: str) -> str:
    """An image from another registry."""
    return "docker.io/somebody/" + image.split("/")[-1]


def in_clear(url: str) -> str:
    """The same address without TLS."""
    return url.replace("https://", "http://")


FIELDS: dict[str, dict[str, Sequence[Any]]] = {
    "Topic": {
        "replicationFactor": [2, 1],
        "config": [GONE],
        "config|min.insync.replicas": [GONE, "1", "3"],
        "config|unclean.leader.election.enable": ["true"],
        "config|retention.ms": [GONE, "1000"],
        "config|cleanup.policy": ["compact"],
    },
    "Acl": {"aclPrincipal": ["User:*"], "aclResourceName": ["*"], "aclOperation": ["All", "Alter", "ClusterAction"]},
    "Quota": {
        "entityType": ["client-id"],
        "entityName": [GONE, "somebody-else"],
        "config": [GONE],
        "config|producer_byte_rate": [GONE, "0", "-1", "9223372036854775807"],
        "config|consumer_byte_rate": [GONE, "0", "-1", "9223372036854775807"],
        "config|request_percentage": [GONE, "0", "100000"],
    },
    "UserScramCredential": {"scramMechanism": ["SCRAM-SHA-256"], "scramIterations": [1000]},
    "Namespace": {
        "metadata|labels|pod-security.kubernetes.io/enforce": [GONE, "baseline", "privileged"],
        "metadata|labels|pod-security.kubernetes.io/audit": [GONE],
        "metadata|labels|pod-security.kubernetes.io/warn": [GONE],
    },
    "Service": {
        "spec.loadBalancerSourceRanges": [GONE, everybody],
        "spec.type": ["NodePort"],
    },
    "PodDisruptionBudget": {"spec.maxUnavailable": ["100%", 2, GONE], "spec.selector.matchLabels": [{"app": "other"}]},
    "NetworkPolicy": {
        "spec.policyTypes": [["Ingress"], ["Egress"], GONE],
        "spec.ingress.*.from": [GONE, [{"ipBlock": {"cidr": "0.0.0.0/0"}}], [{"namespaceSelector": {}}]],
        "spec.egress.*.to": [GONE, [{"ipBlock": {"cidr": "0.0.0.0/0"}}]],
        "spec.ingress.*.ports": [GONE],
        "spec.egress.*.ports": [GONE],
    },
    "Certificate": {
        "spec.privateKey.size": [128, 1024],
        "spec.privateKey.rotationPolicy": ["Never", GONE],
        "spec.duration": ["876000h", GONE],
        "spec.renewBefore": [GONE],
    },
    "HorizontalPodAutoscaler": {
        "spec.minReplicas": [1, GONE],
        "spec.behavior": [GONE],
        "spec.behavior.scaleDown.stabilizationWindowSeconds": [0, GONE],
        "spec.behavior.scaleDown.policies.*.value": [2],
        "spec.behavior.scaleDown.policies.*.type": ["Percent"],
    },
    "VerticalPodAutoscaler": {
        "spec.updatePolicy": [GONE],
        "spec.updatePolicy.updateMode": [GONE, "Initial", "Recreate", "InPlaceOrRecreate", "Auto"],
        "spec.+startupBoost": [{"cpu": {"type": "Factor", "factor": 2}}],
    },
    "RandomPassword": {"length": [8]},
    "kubernetes": {"enableConfigMapMutable": [GONE, False], "enableSecretMutable": [GONE, False]},
    "kafka": {
        "tlsEnabled": [False, GONE],
        "skipTlsVerify": [True],
        "saslMechanism": ["plain", "scram-sha256"],
        "caCert": [GONE],
    },
    "StatefulSet": {
        "spec.replicas": [1],
        "spec.updateStrategy.type": ["OnDelete"],
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": ["Delete"],
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled": ["Delete"],
    },
    "Deployment": {"spec.replicas": [1], "spec.strategy.rollingUpdate.maxUnavailable": ["100%"]},
    "CronJob": {
        "spec.concurrencyPolicy": [GONE, "Allow", "Replace"],
        "spec.+suspend": [True],
        "spec.startingDeadlineSeconds": [GONE],
        "spec.failedJobsHistoryLimit": [0],
        "spec.jobTemplate.spec.activeDeadlineSeconds": [GONE],
    },
}

POD: dict[str, Sequence[Any]] = {
    "metadata|annotations|obs.config/checksum": [GONE],
    "spec.securityContext.runAsNonRoot": [GONE, False],
    "spec.securityContext.runAsUser": [0],
    "spec.securityContext.seccompProfile": [GONE, {"type": "Unconfined"}],
    "spec.automountServiceAccountToken": [GONE, True],
    "spec.serviceAccountName": [GONE, "default"],
    "spec.topologySpreadConstraints": [GONE],
    "spec.+hostNetwork": [True],
    "spec.+hostPID": [True],
    "spec.+hostIPC": [True],
    "spec.+hostAliases": [[{"ip": "203.0.113.9", "hostnames": ["kafka"]}]],
    "spec.+dnsConfig": [{"nameservers": ["203.0.113.9"]}],
    "spec.volumes.*.secret.defaultMode": [0o644, 0o777],
    "spec.volumes.*.+hostPath": [{"path": "/"}],
}

CONTAINER: dict[str, Sequence[Any]] = {
    "image": [latest, untagged, elsewhere],
    "securityContext": [GONE],
    "securityContext.allowPrivilegeEscalation": [GONE, True],
    "securityContext.readOnlyRootFilesystem": [GONE, False],
    "securityContext.+privileged": [True],
    "securityContext.capabilities.drop": [GONE, ["NET_RAW"]],
    "securityContext.capabilities.+add": [["SYS_ADMIN"]],
    "resources": [GONE],
    "resources.limits.memory": [GONE],
    "resources.requests.cpu": [GONE],
    "resources.requests.memory": [GONE],
    "livenessProbe": [GONE],
    "readinessProbe": [GONE],
    "+env": [[{"name": "DATABASE_PASSWORD", "value": "hunter2hunter2"}]],
    "ports.*.+hostPort": [9999],
}

INIT_CONTAINER: dict[str, Sequence[Any]] = {
    key: values for key, values in CONTAINER.items() if key.startswith(("image", "securityContext", "resources"))
}

FLAGS = (
    "tls-cert",
    "tls-key",
    "tls-client",
    "tls-secure",
    "tls-config",
    "web.config",
    "http.config",
    "client-ca",
    "auth-config",
    "default_client_config",
    "peer-timeout",
    "for-grace-period",
)
"""Parts of the names of command-line options that protect."""

_PLAIN = {"SASL_SSL": "SASL_PLAINTEXT", "SSL": "PLAINTEXT"}


def properties(content: Mapping[str, str], key: str) -> Iterator[Any]:
    """Bad values of one line of Kafka properties; what Kafka would not notice itself is no weakening."""
    value = content[key]
    used = {entry.partition("://")[0] for entry in content.get("listeners", "").split(",")}
    if "clusters" in content:
        yield from mutation_mirror.properties(content, key, GONE)
    elif key == "listener.security.protocol.map":
        for entry in value.split(","):
            name, protocol = entry.split(":")
            if name not in used:
                continue
            yield value.replace(entry, f"{name}:{_PLAIN[protocol]}")
            if protocol == "SASL_SSL":
                yield value.replace(entry, f"{name}:SSL")
        yield GONE
    elif key == "security.protocol":
        yield from (GONE, *(bad for bad in ("SASL_PLAINTEXT", "PLAINTEXT", "SSL") if bad != value))
    elif key.endswith("sasl.enabled.mechanisms"):
        yield from (GONE, "PLAIN", "SCRAM-SHA-256", f"{value},PLAIN")
    elif key.endswith("sasl.mechanism"):
        yield from (GONE, "PLAIN")
    elif key.endswith("ssl.client.auth") and value == "required":
        yield from (GONE, "none", "requested")
    elif key.endswith("ssl.endpoint.identification.algorithm"):
        yield ""
    elif key.endswith("ssl.enabled.protocols"):
        yield from ("TLSv1.2,TLSv1.1", "TLSv1")
    elif key == "authorizer.class.name":
        yield GONE
    elif key == "super.users":
        yield f"{value};User:ANONYMOUS"
    else:
        yield from _replication(key)


def _replication(key: str) -> Iterator[Any]:
    match key:
        case "allow.everyone.if.no.acl.found" | "auto.create.topics.enable" | "unclean.leader.election.enable":
            yield "true"
            if key == "auto.create.topics.enable":
                yield GONE
        case "min.insync.replicas" | "transaction.state.log.min.isr":
            yield "1"
            if key == "min.insync.replicas":
                yield GONE
        case "metadata.log.max.snapshot.interval.ms":
            yield from ("0", "3600000", GONE)
        case "default.replication.factor" | "offsets.topic.replication.factor":
            yield from ("1", "2")
            if key == "default.replication.factor":
                yield GONE
        case "transaction.state.log.replication.factor" | "share.coordinator.state.topic.replication.factor":
            yield "1"


_VERIFY = {"insecure_skip_verify", "tls_skip_verify", "insecure"}
_FILES = {"ca_file", "client_ca_file", "client_ca_crt_file"}


def document(kind: Format, path: Sequence[Any], value: Any) -> Iterator[Any]:
    """Bad values of one place in a YAML or JSON file."""
    last = path[-1]
    if kind is Format.OBJECT_STORE and last in ("tls_config", "ca_file"):
        return  # A storage whose authority nobody knows is refused: nothing is weaker for it.
    if last in ("tls", "tls_config", "tls_server_config", "tls_client_config") and value:
        yield GONE
    elif last in _VERIFY:
        yield True
    elif last in _FILES:
        yield GONE
    elif last == "client_auth_type":
        yield from ("NoClientCert", "RequestClientCert")
    elif last == "min_version":
        yield from ("TLS10", "1.0")
    elif last == "scheme" and value == "https":
        yield "http"
    elif isinstance(value, str) and value.startswith("https://"):
        yield in_clear(value)
    elif last in ("basic_auth", "basic_auth_users", "auth", "sasl") and isinstance(value, dict):
        yield GONE
    elif last == "mechanism":
        yield from ("PLAIN", "SCRAM-SHA-256")
    elif kind is Format.COLLECTOR:
        yield from _collector(path, last, value)
    elif last == "fail_if_not_ssl":
        yield from (False, GONE)
    elif kind is Format.PROMETHEUS:
        yield from _prometheus(path, last)


def _collector(path: Sequence[Any], last: Any, value: Any) -> Iterator[Any]:
    match last:
        case "required_acks":
            yield from (1, 0, GONE)
        case "allow_auto_topic_creation":
            yield from (True, GONE)
        case "after" if path[-2] == "message_marking":
            yield False
            yield GONE
        case "on_error" if path[-2] == "message_marking":
            yield True
        case "initial_offset":
            yield "latest"
        case "wait_for_result":
            yield False
        case "sending_queue" | "error_backoff" | "spill" if isinstance(value, dict):
            yield GONE
        case "multiplier" if path[-2] == "error_backoff":
            yield GONE
        case "max_fetch_size":
            yield 64 * value
        case "middlewares":
            yield from (GONE, [])
        case "htpasswd" if path[0] == "extensions":
            yield GONE
        case "fsync" if path[0] == "extensions":
            yield from (False, GONE)
        case "storage" if "spill" in path:
            yield from (GONE, "file_storage/elsewhere")
        case "timeout" if "spill" in path:
            yield "5s"
        case "username" | "password" if path[0] == "exporters" and path[-2] == "auth":
            yield GONE
        case "processors" if path[0] == "service" and "gate" in value:
            yield [component for component in value if component != "gate"]
            yield [component for component in value if not str(component).startswith("memory_limiter")]
            yield [*value, "batch"]
        case "retry_on_failure" if isinstance(value, dict):
            yield {"enabled": False}
        case "processors" if path[0] == "service" and any(
            str(component).startswith("memory_limiter") for component in value
        ):
            yield [component for component in value if not str(component).startswith("memory_limiter")]
            yield [*value, "batch"]


def _prometheus(path: Sequence[Any], last: Any) -> Iterator[Any]:
    if last == "out_of_order_time_window":
        yield from (GONE, "1m")
    elif last in ("scrape_interval", "evaluation_interval"):
        yield "1h"
    elif last == "metric_relabel_configs":
        yield [{"action": "drop", "regex": ".*", "source_labels": ["__name__"]}]
    elif (
        path == ["global", "external_labels"]
        or last == "rule_files"
        or (path[0] == "alerting" and last == "server_name")
    ):
        yield GONE
