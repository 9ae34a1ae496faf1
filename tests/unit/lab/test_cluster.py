"""The embedded node's pure parts: addresses, volumes, processes, images, the toolchain's cache."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import LabError, environment
from lab import __main__ as command_line
from lab.cluster import lifecycle, node
from lab.cluster.controllers import STORAGE_CLASS, Object, assign_addresses, provide_volumes, volume_for
from lab.cluster.network import FIRST, Daemon, wait_until
from lab.paths import CHECKOUT, LabPaths
from lab.timing import Steps
from lab.toolchain import tools
from lab.toolchain.images import Image, Layer
from lab.toolchain.recipes import RECIPES, Collector, ExtendedServer, GoTool


def _service(name: str, load_balancer_ip: str = "", given: str = "") -> dict[str, Any]:
    spec = {"type": "LoadBalancer"} | ({"loadBalancerIP": load_balancer_ip} if load_balancer_ip else {})
    status = {"loadBalancer": {"ingress": [{"ip": given}]}} if given else {}
    return {"metadata": {"namespace": "ns", "name": name}, "spec": spec, "status": status}


def test_a_requested_address_is_honoured_before_free_ones_are_handed_out() -> None:
    assigned = assign_addresses([_service("any"), _service("asks", load_balancer_ip="198.18.0.100")])
    assert assigned == {"ns/asks": "198.18.0.100", "ns/any": "198.18.0.101"}


def test_two_services_never_get_the_same_address() -> None:
    assigned = assign_addresses(
        [_service("has", given="198.18.0.20"), _service("wants", load_balancer_ip="198.18.0.20")]
    )
    assert assigned == {}, "an address in use must not be given twice"


def test_an_address_outside_the_pool_is_not_given() -> None:
    assert assign_addresses([_service("asks", load_balancer_ip="10.0.0.1")]) == {}


def test_services_of_other_types_get_no_address() -> None:
    service = _service("cluster")
    service["spec"]["type"] = "ClusterIP"
    assert assign_addresses([service]) == {}


def test_a_volume_is_bound_to_its_claim_and_to_the_node() -> None:
    claim = {
        "metadata": {"name": "data-0", "namespace": "ns", "uid": "u1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    volume = volume_for(claim, Path("/state/volumes"))
    assert volume["spec"]["claimRef"] == {"namespace": "ns", "name": "data-0", "uid": "u1"}
    assert volume["spec"]["local"]["path"] == "/state/volumes/pv-u1"
    terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["lab"]


class Api:
    """The API server, as the loop of volumes sees it."""

    def __init__(self, *volumes: Object, claims: list[Object]) -> None:
        self._lists = {"persistentvolumes": list(volumes), "persistentvolumeclaims": claims}
        self.patched: dict[str, Object] = {}

    def items(self, path: str) -> list[Object]:
        return self._lists[path.rpartition("/")[2]]

    def patch(self, path: str, body: Object) -> None:
        self.patched[path] = body


@pytest.mark.parametrize(("requested", "grown"), [("2Gi", True), ("1024Mi", False), ("512Mi", False)])
def test_a_volume_grows_when_its_claim_asks_for_more(requested: str, grown: bool, tmp_path: Path) -> None:
    claim = {
        "metadata": {"name": "data-0", "namespace": "ns", "uid": "u1"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": STORAGE_CLASS,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    volume = volume_for(claim, tmp_path) | {"status": {"phase": "Bound"}}
    spec = {**claim["spec"], "volumeName": "pv-u1", "resources": {"requests": {"storage": requested}}}  # type: ignore[dict-item]
    api = Api(volume, claims=[{**claim, "spec": spec, "status": {"phase": "Bound"}}])
    provide_volumes(api, tmp_path)  # type: ignore[arg-type]
    change = {"/api/v1/persistentvolumes/pv-u1": {"spec": {"capacity": {"storage": requested}}}}
    assert api.patched == (change if grown else {})


def test_a_daemon_is_started_once_and_stopped_by_its_own_id(tmp_path: Path) -> None:
    daemon = Daemon("sleeper", ["sleep", "60"], tmp_path)
    daemon.start()
    pid = daemon.pid()
    assert pid is not None
    daemon.start()
    assert daemon.pid() == pid, "a running daemon must not be started twice"
    daemon.stop()
    assert daemon.pid() is None


def test_a_pid_that_belongs_to_another_process_is_not_taken_for_ours(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "x.pid").write_text(f"{stranger.pid} 1")
        daemon = Daemon("x", ["true"], tmp_path)
        assert daemon.pid() is None
        daemon.stop()
        assert stranger.poll() is None, "a stranger's process must survive"
        stranger.kill()


def test_waiting_says_what_was_waited_for() -> None:
    started = time.monotonic()
    with pytest.raises(LabError, match=r"waited 0 s for the moon: it did not happen"):
        wait_until("the moon", lambda: False, timeout_s=0.1, every_s=0.01)
    assert time.monotonic() - started < 60


def test_two_checkouts_share_no_state_and_no_namespace() -> None:
    one, two = LabPaths.of_checkout(Path("/a")), LabPaths.of_checkout(Path("/b"))
    assert one.state != two.state
    assert one.netns != two.netns


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(work: Path) -> None:
        (work / "half").touch()
        raise LabError("no")

    with pytest.raises(LabError):
        tools.atomically(tmp_path / "tool", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    script = "import sys; print('the reason'); sys.exit(3)"
    with pytest.raises(LabError, match=r"(?s)failed with exit code 3.*the reason"):
        tools.run_logged([sys.executable, "-c", script], cwd=tmp_path, log=tmp_path / "log")


def test_a_recipes_key_changes_with_its_data() -> None:
    recipe = next(recipe for recipe in RECIPES if isinstance(recipe, GoTool))
    changed = GoTool(**{**recipe.__dict__, "tags": ("other",)})
    assert tools.fingerprint(recipe) != tools.fingerprint(changed)


def test_a_servers_key_changes_with_the_plugin_that_it_is_extended_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = next(recipe for recipe in RECIPES if isinstance(recipe, ExtendedServer))
    before = tools.fingerprint(recipe)
    shutil.copytree(tools.SOURCES / recipe.source, tmp_path / recipe.source)
    monkeypatch.setattr(tools, "SOURCES", tmp_path)
    assert tools.fingerprint(recipe) == before
    (tmp_path / recipe.source / "More.java").write_text("// changed\n")
    assert tools.fingerprint(recipe) != before


@pytest.fixture
def collector_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout's collector module as a copy in another checkout."""
    module = tmp_path / "elsewhere" / "collector"
    shutil.copytree(CHECKOUT / "collector", module)
    monkeypatch.setattr(tools, "CHECKOUT", module.parent)
    return module


