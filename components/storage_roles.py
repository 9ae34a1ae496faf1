"""Who may do what in the buckets of the object storage: one key a role, as data, and as policy documents of S3.

A role is what a workload does there. Its rights follow from what its program calls: who writes backups may not remove
any, and who takes over one pod has the rights of its role and no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

BACKUP_PREFIX: Final = "backups/"
METRICS_PREFIX: Final = "metrics/"
REPORT_PREFIX: Final = "reports/"
RECORD_PREFIX: Final = f"{REPORT_PREFIX}records/"
WITNESS_PREFIX: Final = "regions/"
ARCHIVE_PREFIX: Final = f"{BACKUP_PREFIX}archive/"
SIGNATURE_PREFIX: Final = f"{BACKUP_PREFIX}signatures/"
VERSION: Final = "2012-10-17"
"""Of the language of policy documents."""


class StorageRole(StrEnum):
    """What a key is for; the text is its name in a stack file."""

    BACKUP_DATABASE = "backup-database"
    BACKUP_GRAFANA = "backup-grafana"
    BACKUP_KAFKA_METADATA = "backup-kafka-metadata"
    BACKUP_SEARCH = "backup-search"
    BACKUP_EXPORTER = "backup-exporter"
    ARCHIVE = "archive"
    METRICS_WRITER = "metrics-writer"
    METRICS_READER = "metrics-reader"
    METRICS_COMPACTOR = "metrics-compactor"
    REPORT_WRITER = "report-writer"
    REPORT_READER = "report-reader"
    OPERATOR = "operator"


class Right(StrEnum):
    """What may be done below a prefix."""

    GET = "get"
    LIST = "list"
    PUT = "put"
    END_PARTS = "end parts"
    DELETE = "delete"


ACTIONS: Final[Mapping[Right, str]] = {
    Right.GET: "s3:GetObject",
    Right.PUT: "s3:PutObject",
    # A large object is put in parts, and given up where it cannot be finished.
    Right.END_PARTS: "s3:AbortMultipartUpload",
    Right.DELETE: "s3:DeleteObject",
}
"""Actions on objects; `Right.LIST` is one on the bucket."""
LIST_ACTION: Final = "s3:ListBucket"
UPLOADS_ACTION: Final = "s3:ListBucketMultipartUploads"
VERSIONING_ACTION: Final = "s3:GetBucketVersioning"


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a role may do.

    Attributes:
        purpose: What it does, for people.
        workloads: Patterns of the workloads that have its key; none: people have it.
        below: Prefix -> what it may do there.
        probes: Whether it asks for objects that may not be there. AWS says that one is missing only to who may list the
            bucket, and a question for an object has no prefix that a condition could look at: such a role may list
            the names, and nothing but the names, of the whole bucket.
        bucket_actions: What it may do with the bucket as a whole.
    """

    purpose: str
    workloads: tuple[str, ...]
    below: Mapping[str, tuple[Right, ...]]
    probes: bool = False
    bucket_actions: tuple[str, ...] = ()

    def may(self, right: Right, key: str) -> bool:
        """Whether something may be done with an object, or with names that begin so."""
        return (right is Right.LIST and self.probes) or any(
            key.startswith(prefix) and right in rights for prefix, rights in self.below.items()
        )


_LARGE: Final = (Right.PUT, Right.END_PARTS)


def _job(kind: str) -> Rights:
    return Rights(
        purpose=f"stores runs of {kind}",
        workloads=(f"backup-{kind}",),
        below={f"{BACKUP_PREFIX}{kind}/": (Right.GET, Right.LIST, *_LARGE)},
    )


