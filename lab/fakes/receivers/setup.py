"""The fakes as a part of the lab: their files, their process, and the secrets that the stack gets from them."""

from __future__ import annotations

import json
import sys
from typing import Any

from lab import LabError, key_files
from lab.cluster import network
from lab.cluster.network import RECEIVERS, RECEIVERS_HTTPS_PORT, RECEIVERS_SMTP_PORT, Daemon, fingerprint, wait_until
from lab.fakes.receivers import keys
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.messages import GRACE_S
from lab.fakes.receivers.settings import (
    CERTIFICATES,
    CODE,
    CONFIG,
    DNS_RECORDS,
    DNS_SECRETS,
    DNS_ZONE,
    RECORD,
    SECRETS,
    STACK_FILE,
    URL,
    folder,
    gateway_of,
    topics_of,
)
from lab.paths import CHECKOUT, LabPaths

_READY_LIMIT_S = 30
_SOURCES = ("lab/fakes/receivers/*.py", "services/runtime/*.py")


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    command = [sys.executable, "-m", "lab.fakes.receivers", "--config", str(folder(paths) / CONFIG)]
    return Daemon("receivers", [*network.enter(paths.netns), *command], paths.state, {"PYTHONPATH": str(CHECKOUT)})


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing, and end a process that runs other code or settings than the present ones."""
    place = folder(paths)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_files.create(place / CERTIFICATES, RECEIVERS)
    keys.load_or_make(place / SECRETS)
    keys.load_or_make_dns(place / DNS_SECRETS)
    config = {
        "host": RECEIVERS,
        "https_port": RECEIVERS_HTTPS_PORT,
        "smtp_port": RECEIVERS_SMTP_PORT,
        "cert_file": str(place / CERTIFICATES / key_files.CERTIFICATE),
        "key_file": str(place / CERTIFICATES / key_files.KEY),
        "secrets_file": str(place / SECRETS),
        "record_file": str(place / RECORD),
        "topics": list(topics_of(STACK_FILE)),
        "grace_s": GRACE_S,
        "dns_secrets_file": str(place / DNS_SECRETS),
        "dns_records_file": str(place / DNS_RECORDS),
        "dns_zone": DNS_ZONE,
        "dns_names": {f"otlp.{DNS_ZONE}": gateway_of(STACK_FILE)},
    }
    text = json.dumps(config, indent=1) + "\n"
    (place / CONFIG).write_text(text)
    present, mark = fingerprint(text, _SOURCES), place / CODE
    if not mark.exists() or mark.read_text() != present:
        daemon(paths).stop()
        mark.write_text(present)


def wait_ready(paths: LabPaths) -> None:
    """Wait until the fakes answer; works inside the lab's network namespace.

    Raises:
        LabError: They ended, or do not answer in time; the message carries the end of their log.
    """
    process, receivers = daemon(paths), Receivers.of_lab(paths)

    def alive_and_answering() -> bool:
        if process.pid() is None:
            raise LabError(f"receivers ended; log {process.log}:\n{process.tail()}")
        return receivers.answers()

    wait_until(f"the receivers to answer (log {process.log})", alive_and_answering, timeout_s=_READY_LIMIT_S)


def alerting_secrets(paths: LabPaths) -> dict[str, Any]:
    """What the stack needs to reach the fakes: the value of the secret ``observability:alertingSecrets``.

    Raises:
        LabError: The fakes' files are not there: no lab.
    """
    place = folder(paths)
    secrets = keys.load(place / SECRETS)
    return {
        "phone_keys": secrets.phone_keys,
        "slack_urls": {name: f"{URL}/services/{token}" for name, token in secrets.slack_tokens.items()},
        "mail_password": secrets.mail_password,
        "sms_access_key_id": secrets.aws_key,
        "sms_secret_access_key": secrets.aws_secret,
        "heartbeat_url": f"{URL}/heartbeat/{secrets.heartbeat_token}",
        "authority": (place / CERTIFICATES / key_files.AUTHORITY).read_text(),
    }


def dns_variables(paths: LabPaths) -> dict[str, str]:
    """Environment in which ``ops`` reaches the zone; empty where there is no lab.

    Raises:
        LabError: The file of its keys is not whole.
    """
    place = folder(paths)
    if not (place / DNS_SECRETS).exists():
        return {}
    secrets = keys.load_dns(place / DNS_SECRETS)
    return {
        "OBS_DNS_ACCESS_KEY_ID": secrets.key,
        "OBS_DNS_SECRET_ACCESS_KEY": secrets.secret,
        "OBS_DNS_CA_FILE": str(place / CERTIFICATES / key_files.AUTHORITY),
    }
