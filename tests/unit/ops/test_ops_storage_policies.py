"""``ops config storage-policies``: what each key may do, as storages take it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from components.storage_roles import RIGHTS, WITNESS, StorageRole, bucket_statements, key_policy
from ops.__main__ import app
from tests.support.engine import CHECKOUT

PROD = CHECKOUT / "Pulumi.prod.yaml"
BUCKET = "obs-prod-region-a"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", "storage-policies", "--file", str(PROD), *arguments])


def test_every_role_has_a_policy_and_the_witness_one_of_its_bucket() -> None:
    shown = json.loads(run().stdout)
    assert set(shown) == {*map(str, StorageRole), "witness"}
    for role in StorageRole:
        assert shown[role] == key_policy(RIGHTS[role], BUCKET)
    assert shown["witness"] == key_policy(WITNESS, "obs-witness")


def test_the_policy_of_a_job_names_its_own_prefix_and_no_right_to_remove() -> None:
    policy = json.loads(run("--role", "backup-database").stdout)
    assert policy == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
                "Resource": f"arn:aws:s3:::{BUCKET}/backups/database/*",
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": f"arn:aws:s3:::{BUCKET}",
                "Condition": {"StringLike": {"s3:prefix": ["backups/database/*"]}},
            },
        ],
    }


def test_one_policy_of_the_bucket_for_keys_without_policies_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "principals.json"
    file.write_text(json.dumps({"archive": "arn:one", "report-reader": "arn:two"}))
    policy = json.loads(run("--principals", str(file)).stdout)
    rights = {"arn:one": RIGHTS[StorageRole.ARCHIVE], "arn:two": RIGHTS[StorageRole.REPORT_READER]}
    assert policy["Statement"] == list(bucket_statements(BUCKET, rights))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "cannot be read; it must be JSON such as"),
        ('{"nobody": "arn"}', 'it must be JSON such as {"archive": "arn:aws:iam::123456789012:user/archive"}; roles: '),
        ("[]", "it must be JSON such as"),
    ],
)
def test_principals_that_are_none_are_told(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "principals.json"
    file.write_text(content)
    result = run("--principals", str(file))
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_a_role_that_is_none_is_told() -> None:
    result = run("--role", "nobody")
    assert "--role is nobody: allowed are backup-database, " in str(result.exception)


def test_statements_for_several_keys_allow_what_each_of_theirs_does() -> None:
    """What several may do is said once; nobody gets more by it."""
    keys = {str(role): RIGHTS[role] for role in StorageRole}

    def atoms(statements: list[dict[str, object]], principal: str) -> set[str]:
        return {
            json.dumps([action, resource, statement.get("Condition")], sort_keys=True)
            for statement in statements
            if principal in statement["Principal"]["AWS"]  # type: ignore[index]
            for action in statement["Action"]  # type: ignore[attr-defined]
            for resource in statement["Resource"]  # type: ignore[attr-defined]
        }

    together = list(bucket_statements(BUCKET, keys))
    for name, rights in keys.items():
        assert atoms(together, name) == atoms(list(bucket_statements(BUCKET, {name: rights})), name)
