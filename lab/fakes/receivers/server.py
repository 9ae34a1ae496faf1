"""All fakes as one process: ``python -m lab.fakes.receivers --config FILE``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.fakes.receivers import keys
from lab.fakes.receivers.dead_mans_switch import DeadMansSwitch
from lab.fakes.receivers.dns import Dns, Name
from lab.fakes.receivers.mail import MailFake
from lab.fakes.receivers.record import Record
from lab.fakes.receivers.settings import Settings, load
from lab.fakes.receivers.sigv4 import Signatures
from lab.fakes.receivers.web import application
from services.runtime.https import HttpsServer
from services.runtime.settings import SettingsError
from services.runtime.stopping import wait_for_stop


@contextmanager
def running(settings: Settings) -> Iterator[Record]:
    """All fakes, from the moment they listen until the block ends.

    Raises:
        LabError: The secrets cannot be read.
        OSError: An address is taken, or a file is not there.
    """
    secrets, zone = keys.load(settings.secrets_file), keys.load_dns(settings.dns_secrets_file)
    record = Record(settings.record_file, hidden=[*secrets.all(), zone.secret])
    certificate = (settings.cert_file, settings.key_file)
    switch = DeadMansSwitch(record, settings.grace_s)
    web = application(
        record,
        contacts={key: contact for contact, key in secrets.phone_keys.items()},
        slack_webhooks={token: contact for contact, token in secrets.slack_tokens.items()},
        heartbeat_token=secrets.heartbeat_token,
        aws=(secrets.aws_key, secrets.aws_secret),
        topics=settings.topics,
        reader=(keys.READER, secrets.reader_password),
        switch=switch,
        dns=Dns(
            settings.dns_zone,
            [Name(name=name, values=(address,)) for name, address in settings.dns_names.items()],
            Signatures(zone.key, zone.secret, service="route53"),
            settings.dns_records_file,
        ),
    )
    mail = MailFake(
        record,
        host=settings.host,
        port=settings.smtp_port,
        certificate=certificate,
        login=(keys.MAIL_USER, secrets.mail_password),
    )
    with ExitStack() as stack:
        server = HttpsServer(settings.host, settings.https_port, *certificate, web, program="receivers")
        stack.callback(server.stop)
        mail.start()
        stack.callback(mail.stop)
        server.start()
        switch.start()
        stack.callback(switch.stop)
        yield record


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 2 when the settings are wrong or an address is taken."""
    parser = argparse.ArgumentParser(prog="lab.fakes.receivers", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON or YAML; see lab/fakes/receivers/settings.py")
    given = parser.parse_args(arguments)
    for name in [variable for variable in os.environ if variable.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(given.config)
        with running(settings) as record:
            print(
                f"listening on {settings.host}: https {settings.https_port}, smtp {settings.smtp_port}; "
                f"{len(record.since())} notifications from before",
                flush=True,
            )
            wait_for_stop(stop)
    except (SettingsError, LabError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
