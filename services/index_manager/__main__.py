"""The program: keep the cluster every interval, serve the metrics, stop when asked.

A failed step is counted and logged, the others go on. Users and roles of the running cluster are the ones of the file:
added, changed and removed as it says.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from services.index_manager import FamilySettings, IndexManagerSettings, indices
from services.index_manager.indices import Index, IndexManagerMetrics
from services.runtime.json_api import ApiError, JsonApi
from services.runtime.serving import config_file, https_server, operator_log, wait_for_stop
from services.runtime.settings import SettingsError

_API = "/_plugins/_security/api"
KINDS = ("roles", "internalusers", "rolesmapping")
"""In the order of applying: a mapping names users and roles."""
T = TypeVar("T")
_EARLY_S = 2.0
_REQUEST_S = 20.0
_STUCK_S = 180.0


def apply(admin: JsonApi, text: str) -> None:
    """Make the cluster's users, roles and mappings the ones of the file's text.

    Raises:
        ApiError: The cluster refuses, or the text is not the expected JSON.
    """
    try:
        wanted = json.loads(text)
        documents = {kind: wanted[kind] for kind in KINDS}
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError(f"the access file is not usable: {type(error).__name__} {error}") from None
    for kind, entries in documents.items():
        current = admin.ask("GET", f"{_API}/{kind}") or {}
        changes = operations(current, entries)
        if changes:
            admin.ask("PATCH", f"{_API}/{kind}", changes)


def operations(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The changes that make one out of the other. What the plugin brings itself is left alone."""
    gone = [name for name, entry in current.items() if name not in wanted and not _built_in(entry)]
    removals: list[dict[str, Any]] = [{"op": "remove", "path": f"/{name}"} for name in sorted(gone)]
    return removals + [{"op": "add", "path": f"/{name}", "value": entry} for name, entry in sorted(wanted.items())]


def _built_in(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("static") or entry.get("hidden"))


class IndexManager:
    """Reconciles indices, aliases and users of the cluster."""

    def __init__(
        self,
        settings: IndexManagerSettings,
        metrics: IndexManagerMetrics,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Publish to ``metrics``, write changes to ``log``; ``clock`` gives the time in seconds."""
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._client = JsonApi(
            settings.url,
            settings.url,
            settings.ca_file,
            login=(settings.username, settings.password_file),
            read_s=_REQUEST_S,
        )
        self._applied: str | None = None
        self._bootstrapped = False
        self._failures: list[str] = []
        self._last_logged = ""
        self._last_turn = time.monotonic()

    def ready(self) -> bool:
        """Tell whether users, templates, first indices and aliases have been in place since this process started."""
        return self._bootstrapped

    def alive(self) -> bool:
        """Tell whether rounds still end; a cluster that does not answer is no reason to restart this process."""
        return time.monotonic() - self._last_turn < self._settings.interval_s + _STUCK_S

    def pause_s(self) -> float:
        """Seconds until the next round: few until everything is in place."""
        return self._settings.interval_s if self._bootstrapped else min(_EARLY_S, self._settings.interval_s)

    def close(self) -> None:
        """Close the connection to the cluster."""
        self._client.close()

    def reconcile(self) -> None:
        """Do everything once."""
        self._last_turn = time.monotonic()
        self._failures = []
        self._step("access", self._apply_access)
        health = self._step("health", lambda: indices.health(self._client))
        if health:
            self._reconcile_indices()
            self._step("stats", lambda: self._publish_stats(health))
        if not self._failures:
            self._metrics.last_success.set(self._clock())
        self._log_change()
        self._last_turn = time.monotonic()

    def _step(self, stage: str, do: Callable[[], T]) -> T | None:
        try:
            return do()
        except (ApiError, OSError, KeyError, ValueError) as error:
            self._metrics.errors.labels(stage).inc()
            detail = str(error) if isinstance(error, ApiError | OSError) else f"unexpected answer: {error!r}"
            self._failures.append(f"{stage}: {detail}")
            return None

    def _apply_access(self) -> None:
        """Apply the users and roles of the file, once for every content that it has."""
        if self._settings.access is None:
            return
        text = self._settings.access.file.read_text()
        if text == self._applied:
            return
        certificate = (self._settings.access.cert_file, self._settings.access.key_file)
        with JsonApi(
            self._settings.url,
            self._settings.url,
            self._settings.ca_file,
            certificate=certificate,
            read_s=_REQUEST_S,
        ) as admin:
            apply(admin, text)
        self._applied = text
        self._log("users and roles are those of the file")

    def _reconcile_indices(self) -> None:
        """Templates, first indices, aliases; then new indices and the end of old ones."""
        families = self._settings.families
        for family in families:
            self._step("templates", partial(self._ensure_template, family))
        indices_by_family = self._step("indices", self._ensure_indices)
        if indices_by_family is not None and not self._failures:
            if not self._bootstrapped:
                self._log(f"{len(families)} families of indices are in place")
            self._bootstrapped = True
        if indices_by_family is None:
            return
        sizes = self._step("sizes", lambda: indices.sizes(self._client, families)) or {}
        for family in families:
            own = indices_by_family[family.name]
            if own and sizes.get(own[-1].name, (0, 0))[0]:
                self._step("rollover", partial(self._roll_over, family))
            if indices.expired(family, own, self._clock()):
                self._step("deletion", partial(self._delete_expired, family, own))

    def _ensure_template(self, family: FamilySettings) -> None:
        if indices.ensure_template(self._client, family):
            self._log(f"stored the template of {family.name}; indices that exist keep theirs")

    def _ensure_indices(self) -> Mapping[str, Sequence[Index]]:
        families = self._settings.families
        by_family = indices.listed(self._client, families)
        missing = [family for family in families if not by_family[family.name]]
        for family in missing:
            indices.ensure_first(self._client, family)
        if missing:
            by_family = indices.listed(self._client, families)
        changes = indices.alias_changes(families, by_family)
        if changes:
            self._client.ask("POST", "/_aliases", {"actions": changes})
            self._metrics.repairs.inc(len(changes))
            self._log(f"corrected {len(changes)} aliases")
        return by_family

    def _roll_over(self, family: FamilySettings) -> None:
        if indices.roll_over(self._client, family):
            self._metrics.rollovers.labels(family.name).inc()
            self._log(f"began a new index of {family.name}")

    def _delete_expired(self, family: FamilySettings, own: Sequence[Index]) -> None:
        now = indices.earliest_clock(self._client, self._clock())
        for index in indices.expired(family, own, now):
            self._step("deletion", partial(self._delete, family, index))

    def _delete(self, family: FamilySettings, index: Index) -> None:
        indices.delete(self._client, index)
        self._metrics.deletions.labels(family.name).inc()
        self._log(f"deleted {index.name}: older than the family is kept")

    def _publish_stats(self, health: Mapping[str, object]) -> None:
        families, client = self._settings.families, self._client
        by_family = indices.listed(client, families)
        sizes = indices.sizes(client, families)
        self._metrics.publish(
            indices.assemble(health, indices.nodes(client), families, by_family, sizes, self._clock())
        )

    def _log_change(self) -> None:
        message = self._failures[0] if self._failures else ""
        if len(self._failures) > 1:
            message += f" (and {len(self._failures) - 1} more)"
        if message != self._last_logged:
            self._log(message or "every step succeeds again")
            self._last_logged = message


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