RIGHTS: Final[Mapping[StorageRole, Rights]] = {
    StorageRole.BACKUP_DATABASE: _job("database"),
    StorageRole.BACKUP_GRAFANA: _job("grafana"),
    StorageRole.BACKUP_KAFKA_METADATA: _job("kafka-metadata"),
    StorageRole.BACKUP_SEARCH: _job("search"),
    StorageRole.BACKUP_EXPORTER: Rights(
        purpose="watches and signs backups, and removes those that are too old",
        workloads=("backup-exporter",),
        below={
            BACKUP_PREFIX: (Right.GET, Right.LIST, Right.DELETE, Right.END_PARTS),
            SIGNATURE_PREFIX: (Right.PUT,),
            METRICS_PREFIX: (Right.GET, Right.LIST),
        },
        probes=True,
        bucket_actions=(UPLOADS_ACTION,),
    ),
    StorageRole.ARCHIVE: Rights(
        purpose="stores segments of Kafka's topics",
        workloads=("kafka-archive",),
        below={ARCHIVE_PREFIX: (Right.PUT,)},
    ),
    StorageRole.METRICS_WRITER: Rights(
        purpose="ships blocks of metrics",
        workloads=("prometheus-*", "thanos-rule-*"),
        below={METRICS_PREFIX: (Right.GET, Right.LIST, *_LARGE)},
        probes=True,
    ),
    StorageRole.METRICS_READER: Rights(
        purpose="answers from stored blocks",
        workloads=("thanos-store",),
        below={METRICS_PREFIX: (Right.GET, Right.LIST)},
        probes=True,
    ),
    StorageRole.METRICS_COMPACTOR: Rights(
        purpose="compacts blocks, and removes those that are too old",
        workloads=("thanos-compact",),
        below={METRICS_PREFIX: (Right.GET, Right.LIST, *_LARGE, Right.DELETE)},
        probes=True,
    ),
    StorageRole.REPORT_WRITER: Rights(
        purpose="stores reports, and rewrites their index",
        workloads=("report-daily", "report-weekly", "report-monthly"),
        below={
            REPORT_PREFIX: (Right.GET, Right.LIST, Right.PUT),
            f"{REPORT_PREFIX}index": (Right.DELETE,),
        },
        probes=True,
    ),
    StorageRole.REPORT_READER: Rights(
        purpose="serves reports",
        workloads=("report-server",),
        below={REPORT_PREFIX: (Right.GET, Right.LIST)},
        probes=True,
    ),
    StorageRole.OPERATOR: Rights(
        purpose="restores, stores Pulumi's state, and records of maintenance and drills",
        workloads=(),
        below={
            BACKUP_PREFIX: (Right.GET, Right.LIST),
            f"{BACKUP_PREFIX}pulumi-state/": _LARGE,
            METRICS_PREFIX: (Right.GET, Right.LIST),
            RECORD_PREFIX: (Right.GET, Right.LIST, Right.PUT),
        },
        probes=True,
        bucket_actions=(VERSIONING_ACTION,),
    ),
}
WITNESS: Final = Rights(
    purpose="sees and says which region is active",
    workloads=("failover-agent",),
    below={WITNESS_PREFIX: (Right.GET, Right.LIST, Right.PUT)},
    probes=True,
)
"""Of the key of the witness, which has a bucket and a secret of its own: failover agents and operators have it."""


def role_of(workload: str) -> StorageRole | None:
    """The role of a workload; None where it has none."""
    return next(
        (
            known
            for known, rights in RIGHTS.items()
            if any(fnmatchcase(workload, pattern) for pattern in rights.workloads)
        ),
        None,
    )


def backup_role(kind: str) -> StorageRole:
    """The role of the job of a kind."""
    return StorageRole(f"backup-{kind}")


def statements(rights: Rights, bucket: str) -> Iterator[dict[str, Any]]:
    """Statements of a policy document, without a principal.

    Args:
        rights: What is allowed.
        bucket: Name of the bucket.
    """
    whole = f"arn:aws:s3:::{bucket}"
    for prefix, several in rights.below.items():
        actions = [ACTIONS[right] for right in several if right in ACTIONS]
        if actions:
            yield {"Effect": "Allow", "Action": actions, "Resource": f"{whole}/{prefix}*"}
    listed = [f"{prefix}*" for prefix, several in rights.below.items() if Right.LIST in several]
    if listed and not rights.probes:
        condition = {"Condition": {"StringLike": {"s3:prefix": listed}}}
        yield {"Effect": "Allow", "Action": [LIST_ACTION], "Resource": whole, **condition}
    actions = [*([LIST_ACTION] if rights.probes else ()), *rights.bucket_actions]
    if actions:
        yield {"Effect": "Allow", "Action": actions, "Resource": whole}


def key_policy(rights: Rights, bucket: str) -> dict[str, Any]:
    """The policy of a key, as IAM of AWS and MinIO take it.

    Args:
        rights: What is allowed.
        bucket: Name of the bucket.
    """
    return {"Version": VERSION, "Statement": list(statements(rights, bucket))}


def bucket_statements(bucket: str, principals: Mapping[str, Rights]) -> Iterator[dict[str, Any]]:
    """Statements of a bucket's policy for several keys, for storages whose keys have no policies of their own.

    Storages bound the size of a policy: what several keys may do is said once.

    Args:
        bucket: Name of the bucket.
        principals: Who somebody is for the storage, an ARN or a key's id -> what is allowed.
    """
    who: dict[str, list[str]] = {}
    for principal, rights in principals.items():
        for statement in statements(rights, bucket):
            for action in statement["Action"]:
                who.setdefault(json.dumps({**statement, "Action": action}), []).append(principal)
    what: dict[str, list[str]] = {}
    for text, allowed in who.items():
        statement = json.loads(text)
        action = statement.pop("Action")
        what.setdefault(json.dumps({"Principal": {"AWS": allowed}, **statement}), []).append(action)
    where: dict[str, list[str]] = {}
    for text, actions in what.items():
        statement = json.loads(text)
        resource = statement.pop("Resource")
        where.setdefault(json.dumps({**statement, "Action": actions}), []).append(resource)
    for text, resources in where.items():
        yield {**json.loads(text), "Resource": resources}
