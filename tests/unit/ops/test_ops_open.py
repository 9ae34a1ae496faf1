"""``obs open``, as a process: a forward with verified TLS, a password that is only in a file, and nothing left at the
end. ``kubectl`` is a stand-in that forwards to a server of the test, since there is no kubelet here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from components.login_proxy import OAUTH_PORT
from lab.paths import CHECKOUT
from ops.__main__ import app
from ops.core.errors import OpsError
from tests.config.pki import write_certificates
from tests.config.servers import eventually
from tests.support.clusters import kubeconfig
from tests.support.ports import free_port

KUBECONFIG = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
"""The client reads the variable when it is imported."""
PASSWORD = "open-sesame-of-a-page"
WORKLOADS = ("grafana", "thanos-query", "alertmanager", "jaeger-query-public", "metrics-login", "alerts-login")
KUBECTL = """#!{python}
import os, socket, sys, threading
if "whoami" in sys.argv:
    sys.exit(print('{{"status": {{"userInfo": {{"username": "someone"}}}}}}'))
if "create" in sys.argv:
    sys.exit(sys.stdin.read() and None)
if "port-forward" not in sys.argv:
    sys.exit(1)
open({folder!r} + "/kubectl-pids", "a").write(f"{{os.getpid()}} {{' '.join(sys.argv[1:])}}\\n")
local, remote = sys.argv[-1].split(":")
listener = socket.create_server(("127.0.0.1", int(local or 0)))
print(f"Forwarding from 127.0.0.1:{{listener.getsockname()[1]}} -> {{remote}}", flush=True)
def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    client = listener.accept()[0]
    server = socket.create_connection(("127.0.0.1", {target}))
    threading.Thread(target=copy, args=(client, server), daemon=True).start()
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
"""


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Place:
    """Where the command runs."""

    folder: Path
    environment: dict[str, str]

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The command, which does not outlive the block."""
        command = [sys.executable, "-m", "ops", "open", *arguments]
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(
            command, cwd=CHECKOUT, env=self.environment, text=True, stdin=none, stdout=pipe, stderr=pipe
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
        """The command in this process; what it says.

        Raises:
            OpsError: It says so.
        """
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(KUBECONFIG, self.environment["KUBECONFIG"])
        result = CliRunner().invoke(app, ["open", *arguments])
        if isinstance(result.exception, OpsError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    def forwards(self) -> list[tuple[int, str]]:
        """Process id and arguments of each forward that was started."""
        file = self.folder / "kubectl-pids"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(line.split()[0]), line.partition(" ")[2]) for line in lines]

    def is_clean(self) -> bool:
        """Whether no forward and no file is left."""
        return all(ended(pid) for pid, _ in self.forwards()) and list((self.folder / "tmp").iterdir()) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A page with TLS for localhost; the folder of its authority, and its port."""
    folder = tmp_path_factory.mktemp("page")
    write_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    page = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    page.socket = context.wrap_socket(page.socket, server_side=True)
    thread = threading.Thread(target=page.serve_forever, daemon=True)
    thread.start()
    yield folder, page.server_address[1]
    page.shutdown()
    page.server_close()
    thread.join(60)


@pytest.fixture
def place(tmp_path: Path, server: tuple[Path, int], outputs: dict[str, Any]) -> Iterator[Place]:
    folder, port = server
    login = {"username": "someone", "password": PASSWORD}
    known = dict.fromkeys(("grafana_admin", "query_reader", "alertmanager_operator"), login)
    known |= {
        "ca_certificate": (folder / "ca.crt").read_text(),
        "cluster": {"context": "here", "uid": "uid-of-here"},
        "trace_query_urls": {"public": "https://localhost:4180", "internal": "https://nowhere.invalid:4180"},
    }
    (tmp_path / "outputs.json").write_text(json.dumps(outputs | known))
    programs = {
        "pulumi": f"#!/bin/sh\ncat {tmp_path}/outputs.json\n",
        "kubectl": KUBECTL.format(python=sys.executable, folder=str(tmp_path), target=port),
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    path = f"/api/v1/namespaces/{outputs['namespace']}/pods"
    answers = {f"{path}?labelSelector=app.kubernetes.io/name={name}": _pods(name) for name in WORKLOADS}
    answers[path] = _pods()
    (tmp_path / "tmp").mkdir()
    with kubeconfig(tmp_path / "kubeconfig", {"here": "uid-of-here"}, answers) as file:
        variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": str(file), "TMPDIR": str(tmp_path / "tmp")}
        yield Place(tmp_path, {**os.environ, **variables, "PULUMI_STACK": "local"})


def _pods(*workloads: str) -> dict[str, Any]:
    pods = [
        {
            "metadata": {"name": f"{workload}-0", "uid": "1", "labels": {"app.kubernetes.io/name": workload}},
            "spec": {"containers": [{"name": "a", "image": "a"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }
        for workload in workloads
    ]
    return {"kind": "PodList", "apiVersion": "v1", "items": pods}


def said(process: subprocess.Popen[str]) -> list[str]:
    """What it says until it waits."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("open for "):
            return lines
    raise AssertionError(f"it ended: {lines} {process.communicate(timeout=60)[1]}")


def ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def _address(lines: list[str], name: str) -> str:
    (address,) = (match[1] for line in lines if (match := re.fullmatch(rf"{name}: (https://localhost:\d+/)", line)))
    return address


def _path(lines: list[str], pattern: str) -> Path:
    (path,) = (match[1] for line in lines if (match := re.search(pattern, line)))
    return Path(path)


