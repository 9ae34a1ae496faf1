"""A node and pods as the lab has them, without a cluster: a network namespace with a bridge, and one for each pod.

Services are translated as kube-proxy does it, and a wrong pod is told apart by what its server answers.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import TypeVar
from uuid import uuid4

from lab.cluster import network
from lab.cluster.network import API_PORT, FIRST, RECEIVERS

GATEWAY_OF_PODS = "10.88.0.1"
PODS = {"one": "10.88.0.11", "two": "10.88.0.12", "other": "10.88.0.21", "dns": "10.88.0.31"}
"""Two of the region that is partitioned, one of another region, one of cluster DNS."""
SERVICE_ADDRESS, CLUSTER_SERVICE_ADDRESS, EMPTY_SERVICE_ADDRESS = "198.18.0.20", "10.96.7.7", "198.18.0.21"
"""Load balancer and cluster address of the Service of ``one``; and of a Service without pods."""
OTHER_SERVICE_ADDRESS, DNS_SERVICE_ADDRESS, API_SERVICE_ADDRESS = "198.18.0.50", "10.96.0.10", "10.96.0.1"
PORT, DNS_PORT, STORAGE_PORT = 8080, 53, 8444
WAIT_S = 0.5
"""How long a packet that is not dropped may take on loopback, many times over."""

_T = TypeVar("_T")


def run(*command: str) -> None:
    """Run a program that must do what it is told."""
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


def inside(name: str, work: Callable[[], _T]) -> _T:
    """Do something in a network namespace: sockets stay in the one where they were made."""
    result: Future[_T] = Future()

    def enter() -> None:
        try:
            network.join(name)
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(60)
    return result.result(timeout=0)


class Harness:
    """The node, by the name of its namespace, and the pods'."""

    def __init__(self) -> None:
        self.node = f"t-{uuid4().hex[:8]}"
        self._stack = ExitStack()

    def name(self, pod: str) -> str:
        """Namespace of a pod; that of the node for ``node``."""
        return self.node if pod == "node" else f"{self.node}-{pod}"

    def reaches(self, source: str, address: str, port: int = PORT) -> str | None:
        """What a server answers to a new connection: its name; None where nothing came, "refused" where it was."""
        return inside(self.name(source), lambda: _asked(address, port))

    def connection(self, source: str, address: str, port: int = PORT) -> socket.socket:
        """An open connection."""
        return inside(self.name(source), lambda: _connected(address, port))

    def start(self) -> None:
        """Make everything."""
        network.create_namespace(self.node)
        self._stack.callback(network.delete_namespace, self.node)
        node = ["ip", "-n", self.node]
        run(*node, "link", "add", "lab0", "type", "bridge")
        run(*node, "addr", "add", f"{GATEWAY_OF_PODS}/22", "dev", "lab0")
        run(*node, "link", "set", "lab0", "up")
        for number, (pod, address) in enumerate(PODS.items()):
            self._pod(pod, address, f"v{number}")
        for address, port, target in (
            (SERVICE_ADDRESS, PORT, f"{PODS['one']}:{PORT}"),
            (CLUSTER_SERVICE_ADDRESS, PORT, f"{PODS['one']}:{PORT}"),
            (OTHER_SERVICE_ADDRESS, PORT, f"{PODS['other']}:{PORT}"),
            (DNS_SERVICE_ADDRESS, DNS_PORT, f"{PODS['dns']}:{DNS_PORT}"),
            (API_SERVICE_ADDRESS, 443, f"{FIRST.node}:{API_PORT}"),
        ):
            for chain in ("PREROUTING", "OUTPUT"):
                rule = ["-p", "tcp", "-d", address, "--dport", str(port), "-j", "DNAT", "--to-destination", target]
                self.iptables("-t", "nat", "-A", chain, *rule)
        # As kube-proxy does: what comes from the node to a Service goes back to it, and an empty Service refuses.
        self.iptables("-t", "nat", "-A", "POSTROUTING", "-s", "198.18.0.0/24", "-d", "10.88.0.0/22", "-j", "MASQUERADE")
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            self.iptables("-A", chain, "-p", "tcp", "-d", EMPTY_SERVICE_ADDRESS, "-j", "REJECT")
        for where, address, port, answer in (
            *((pod, "0.0.0.0", PORT, pod) for pod in PODS),
            ("dns", "0.0.0.0", DNS_PORT, "dns"),
            ("node", FIRST.node, API_PORT, "api"),
            ("node", RECEIVERS, STORAGE_PORT, "storage"),
        ):
            self._serve(where, address, port, answer)

    def stop(self) -> None:
        """Remove everything."""
        self._stack.close()

    def iptables(self, *arguments: str) -> None:
        """A rule of the node."""
        run(*network.enter(self.node), "iptables", "-w", "10", *arguments)

    def _pod(self, pod: str, address: str, link: str) -> None:
        name = self.name(pod)
        run("ip", "netns", "add", name)
        self._stack.callback(network.delete_namespace, name)
        run("ip", "-n", self.node, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "-n", self.node, "link", "set", link, "master", "lab0", "up")
        run("ip", "-n", self.node, "link", "set", link, "type", "bridge_slave", "hairpin", "on")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "addr", "add", f"{address}/22", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", GATEWAY_OF_PODS)

    def _serve(self, where: str, address: str, port: int, answer: str) -> None:
        server = inside(self.name(where), lambda: socket.create_server((address, port)))
        thread = threading.Thread(target=_answer, args=(server, answer.encode()), daemon=True)
        thread.start()
        self._stack.callback(server.close)
        self._stack.callback(server.shutdown, socket.SHUT_RDWR)


def _answer(server: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection, answer), daemon=True).start()


def _echo(connection: socket.socket, answer: bytes) -> None:
    with connection:
        try:
            while connection.recv(64):
                connection.sendall(answer)
        except OSError:
            return


def _connected(address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), timeout=WAIT_S)


def _asked(address: str, port: int) -> str | None:
    try:
        with _connected(address, port) as connection:
            return said(connection)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return None


def said(connection: socket.socket) -> str | None:
    """What the other side answers; None where nothing came."""
    try:
        connection.sendall(b"?")
        return connection.recv(64).decode()
    except TimeoutError:
        return None


@contextmanager
def harness() -> Iterator[Harness]:
    """The node and its pods, until the block ends."""
    new_world = Harness()
    try:
        new_world.start()
        yield new_world
    finally:
        new_world.stop()