COLLECTOR = next(recipe for recipe in RECIPES if isinstance(recipe, Collector))


def test_the_collectors_key_is_the_same_in_every_checkout(
    collector_module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tools.fingerprint(COLLECTOR)
    monkeypatch.undo()
    assert copied == tools.fingerprint(COLLECTOR)


@pytest.mark.parametrize("file", ["gate/walk.go", "masking/words/last_en.txt", "go.mod", "go.sum", "login/new.go"])
def test_a_change_of_what_the_collector_is_built_from_rebuilds_it(collector_module: Path, file: str) -> None:
    before = tools.fingerprint(COLLECTOR)
    with (collector_module / file).open("a") as content:
        content.write("// changed\n")
    assert tools.fingerprint(COLLECTOR) != before


@pytest.mark.parametrize(
    "file", ["README.md", "gate/wire_test.go", "gate/testdata/catalogue.yaml", "loadgen/main.go", "gate/testdata/x.go"]
)
def test_a_change_of_what_it_is_not_built_from_does_not(collector_module: Path, file: str) -> None:
    before = tools.fingerprint(COLLECTOR)
    with (collector_module / file).open("a") as content:
        content.write("// changed\n")
    assert tools.fingerprint(COLLECTOR) == before


def test_every_file_that_our_go_code_embeds_is_part_of_the_key() -> None:
    sources = tools.module_sources(CHECKOUT / COLLECTOR.folder)
    embedded = {
        file.parent / pattern
        for file in sources
        if file.suffix == ".go"
        for line in file.read_text().splitlines()
        if line.startswith("//go:embed ")
        for pattern in line.split()[1:]
    }
    assert embedded
    assert embedded <= set(sources)


def test_certificates_are_private_and_made_once(tmp_path: Path) -> None:
    node.create(tmp_path / "pki", FIRST)
    key = tmp_path / "pki" / "admin.key"
    content = key.read_bytes()
    assert key.stat().st_mode & 0o077 == 0
    node.create(tmp_path / "pki", FIRST)
    assert key.read_bytes() == content


def test_an_image_archive_names_its_layers_and_its_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    layer = Layer("one", lambda root: (root / "file").write_text("x") and None)
    image = Image("obs/x", "1", (layer,))
    target = tmp_path / "image.tar"
    with target.open("wb") as file:
        image.archive(file)
    with tarfile.open(target) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())[0]
        assert manifest["RepoTags"] == ["registry.lab.internal/obs/x:1"]
        inner = archive.extractfile(manifest["Layers"][0])
        assert inner is not None
        with tarfile.open(fileobj=inner) as content:
            assert "./file" in content.getnames()


def test_without_root_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root .*: run with sudo, or use a cluster of your own") as raised:
        lifecycle.check_machine(LabPaths("x"))
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == [], "nothing may be half applied"


def test_a_full_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2 * 1024**3))
    with pytest.raises(LabError, match=r"has 2\.0 GiB free, 6 are needed: free some, or set OBS_STATE"):
        lifecycle.check_machine(LabPaths("x"))


def test_an_unknown_tool_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(LabError, match=r"tool nosuch: unknown; allowed: ([a-z-]+, )*cert-manager, coredns"):
        command_line.build_tools(Steps("x"), ["nosuch"])


def test_a_stack_view_keeps_the_salt_and_leaves_the_checkout_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    paths = LabPaths("x")
    view = environment.project(paths)
    committed = (CHECKOUT / "Pulumi.local.yaml").read_text()
    file = view / "Pulumi.local.yaml"
    file.write_text(file.read_text() + "encryptionsalt: v1:abc\n")
    environment.project(paths)
    assert file.read_text().endswith("encryptionsalt: v1:abc\n")
    assert (CHECKOUT / "Pulumi.local.yaml").read_text() == committed
    assert (view / "stacks").resolve() == CHECKOUT / "stacks"