def test_a_page_is_there_until_ctrl_c_and_nothing_is_left(place: Place) -> None:
    with place.started("grafana") as process:
        lines = said(process)
        authority = _path(lines, r"^authority of its certificate: (\S+) ")
        password = _path(lines, r"^sign in: .* is someone, with the password in (\S+)$")
        answer = requests.get(_address(lines, "grafana"), verify=str(authority), timeout=60)
        assert (answer.status_code, answer.text) == (200, "hello")
        assert password.read_text() == f"{PASSWORD}\n"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (authority, password)] == [0o600, 0o600]
        assert stat.S_IMODE(password.parent.stat().st_mode) == 0o700
        ((_, arguments),) = place.forwards()
        assert "pod/grafana-0" in arguments
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    assert (process.returncode, out, error) == (0, "closed\n", "")
    assert PASSWORD not in "\n".join(lines)
    assert place.is_clean()


def test_a_forward_that_ends_is_opened_again_at_the_same_port(place: Place) -> None:
    with place.started("metrics") as process:
        lines = said(process)
        ((first, _),) = place.forwards()
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(place.forwards()) == 2, 120, "there is another forward")
        address, authority = _address(lines, "metrics"), _path(lines, r"^authority of its certificate: (\S+) ")

        def answers() -> bool:
            try:
                return requests.get(address, verify=str(authority), timeout=60).text == "hello"
            except requests.RequestException:
                return False

        eventually(answers, 120, "the page is at its old address")
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "the forward ended, and is open again\n")
    assert place.is_clean()


def test_it_ends_by_itself_when_the_time_is_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, limit, last = place.run(monkeypatch, "alerts", "--minutes", "0.01").splitlines()
    assert limit == "open for 0.01 min at most; Ctrl-C ends it and removes the files"
    assert last == "closed: the time is over"
    ((_, arguments),) = place.forwards()
    assert "pod/alertmanager-0" in arguments
    assert place.is_clean()


def test_a_page_is_at_the_port_that_is_chosen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    lines = place.run(monkeypatch, "grafana", "--minutes", "0.01", "--port", str(port)).splitlines()
    assert lines[0] == f"grafana: https://localhost:{port}/"


def test_traces_are_at_their_own_address_since_a_login_comes_back_there(
    place: Place, server: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setattr("ops.connect.open.OAUTH_PORT", port)
    lines = place.run(monkeypatch, "traces", "--minutes", "0.01").splitlines()
    assert lines[0] == f"traces: https://localhost:{port}/"
    assert lines[2].startswith("for your browser localhost has to be this machine, where the login sends it back to: ")
    assert lines[3].endswith("in a group that is cleared for public (--clearance: internal)")
    assert place.is_clean()
    monkeypatch.setattr("ops.connect.open.OAUTH_PORT", server[1])
    known = place.run(monkeypatch, "traces").splitlines()
    assert known[0] == f"traces: https://localhost:{server[1]}/ is reached from here: no forward is needed"
    assert len(place.forwards()) == 1


@pytest.mark.parametrize(
    ("name", "workload"), [("metrics", "metrics-login"), ("alerts", "alerts-login")], ids=["metrics", "alerts"]
)
def test_metrics_and_alerts_are_at_their_personal_logins_where_there_are_any(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, workload: str
) -> None:
    port, file = free_port(), place.folder / "outputs.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sign_in_urls": {workload: "https://localhost:4180"}}))
    monkeypatch.setattr("ops.connect.open.OAUTH_PORT", port)
    lines = place.run(monkeypatch, name, "--minutes", "0.01").splitlines()
    assert lines[0] == f"{name}: https://localhost:{port}/"
    assert lines[3] == f"sign in: your own account of the identity provider, in a group of sign_in.{name}.groups"
    ((_, arguments),) = place.forwards()
    assert f"pod/{workload}-0" in arguments
    assert PASSWORD not in "\n".join(lines)
    direct = place.run(monkeypatch, name, "--direct", "--minutes", "0.01").splitlines()
    assert " is someone, with the password in " in direct[2]
    assert f"pod/{workload}-0" not in place.forwards()[-1][1]
    assert place.is_clean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grafana", "--direct"], "--direct is for metrics and alerts alone"),
        (["traces", "--clearance", "secret"], "--clearance is secret: the stack has public, internal"),
        (["grafana", "--clearance", "public"], "--clearance is for traces alone"),
        (
            ["traces", "--port", "9"],
            f"--port 9: traces is at {OAUTH_PORT}, where the login sends a browser back to",
        ),
        (["traces", "--clearance", "internal"], "no pod of jaeger-query-internal is ready in namespace obs-local"),
    ],
)
def test_a_page_that_there_is_not_is_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    with pytest.raises(OpsError) as caught:
        place.run(monkeypatch, *arguments)
    assert str(caught.value) == message


def test_a_server_whose_certificate_is_another_authority_s_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    write_certificates(other)
    file = place.folder / "outputs.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ca_certificate": (other / "ca.crt").read_text()}))
    with pytest.raises(OpsError, match=r"^grafana: 127\.0\.0\.1:\d+ does not answer as localhost: .*certificate"):
        place.run(monkeypatch, "grafana")
    assert place.is_clean()


def test_another_cluster_is_refused_before_anything_is_forwarded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with kubeconfig(place.folder / "other", {"here": "uid-of-another"}) as file:
        place.environment["KUBECONFIG"] = str(file)
        with pytest.raises(OpsError, match="leads to the cluster uid-of-another, but the platform obs is in uid-of"):
            place.run(monkeypatch, "grafana")
    assert place.forwards() == []
