"""Two Alertmanagers and two Prometheus servers that send to them, as they should be."""

from __future__ import annotations

from policy.model import Resource
from tests.policy.fixtures_servers import Data, broken, config_map, secret, workload

CERTIFICATE = {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"}
OUTSIDE = {"ca_file": "/etc/secrets/authority.crt", "min_version": "TLS12"}
RECORD: Data = {
    "url": "https://record.mon.svc.cluster.local:8443/told",
    "http_config": {
        "basic_auth": {"username": "alertmanager", "password_file": "/etc/secrets/record"},
        "tls_config": {"ca_file": "/tls/ca.crt", "min_version": "TLS12"},
    },
}
DELAYS = {"critical": "5m", "high": "31m"}


def alert(name: str, severity: str, *, hold: str = "0s", escalation: str = "") -> Data:
    """An alert, or with a contact the one that raises it again."""
    more = {"escalation": escalation} if escalation else {}
    return {
        "alert": f"{name}Escalated" if escalation else name,
        "expr": f"{name.lower()} > 0",
        "for": DELAYS[severity] if escalation else hold,
        "labels": {"severity": severity, "alert_id": f"{name}/x={{{{ $labels.x }}}}", **more},
        "annotations": {"summary": name, "runbook_url": f"https://runbooks.example.com/{name}.md"},
    }


GOOD: Data = {
    "replicas": 2,
    "args": {
        "config.file": "/etc/am/alertmanager.yml",
        "storage.path": "/data",
        "web.config.file": "/etc/am/web.yml",
        "cluster.listen-address": "0.0.0.0:9094",
        "cluster.peer": "notifier-0.notifier:9094",
        "cluster.tls-config": "/etc/am/gossip.yml",
        "cluster.peer-timeout": "5s",
    },
    "claim": "/data",
    "gossip": {
        "tls_server_config": {
            **CERTIFICATE,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": "/tls/ca.crt",
        },
        "tls_client_config": {**CERTIFICATE, "ca_file": "/tls/ca.crt"},
    },
    "web": {
        "tls_server_config": {**CERTIFICATE, "min_version": "TLS12"},
        "basic_auth_users": {"prometheus": "$2y$10$x"},
    },
    "routing": {
        "global": {
            "smtp_smarthost": "mail.example.com:587",
            "smtp_auth_password_file": "/etc/secrets/mail",
            "slack_api_url_file": "/etc/secrets/slack",
        },
        "route": {
            "receiver": "mail",
            "group_wait": "30s",
            "routes": [
                {
                    "matchers": ['severity="critical"', 'escalation=""'],
                    "receiver": "phone",
                    "group_by": ["..."],
                    "group_wait": "0s",
                    "group_interval": "30s",
                    "repeat_interval": "5m",
                },
                {"matchers": ['severity=~"high|medium"', 'escalation=""'], "receiver": "mail"},
                {
                    "matchers": ["alertname=Watchdog"],
                    "receiver": "heartbeat",
                    "group_wait": "0s",
                    "group_interval": "30s",
                    "repeat_interval": "30s",
                },
                {"match": {"severity": "low"}, "receiver": "report", "mute_time_intervals": ["night"]},
                {"match_re": {"escalation": "senior|boss"}, "receiver": "boss", "group_wait": "1s"},
            ],
        },
        "inhibit_rules": [{"source_matchers": ["alertname=DiskFull"], "target_matchers": ["alertname=Slow"]}],
        "receivers": [
            {
                "name": "mail",
                "email_configs": [{"to": "ops@example.com", "require_tls": True, "tls_config": OUTSIDE}],
                "webhook_configs": [RECORD],
            },
            {
                "name": "phone",
                "pagerduty_configs": [
                    {
                        "routing_key_file": "/etc/secrets/pager",
                        "url": "https://events.example.com",
                        "http_config": {"tls_config": OUTSIDE},
                    }
                ],
                "sns_configs": [{"topic_arn": "arn:y", "http_config": {"tls_config": OUTSIDE}}],
                "webhook_configs": [
                    {"url": "https://hook.example.com/x", "http_config": {"tls_config": OUTSIDE}},
                    {"url": "http://127.0.0.1:8080/events"},
                    RECORD,
                ],
            },
            {
                "name": "heartbeat",
                "webhook_configs": [{"url_file": "/etc/secrets/switch", "http_config": {"tls_config": OUTSIDE}}],
            },
            {"name": "report", "webhook_configs": [RECORD]},
            {
                "name": "boss",
                "sns_configs": [{"topic_arn": "arn:x", "http_config": {"tls_config": OUTSIDE}}],
                "webhook_configs": [RECORD],
            },
        ],
        "time_intervals": [{"name": "night"}],
    },
    "first": {
        "global": {"external_labels": {"region": "a", "copy": "one"}},
        "rule_files": ["*.rules.yml"],
        "alerting": {
            "alert_relabel_configs": [{"action": "labeldrop", "regex": "copy|pod"}],
            "alertmanagers": [
                {
                    "scheme": "https",
                    "tls_config": {"ca_file": "/tls/ca.crt"},
                    "basic_auth": {"username": "prometheus", "password_file": "/etc/secrets/am"},
                    "static_configs": [{"targets": ["notifier-0:9093", "notifier-1:9093"]}],
                }
            ],
        },
        "scrape_configs": [],
    },
    "rules": {
        "groups": [
            {
                "name": "all",
                "rules": [
                    alert("DiskFull", "critical"),
                    alert("DiskFull", "critical", escalation="senior"),
                    alert("Slow", "high", hold="1m"),
                    alert("Slow", "high", hold="1m", escalation="boss"),
                    alert("Sums", "low"),
                    alert("Watchdog", "low"),
                    {"record": "up:sum", "expr": "sum(up)"},
                ],
            }
        ]
    },
    "prometheus": {"config.file": "/etc/prom/prometheus.yml", "rules.alert.for-grace-period": "30s"},
}


def build(data: Data) -> list[Resource]:
    """The stack."""
    files = secret(
        "notifier", **{"alertmanager.yml": data["routing"], "gossip.yml": data["gossip"], "web.yml": data["web"]}
    )
    second = broken(data["first"], "global/external_labels/copy", "two")
    return [
        files,
        config_map("routing", **{"alertmanager.yaml": data["routing"]}),
        workload(
            "StatefulSet",
            "notifier",
            "registry.example/prom/alertmanager:v0.31.1@sha256:0",
            args=[f"--{key}={value}" for key, value in data["args"].items()],
            files={"/etc/am": files},
            replicas=data["replicas"],
            claim=data["claim"],
        ),
        *prometheus("first", data["first"], data["rules"], data["prometheus"]),
        *prometheus("second", second, data["rules"], data["prometheus"]),
    ]


def prometheus(name: str, config: Data, rules: Data, flags: Data) -> list[Resource]:
    """A Prometheus and its files."""
    files = config_map(name, **{"prometheus.yml": config, "all.rules.yml": rules})
    command = ["/bin/prometheus", *(f"--{key}={value}" for key, value in flags.items())]
    return [files, workload("StatefulSet", name, "prom/prometheus:v3", command=command, files={"/etc/prom": files})]
