"""Network namespace and control group of a cluster, made, entered and removed here, and the processes that run in them.

Addresses inside the namespaces are the same in every checkout. A background process is started once, known by pid and
start time, and stopped by id and never by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.cluster import EMBEDDED
from lab import LabError
from lab.paths import CHECKOUT, LabPaths

NODE_NAME = "lab"
NODE_PREFIX = 24
RECEIVERS = "198.18.0.2"
"""Address of what is outside the clusters: receivers of notifications, directory, identity provider, storage, registry
of images."""
RECEIVERS_HTTPS_PORT = 8443
RECEIVERS_SMTP_PORT = 8587
DIRECTORY_PORT = 8636
STORAGE_PORT = 8444
IDENTITY_PORT = 8445
REGISTRY_PORT = 8446
API_PORT = 6443
ETCD_PORT = 2379
SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
AUDIT_SERVICE = "10.96.0.30"
"""The only Service to which the node itself has a route: the API server posts its audit events there."""
POD_CIDR = "10.88.0.0/16"
NODE_POD_PREFIX = 22
NODE_POD_CIDR = f"10.88.0.0/{NODE_POD_PREFIX}"
"""Addresses of the one node's pods."""
MAX_PODS = 300
LOAD_BALANCER_FIRST = 100
"""First host number that is handed out to Services that ask for no address of their own."""
LOAD_BALANCER_LAST = 199


@dataclass(frozen=True, kw_only=True)
class EmbeddedCluster:
    """What tells the clusters of the two regions apart; pods and Services have the same addresses in both.

    Attributes:
        context: In kubeconfigs.
        node: Address of its one node.
        load_balancers: Addresses of its load balancers, those of its node and of what is outside among them.
        outside: Further addresses in its network namespace.
        namespace: Of its platform, whose audit log gets the API server's events.
        region: Label of its node; its zone is ``-a`` of that.
    """

    context: str
    node: str
    load_balancers: str
    outside: tuple[str, ...]
    namespace: str
    region: str

    @property
    def api_url(self) -> str:
        """Where its API server is."""
        return f"https://{self.node}:{API_PORT}"


FIRST = EmbeddedCluster(
    context=EMBEDDED[0],
    node="198.18.0.1",
    load_balancers="198.18.0.0/24",
    outside=(RECEIVERS,),
    namespace="obs-local",
    region="lab",
)
SECOND = EmbeddedCluster(
    context=EMBEDDED[1],
    node="198.19.0.1",
    load_balancers="198.19.0.0/24",
    outside=(),
    namespace="obs-local-dr",
    region="lab-dr",
)


def cluster_of(paths: LabPaths) -> EmbeddedCluster:
    """The cluster that is in these folders."""
    return SECOND if paths.is_second else FIRST


_CABLE = "cable0"
_CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "memory", "hugetlb", "pids")
"""Without which the kubelet ends, where the kernel has them."""
_WEIGHT = {1: ("cpu.shares", "4096"), 2: ("cpu.weight", "400")}
"""Weight of all pods together, four times that of one program beside them: they are one group, and tests, load and
`pulumi` are several programs."""
_CLONE_NEWNET = 0x40000000
_STOP_GRACE_S = 15.0
_started: list[subprocess.Popen[bytes]] = []
"""Keeps the handles of children that are meant to outlive us; dropping one would complain that it still runs."""


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()} (root and CAP_NET_ADMIN are needed)")


def namespace_exists(name: str) -> bool:
    """Whether the network namespace is there (it is gone after a reboot)."""
    return Path(f"/run/netns/{name}").exists()


