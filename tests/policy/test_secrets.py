"""Secrets stay in Secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from policy.model import UNKNOWN, Resource
from policy.runner import Runner
from tests.policy.fixtures_kubernetes import (
    HASH,
    WEB,
    changed,
    config_map,
    deployment,
    k8s,
    place,
    platform,
    rule,
    said,
    swapped,
)

C = "spec/template/spec/containers/0"
FIX = "put it into a Secret and name the mounted file"
PASSWORD = "correcthorsebatterystaple"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJl"
JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required"

SHOWN: list[tuple[str, str, str, str]] = [
    ("tls.key", PEM, "tls.key", "a private key"),
    ("users.htpasswd", f"reader:{HASH}\n", "users.htpasswd", "a bcrypt hash"),
    ("old.htpasswd", "a:$apr1$abc$defghijklmnop\n", "old.htpasswd", "a password hash"),
    ("web.yml", WEB, "web.yml: basic_auth_users.reader", "a bcrypt hash"),
    (
        "client.properties",
        f'security.protocol=SASL_SSL\nsasl.jaas.config={JAAS} username="a" password="hunter2";\n',
        'client.properties: "sasl.jaas.config"',
        "a password in a login line",
    ),
    (
        "store.properties",
        "security.protocol=SSL\nssl.keystore.password=hunter2\n",
        'store.properties: "ssl.keystore.password"',
        "a secret",
    ),
    (
        "config.yaml",
        "receivers: {kafka: {auth: {sasl: {username: a, password: hunter2}}}}\nservice: {}\n",
        "config.yaml: receivers.kafka.auth.sasl.password",
        "a secret",
    ),
    ("url.yaml", "database: postgres://reader:hunter2@db/obs\n", "url.yaml: database", "a password in a URL"),
    ("token.json", '{"auth": {"token": "hunter2"}}', "token.json: auth.token", "a secret"),
    ("number.yaml", "api_key: 12345\n", "number.yaml: api_key", "a secret"),
    ("jwt.txt", TOKEN, "jwt.txt", "a web token"),
    (
        "aws.ini",
        "[default]\naws_access_key_id = AKIAABCDEFGHIJKLMNOP\n",
        "aws.ini: default.aws_access_key_id",
        "a cloud access key",
    ),
    ("password", "hunter2", "password", "a secret"),
    ("gateway", "0123456789abcdef0123456789abcdef", "gateway", "one opaque word"),
    (
        "format.args",
        '"--add-scram"\n"SCRAM-SHA-512=[name=admin,password=hunter2]"\n',
        "format.args",
        "a SCRAM credential",
    ),
    ("grafana.ini", "[security]\nadmin_password = hunter2\n", "grafana.ini: security.admin_password", "a secret"),
    ("env.sh", "export X=1\nDB_PASSWORD=hunter2\n", "env.sh: DB_PASSWORD", "a secret"),
    (
        "jmx.yaml",
        "httpServer: {authentication: {basic: {username: a, passwordHash: 00ff}}}\n",
        "jmx.yaml: httpServer.authentication.basic.passwordHash",
        "a secret",
    ),
    (
        "probe.sh",
        "curl -H 'Authorization: Bearer abcdefghijklmnop1234' https://a\n",
        "probe.sh",
        "a header with credentials",
    ),
    ("list.yaml", "hooks:\n- {url: 'https://a', secret: hunter2}\n", "list.yaml: hooks[0].secret", "a secret"),
    ("slack.yaml", "hook: xoxb-1234567890-abc\n", "slack.yaml: hook", "a token of a service"),
    ("comment.yaml", f"# {PEM.splitlines()[0]}\na: 1\n", "comment.yaml", "a private key"),
]


@pytest.mark.parametrize(("name", "text", "where", "what"), SHOWN)
def test_a_config_map_with_a_secret_is_told(name: str, text: str, where: str, what: str) -> None:
    assert said("secret-in-config-map", config_map(**{name: text})) == [
        f"ConfigMap obs/query, {where}: the ConfigMap shows {what} -> {FIX}"
    ]


def test_binary_data_is_looked_into() -> None:
    encoded = base64.b64encode(PEM.encode()).decode()
    assert said("secret-in-config-map", k8s("core/v1:ConfigMap", "query", binaryData={"tls.key": encoded})) == [
        f"ConfigMap obs/query, tls.key: the ConfigMap shows a private key -> {FIX}"
    ]
    assert said("secret-in-config-map", k8s("core/v1:ConfigMap", "query", binaryData={"logo": "/9j/4AA="})) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("files.yaml", "password_file: /etc/a/password\npassword: ${file:/etc/a/b}\npassword2: /etc/a/b\n"),
        ("names.yaml", "secretName: web\ntoken_url: https://a/b\nkeys: [password, token]\nmax_tokens: 5\n"),
        ("none.yaml", "password: ''\ntoken: null\nsecret: false\n"),
        ("server.properties", f"listeners=A://:9092\nssl.keystore.location=/etc/tls/a.pem\nsasl.jaas.config={JAAS};\n"),
        ("grafana.ini", "[database]\npassword = $__file{/etc/a/b}\nurl = https://a:3000/x@y\n"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("rules.yml", "groups:\n- {name: a, rules: [{alert: A, expr: up, labels: {token: anything}}]}\n"),
        ("run.sh", "#!/bin/bash\nset -euo pipefail\npassword=$(cat /etc/a/b)\n"),
    ],
)
def test_references_names_and_public_files_pass(name: str, text: str) -> None:
    assert said("secret-in-config-map", config_map(**{name: text})) == []


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("env/0", {"name": "DATABASE_PASSWORD", "value": "hunter2"}, "env[0].value: DATABASE_PASSWORD of", "a secret"),
        ("env/0", {"name": "apiKey", "value": "12345"}, "env[0].value: apiKey of", "a secret"),
        ("env/0", {"name": "DB", "value": "postgres://a:b@db/obs"}, "env[0].value: DB of", "a password in a URL"),
        ("env/0", {"name": "X", "value": TOKEN}, "env[0].value: X of", "a web token"),
        ("command", ["/bin/server", "--password=hunter2"], "command[1]: --password of", "a secret"),
        ("command", ["/bin/server", "--client-secret", "hunter2"], "command[2]: --client-secret of", "a secret"),
        ("args", ["-Djavax.net.ssl.keyStorePassword=a"], "args[0]: -Djavax.net.ssl.keyStorePassword of", "a secret"),
        ("args", ["Bearer abcdefghijklmnop1234"], "args[0]: an argument of", "a header with credentials"),
    ],
)
def test_a_secret_in_a_variable_or_argument_is_told(path: str, value: Any, where: str, what: str) -> None:
    assert said("secret-in-command", changed(deployment(), f"{C}/{path}", value)) == [
        f"Deployment obs/query, spec.template.spec.containers[0].{where} container query shows {what} -> {FIX}"
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("env/0", {"name": "DATABASE_PASSWORD_FILE", "value": "/etc/a/password"}),
        ("env/0", {"name": "DATABASE_PASSWORD", "value": "/etc/a/password"}),
        ("env/0", {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}),
        ("command", ["/bin/server", "--password-file=/etc/a/password", "--token", "--verbose"]),
        ("command", ["/bin/server", "--password=$(PASSWORD)"]),
    ],
)
def test_references_to_secrets_pass(path: str, value: Any) -> None:
    assert said("secret-in-command", changed(deployment(), f"{C}/{path}", value)) == []


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("metadata/annotations/example.com~token", "hunter2", "annotation example.com/token shows a secret"),
        ("metadata/labels/password", "hunter2", "label password shows a secret"),
        (
            "spec/template/metadata/annotations/note",
            "AKIAABCDEFGHIJKLMNOP",
            "annotation note shows a cloud access key",
        ),
    ],
)
def test_a_secret_in_metadata_is_told(path: str, value: str, what: str) -> None:
    assert said("secret-in-metadata", deployment()) == []
    assert said("secret-in-metadata", changed(deployment(), path, value)) == [
        f"Deployment obs/query, {place(path)}: {what} -> remove it, and use a Secret"
    ]


def password(**changes: Any) -> Resource:
    """A password that the program makes."""
    properties = {"length": 32, "result": PASSWORD, "bcryptHash": HASH, **changes}
    return Resource("random:index/randomPassword:RandomPassword", "reader", properties)


def test_a_short_password_is_told() -> None:
    assert said("password-length", password()) == []
    assert said("password-length", password(length=8.0)) == [
        "RandomPassword reader, length: the password has 8 characters -> make it 24 long"
    ]


ENCODED = base64.b64encode(PASSWORD.encode()).decode()


@pytest.mark.parametrize(
    ("resource", "where", "name"),
    [
        (config_map(a=f"x {PASSWORD} y"), "ConfigMap obs/query, data.a", "reader (result)"),
        (config_map(a=ENCODED), "ConfigMap obs/query, data.a", "reader (result, base64)"),
        (
            changed(deployment(), "spec/template/metadata/annotations/note", PASSWORD),
            "Deployment obs/query, spec.template.metadata.annotations.note",
            "reader (result)",
        ),
        (
            changed(deployment(), f"{C}/args", [f"--a={PASSWORD}"]),
            "Deployment obs/query, spec.template.spec.containers[0].args[0]",
            "reader (result)",
        ),
        (
            changed(deployment(), f"{C}/env/0/value", HASH),
            "Deployment obs/query, spec.template.spec.containers[0].env[0].value",
            "reader (bcryptHash)",
        ),
        (
            k8s("core/v1:Secret", "query-web", labels={"a": PASSWORD}),
            "Secret obs/query-web, metadata.labels.a",
            "reader (result)",
        ),
    ],
)
def test_a_made_password_outside_of_secrets_is_told(resource: Resource, where: str, name: str) -> None:
    assert said("password-only-in-secrets", swapped(platform(), password(), resource)) == [
        f"{where}: it shows the password {name} -> put it into a Secret and mount it as a file"
    ]


def test_a_made_password_in_a_secret_passes() -> None:
    secret = k8s("core/v1:Secret", "query-web", stringData={"a": PASSWORD}, data={"b": ENCODED})
    assert said("password-only-in-secrets", swapped(platform(), password(), secret)) == []


def test_a_password_that_is_not_made_yet_is_reported_after_what_is_known() -> None:
    later = Resource(password().type, "later", {"length": 32, "result": UNKNOWN})
    resources = swapped(platform(), password(), later, config_map(a=PASSWORD))
    verdicts = Runner(rules=[rule("password-only-in-secrets")], agreed=[]).all(resources)
    assert [verdict.unknown for verdict in verdicts] == [False, True]
    assert verdicts[1].message == (
        "stack, RandomPassword later, result: not known before the update, so password-only-in-secrets could not look"
        " at it yet"
    )
