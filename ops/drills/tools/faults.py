"""Faults on the live cluster: containers killed without warning, pods kept down or standing still; and how long killed
pods are away, watched from before the kill on, since some are back before anybody asks; and how drills
put back what they took away.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, Pod, call_errors, wait_until
from ops.core.terminal import say, uninterrupted
from ops.drills.procedure import CannotRunError


def kill(kube: Kube, pod: Pod) -> str:
    """Kill every process of the pod's containers with SIGKILL; how it was done.

    A forced deletion is no kill: the kubelet still ends the containers gracefully. The embedded cluster's containers
    are processes of this machine, so they can be killed for real. On a cluster elsewhere the pod is deleted with one
    second of grace, the closest that the API offers.
    """
    say(f"killing {pod.name}")
    process_ids = processes_of(pod)
    _signal(process_ids, signal.SIGKILL)
    if process_ids:
        return f"SIGKILL to {len(process_ids)} process{'' if len(process_ids) == 1 else 'es'}"
    with call_errors(f"cannot delete {pod.name}"):
        kube.core.delete_namespaced_pod(pod.name, kube.namespace, grace_period_seconds=1, _request_timeout=15)
    return "deleted with 1 s of grace"


def processes(container: str) -> list[int]:
    """Processes of this machine that run in a container."""
    process_ids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            groups = (entry / "cgroup").read_text()
        except OSError:
            continue
        if container and container in groups:
            process_ids.append(int(entry.name))
    return process_ids


def processes_of(pod: Pod) -> list[int]:
    """Processes of this machine that run in a pod's containers."""
    return [process for container in pod.container_ids for process in processes(container)]


@contextmanager
def scaled(kube: Kube, stateful_set: str, replicas: int, normal: int) -> Iterator[None]:
    """Keep a StatefulSet at fewer replicas inside the block; always scales back."""
    say(f"{stateful_set}: {replicas} of {normal} pods")
    try:
        kube.scale(stateful_set, replicas)
        yield
    finally:
        say(f"{stateful_set}: {normal} of {normal} pods again")
        put_back(f"a part of {stateful_set}", lambda: kube.scale(stateful_set, normal))


@contextmanager
def frozen(pod: Pod) -> Iterator[str]:
    """Stop every process of a pod without ending it, as one that hangs: its port is open, and nobody answers.

    Raises:
        CannotRunError: The pod's processes are not on this machine.
    """
    process_ids = processes_of(pod)
    if not process_ids:
        raise CannotRunError(
            f"{pod.name} has no process on this machine: run the drill where the embedded cluster runs"
        )
    say(f"freezing {pod.name}")
    try:
        _signal(process_ids, signal.SIGSTOP)
        yield f"SIGSTOP to {len(process_ids)} processes, then SIGKILL"
    finally:
        with uninterrupted():
            _signal(process_ids, signal.SIGCONT)


def _signal(process_ids: Iterable[int], number: signal.Signals) -> None:
    for process in process_ids:
        with suppress(ProcessLookupError):
            os.kill(process, number)


@dataclass(frozen=True)
class Dropped:
    """What is dropped on the node.

    Attributes:
        text: In words.
        rules: Matches of the firewall's rules.
    """

    text: str
    rules: tuple[tuple[str, ...], ...]

    def packets(self) -> int:
        """How many were dropped until now; none says that nothing is cut off.

        Raises:
            OpsError: The firewall of this machine cannot be read.
        """
        return counted_packets(_iptables("-v", "-S", _CHAIN), self.rules)


def counted_packets(listing: str, rules: Iterable[Sequence[str]]) -> int:
    """Packets that rules have dropped, of a list of rules with counters."""
    total = 0
    for words in map(str.split, listing.splitlines()):
        if "-c" not in words or words[-2:] != ["-j", "DROP"]:
            continue
        plain = [word.removesuffix("/32") for word in words]
        pairs = set(itertools.pairwise(plain))
        if any(pairs >= set(zip(rule[::2], rule[1::2], strict=True)) for rule in rules):
            total += int(words[words.index("-c") + 1])
    return total


