"""The prober's modules in the real blackbox_exporter, against real servers with good and bad certificates."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.probes import Module, probe_config, rendered
from lab.toolchain import tools
from tests.config.gateway_process import GatewayProcess, gateway_data, gateway_process
from tests.config.probes_process import DAY, Authority, Prober, plain_server, prober, tls_server
from tests.config.servers import free_port

ENDS = "probe_ssl_earliest_cert_expiry"
CHAIN_ENDS = "probe_ssl_last_chain_expiry_timestamp_seconds"


@dataclass
class Scene:
    """A prober, its authority, and a place for servers.

    Attributes:
        prober: The prober.
        authority: What it trusts.
        folder: Scratch space.
    """

    prober: Prober
    authority: Authority
    folder: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, authority = tmp_path_factory.mktemp("probes"), Authority()
    authority.issue(folder / "prober", life=90 * DAY)
    with prober(folder / "prober") as running:
        yield Scene(running, authority, folder)


@pytest.fixture(scope="module")
def gateway(scene: Scene) -> Iterator[GatewayProcess]:
    """A real gateway with a certificate of the prober's authority."""
    folder = scene.folder / "gateway"
    scene.authority.issue(folder, life=10 * DAY)
    with gateway_process(folder, gateway_data(folder)) as process:
        yield process


def test_the_program_accepts_the_modules(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(rendered(probe_config(str(tmp_path))))
    command = [str(tools.path("blackbox_exporter")), f"--config.file={path}", "--config.check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(probe_config()["modules"]) == {module.value for module in Module}


@pytest.mark.parametrize("path", ["/probe?module=tls&target=localhost:1", "/metrics", "/", "/config", "/-/reload"])
@pytest.mark.parametrize("user", [None, "nobody"])
def test_nobody_uses_the_prober_without_a_password(scene: Scene, path: str, user: str | None) -> None:
    assert scene.prober.get(path, user=user).status_code == 401


def test_the_prober_serves_its_own_metrics(scene: Scene) -> None:
    assert "blackbox_exporter_build_info" in scene.prober.get("/metrics", user="scrape-probes").text


def test_the_end_of_a_certificate_is_told_to_the_second(scene: Scene) -> None:
    ends = scene.authority.issue(scene.folder / "known", life=20 * DAY)
    with tls_server(scene.folder / "known") as port:
        seen = scene.prober.probe("tls", f"localhost:{port}")
    assert seen["probe_success"] == 1
    assert seen[ENDS] == ends
    assert seen[CHAIN_ENDS] == ends


def test_an_authority_that_ends_before_its_certificates_is_told(tmp_path: Path) -> None:
    authority = Authority(life=5 * DAY)
    ends = authority.issue(tmp_path, life=60 * DAY)
    with prober(tmp_path) as running, tls_server(tmp_path) as port:
        seen = running.probe("tls", f"localhost:{port}")
    assert seen["probe_success"] == 1
    assert seen[ENDS] == ends
    assert seen[CHAIN_ENDS] == authority.ends


@pytest.mark.parametrize("module", ["tls", "closed"])
def test_a_certificate_that_has_ended_is_no_success(scene: Scene, module: str) -> None:
    scene.authority.issue(scene.folder / "ended", life=-1 * DAY)
    with tls_server(scene.folder / "ended") as port:
        seen = scene.prober.probe(module, _address(module, port))
    assert seen["probe_success"] == 0
    assert ENDS not in seen


@pytest.mark.parametrize("module", ["tls", "closed"])
def test_a_certificate_of_another_authority_is_no_success(scene: Scene, module: str) -> None:
    Authority().issue(scene.folder / "foreign", life=20 * DAY)
    with tls_server(scene.folder / "foreign") as port:
        assert scene.prober.probe(module, _address(module, port))["probe_success"] == 0


@pytest.mark.parametrize("module", ["tls", "closed"])
def test_a_certificate_of_another_name_is_no_success(scene: Scene, module: str) -> None:
    scene.authority.issue(scene.folder / "other", life=20 * DAY, host="other.example")
    with tls_server(scene.folder / "other") as port:
        assert scene.prober.probe(module, _address(module, port))["probe_success"] == 0
        assert scene.prober.probe(module, _address(module, port), hostname="other.example")["probe_success"] == 1
        assert scene.prober.probe(module, _address(module, port), hostname="127.0.0.2")["probe_success"] == 1


@pytest.mark.parametrize("module", [module.value for module in Module])
def test_a_server_without_tls_is_no_success(scene: Scene, module: str) -> None:
    with plain_server() as port:
        assert scene.prober.probe(module, _address(module, port))["probe_success"] == 0


@pytest.mark.parametrize("module", [module.value for module in Module])
def test_nobody_there_is_no_success(scene: Scene, module: str) -> None:
    assert scene.prober.probe(module, _address(module, free_port()))["probe_success"] == 0


def test_a_server_that_asks_for_a_certificate_is_shown_one(scene: Scene) -> None:
    ends = scene.authority.issue(scene.folder / "mutual", life=20 * DAY)
    with tls_server(scene.folder / "mutual", client_certificates=True) as port:
        seen = scene.prober.probe("tls", f"localhost:{port}")
    assert (seen["probe_success"], seen[ENDS]) == (1, ends)


@pytest.mark.parametrize(
    ("module", "status", "right"),
    [
        ("closed", 401, True),
        ("closed", 403, True),
        ("closed", 200, False),
        ("closed", 302, False),
        ("closed", 503, False),
        ("open", 200, True),
        ("open", 401, False),
        ("http2", 405, False),
    ],
)
def test_an_endpoint_has_to_give_the_right_answer(scene: Scene, module: str, status: int, right: bool) -> None:
    scene.authority.issue(scene.folder / "door", life=20 * DAY)
    with tls_server(scene.folder / "door", status=status) as port:
        seen = scene.prober.probe(module, f"https://localhost:{port}/some/path")
    assert seen["probe_http_status_code"] == status
    assert seen["probe_success"] == right


def test_a_real_gateway_is_seen_by_both_its_protocols(scene: Scene, gateway: GatewayProcess) -> None:
    ends = scene.authority.now.timestamp() + 10 * DAY.total_seconds()
    seen = scene.prober.probe("http2", f"https://localhost:{gateway.grpc_port}")
    assert (seen["probe_success"], seen[ENDS], seen["probe_http_version"]) == (1, ends, 2)
    refused = scene.prober.probe("closed", f"https://localhost:{gateway.http_port}/v1/metrics")
    assert (refused["probe_success"], refused["probe_http_status_code"], refused[ENDS]) == (1, 401, ends)
    assert scene.prober.probe("tls", f"localhost:{gateway.metrics_port}")["probe_success"] == 1


def test_a_renewed_certificate_of_the_prober_is_shown_without_a_restart(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue(tmp_path / "one", life=3 * DAY)
    with ExitStack() as stack:
        first = stack.enter_context(prober(tmp_path / "one"))
        authority.issue(tmp_path / "two", life=90 * DAY)
        second = stack.enter_context(prober(tmp_path / "two"))
        target = f"localhost:{first.port}"
        before = second.probe("tls", target)[ENDS]
        renewed = authority.issue(tmp_path / "one", life=80 * DAY)
        assert before < second.probe("tls", target)[ENDS] == renewed


def _address(module: str, port: int) -> str:
    return f"localhost:{port}" if module == "tls" else f"https://localhost:{port}/"
