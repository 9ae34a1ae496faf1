"""Settings of ``python -m lab.fakes.receivers`` (one JSON or YAML file, closed to unknown keys), where the fakes are in
the lab, and whom alerts reach; and the secrets of the fakes, made once for a lab, kept in one file that its owner alone
can read.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from lab import key_files
from lab.cluster.network import RECEIVERS, RECEIVERS_HTTPS_PORT, RECEIVERS_SMTP_PORT
from lab.paths import CHECKOUT, LabPaths
from services.runtime.settings import SettingsError, mapping, read

URL = f"https://{RECEIVERS}:{RECEIVERS_HTTPS_PORT}"
MAIL_SERVER = f"{RECEIVERS}:{RECEIVERS_SMTP_PORT}"
STACK_FILE = CHECKOUT / "Pulumi.local.yaml"
DNS_ZONE, DNS_TTL_S = "obs.example.com", 5
"""The zone that both regions' names stand in, and how long others may keep an answer, seconds."""
DNS_SECRETS, DNS_RECORDS = "dns-secrets.json", "dns-records.json"
CERTIFICATES, SECRETS, CONFIG, RECORD, CODE = "pki", "secrets.json", "config.json", "notifications.jsonl", "code"
"""Names below `folder`."""


def folder(paths: LabPaths) -> Path:
    """Folder of the fakes in a lab's state."""
    return paths.state / "receivers"


CONTACTS = ("operators", "senior-manager", "on-call-engineer", "team-leader")
TOPICS = tuple(f"arn:aws:sns:ap-northeast-1:000000000000:{contact}" for contact in CONTACTS)
"""Topics of a fake that is told of no other."""
_ADDRESSES = ("mail", "sms_topic")


def addresses_of(stack_file: Path) -> dict[str, dict[str, str]]:
    """Contacts of a stack file (``alerting.contacts``) -> channel's key -> address; pager and Slack know names."""
    contacts = (_settings(stack_file).get("alerting") or {}).get("contacts") or {}
    return {
        name: {key: str(contact[key]) for key in _ADDRESSES if contact.get(key)} for name, contact in contacts.items()
    }


def topics_of(stack_file: Path) -> tuple[str, ...]:
    """SNS topics that a stack file's contacts have."""
    topics = {addresses.get("sms_topic") for addresses in addresses_of(stack_file).values()}
    return tuple(sorted(filter(None, topics)))


def gateway_of(stack_file: Path) -> str:
    """Address of a stack file's gateway."""
    return str(_settings(stack_file)["gateway"]["address"])


def _settings(stack_file: Path) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(stack_file.read_text())["config"]["observability:settings"]
    return settings


_TOP_PORT = 65535
_ARN_PARTS = 6


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the fakes listen, and the files that they use.

    Attributes:
        host: Address to listen on.
        https_port: Port of the pager, SMS, Slack, the switch and the record.
        smtp_port: Port of the mail server.
        cert_file: Certificate (chain).
        key_file: Its key.
        secrets_file: See `Secrets`.
        record_file: Where notifications are kept.
        topics: ARNs of the SNS topics that exist.
        grace_s: Seconds without a heartbeat after which the switch tells.
        dns_secrets_file: Keys of the zone, see `DnsSecrets`.
        dns_records_file: Where the zone's records are kept.
        dns_zone: The zone, without the last dot.
        dns_names: Name -> address that the zone holds at first.
    """

    host: str
    https_port: int
    smtp_port: int
    cert_file: Path
    key_file: Path
    secrets_file: Path
    record_file: Path
    topics: tuple[str, ...]
    grace_s: float
    dns_secrets_file: Path
    dns_records_file: Path
    dns_zone: str
    dns_names: Mapping[str, str]


def load(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        SettingsError: It cannot be read, or a value in it is not acceptable; one line says what to do.
    """
    return read(path, parse)


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    given = mapping("", content, tuple(field.name for field in fields(Settings)))
    return Settings(
        host=_text("host", given["host"]),
        https_port=_port("https_port", given["https_port"]),
        smtp_port=_port("smtp_port", given["smtp_port"]),
        cert_file=Path(_text("cert_file", given["cert_file"])),
        key_file=Path(_text("key_file", given["key_file"])),
        secrets_file=Path(_text("secrets_file", given["secrets_file"])),
        record_file=Path(_text("record_file", given["record_file"])),
        topics=_topics("topics", given["topics"]),
        grace_s=_seconds("grace_s", given["grace_s"]),
        dns_secrets_file=Path(_text("dns_secrets_file", given["dns_secrets_file"])),
        dns_records_file=Path(_text("dns_records_file", given["dns_records_file"])),
        dns_zone=_text("dns_zone", given["dns_zone"]),
        dns_names=_names("dns_names", given["dns_names"]),
    )


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{key} is {value!r}; it must be a text that is not empty")
    return value