@contextmanager
def dropped(port: int) -> Iterator[Dropped]:
    """Drop packets to and from a port on the node, as a broken network would.

    Works on the embedded cluster, whose node's firewall is in the namespace that drills run in.

    Raises:
        OpsError: The firewall of this machine cannot be changed.
    """
    rules = tuple(("-p", "tcp", side, str(port)) for side in ("--dport", "--sport"))
    with _ruled(rules):
        yield Dropped(f"packets to and from port {port} dropped on the node", rules)


@contextmanager
def cut(one: Pod, other: Pod) -> Iterator[Dropped]:
    """Drop packets between two pods on the node, in both directions; works where `dropped` does.

    Raises:
        OpsError: The firewall of this machine cannot be changed.
    """
    say(f"no packet between {one.name} and {other.name}")
    ways = ((one.address, other.address), (other.address, one.address))
    rules = tuple(("-s", source, "-d", target) for source, target in ways)
    with _ruled(rules):
        yield Dropped(f"packets between {one.name} and {other.name} dropped on the node", rules)


@contextmanager
def _ruled(matches: Sequence[Sequence[str]]) -> Iterator[None]:
    """Inside the block what is forwarded and matches is dropped."""
    done: list[Sequence[str]] = []
    try:
        for match in matches:
            with uninterrupted():
                _iptables("-I", _CHAIN, "1", *match, "-j", "DROP")
                done.append(match)
        yield
    finally:
        with uninterrupted(), ExitStack() as back:
            for match in reversed(done):
                back.callback(_iptables, "-D", _CHAIN, *match, "-j", "DROP")


