"""The mock brokers that librdkafka brings along: they speak Kafka over TCP, and each can go away and come back."""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PRODUCER = 0
_ERROR_BYTES = 512


class MockBrokers:
    """A cluster without security, TLS or disks; brokers count from 1."""

    def __init__(self, library: Any, cluster: ctypes.c_void_p) -> None:
        self._library, self._cluster = library, cluster
        self.bootstrap = str(library.rd_kafka_mock_cluster_bootstraps(cluster).decode())

    def stop(self, broker: int) -> None:
        """Close a broker's connections, and take no new ones."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, ctypes.c_int32(broker)) == 0

    def start(self, broker: int) -> None:
        """Take connections again."""
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, ctypes.c_int32(broker)) == 0


@contextmanager
def mock_brokers(count: int) -> Iterator[MockBrokers]:
    """A running cluster, in this process."""
    library = _library()
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    # It says that it has no brokers to go to, which is true.
    library.rd_kafka_conf_set(conf, b"log_level", b"2", error, _ERROR_BYTES)
    client = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, error, _ERROR_BYTES))
    assert client.value, error.value.decode()
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, count))
    try:
        yield MockBrokers(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


def _library() -> Any:
    """The librdkafka of the installed client."""
    files = importlib.metadata.files("confluent-kafka") or []
    (path,) = [file.locate() for file in files if file.name.startswith("librdkafka") and ".so" in file.name]
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library
