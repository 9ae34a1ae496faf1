"""Connections to ports of pods that have no address outside the cluster, by ``kubectl port-forward``.

The API server authenticates and carries the connection, so no NetworkPolicy is opened for it. Server certificates name
``localhost``, so that TLS stays verified through a tunnel.
"""

from __future__ import annotations

import re
import select
import shutil
import subprocess
import threading
import time

from ops.core.errors import OpsError, one_line
from ops.core.kube import kubectl_target
from ops.core.terminal import end

_START_SECONDS = 30.0
_PORT = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")


class Tunnel:
    """One forwarded port; the process ends with ``close``.

    Args:
        namespace: Of the pod.
        pod: Its name.
        port: Its port.
        context: Of the kubeconfig.
        local: Port of loopback; 0: any that is free.
    """

    def __init__(self, namespace: str, pod: str, port: int, context: str | None = None, local: int = 0) -> None:
        program = shutil.which("kubectl")
        if program is None:
            raise OpsError("`kubectl` is not on PATH: it carries the connections to pods")
        self.what = f"{pod}:{port}"
        self._process = subprocess.Popen(
            [
                program,
                *kubectl_target(namespace, context),
                "port-forward",
                "--address=127.0.0.1",
                f"pod/{pod}",
                f"{local or ''}:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            self.port = self._await_port()
        except BaseException:
            self.close()
            raise
        self._drain = threading.Thread(target=self._discard, daemon=True)
        self._drain.start()

    @property
    def alive(self) -> bool:
        """Whether the forwarding process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the forwarding process; safe to call twice."""
        end(self._process, 5)
        if hasattr(self, "_drain"):
            self._drain.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _await_port(self) -> int:
        output = self._process.stdout
        if output is None:
            raise OpsError(f"no output of the tunnel to {self.what}")
        deadline = time.monotonic() + _START_SECONDS
        said = b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([output], [], [], left)[0]:
                break
            chunk = output.read1(4096)  # type: ignore[attr-defined]
            if not chunk:
                raise OpsError(f"no tunnel to {self.what}: {one_line(said.decode(errors='replace'))}")
            said += chunk
            if match := _PORT.search(said):
                return int(match[1])
        raise OpsError(f"no tunnel to {self.what} in {_START_SECONDS:.0f} s")

    def _discard(self) -> None:
        """Read away what kubectl says per connection, or it would block on a full pipe."""
        output = self._process.stdout
        while output is not None and output.read1(4096):  # type: ignore[attr-defined]
            pass


class Tunnels:
    """Tunnels by pod and port, opened when first asked for and again after they broke."""

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self._namespace, self._context = namespace, context
        self._open: dict[tuple[str, int], Tunnel] = {}
        self._closed = False
        self._lock = threading.Lock()

    def url(self, pod: str, port: int) -> str:
        """Base URL (``https://localhost:...``) at which the pod's port answers.

        Raises:
            OpsError: There is no tunnel to it, or all were closed: who asks later would leave one behind.
        """
        with self._lock:
            if self._closed:
                raise OpsError(f"no tunnel to {pod}:{port}: the command ends")
            tunnel = self._open.get((pod, port))
            if tunnel is None or not tunnel.alive:
                if tunnel is not None:
                    tunnel.close()
                tunnel = self._open[pod, port] = Tunnel(self._namespace, pod, port, self._context)
        return f"https://localhost:{tunnel.port}"

    def what(self, port: int) -> str:
        """Pod and port behind a local port, ``pod:port``; empty where no tunnel begins there."""
        with self._lock:
            return next((tunnel.what for tunnel in self._open.values() if tunnel.port == port), "")

    def drop(self, pod: str, port: int) -> None:
        """Close a tunnel, for example because its pod was replaced."""
        with self._lock:
            tunnel = self._open.pop((pod, port), None)
        if tunnel is not None:
            tunnel.close()

    def close(self) -> None:
        """Close all tunnels, for good."""
        with self._lock:
            self._closed = True
            tunnels = list(self._open.values())
            self._open.clear()
        for tunnel in tunnels:
            tunnel.close()