def create_namespace(name: str, cluster: EmbeddedCluster = FIRST) -> None:
    """Create the namespace with loopback and a bridge that carries a cluster's addresses; complete or not at all.

    A namespace that is there already gets the addresses and routes that it lacks.
    """
    if namespace_exists(name):
        _add_addresses(name, cluster)
        _add_routes(name, cluster)
        return
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "add", "node0", "type", "bridge")
        _add_addresses(name, cluster)
        _ip("-n", name, "link", "set", "node0", "up")
        _add_routes(name, cluster)
        subprocess.run([*enter(name), "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True, timeout=20)
    except BaseException:
        delete_namespace(name)
        raise


def _add_addresses(name: str, cluster: EmbeddedCluster) -> None:
    for address in (cluster.node, *cluster.outside):
        _ip("-n", name, "addr", "replace", f"{address}/{NODE_PREFIX}", "dev", "node0")


def _add_routes(name: str, cluster: EmbeddedCluster) -> None:
    """The kernel asks for a route before kube-proxy's rules send a connection to a pod."""
    _ip("-n", name, "route", "replace", f"{AUDIT_SERVICE}/32", "dev", "node0", "src", cluster.node)


def connect(first: str, second: str) -> None:
    """Lay a cable between the namespaces of the two clusters, with a route to the other one's addresses at each end.

    It goes with either of them. Pods come out of a cluster with the address of its node.

    Args:
        first: Namespace of `FIRST`.
        second: Namespace of `SECOND`.
    """
    ends = ((first, FIRST, SECOND), (second, SECOND, FIRST))
    looked = subprocess.run(["ip", "-n", second, "link", "show", _CABLE], capture_output=True, timeout=20)
    if looked.returncode:
        _ip("link", "add", _CABLE, "netns", first, "type", "veth", "peer", "name", _CABLE, "netns", second)
    for name, own, other in ends:
        _ip("-n", name, "addr", "replace", f"{own.node}/32", "dev", _CABLE)
        _ip("-n", name, "link", "set", _CABLE, "up")
        route = (other.load_balancers, "via", other.node, "dev", _CABLE, "onlink", "src", own.node)
        _ip("-n", name, "route", "replace", *route)


def delete_namespace(name: str) -> None:
    """Remove the namespace, and with it every address, route and firewall rule of the lab."""
    if namespace_exists(name):
        _ip("netns", "del", name)


def delete_orphaned_pod_namespaces() -> None:
    """Remove the runtime's pod namespaces in which no process lives any more, whoever left them behind."""
    inhabited = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            inhabited.add(link.stat().st_ino)
        except OSError:
            continue
    for mount in Path("/run/netns").glob("cni-*"):
        if mount.stat().st_ino not in inhabited:
            _ip("netns", "del", mount.name)


def enter(name: str) -> list[str]:
    """Command prefix that runs a program inside the namespace.

    ``nsenter`` and not ``ip netns exec``: the latter makes a mount namespace of its own, in which the kubelet's
    mounts would be invisible to the container runtime.
    """
    return ["nsenter", f"--net=/run/netns/{name}"]


def cgroup_version() -> int:
    """2 where the machine has the unified hierarchy only, else 1."""
    return 2 if (_CGROUPS / "cgroup.controllers").exists() else 1


def cgroup_root(controller: str) -> Path:
    """Root of the hierarchy in which groups of a controller are."""
    return _CGROUPS if cgroup_version() == 2 else _CGROUPS / controller


def _groups(instance: str) -> Iterator[Path]:
    roots = [_CGROUPS] if cgroup_version() == 2 else [path for path in _CGROUPS.iterdir() if path.is_dir()]
    for root in roots:
        yield root / f"obs-{instance}"


def create_cgroup(instance: str) -> str:
    """Create the lab's control group in every hierarchy and return its name for the kubelet.

    Raises:
        LabError: The kernel gives the group no controllers.
    """
    if cgroup_version() == 2:
        _give_controllers(_CGROUPS)
    for group in _groups(instance):
        group.mkdir(exist_ok=True)
        if group.parent.name == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((group.parent / file).read_text())
        file, share = _WEIGHT[cgroup_version()]
        if (group / file).exists():
            (group / file).write_text(share)
    return f"/obs-{instance}"


def _give_controllers(root: Path) -> None:
    """Let groups below have the controllers that the kubelet asks for, as far as the kernel has them."""
    there = (root / "cgroup.controllers").read_text().split()
    enabled = (root / "cgroup.subtree_control").read_text().split()
    for name in _CONTROLLERS:
        if name in there and name not in enabled:
            try:
                (root / "cgroup.subtree_control").write_text(f"+{name}")
            except OSError as error:
                raise LabError(
                    f"the control group controller {name} cannot be given to the lab: {error.strerror}; the lab needs "
                    "a machine of its own, not a container without that right"
                ) from None


def remove_cgroup(instance: str, *, timeout_s: float = 20.0) -> None:
    """Kill what still runs in the lab's control group (pods, by construction) and remove the group."""
    deadline = time.monotonic() + timeout_s
    for group in _groups(instance):
        while group.exists():
            for procs in group.rglob("cgroup.procs"):
                for pid in _pids(procs):
                    _kill(pid)
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                _remove(folder)
            _remove(group)
            if time.monotonic() > deadline:
                raise LabError(f"control group {group} still has processes after {timeout_s:.0f} s")
            time.sleep(0.05)


def _pids(procs: Path) -> list[int]:
    try:
        return [int(line) for line in procs.read_text().split()]
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:
        return


def unmount_below(folder: Path) -> None:
    """Unmount everything below ``folder``, innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, timeout=20, capture_output=True)


def remove_tree(folder: Path) -> None:
    """Remove a state folder, refusing while anything is still mounted in it."""
    unmount_below(folder)
    if any(line.split()[4].startswith(f"{folder}/") for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        raise LabError(f"{folder} still has mounts: see /proc/self/mountinfo")
    shutil.rmtree(folder, ignore_errors=True)


def join(name: str) -> None:
    """Move the calling thread, and all threads and processes that it starts from now on, into the namespace."""
    with open(f"/run/netns/{name}") as handle:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            raise LabError(f"cannot enter network namespace {name}: {os.strerror(ctypes.get_errno())}")


def wait_until(what: str, check: Callable[[], bool], *, timeout_s: float, every_s: float = 0.25) -> float:
    """Poll ``check`` until it holds and return the seconds waited.

    Raises:
        LabError: It did not hold within ``timeout_s``; the message says what was waited for.
    """
    started = time.monotonic()
    while not check():
        if time.monotonic() - started > timeout_s:
            raise LabError(f"waited {timeout_s:.0f} s for {what}: it did not happen")
        time.sleep(every_s)
    return time.monotonic() - started


def fingerprint(settings: str, sources: Iterable[str]) -> str:
    """What a process of ours is made from.

    Args:
        settings: Its settings.
        sources: Patterns of the files that it runs, below the checkout.
    """
    code = hashlib.sha256(settings.encode())
    for pattern in sources:
        for file in sorted(CHECKOUT.glob(pattern)):
            code.update(file.read_bytes())
    return code.hexdigest()


def start_time(pid: int) -> str | None:
    """Clock ticks at which a process started, or None when it is gone (a zombie counts as gone)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@dataclass(frozen=True)
class Daemon:
    """A process of the lab that outlives the command that starts it."""

    name: str
    command: Sequence[str]
    state: Path
    environment: dict[str, str] | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.state / "logs" / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.state / "run" / f"{self.name}.pid"

    def pid(self) -> int | None:
        """The live process, or None. A pid that now belongs to another process is not ours."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self) -> None:
        """Start the process unless it is running."""
        if self.pid() is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            child = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.state,
                env={**os.environ, **(self.environment or {})},
            )
        _started.append(child)
        self._pid_file.write_text(f"{child.pid} {start_time(child.pid)}")

    def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL after a grace time."""
        pid = self.pid()
        if pid is not None:
            _end(pid, self.pid)
        self._pid_file.unlink(missing_ok=True)
        _started[:] = [child for child in _started if child.poll() is None]

    def tail(self, lines: int = 8) -> str:
        """End of the log, for error messages."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


def started(state: Path) -> list[Daemon]:
    """Processes that were started with a state folder, the newest first, whatever this checkout would start."""
    files = sorted((state / "run").glob("*.pid"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [Daemon(file.stem, (), state) for file in files]


def _end(pid: int, alive: Callable[[], int | None]) -> None:
    for sign, grace in ((signal.SIGTERM, _STOP_GRACE_S), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if alive() is None:
                return
            time.sleep(0.05)
