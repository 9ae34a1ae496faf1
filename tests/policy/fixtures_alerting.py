"""Two Alertmanagers and two Prometheus servers that send to them, as they should be."""

from __future__ import annotations

from policy.model import Resource
from tests.policy.fixtures_servers import Data, broken, config_map, secret, workload

CERTIFICATE = {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"}
GOOD: Data = {
    "replicas": 2,
    "args": {
        "config.file": "/etc/am/alertmanager.yml",
        "storage.path": "/data",
        "web.config.file": "/etc/am/web.yml",
        "cluster.listen-address": "0.0.0.0:9094",
        "cluster.peer": "notifier-0.notifier:9094",
        "cluster.tls-config": "/etc/am/gossip.yml",
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
                    "matchers": ['severity="critical"'],
                    "receiver": "phone",
                    "group_wait": "0s",
                    "group_interval": "30s",
                    "repeat_interval": "5m",
                },
                {"matchers": ["severity=~high|medium"], "receiver": "mail", "mute_time_intervals": ["night"]},
            ],
        },
        "receivers": [
            {"name": "mail", "email_configs": [{"to": "ops@example.com", "require_tls": True}]},
            {
                "name": "phone",
                "pagerduty_configs": [{"routing_key_file": "/etc/secrets/pager", "url": "https://events.example.com"}],
                "webhook_configs": [
                    {"url": "https://hook.example.com/x", "http_config": {"tls_config": {"ca_file": "/tls/ca.crt"}}},
                    {"url": "http://127.0.0.1:8080/events"},
                ],
            },
        ],
        "time_intervals": [{"name": "night"}],
    },
    "first": {
        "global": {"external_labels": {"region": "a", "copy": "one"}},
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
        config_map("first", **{"prometheus.yml": data["first"]}),
        config_map("second", **{"prometheus.yml": second}),
    ]
