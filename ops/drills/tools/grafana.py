"""Grafana while something is broken: a folder to try things in, somebody who asks, and somebody who saves."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from components.postgres.config import WORKLOAD as DATABASE
from components.postgres.process import POD_INDEX
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import TEST_ACCOUNTS_FILE, Credentials, Grafana, address, administrator, known_credentials
from ops.core.kube import Kube, Pod
from ops.drills.procedure import CannotRunError

EVERY_S = 0.25
VIEW_ALL = ({"role": "Viewer", "permission": 1}, {"role": "Editor", "permission": 1})
"""Permissions of a folder that everybody may look at."""


def credentials() -> Credentials:
    """Accounts of the directory, one for each role.

    Raises:
        CannotRunError: The environment names none, or no file of this kind.
    """
    try:
        known = known_credentials()
    except OpsError as error:
        raise CannotRunError(str(error)) from error
    if known is None:
        raise CannotRunError(f"nobody can sign in: {TEST_ACCOUNTS_FILE} must name a file of the directory's accounts")
    return known


def as_administrator(context: Context) -> Grafana:
    """The account that makes the content."""
    return Grafana(context.ca_file, address(context.platform), auth=administrator(context.platform))


@contextmanager
def scratch_folder(admin: Grafana, items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A folder with one dashboard and permissions of its own, gone when the block ends; its uid.

    Args:
        admin: Makes and removes it.
        items: Permissions, as Grafana's API has them; all there are.
    """
    uid = f"e2e-{secrets.token_hex(4)}"
    admin.send("POST", "/api/folders", {"uid": uid, "title": f"Test {uid}"})
    try:
        admin.send("POST", f"/api/folders/{uid}/permissions", {"items": list(items)})
        save(admin, uid, uid)
        yield uid
    finally:
        admin.status("DELETE", f"/api/folders/{uid}")


def dashboard(uid: str, title: str = "") -> dict[str, Any]:
    """A small dashboard in Grafana's form."""
    return {"uid": uid, "title": title or f"Test {uid}", "tags": ["e2e"], "panels": [], "schemaVersion": 41}


def save(visitor: Grafana, folder: str, uid: str, title: str = "") -> Any:
    """Save a dashboard into a folder.

    Raises:
        OpsError: Grafana refuses it.
    """
    return visitor.send("POST", "/api/dashboards/db", saving(folder, uid, title))


def saving(folder: str, uid: str, title: str = "") -> dict[str, Any]:
    """What is sent to save a dashboard."""
    return {"dashboard": dashboard(uid, title), "folderUid": folder, "overwrite": True, "message": "e2e"}


class Watch:
    """Asks something again and again until the block ends, over new connections, as browsers come and go.

    Attributes:
        times: When it was asked, seconds since 1970, and what was wrong with the answer (nothing: all is well).
    """

    def __init__(self, visitor: Grafana, path: str = "/api/user") -> None:
        self._visitor, self._path = visitor, path
        self.times: list[tuple[float, str]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    @property
    def problems(self) -> list[str]:
        """What was wrong, in the order in which it was seen."""
        return [problem for _, problem in self.times if problem]

    def longest_outage(self) -> float:
        """Seconds between two good answers that had bad ones between them; the longest."""
        good = [at for at, problem in self.times if not problem]
        bad = [at for at, problem in self.times if problem]
        gaps = [later - earlier for earlier, later in pairwise(good) if any(earlier < at < later for at in bad)]
        return max(gaps, default=0.0)

    def good_after(self, moment: float) -> float | None:
        """When the first good answer after a moment was asked for; nothing where there was none."""
        return min((at for at, problem in list(self.times) if at > moment and not problem), default=None)

    def _work(self) -> None:
        while not self._stopping.is_set():
            at = time.time()
            try:
                with self._visitor.at(self._visitor.url) as fresh:
                    status = fresh.status("GET", self._path)
                problem = "" if status == 200 else f"HTTP {status}"
            except OpsError as error:
                problem = str(error)
            self.times.append((at, problem))
            self._stopping.wait(EVERY_S)


class Saving:
    """Saves one new dashboard after the other into a folder until the block ends, and remembers what was confirmed.

    Attributes:
        confirmed: Uid -> when Grafana said that it is saved.
        refused: What it said otherwise.
    """

    def __init__(self, visitor: Grafana, folder: str) -> None:
        self._visitor, self._folder = visitor, folder
        self.confirmed: dict[str, float] = {}
        self.refused: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="saving")

    def __enter__(self) -> Saving:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def confirmed_after(self, moment: float) -> float | None:
        """When something was first confirmed after a moment; nothing where nothing was."""
        return min((at for at in list(self.confirmed.values()) if at > moment), default=None)

    def longest_gap(self) -> float:
        """Longest time between two confirmations."""
        times = sorted(self.confirmed.values())
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def missing(self, admin: Grafana) -> set[str]:
        """What was confirmed and is not there."""
        return {uid for uid in self.confirmed if admin.status("GET", f"/api/dashboards/uid/{uid}") != 200}

    def _work(self) -> None:
        number = 0
        while not self._stopping.is_set():
            uid = f"{self._folder}-{number:05}"
            try:
                with self._visitor.at(self._visitor.url) as fresh:
                    save(fresh, self._folder, uid, f"Number {uid}")
                self.confirmed[uid] = time.time()
            except OpsError as error:
                self.refused.append(str(error))
            # One that was not confirmed may be there all the same, so its name is not used again.
            number += 1
            self._stopping.wait(EVERY_S)


def database_pod(kube: Kube, *, standby: bool = False) -> Pod:
    """The server that takes writes, as the database's Service names it, or the first one that follows it."""
    service = kube.core.read_namespaced_service(DATABASE, kube.namespace, _request_timeout=15)
    leader = f"{DATABASE}-{service.spec.selector[POD_INDEX]}"
    return next(pod for pod in kube.pods(DATABASE) if (pod.name == leader) is not standby)