def _port(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _TOP_PORT:
        raise SettingsError(f"{key} is {value!r}; it must be a port, 1 to {_TOP_PORT}")
    return value


def _seconds(key: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise SettingsError(f"{key} is {value!r}; it must be a number of seconds above 0")
    return float(value)


def _topics(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise SettingsError(f"{key} is {value!r}; it must be a list of ARNs")
    for arn in value:
        parts = _text(key, arn).split(":")
        if len(parts) != _ARN_PARTS or parts[:3] != ["arn", "aws", "sns"] or not all(parts):
            raise SettingsError(f"{key} has {arn!r}; an ARN is arn:aws:sns:<region>:<account>:<name>")
    return tuple(value)


def _names(key: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise SettingsError(f"{key} is {value!r}; it must be names with their addresses")
    for name, address in value.items():
        try:
            IPv4Address(_text(f"{key}.{name}", address))
        except ValueError:
            raise SettingsError(f"{key}.{name} is {address!r}; it must be an IPv4 address") from None
    return dict(value)


KEY_LENGTH = 32
"""Characters of a routing key of the pager."""
MAIL_USER = "alerts"
READER = "reader"
_UPPER = string.ascii_uppercase + string.digits
_AWS_KEY_TAIL, _AWS_SECRET = 16, 40


def _slack_token() -> str:
    team, hook = ("".join(secrets.choice(_UPPER) for _ in range(9)) for _ in range(2))
    return f"T{team}/B{hook}/{secrets.token_hex(12)}"


def aws_key() -> str:
    """A key id as AWS makes them."""
    return "AKIA" + "".join(secrets.choice(_UPPER) for _ in range(_AWS_KEY_TAIL))


def aws_secret() -> str:
    """A secret access key as AWS makes them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_AWS_SECRET))


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens a fake.

    Attributes:
        phone_keys: Contact -> routing key of the pager.
        slack_token: What the webhooks of `slack_tokens` are made of.
        mail_password: Of `MAIL_USER`.
        aws_key: Access key id that may publish on the SNS topics.
        aws_secret: Its secret.
        heartbeat_token: What stands behind ``/heartbeat/`` in the switch's URL.
        reader_password: Of `READER`, who may read the record.
    """

    phone_keys: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_hex(KEY_LENGTH // 2) for name in CONTACTS}
    )
    slack_token: str = field(default_factory=_slack_token)
    mail_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    aws_key: str = field(default_factory=aws_key)
    aws_secret: str = field(default_factory=aws_secret)
    heartbeat_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    reader_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def slack_tokens(self) -> dict[str, str]:
        """Contact -> what stands behind ``/services/`` in the URL of its webhook, which no other one is like."""
        team, _, _ = self.slack_token.partition("/")
        digests = {name: hashlib.sha256(f"{self.slack_token} {name}".encode()).hexdigest() for name in CONTACTS}
        return {name: f"{team}/B{digest[:9].upper()}/{digest[-24:]}" for name, digest in digests.items()}

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        rest = [value for value in asdict(self).values() if isinstance(value, str)]
        hooks = [*self.slack_tokens.values(), self.slack_token]
        return [*self.phone_keys.values(), *rest, *hooks, *(hook.rpartition("/")[2] for hook in hooks)]


@dataclass(frozen=True, kw_only=True)
class DnsSecrets:
    """What opens the zone of names; in a file of its own, since older labs have none.

    Attributes:
        key: Access key id that may read the zone and change its records.
        secret: Its secret.
    """

    key: str = field(default_factory=aws_key)
    secret: str = field(default_factory=aws_secret)


def load_secrets(file: Path) -> Secrets:
    """Read the secrets.

    Raises:
        LabError: The file is not there or not whole.
    """
    return key_files.load(Secrets, file, "the receivers")


def load_or_make_secrets(file: Path) -> Secrets:
    """Read the secrets, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    return key_files.load_or_make(Secrets, file, "the receivers")


def load_dns(file: Path) -> DnsSecrets:
    """Read the secrets of the zone.

    Raises:
        LabError: The file is not there or not whole.
    """
    return key_files.load(DnsSecrets, file, "the zone of names")


def load_or_make_dns(file: Path) -> DnsSecrets:
    """Read the secrets of the zone, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    return key_files.load_or_make(DnsSecrets, file, "the zone of names")
