"""``python -m lab.simulator --config FILE [--seed N] [--ticks N]``"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from lab.simulator.config import SimulatorError, check_files, load
from lab.simulator.runner import Runner


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="lab.simulator", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file; see lab/simulator/config.py")
    parser.add_argument("--seed", type=int, help="instead of the file's seed")
    parser.add_argument("--ticks", type=int, help="stop after this many exports")
    given = parser.parse_args(arguments)
    try:
        config = load(given.config)
        if given.seed is not None:
            config = replace(config, seed=given.seed)
        check_files(config)
        runner = Runner(config)
    except SimulatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    runner.run(stop, ticks=given.ticks)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
