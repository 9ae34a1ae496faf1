"""The backup exporter: polls the object storage and exports how old, large and whole they are.

It cannot open anything: what it says comes from keys, sizes and manifests. A backup that is not in the object storage
was not made, whatever its job says. All that it writes are signatures of manifests that jobs have sealed. It removes
what is too old, which nobody else needs a right to.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from services.backup import Days
from services.runtime.settings import (
    File,
    ServerSettings,
    SettingsModel,
    Text,
    WritableStorageSettings,
    above_zero,
    broken_rule,
    checked,
)

PULUMI_STATE = "pulumi-state"
KINDS = ("database", "grafana", "kafka-metadata", "search", PULUMI_STATE)
"""What is backed up in runs: by jobs, and the last one by operators."""

_Seconds = Annotated[int | float, above_zero("seconds")]


def _ages(value: Any) -> Any:
    if not isinstance(value, dict):
        raise broken_rule(f"most_age_s must be a mapping of seconds; allowed keys: {', '.join(KINDS)}")
    for kind in value:
        if kind not in KINDS:
            raise broken_rule(f"most_age_s.{kind} is no kind of backup; allowed: {', '.join(KINDS)}")
    return value


def _kinds(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise broken_rule(f"keep_days.runs must be a mapping of days; allowed keys: {', '.join(KINDS)}")
    for kind in value:
        if kind not in KINDS:
            raise broken_rule(f"keep_days.runs.{kind} is no kind of backup; allowed: {', '.join(KINDS)}")
    return value


class BlocksSettings(SettingsModel):
    """Blocks of metrics, which Thanos puts into the storage.

    Attributes:
        prefix: What their keys start with.
        most_age_s: How old the end of a server's newest block may get, in seconds.
        servers: Server -> external labels of the blocks that it ships. Blocks with other labels, such as those of
            rulers, say nothing of it.
    """

    prefix: Annotated[
        str,
        checked(
            lambda value: isinstance(value, str) and not value.startswith("/") and value.endswith("/"),
            "with /, for example metrics/",
            "end",
        ),
    ]
    most_age_s: _Seconds
    servers: Annotated[dict[str, dict[str, str]], Field(min_length=1)]


class SigningSettings(SettingsModel):
    """By which key runs are signed, and which.

    Attributes:
        key_file: File with the key that signs.
        seal_key_files: Kind -> file with the key by which its job seals manifests.
        platform: Name of the platform whose runs are signed.
        region: Its region.
    """

    key_file: File
    seal_key_files: Annotated[dict[str, File], Field(min_length=1)]
    platform: Text
    region: Text


class KeptDays(SettingsModel):
    """For how many days what is stored is kept; the newest is kept for ever.

    Attributes:
        runs: Kind -> days for which its runs are kept. Of a kind that is not named none is removed.
        archive: Days for which a segment of Kafka's archive is kept.
    """

    runs: Annotated[dict[str, Days], BeforeValidator(_kinds)]
    archive: Days


class BackupExporterSettings(ServerSettings):
    """What the backup exporter looks at, what it signs, and what it removes.

    Attributes:
        storage: Where backups are stored, and their signatures.
        most_age_s: Kind that a job makes -> seconds from the start of its newest run until the next one is missing. Of
            a kind that is not named nobody expects any.
        keep_days: How long what is stored is kept.
        state_most_age_s: The same of Pulumi's state, which operators store.
        blocks: Blocks of metrics, or None where there are none.
        signing: How runs are signed.
    """

    storage: WritableStorageSettings
    signing: SigningSettings
    most_age_s: Annotated[dict[str, _Seconds], BeforeValidator(_ages)]
    keep_days: KeptDays
    state_most_age_s: _Seconds
    blocks: BlocksSettings | None

    @property
    def ages(self) -> dict[str, float]:
        """Every kind that somebody makes -> how old its newest run may get, in seconds."""
        return {**self.most_age_s, PULUMI_STATE: self.state_most_age_s}
