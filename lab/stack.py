"""Drives the real Pulumi engine for the embedded cluster: update, preview, outputs, destroy; and what the engine
remembers of a stack, where the lab has changed a cluster behind its back. Whether telemetry of all layers is live at
the stack's single read address. And the Kafka that a first region begins with: its release, and who votes in its
quorum.

The release is the platform's own, or the one before it, to be upgraded; a platform that began with the newer one cannot
go back, since Kafka formats its storage with what the older one may not know. The brokers vote, or dedicated
controllers, as in production; a quorum stays as it was made, so a platform keeps what it began with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import requests

from components.telemetry.layers import LAYERS
from lab import LabError, environment, registry
from lab.cluster import lifecycle
from lab.cluster.network import start_time, wait_until
from lab.paths import LabPaths
from lab.toolchain import containers
from ops.core.pulumi import end_update, started

PINNED: Final = "pinned"
PREVIOUS: Final = "previous"


def is_previous(release: str, stack: str) -> bool:
    """Whether the release before is asked for.

    Args:
        release: What was typed.
        stack: The stack that is brought up.

    Raises:
        LabError: There is no such choice, or not for this stack.
    """
    if release not in (PINNED, PREVIOUS):
        raise LabError(f"--kafka {release}: allowed are {PINNED}, {PREVIOUS}")
    if release == PREVIOUS and stack != environment.STACK:
        raise LabError(f"--kafka {PREVIOUS} is for the stack {environment.STACK} alone, not for {stack}")
    return release == PREVIOUS


def kafka_built(previous: bool) -> dict[str, str]:
    """Name of the further image that the choice needs -> its id."""
    return {containers.KAFKA_BEFORE: containers.build_previous_kafka()} if previous else {}


def refuse_on_a_newer_one(paths: LabPaths, stack: str) -> None:
    """Refuse the release before on a platform that runs the platform's own.

    Raises:
        LabError: It does.
    """
    namespace = str(environment.committed(stack)["namespace"])
    if namespace in lifecycle.namespaces(paths) and not environment.runs_previous_kafka(paths, stack):
        raise LabError(
            f"{namespace} runs a newer release of Kafka, and the one before may not read what that wrote: run "
            f"`make destroy` first, then `python -m lab up --kafka {PREVIOUS}`"
        )


def set_release(paths: LabPaths, stack: str, *, previous: bool) -> None:
    """Write the digest of the chosen release into the lab's copy of the stack file.

    Raises:
        LabError: The registry has no such image.
    """
    digest = registry.previous_kafka(paths) if previous else registry.digests(paths).get("kafka", "")
    if not digest:
        raise LabError("the registry of images has no Kafka: run `make up`")
    environment.set_kafka(paths, stack, digest)


CONTROLLERS: Final = 3


def refuse_controllers_for_another_stack(wanted: bool, stack: str) -> None:
    """Refuse dedicated controllers for a stack that is none of the first region.

    Raises:
        LabError: It is not.
    """
    if wanted and stack != environment.STACK:
        raise LabError(f"--controllers is for the stack {environment.STACK} alone, not for {stack}")


def choose_controllers(paths: LabPaths, stack: str, *, wanted: bool) -> bool:
    """Write into the lab's copy of the stack file who votes; what a platform that is there began with stays.

    Args:
        paths: The lab.
        stack: The stack that is brought up.
        wanted: Whether dedicated controllers were asked for.

    Returns:
        Whether it has them.

    Raises:
        LabError: They were asked for, and the brokers of the platform that is there vote.
    """
    namespace, has = str(environment.committed(stack)["namespace"]), environment.controllers(paths, stack) > 0
    if namespace not in lifecycle.namespaces(paths):
        environment.set_controllers(paths, stack, CONTROLLERS if wanted else 0)
        return wanted
    if wanted and not has:
        raise LabError(
            f"the brokers of {namespace} vote, and a quorum stays as it was made: run `make destroy` first, then "
            "`python -m lab up --controllers`"
        )
    return has


def declare_replicas(exported: dict[str, Any], namespace: str, parts: Collection[str]) -> list[str]:
    """Let Pulumi remember of parts the replicas that its program declares, in place.

    Pulumi compares the program with what it saw last. A part that was scaled to nothing while Pulumi waited for it was
    seen without replicas: every later `pulumi up`, whatever it is for, would start it again.

    Args:
        exported: What ``pulumi stack export`` printed.
        namespace: Where the parts are.
        parts: ``kind/name``, in small letters.

    Returns:
        Parts of which something else was remembered.
    """
    changed = []
    for resource in exported.get("deployment", {}).get("resources", []):
        declared, seen = resource.get("inputs", {}), resource.get("outputs", {})
        metadata, kind = declared.get("metadata", {}), str(declared.get("kind", "")).lower()
        name = f"{kind}/{metadata.get('name')}"
        replicas = declared.get("spec", {}).get("replicas")
        # A job that comes by the clock has none.
        if replicas is None or name not in parts or metadata.get("namespace") != namespace:
            continue
        if seen["spec"].get("replicas") != replicas:
            seen["spec"]["replicas"] = replicas
            changed.append(name)
    return changed


_UPDATE_LIMIT_S = 1200
_QUICK_LIMIT_S = 180


class Stack:
    """One stack on the lab's own state backend."""

    def __init__(self, paths: LabPaths, name: str = environment.STACK) -> None:
        self._paths = paths
        self._name = name
        # The engine lives for a minute: with Go's default much of its work is the collection of garbage.
        self._environment = {**environment.variables(paths), "PULUMI_STACK": name, "GOGC": "400"}
        self._empty = False

    def _pulumi(
        self, *arguments: str, timeout_s: float, capture: bool, given: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        command = environment.inside(self._paths, ["pulumi", "--non-interactive", "--color=never", *arguments])
        what = f"pulumi {arguments[0]} of {self._name}"
        with started(
            command,
            what,
            "which it does once what is under way is finished",
            partial(print, file=sys.stderr),
            env=self._environment | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.PIPE if capture else None,
            text=True,
        ) as process:
            try:
                said, wrong = process.communicate(given, timeout_s)
            except subprocess.TimeoutExpired:
                raise LabError(f"{what} took over {timeout_s:.0f} s and was ended{end_update(process)}") from None
        return subprocess.CompletedProcess(command, process.returncode, said or "", wrong or "")

    def ensure(self) -> bool:
        """Create the stack unless it is there, and clear what an interrupted update left behind.

        Returns:
            Whether its first update was killed: what that made is in the cluster, and nobody remembers it.

        Raises:
            LabError: An update of it runs; or Pulumi does not give it.
        """
        done = self._pulumi("stack", "select", "--create", self._name, timeout_s=_QUICK_LIMIT_S, capture=True)
        if done.returncode:
            raise LabError(f"pulumi stack select {self._name} failed: {_last_line(done)}")
        folder = self._paths.state / "backend" / ".pulumi" / "locks"
        locks = tuple(folder.rglob(f"{self._name}/*.json"))
        if running := next(filter(None, map(_holder, locks)), None):
            raise LabError(
                f"an update of {self._name} runs already (process {running}): repeat the command once it has ended"
            )
        killed = bool(locks)
        if killed:
            self._pulumi("cancel", "--yes", timeout_s=_QUICK_LIMIT_S, capture=True)
        remembered = self._remembered()
        self._empty = remembered is not None and not remembered.get("resources")
        if remembered and remembered.get("pending_operations"):
            self._pulumi(
                "refresh", "--yes", "--clear-pending-creates", "--skip-preview", timeout_s=_UPDATE_LIMIT_S, capture=True
            )
        return killed and self._empty

    def give_secrets(self, secrets: Mapping[str, Any]) -> None:
        """Set what the stack needs to reach what is outside, encrypted in the lab's own copy of the stack file.

        Only where it differs: each encryption gives another text. Values go through standard input, since every user of
        the machine can read command lines.

        Args:
            secrets: Configuration key -> value, kept as JSON.

        Raises:
            LabError: One cannot be set; the message shows none.
        """
        known = self._secrets()
        different = {key: value for key, value in secrets.items() if known.get(key) != value}
        for key, value in different.items():
            done = self._pulumi(
                "config",
                *("set", "--secret", key, "--stack", self._name),
                timeout_s=_QUICK_LIMIT_S,
                capture=True,
                given=json.dumps(value),
            )
            if done.returncode:
                raise LabError(f"pulumi config set {key} of {self._name} failed: {_last_line(done)}")
        if different:
            environment.project(self._paths)

    def _secrets(self) -> dict[str, object]:
        """Values of the stack's configuration that are JSON, by key; empty where it cannot be read."""
        shown = self._pulumi(
            "config", "--show-secrets", "--json", "--stack", self._name, timeout_s=_QUICK_LIMIT_S, capture=True
        )
        content = _parsed(shown.stdout) if shown.returncode == 0 else None
        if not isinstance(content, dict):
            return {}
        return {key: _parsed(entry["value"]) for key, entry in content.items() if "value" in entry}

    def _remembered(self) -> Mapping[str, Any] | None:
        """The state; None where Pulumi does not give it, which does not mean that there is none."""
        done = self._pulumi("stack", "export", timeout_s=_QUICK_LIMIT_S, capture=True)
        if done.returncode:
            return None
        return json.loads(done.stdout).get("deployment") or {}

    def up(self) -> None:
        """Bring the stack to what the program says; output goes to the terminal.

        The state is written whole before and after each resource, which takes longer the more there are. The first
        update writes it at its end only, also when it fails or is interrupted; when it is killed, `ensure` says so.
        """
        at_the_end = {"PULUMI_SKIP_CHECKPOINTS": "true"} if self._empty else {}
        update = environment.update(self._view())
        if self._pulumi(*update, timeout_s=_UPDATE_LIMIT_S, capture=False, **at_the_end).returncode:
            raise LabError(f"pulumi up of {self._name} failed: see above; repeat once it is mended")

    def preview(self) -> None:
        """Show what an update would change."""
        if self._pulumi(
            "preview", *environment.policies(self._view()), timeout_s=_UPDATE_LIMIT_S, capture=False
        ).returncode:
            raise LabError(f"pulumi preview of {self._name} failed: see above")

    def destroy(self) -> None:
        """Remove every resource of the stack, those too that an update may not delete: here that is what is asked."""
        done = self._pulumi(
            "state", "unprotect", "--all", "--yes", "--stack", self._name, timeout_s=_QUICK_LIMIT_S, capture=True
        )
        if done.returncode:
            raise LabError(f"pulumi state unprotect of {self._name} failed: {_last_line(done)}")
        if self._pulumi("destroy", "--yes", "--skip-preview", timeout_s=_UPDATE_LIMIT_S, capture=False).returncode:
            raise LabError(f"pulumi destroy of {self._name} failed: see above")

    def outputs(self) -> dict[str, Any]:
        """Outputs with secrets in clear: for use in memory only, never printed."""
        done = self._pulumi("stack", "output", "--json", "--show-secrets", timeout_s=_QUICK_LIMIT_S, capture=True)
        if done.returncode:
            raise LabError(f"pulumi stack output of {self._name} failed: {_last_line(done)}")
        outputs: dict[str, Any] = json.loads(done.stdout)
        return outputs

    def declare_replicas(self, namespace: str, parts: Collection[str]) -> list[str]:
        """Let Pulumi remember the declared replicas of parts that were scaled down while it waited for them.

        Args:
            namespace: Where they are.
            parts: ``kind/name``, in small letters.

        Returns:
            Parts of which something else was remembered.

        Raises:
            LabError: Pulumi gives its state not away, or does not take it back.
        """
        process = self._pulumi("stack", "export", timeout_s=_QUICK_LIMIT_S, capture=True)
        if process.returncode:
            raise LabError(f"pulumi stack export of {self._name} failed: {_last_line(process)}")
        state = json.loads(process.stdout)
        changed = declare_replicas(state, namespace, parts)
        if changed:
            done = self._pulumi("stack", "import", timeout_s=_QUICK_LIMIT_S, capture=True, given=json.dumps(state))
            if done.returncode:
                raise LabError(f"pulumi stack import of {self._name} failed: {_last_line(done)}")
        return changed

    def _view(self) -> Path:
        return environment.project(self._paths)


def _holder(lock: Path) -> int | None:
    """The live process of Pulumi that holds a lock; None where it has ended, or the lock is gone."""
    try:
        pid = int(json.loads(lock.read_text())["pid"])
        command = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return pid if command == "pulumi" and start_time(pid) else None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {done.returncode}"


_LIVE_LIMIT_S = 120
_CALL_LIMIT_S = 10


class Query:
    """Instant queries against the platform's single read address."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self._url = f"{outputs['query_url']}/api/v1/query"
        reader = outputs["query_reader"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (reader["username"], reader["password"])
        with tempfile.NamedTemporaryFile("w", suffix=".crt", delete=False) as file:
            file.write(outputs["ca_certificate"])
        self._session.verify = file.name

    def number(self, expression: str) -> float | None:
        """Value of a query with one result, or None where there is no result or no answer."""
        try:
            answer = self._session.get(self._url, params={"query": expression}, timeout=_CALL_LIMIT_S)
            answer.raise_for_status()
        except requests.RequestException:
            return None
        result = answer.json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None


def wait_for_layers(outputs: dict[str, Any], limit_s: float = _LIVE_LIMIT_S) -> dict[str, int]:
    """Wait until every layer has live series; returns the number of series per layer.

    Raises:
        LabError: One had none within the limit.
    """
    query = Query(outputs)
    series: dict[str, int] = {}

    def all_live() -> bool:
        for layer in LAYERS:
            series[layer.name] = int(query.number(f'count({{layer="{layer.name}"}})') or 0)
        return all(series.values())

    wait_until("telemetry of all five layers at the read address", all_live, timeout_s=limit_s, every_s=1)
    return series