def _iptables(*arguments: str) -> str:
    command = ["iptables", "-w", "10", "-t", _TABLE, *arguments]
    try:
        return subprocess.run(command, check=True, timeout=30, capture_output=True, text=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise OpsError(f"the firewall of this machine cannot be used: {one_line(error)}") from None


LOOK_EVERY_S = 0.25


class Returning:
    """Notes when a workload has all its pods again. Made right before the kill, from which it counts.

    Args:
        kube: The cluster.
        victim: The pod that is about to be killed: it has to start again, or to be replaced.
        limit_s: Seconds after which it stops looking.
    """

    def __init__(self, kube: Kube, victim: Pod, limit_s: float) -> None:
        self._kube, self._workload, self._limit_s = kube, victim.workload, limit_s
        self._pods = len(kube.pods(self._workload))
        self._victim = victim
        self._took: float | None = None
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def after(self) -> float:
        """Seconds from the kill until every pod worked again.

        Raises:
            OpsError: They did not in time.
        """
        self._thread.join(self._limit_s)
        if self._took is None:
            raise OpsError(f"waited {self._limit_s:.0f} s in vain for {self._pods} ready pods of {self._workload}")
        return round(self._took, 1)

    def _whole(self) -> bool:
        try:
            pods = self._kube.pods(self._workload)
        except OpsError:
            return False
        return len(pods) == self._pods and all(
            pod.ready and (pod.uid != self._victim.uid or pod.restarts > self._victim.restarts) for pod in pods
        )

    def _poll(self) -> None:
        while time.monotonic() - self._began < self._limit_s:
            if self._whole():
                self._took = time.monotonic() - self._began
                return
            time.sleep(LOOK_EVERY_S)


CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Group:
    """A control group that can be frozen with everything below it.

    Attributes:
        folder: Its folder.
        version: Of the hierarchy that it is in, 1 or 2.
    """

    folder: Path
    version: int

    def ask(self, *, frozen: bool) -> None:
        """Ask the kernel to freeze or to thaw it; a group that is gone needs neither.

        Raises:
            OSError: The kernel refuses.
        """
        name, words = ("freezer.state", ("THAWED", "FROZEN")) if self.version == 1 else ("cgroup.freeze", "01")
        try:
            (self.folder / name).write_text(words[frozen])
        except OSError:
            if self.folder.exists():
                raise

    def is_frozen(self) -> bool:
        """Whether every process in it stands still."""
        try:
            if self.version == 1:
                return (self.folder / "freezer.state").read_text().strip() == "FROZEN"
            return "frozen 1" in (self.folder / "cgroup.events").read_text().splitlines()
        except OSError:
            return False


def group_of(cgroup: str, uid: str, root: Path = CGROUPS) -> Group | None:
    """The control group of a pod, of whose processes one is in ``cgroup``, as ``/proc/<process>/cgroup`` tells; None
    where it tells of none.
    """
    names = (uid, uid.replace("-", "_"))
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        unified = controllers == "" and (root / "cgroup.controllers").exists()
        if not unified and controllers != "freezer":
            continue
        parts = Path(path.lstrip("/")).parts
        for position, part in enumerate(parts):
            if re.search(rf"pod(?:{'|'.join(map(re.escape, names))})(?:\.slice)?$", part):
                folder = (root if unified else root / "freezer").joinpath(*parts[: position + 1])
                return Group(folder, 2 if unified else 1)
    return None


_TABLE: Final = "mangle"
"""Not "filter": what enforces network policies writes that one anew every now and then, with its own chain first, which
accepts what policies allow, and every counter at zero."""
_CHAIN: Final = "FORWARD"
_STILL_S, _EVERY_S = 20.0, 0.1


def groups(pods: Sequence[Pod]) -> list[Group]:
    """The control groups of pods on this machine.

    Raises:
        CannotRunError: Some run elsewhere.
    """
    known = [group for pod in pods if (group := _group(pod)) is not None]
    if len(known) != len(pods):
        raise CannotRunError(
            f"{len(known)} of {len(pods)} pods run on this machine: run the drill where the cluster's node runs"
        )
    return known


@contextmanager
def groups_frozen(chosen: Sequence[Group]) -> Iterator[None]:
    """Inside the block every process of these groups stands still.

    Raises:
        OpsError: The kernel refuses, or some did not stand still in time.
    """
    say(f"freezing {len(chosen)} pods")
    try:
        _ask(chosen, freeze=True)

        def still() -> bool:
            moving = [group for group in chosen if not group.is_frozen()]
            # Version 1 gives up where a process could not be stopped at once; asking again goes on.
            _ask(moving, freeze=True)
            return not moving

        wait_until(still, _STILL_S, f"{len(chosen)} pods to stand still", _EVERY_S)
        yield
    finally:
        say(f"thawing {len(chosen)} pods")
        with uninterrupted():
            _ask(chosen, freeze=False)


def _group(pod: Pod) -> Group | None:
    for process in processes_of(pod):
        try:
            group = group_of(Path(f"/proc/{process}/cgroup").read_text(), pod.uid)
        except OSError:
            continue
        if group is not None and group.folder.is_dir():
            return group
    return None


def _ask(chosen: Iterable[Group], *, freeze: bool) -> None:
    refused: list[str] = []
    for group in chosen:
        try:
            group.ask(frozen=freeze)
        except OSError as error:
            refused.append(f"cannot {'freeze' if freeze else 'thaw'} {group.folder}: {error.strerror} (root is needed)")
    if refused:
        raise OpsError(refused[0])


_PAUSE_S = 2.0


def put_back(what: str, action: Callable[[], object], attempts: int = 3) -> None:
    """Do what puts something back, whoever interrupts meanwhile, and again where it fails.

    Args:
        what: For messages, for example ``the object storage``.
        action: Puts it back; does no harm where nothing is away.
        attempts: How often it is tried.

    Raises:
        OpsError: It failed each time.
    """
    with uninterrupted():
        for attempt in range(1, attempts + 1):
            try:
                action()
            except OpsError as error:
                if attempt == attempts:
                    raise OpsError(f"{what} is still away, put it back by hand: {error}") from None
                say(f"once more: {error}")
                time.sleep(_PAUSE_S)
            else:
                return
