"""Object stores, the shipping of metrics, and scheduled jobs."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_servers import (
    GONE,
    Data,
    all_said,
    broken,
    cases,
    config_map,
    rule,
    rules_of,
    said,
    secret,
    workload,
)
from tests.support.engine import recorded

GOOD: Data = {
    "store": {
        "type": "S3",
        "config": {
            "bucket": "metrics",
            "endpoint": "s3.region-a.example.com:443",
            "access_key": "AKIA",
            "secret_key": "word",
            "http_config": {"tls_config": {"ca_file": "/tls/ca.crt"}},
            "sse_config": {"type": "SSE-S3"},
        },
    },
    "sidecar": {"tsdb.path": "/prometheus", "objstore.config-file": "/etc/store/bucket.yml"},
    "job": {
        "schedule": "0 2 * * *",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobSpec": {"activeDeadlineSeconds": 3600},
    },
}


def build(data: Data) -> list[Resource]:
    """The stack."""
    files = secret("bucket", **{"bucket.yml": data["store"]})
    args = ["sidecar", *(f"--{key}={value}" for key, value in data["sidecar"].items())]
    job = workload("CronJob", "dump", "example/dump:1", command=["pg_dump"], extra=data["job"])
    return [
        files,
        workload("StatefulSet", "metrics", "thanosio/thanos:v0.42.0", args=args, files={"/etc/store": files}),
        job,
    ]


CASES = cases("backups")


def test_the_good_backups_pass_every_rule() -> None:
    assert all_said(build(GOOD)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), CASES)
def test_a_broken_backup_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(GOOD, path, value))) == [message]


def test_keys_of_the_store_in_a_config_map_are_noticed() -> None:
    resources = [config_map("bucket", **{"bucket.yml": GOOD["store"]})]
    assert said(rule("backup-store-secrets"), resources) == [
        "ConfigMap mon/bucket, bucket.yml:.config.secret_key: the object store's key is written where everybody may "
        "read "
        "it. Fix: put the file into a Secret and name it with --objstore.config-file."
    ]


def test_a_store_written_into_the_command_line_is_read_too() -> None:
    inline = "type: S3\nconfig: {insecure: true, secret_key: word}"
    resources = [
        workload("Deployment", "store", "thanosio/thanos:v0.42.0", args=["store", f"--objstore.config={inline}"])
    ]
    where = "Deployment mon/store, spec.template.spec.containers[0].args[1]:.config"
    assert said(rule("backup-store-tls"), resources) == [
        f"{where}.insecure: backups travel in clear text: insecure is true. Fix: remove insecure."
    ]
    assert said(rule("backup-store-secrets"), resources) == [
        f"{where}.secret_key: the object store's key is written where everybody may read it. "
        "Fix: put the file into a Secret and name it with --objstore.config-file."
    ]


def test_a_store_that_cannot_encrypt_can_be_agreed_on() -> None:
    resources = build(broken(GOOD, "store/config/sse_config", GONE))
    assert said(rule("backup-store-encrypted"), resources, required=False) == []


def test_a_store_that_is_not_known_yet_is_not_called_missing() -> None:
    held, *others = build(GOOD)
    unknown = Resource(held.type, held.name, {**held.props, "stringData": {"bucket.yml": UNKNOWN}})
    with pytest.raises(UnknownValueError, match="Secret mon/bucket, stringData"):
        said(rule("backup-metrics-shipped"), [unknown, *others])


def test_without_an_object_store_a_sidecar_need_not_ship() -> None:
    sidecar = workload("StatefulSet", "metrics", "thanosio/thanos:v0.42.0", args=["sidecar"])
    assert said(rule("backup-metrics-shipped"), [sidecar]) == []


@pytest.mark.parametrize("stack", ["local", "prod", "dr"])
def test_the_platform_keeps_every_promise_about_servers(stack: str) -> None:
    assert (
        all_said([Resource(resource.token, resource.name, resource.inputs) for resource in recorded(stack).resources])
        == []
    )


def test_every_rule_about_backups_is_broken_here() -> None:
    cases = {case[0] for case in CASES} | {"backup-store-secrets"}
    assert cases == {known_rule.id for known_rule in rules_of("backups")}
