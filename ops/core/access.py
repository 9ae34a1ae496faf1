"""How backups, stored reports and the other region are reached: stack outputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from components.backups.config import most_age_s
from ops.core import files
from ops.core.errors import OpsError
from services.runtime.settings import Storage

_NO_FILE = Path("/nonexistent")
"""Keys come from the stack's outputs; no file with them is written."""


class BackupAccess(BaseModel):
    """The stack output ``backups``.

    Attributes:
        endpoint: ``https://host:port`` of the object storage, as this machine reaches it; None for AWS' own.
        region: Region of the bucket.
        bucket: Its name.
        prefix: What every key of a backup starts with, for example ``backups/``.
        metrics_prefix: What the keys of Prometheus blocks start with, from the beginning of the bucket.
        access_key_id, secret_access_key: May read, and write new objects.
        authority: PEM of who signs the storage's certificate; empty for a public one.
        encryption: Encryption that objects are stored with (``aws:kms``, ``AES256``), or None for the bucket's own.
        recipients: Public keys of age that everything is encrypted for.
        signing_keys: Public keys by one of which a run must be signed to be restored; none of a stack of before.
        state_seal_key: With which an operator seals a copy of Pulumi's state; None of a stack of before.
        time_zone: Time zone of the schedules.
        schedules: Kind -> cron.
        search: ``export`` where a job writes the documents of the search cluster, None where it is not backed up.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    endpoint: str | None
    region: str
    bucket: str
    prefix: str
    metrics_prefix: str
    access_key_id: SecretStr
    secret_access_key: SecretStr
    authority: str = ""
    encryption: str | None = None
    recipients: tuple[str, ...] = Field(min_length=1)
    signing_keys: tuple[str, ...] = ()
    state_seal_key: SecretStr | None = None
    time_zone: str
    schedules: Mapping[str, str]
    search: str | None = "export"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def scheduled(self) -> dict[str, float]:
        """Kind that a job makes -> how old its newest run may get, seconds."""
        kinds = {name.replace("_", "-"): float(most_age_s(cron)) for name, cron in self.schedules.items()}
        return {kind: age for kind, age in kinds.items() if kind != "search" or self.search == "export"}

    @contextmanager
    def storage(self, prefix: str) -> Iterator[tuple[Storage, tuple[str, str]]]:
        """The bucket below a prefix, as programs take it, with the key and its secret, until the block ends."""
        with tempfile.TemporaryDirectory(prefix="obs-storage-ca-") as folder:
            authority = Path(folder) / "ca.pem" if self.authority else None
            if authority is not None:
                authority.write_text(self.authority, encoding="utf-8")
            storage = Storage(
                endpoint=self.endpoint,
                region=self.region,
                bucket=self.bucket,
                prefix=prefix,
                access_key_id_file=_NO_FILE,
                secret_access_key_file=_NO_FILE,
                ca_file=authority,
                encryption=self.encryption,
            )
            yield storage, (self.access_key_id.get_secret_value(), self.secret_access_key.get_secret_value())


class MakesBackups(Protocol):
    """A platform, as far as it is about backups."""

    @property
    def backups(self) -> BackupAccess | None:
        """How its backups are reached; None where it makes none."""


def backup_access(platform: MakesBackups) -> BackupAccess:
    """How the backups of a platform are reached.

    Raises:
        OpsError: It makes none.
    """
    if platform.backups is None:
        raise OpsError("the stack makes no backups: bring up a version of the platform that does")
    return platform.backups


def read_access(file: Path) -> BackupAccess:
    """The same from a file, for when the stack is gone: JSON, as ``pulumi stack output backups --show-secrets`` has it.

    Raises:
        OpsError: The file cannot be read, or is none of this kind.
    """
    form = "must be JSON as `pulumi stack output backups --json --show-secrets` prints it"
    return files.read_json(BackupAccess, file, named="--access", form=form)


_CONFIG = ConfigDict(frozen=True, hide_input_in_errors=True)


class Peer(BaseModel):
    """The other region: its stack by its full name, and its own name."""

    model_config = _CONFIG

    stack: str
    region: str


class WitnessAccess(BaseModel):
    """The bucket in neither region.

    Attributes:
        endpoint: ``https://host:port`` as this machine reaches it; None for AWS' own.
        region, bucket: Where it is, and its name.
        access_key_id, secret_access_key: May read and write there.
        authority: PEM of who signs the storage's certificate; empty for a public one.
    """

    model_config = _CONFIG

    endpoint: str | None
    region: str
    bucket: str
    access_key_id: SecretStr
    secret_access_key: SecretStr
    authority: str | None = ""


class Dns(BaseModel):
    """Names in Route 53 that move.

    Attributes:
        zone: The hosted zone.
        names: What moves -> its name.
        ttl_s: How long others may keep an answer.
        endpoint: Address of the API, or None for AWS' own.
    """

    model_config = _CONFIG

    zone: str
    names: Mapping[str, str]
    ttl_s: int
    endpoint: str | None


class MirrorAccess(BaseModel):
    """What is copied into this region: from where, which topics, whose places in them."""

    model_config = _CONFIG

    source: str
    topics: tuple[str, ...]
    groups: tuple[str, ...]


class RegionsAccess(BaseModel):
    """The stack output.

    Attributes:
        role: What this region is, by its stack.
        region: Its name.
        peer: The other region; None where there is none.
        witness: Where both read which region is active; None where there is no failover.
        dns: Names that move; None where none does.
        targets: What moves -> where this region is reached, an address or a host's name.
        fingerprints: What -> SHA-256 of this region's rules, dashboards, topics, permissions, thresholds.
        mirror: What is copied into this region; None in a primary one.
    """

    model_config = _CONFIG

    role: Literal["primary", "standby"]
    region: str
    peer: Peer | None
    witness: WitnessAccess | None
    dns: Dns | None = None
    targets: Mapping[str, str] = {}
    fingerprints: Mapping[str, str] = {}
    mirror: MirrorAccess | None = None


class ReportAccess(BaseModel):
    """The stack output ``reports``.

    Attributes:
        time_zone: In which days begin.
        languages: Languages of the reports, the first one first.
        reader: User that reads at the report server.
        password: Its password; never shows in a representation.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    time_zone: str
    languages: tuple[str, ...] = Field(min_length=1)
    reader: str
    password: SecretStr

    @property
    def login(self) -> tuple[str, str]:
        """Name and password in the clear, for a client's ``auth`` argument."""
        return self.reader, self.password.get_secret_value()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)


class MakesReports(Protocol):
    """A platform, as far as it is about reports."""

    @property
    def reports(self) -> ReportAccess | None:
        """How its reports are reached; None where it makes none."""


def report_access(platform: MakesReports) -> ReportAccess:
    """How the reports of a platform are reached.

    Raises:
        OpsError: It makes none.
    """
    if platform.reports is None:
        raise OpsError("the stack makes no reports: bring up a version of the platform that does")
    return platform.reports
