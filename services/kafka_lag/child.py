"""Entry point of the process that asks the brokers: started by the exporter, never by hand."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from services.kafka_lag.brokers import Brokers
from services.kafka_lag.child_process import answer
from services.kafka_lag.settings import load


def main() -> int:
    """Answer until the exporter is gone. Returns 0."""
    parser = argparse.ArgumentParser(prog="kafka-lag-child", description="Asks the brokers for the lag exporter.")
    parser.add_argument("--config", type=Path, required=True, help="the exporter's settings file")
    parser.add_argument("--pipe", type=int, required=True, help="number of the open file that leads to the exporter")
    options = parser.parse_args()
    # Ctrl-C ends the exporter, which ends this one. A crash is told by its signal: no image of the memory is needed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer(Connection(options.pipe), Brokers(load(options.config)).poll)
    return 0


if __name__ == "__main__":
    sys.exit(main())
