"""``obs open``: a page of the platform on this machine's loopback, until Ctrl-C.

The certificate names ``localhost``, so TLS stays verified. The authority and a password are files that only their owner
can read, in a folder that goes when the command ends.
"""

from __future__ import annotations

import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.config import WEB_PORT
from components.grafana.process import PORT as GRAFANA_PORT
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.query import query_workload
from components.login_proxy import OAUTH_PORT
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import QUERY_PORT
from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from ops.core import platform as platform_module
from ops.core.errors import OpsError, one_line
from ops.core.files import write_private
from ops.core.kube import Kube
from ops.core.platform import Login, Platform
from ops.core.tunnel import Tunnel


class Name(StrEnum):
    """A page."""

    GRAFANA = "grafana"
    METRICS = "metrics"
    ALERTS = "alerts"
    TRACES = "traces"


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the platform.

    Attributes:
        workload: Whose pods serve it.
        port: Their port.
        host: Name that a browser has to call it by, since it is sent back there after the login; empty: any.
        who: Who signs in.
        login: A login of the stack, for which there is a file.
    """

    workload: str
    port: int
    who: str
    host: str = ""
    login: Login | None = None


def page(name: Name, platform: Platform, clearance: str, *, direct: bool = False) -> Page:
    """What a page is made of.

    Args:
        name: Which.
        platform: Outputs of the stack.
        clearance: Of traces; empty: the first.
        direct: Of metrics and alerts: the server itself, also where there is a personal login in front of it.

    Raises:
        OpsError: The stack has none, or there is no such clearance.
    """
    if clearance and name is not Name.TRACES:
        raise OpsError(f"--clearance is for {Name.TRACES} alone")
    if direct and name not in (Name.METRICS, Name.ALERTS):
        raise OpsError(f"--direct is for {Name.METRICS} and {Name.ALERTS} alone")
    if name is Name.TRACES:
        return _traces(platform.trace_query_urls, clearance)
    if name is Name.GRAFANA:
        people = "your own account of the directory or the identity provider; "
        who = f"{'' if platform.left_out('grafana.ldap') else people}the administrator"
        return Page(workload=GRAFANA, port=GRAFANA_PORT, who=who, login=platform.grafana_admin)
    login = {Name.METRICS: METRICS_LOGIN, Name.ALERTS: ALERTS_LOGIN}[name]
    if not direct and (url := platform.sign_in_urls.get(login)):
        return Page(
            workload=login,
            port=OAUTH_PORT,
            host=urlsplit(url).hostname or "",
            who=f"your own account of the identity provider, in a group of sign_in.{name}.groups",
        )
    if name is Name.METRICS:
        return Page(workload=QUERY, port=QUERY_PORT, who="the reader", login=platform.query_reader)
    return Page(workload=ALERTMANAGER, port=WEB_PORT, who="the operator", login=platform.alertmanager_operator)


def _traces(urls: Mapping[str, str], clearance: str) -> Page:
    chosen = clearance or next(iter(urls), "")
    if chosen not in urls:
        raise OpsError(f"--clearance is {chosen or 'missing'}: the stack has {', '.join(urls) or 'none'}")
    others = ", ".join(name for name in urls if name != chosen)
    return Page(
        workload=query_workload(chosen),
        port=OAUTH_PORT,
        host=urlsplit(urls[chosen]).hostname or "",
        who=f"your own account of the identity provider, in a group that is cleared for {chosen} "
        f"(--clearance: {others or 'no other'})",
    )


AUTHORITY_FILE: Final = "ca.pem"
PASSWORD_FILE: Final = "password"  # noqa: S105  (the name of a file)
_HERE: Final = "localhost"
_LOOPBACK: Final = "127.0.0.1"
_ANSWER_S: Final = 5.0
_LOOK_S: Final = 1.0
_OPENED_AT_MOST: Final = 60
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


def open_page(
    name: Annotated[Name, typer.Argument(metavar="PAGE", help="grafana, metrics, alerts or traces.")],
    clearance: Annotated[str, typer.Option("--clearance", help="Of traces: which query; default: the first.")] = "",
    direct: Annotated[
        bool, typer.Option("--direct", help="Of metrics and alerts: past the personal login, as the outputs' own user.")
    ] = False,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, max=24 * 60, help="How long at most.")] = 60,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of loopback; 0: any that is free.")] = 0,
) -> None:
    """Open a page on loopback, with TLS, and say how to sign in. Ctrl-C ends it and all that it started."""
    platform = platform_module.load()
    chosen = page(name, platform, clearance, direct=direct)
    if chosen.host and port not in (0, chosen.port):
        raise OpsError(f"--port {port}: {name} is at {chosen.port}, where the login sends a browser back to")
    if chosen.host and not _problem(platform, chosen.host, chosen.port, chosen.host):
        typer.echo(f"{name}: https://{chosen.host}:{chosen.port}/ is reached from here: no forward is needed")
        typer.echo(f"sign in: {chosen.who}")
        return
    with _ended_by_signals(), closing(Kube.of(platform)) as kube:
        try:
            _serve(platform, kube, name, chosen, minutes, port)
        except KeyboardInterrupt:
            typer.echo("closed")


class _Forward:
    """The forward to a page's pod, opened again at the same port when the pod goes."""

    def __init__(self, kube: Kube, chosen: Page, port: int) -> None:
        self._kube, self._page, self._times = kube, chosen, 1
        # A browser comes back from the login to the stack's own address, port and all.
        self._tunnel = self._open(chosen.port if chosen.host else port)
        self.port = self._tunnel.port

    def keep(self, seconds: float) -> None:
        """Wait, and open it again whenever it ends.

        Raises:
            OpsError: It ends all the time.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
            if self._tunnel.alive:
                continue
            self._tunnel.close()
            self._times += 1
            if self._times > _OPENED_AT_MOST:
                raise OpsError(f"the forward to {self._page.workload} ended {_OPENED_AT_MOST} times")
            try:
                self._tunnel = self._open(self.port)
                typer.echo("the forward ended, and is open again", err=True)
            except OpsError as error:
                typer.echo(f"the forward ended: {error}", err=True)

    def close(self) -> None:
        """End it."""
        self._tunnel.close()

    def _open(self, local: int) -> Tunnel:
        pod = self._kube.ready_pod(self._page.workload).name
        return Tunnel(self._kube.namespace, pod, self._page.port, self._kube.context, local)


def _serve(platform: Platform, kube: Kube, name: Name, chosen: Page, minutes: float, port: int) -> None:
    """Forward, say where, and wait.

    Raises:
        OpsError: There is no pod, no connection, or nobody answers with a good certificate.
    """
    with (
        tempfile.TemporaryDirectory(prefix="obs-open-") as folder,
        closing(_Forward(kube, chosen, port)) as forward,
    ):
        if problem := _problem(platform, _LOOPBACK, forward.port, chosen.host or _HERE):
            raise OpsError(f"{name}: {problem}")
        for line in _lines(platform, name, chosen, forward.port, Path(folder)):
            typer.echo(line)
        typer.echo(f"open for {minutes:g} min at most; Ctrl-C ends it and removes the files")
        forward.keep(60 * minutes)
        typer.echo("closed: the time is over")


def _lines(platform: Platform, name: Name, chosen: Page, port: int, folder: Path) -> Iterator[str]:
    """What a person needs, without any password."""
    authority = folder / AUTHORITY_FILE
    write_private(authority, platform.ca_certificate)
    yield f"{name}: https://{chosen.host or _HERE}:{port}/"
    yield f"authority of its certificate: {authority} (browsers warn until it is imported; curl --cacert)"
    if chosen.host:
        yield (
            f"for your browser {chosen.host} has to be this machine, where the login sends it back to: "
            f'`127.0.0.1 {chosen.host}` in /etc/hosts, or --host-resolver-rules="MAP {chosen.host} 127.0.0.1"'
        )
    said = f"sign in: {chosen.who}"
    if chosen.login is not None:
        user, password = chosen.login.pair
        write_private(folder / PASSWORD_FILE, f"{password}\n")
        said += f" is {user}, with the password in {folder / PASSWORD_FILE}"
    yield said


def _problem(platform: Platform, address: str, port: int, host: str) -> str:
    """What is wrong with the server at an address; empty where it shows a certificate of the stack for a host."""
    context = ssl.create_default_context(cadata=platform.ca_certificate)
    try:
        with (
            socket.create_connection((address, port), timeout=_ANSWER_S) as line,
            context.wrap_socket(line, server_hostname=host),
        ):
            return ""
    except OSError as error:
        return f"{address}:{port} does not answer as {host}: {one_line(error)}"


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the signals that end a session end the command as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {
        number: signal.signal(number, end) for number in _ENDS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
