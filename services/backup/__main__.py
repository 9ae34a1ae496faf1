"""The program: makes one backup of one kind, and removes none. Interrupted, it leaves no run.

Runs as ``python3 -m services.backup --config FILE database|grafana|kafka-metadata|search``.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from services.backup import (
    DATABASE,
    GRAFANA,
    KAFKA_METADATA,
    KINDS,
    SEARCH,
    BackupError,
    BackupSettings,
    database,
    grafana,
    kafka_metadata,
    search,
)
from services.backup.encryption import check_recipients
from services.backup.manifest import Manifest, RunSummary, RunWriter
from services.backup.store import Store
from services.runtime.serving import operator_log
from services.runtime.settings import SettingsError, secret

_FAILED, _MISTAKE = 1, 2
_AGAIN_S = 0.05
_MAKERS: dict[str, Callable[[Any, RunWriter], RunSummary]] = {
    DATABASE: database.back_up,
    GRAFANA: grafana.back_up,
    KAFKA_METADATA: kafka_metadata.back_up,
    SEARCH: search.back_up,
}


class InterruptedRunError(BaseException):
    """The run must end. No `Exception`: libraries catch those, and would try again."""


log = operator_log("backup")


def run(settings: BackupSettings, kind: str, store: Store, started: datetime | None = None) -> Manifest:
    """Make one backup. Those that are too old are removed by the backup exporter.

    Args:
        settings: What is backed up.
        kind: Which of `KINDS`.
        store: Where it goes.
        started: When it began; None: now.

    Raises:
        SettingsError: The kind has no section, or a password file cannot be read.
        BackupError: A step failed.
    """
    section = getattr(settings, kind.replace("-", "_"))
    if section is None:
        raise SettingsError(f"{kind.replace('-', '_')} is missing: without that section no {kind} backup can be made")
    seal_key = secret(settings.seal_key_file)
    target = RunWriter(store, kind, settings.recipients, started)
    manifest = target.finish(
        _MAKERS[kind](section, target), platform=settings.platform, region=settings.region, seal_key=seal_key
    )
    log(
        f"{kind}: run {manifest.run} is stored: {len(manifest.objects)} objects, {manifest.total_bytes} bytes, "
        f"{manifest.duration_s:.1f} s"
    )
    return manifest


@contextmanager
def interruptible(limit_s: int) -> Iterator[None]:
    """Turn SIGTERM, SIGINT and the end of the time into an `InterruptedRunError`, so that nothing half done stays.

    Python drops what is raised while it finalizes an object: an interrupt that falls into such a moment is raised
    again right after it.
    """
    reason = ""

    def stop(number: int, _: Any) -> NoReturn:
        nonlocal reason
        late = number == signal.SIGALRM
        reason = reason or (f"took longer than {limit_s} s (limit_s)" if late else "was told to stop")
        raise InterruptedRunError(reason)

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if isinstance(what.exc_value, InterruptedRunError):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            hook(what)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.signal(number, stop) for number in numbers}
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def main(arguments: list[str] | None = None) -> int:
    """Make one backup. Returns 0 when it is stored, 1 when not, 2 for a mistake in the settings."""
    parser = argparse.ArgumentParser(prog="backup", description="Makes one backup and stores it.")
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    parser.add_argument("kind", choices=KINDS, metavar="|".join(KINDS))
    options = parser.parse_args(arguments)
    try:
        settings = BackupSettings.load(options.config)
        check_recipients(settings.recipients)
        for file in (settings.storage.access_key_id_file, settings.storage.secret_access_key_file):
            secret(file)
        with interruptible(settings.limit_s):
            store = Store(settings.storage.place)
            try:
                run(settings, options.kind, store)
            finally:
                store.close()
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except (BackupError, InterruptedRunError) as error:
        log(f"{options.kind}: {error}")
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
