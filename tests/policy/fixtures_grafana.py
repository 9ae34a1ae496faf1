"""A Grafana as it should be."""

from __future__ import annotations

import json

from policy.model import Resource
from tests.policy.fixtures_servers import Data, config_map, ini_text, secret, workload

GOOD: Data = {
    "image": "grafana/grafana:12.1.0",
    "env": [
        {"name": "GF_SECURITY_ADMIN_PASSWORD__FILE", "value": "/etc/secrets/admin"},
        {"name": "GF_SECURITY_SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "made", "key": "key"}}},
        {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "made", "key": "db"}}},
    ],
    "ini": {
        "server": {
            "protocol": "https",
            "cert_file": "/tls/tls.crt",
            "cert_key": "/tls/tls.key",
            "router_logging": "true",
        },
        "log": {"mode": "console", "filters": "ldap:debug context:info"},
        "log.console": {"format": "json"},
        "database": {
            "type": "postgres",
            "host": "db:5432",
            "password": '"""${DB_PASSWORD}"""',
            "ssl_mode": "verify-full",
            "ca_cert_path": "/tls/ca.crt",
        },
        "security": {
            "cookie_secure": "true",
            "cookie_samesite": "strict",
            "strict_transport_security": "true",
            "disable_gravatar": "true",
        },
        "auth.ldap": {"enabled": "true", "config_file": "/etc/grafana/ldap.toml"},
        "smtp": {"password": "$__file{/etc/secrets/mail}"},
        "snapshots": {"external_enabled": "false"},
        "public_dashboards": {"enabled": "false"},
        "unified_alerting": {"enabled": "false"},
    },
    "ldap": {
        "host": "ldap.example.com",
        "use_ssl": True,
        "start_tls": True,
        "ssl_skip_verify": False,
        "root_ca_cert": "/tls/ldap-ca.crt",
        "bind_password": "${LDAP_PASSWORD}",
        "search_base_dns": ["dc=example,dc=com"],
    },
    "sources": {
        "datasources": [
            {
                "name": "metrics",
                "type": "prometheus",
                "access": "proxy",
                "url": "https://query:9090",
                "basicAuth": True,
                "basicAuthUser": "grafana",
                "jsonData": {"tlsAuthWithCACert": True},
                "secureJsonData": {
                    "basicAuthPassword": "$__file{/etc/secrets/query}",
                    "tlsCACert": "-----BEGIN CERTIFICATE-----",
                },
            },
            {"name": "local", "type": "jaeger", "url": "http://localhost:16686", "jsonData": {"tlsAuth": True}},
        ]
    },
}


def build(data: Data) -> list[Resource]:
    """The stack."""
    toml = "[[servers]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in data["ldap"].items())
    files = config_map(
        "face",
        **{
            "grafana.ini": "app_mode = production\n" + ini_text(data["ini"]),
            "ldap.toml": toml,
            "ds.yaml": data["sources"],
        },
    )
    return [
        files,
        secret("made", key="0123456789", db="word"),
        workload("Deployment", "face", data["image"], env=data["env"], files={"/etc/grafana": files}, replicas=2),
    ]


POD = "Deployment mon/face, spec.template.spec.containers[0]"
INI = "ConfigMap mon/face, grafana.ini:"
