"""The program: archive until asked to stop, then store what is in memory, and end within 30 seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading

from confluent_kafka import KafkaException

from services.backup import BackupError
from services.backup.encryption import check_recipients
from services.kafka_archive import KafkaArchiveSettings
from services.kafka_archive.archiver import Archiver
from services.kafka_archive.metrics import Metrics
from services.kafka_archive.segments import connection
from services.kafka_archive.upload_pool import Bucket, TopicIds, UploadPool
from services.runtime.serving import config_file, https_server, operator_log
from services.runtime.settings import SettingsError

END_S = 28.0
"""After that the program ends, whatever it waits for: nothing is lost, some is stored twice."""
_FAILURE, _MISTAKE = 1, 2


log = operator_log("kafka-archive")
"""Writes one line for the operator; never a part of a record."""


class Program:
    """Archive, metrics and probes."""

    def __init__(self, settings: KafkaArchiveSettings) -> None:
        """Make everything, and listen.

        Raises:
            SettingsError: A recipient is no public key.
            BackupError: A file with a key of the storage cannot be read.
            OSError: A file cannot be read, or the address is taken.
            KafkaException: The client cannot be made.
        """
        check_recipients(settings.recipients)
        kafka = settings.kafka
        password = kafka.password_file.read_text().strip()
        bucket = Bucket(settings.storage.place)
        ids = TopicIds(connection(kafka.bootstrap, kafka.ca_file, kafka.username, password))
        self._metrics = Metrics(kafka.topics)
        pool = UploadPool(bucket.store, ids.of, settings.recipients)
        self._archiver = Archiver(settings, pool, ids, self._metrics, log)
        self.server = https_server(settings, self._metrics.registry, self._archiver.alive, program="kafka-archive")

    def run(self, stop: threading.Event) -> bool:
        """Archive until ``stop``; tells whether everything that was read is stored.

        Raises:
            KafkaException: This process cannot go on; another may.
        """
        self.server.start()
        while not stop.is_set():
            self._archiver.turn()
        whole = self._archiver.finish()
        self.server.stop()
        return whole


def _end_anyway() -> None:
    log(f"not all could be stored within {END_S:.0f} s; whoever comes next reads it again")
    os._exit(_FAILURE)


def _stop(stop: threading.Event) -> None:
    if not stop.is_set():
        stop.set()
        watchdog = threading.Timer(END_S, _end_anyway)
        watchdog.daemon = True
        watchdog.start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        0 then; 1 when some of what was read could not be stored or Kafka has no place for this process, so that
        another has to read it again; 2 for a mistake in the settings.
    """
    config = config_file(arguments, "kafka-archive", "Every record of Kafka, in the object storage.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(stop))
    try:
        program = Program(KafkaArchiveSettings.load(config))
    except (SettingsError, BackupError) as error:
        log(str(error))
        return _MISTAKE
    except (OSError, KafkaException) as error:
        log(f"cannot start with {config}: {error}")
        return _MISTAKE
    log(f"serving https port {program.server.server_port}")
    try:
        whole = program.run(stop)
    except KafkaException as error:
        log(f"Kafka has no place for this process: {error}")
        return _FAILURE
    log("stopped")
    return 0 if whole else _FAILURE


if __name__ == "__main__":
    sys.exit(main())
