"""The program: keep the cluster every interval, serve the metrics, stop when asked."""

from __future__ import annotations

import signal
import sys
import threading

from services.index_manager.cluster_stats import IndexManagerMetrics
from services.index_manager.manager import IndexManager
from services.index_manager.settings import IndexManagerSettings
from services.runtime.periodic import operator_log, wait_for_stop
from services.runtime.serving import config_file, https_server
from services.runtime.settings import SettingsError

_MISTAKE = 2


log = operator_log("index-manager")


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    config = config_file(arguments, "index-manager", "Keeps the indices of a search cluster.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = IndexManagerSettings.load(config)
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    metrics = IndexManagerMetrics(settings.nodes, settings.interval_s)
    manager = IndexManager(settings, metrics, log)
    try:
        server = https_server(settings, metrics.registry, manager.alive, manager.ready, program="index-manager")
    except OSError as error:
        where = f"{settings.listen_host}:{settings.listen_port} with {settings.cert_file} and {settings.key_file}"
        log(f"cannot serve on {where}: {error}")
        return _MISTAKE
    server.start()
    log(f"serving https://{settings.listen_host}:{server.server_port}/metrics")
    threading.Thread(target=_run, args=(manager, stop), daemon=True).start()
    wait_for_stop(stop)
    server.stop()
    log("stopped")
    return 0


def _run(manager: IndexManager, stop: threading.Event) -> None:
    while not stop.is_set():
        manager.reconcile()
        stop.wait(manager.pause_s())
    manager.close()


if __name__ == "__main__":
    sys.exit(main())
