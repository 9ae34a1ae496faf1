"""A stack belongs to one cluster: another one is refused before anything is made, by the real `kubectl` and Pulumi."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
import yaml

from components.cluster import EMBEDDED, NEW_ROLE, ROLE_ANNOTATION
from lab.toolchain import tools
from stacks.cluster import check_apart, check_quorum, check_role, identified
from stacks.part_settings import Cluster
from stacks.settings import Role, SettingsError, parse
from tests.policy.engine import CHECKOUT, Engine
from tests.support import engine
from tests.support.clusters import kubeconfig

FILE = "Pulumi.test.yaml"
REGIONS = {"prod": "obs-region-a", "dr": "obs-region-b"}


def cluster_of(stack: str) -> Cluster:
    """The cluster that a stack file names."""
    return parse(engine.stack_settings(stack), FILE).cluster


@pytest.fixture
def swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kubeconfig whose contexts lead to each other's clusters."""
    uids = {"obs-region-a": str(cluster_of("dr").uid), "obs-region-b": str(cluster_of("prod").uid)}
    with kubeconfig(tmp_path / "kubeconfig", uids) as file:
        use(monkeypatch, file)
        yield file


def use(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Let `kubectl` take a kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("PATH", f"{tools.path('kubectl').parent}{os.pathsep}{os.environ['PATH']}")


def previewing(monkeypatch: pytest.MonkeyPatch, yes: bool) -> list[str]:
    """Let the program be in a preview or in an update; the warnings that it gives."""
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: yes)
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    return warnings


def test_the_two_regions_of_production_name_different_clusters() -> None:
    clusters = {stack: cluster_of(stack) for stack in REGIONS}
    assert {stack: cluster.context for stack, cluster in clusters.items()} == REGIONS
    assert len({cluster.uid for cluster in clusters.values()} - {None}) == 2


def test_the_context_and_the_identity_of_the_right_cluster_are_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = {REGIONS[stack]: str(cluster_of(stack).uid) for stack in REGIONS}
    with kubeconfig(tmp_path / "kubeconfig", uids) as file:
        use(monkeypatch, file)
        previewing(monkeypatch, False)
        for stack, context in REGIONS.items():
            assert identified(cluster_of(stack), FILE) == {"context": context, "uid": uids[context]}


def test_the_embedded_cluster_may_be_any_that_its_context_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previewing(monkeypatch, False)
    with kubeconfig(tmp_path / "kubeconfig", {"other": "uid-of-another", EMBEDDED[0]: "uid-of-today"}) as file:
        use(monkeypatch, file)
        assert identified(cluster_of("local"), FILE) == {"context": EMBEDDED[0], "uid": "uid-of-today"}
    with kubeconfig(tmp_path / "kubeconfig", {"other": "uid-of-another"}) as file:
        use(monkeypatch, file)
        with pytest.raises(SettingsError, match=r'the context obs-lab leads to no cluster .*"obs-lab" does not exist'):
            identified(cluster_of("local"), FILE)


@pytest.mark.parametrize("stack", REGIONS)
@pytest.mark.parametrize("deployed", [None, *Role])
def test_a_checkout_without_the_failover_of_another_one_changes_no_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: str, deployed: Role | None
) -> None:
    cluster = cluster_of(stack)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "obs"}}
    if deployed is not None:
        namespace["metadata"]["annotations"] = {ROLE_ANNOTATION: str(deployed)}  # type: ignore[index]
    there = {"/api/v1/namespaces/obs": namespace}
    with kubeconfig(tmp_path / "kubeconfig", {REGIONS[stack]: str(cluster.uid)}, there) as file:
        use(monkeypatch, file)
        for role in Role:
            monkeypatch.delenv(NEW_ROLE, raising=False)
            if deployed in (None, role):
                check_role(cluster, "obs", role, FILE)
                continue
            with pytest.raises(SettingsError) as caught:
                check_role(cluster, "obs", role, FILE)
            assert str(caught.value) == (
                f"{FILE}: observability:role is {role}, but this region was made {deployed}, by a failover or failback "
                "whose stack file this checkout lacks: nothing was changed; run `pulumi config set observability:role "
                f"{deployed}` and commit it; roles are changed by `ops failover` and `ops failback` (by hand: "
                f"OBS_NEW_ROLE={role})"
            )
            monkeypatch.setenv(NEW_ROLE, str(deployed))
            with pytest.raises(SettingsError):
                check_role(cluster, "obs", role, FILE)
            monkeypatch.setenv(NEW_ROLE, str(role))
            check_role(cluster, "obs", role, FILE)


def test_a_namespace_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path / "none")
    with pytest.raises(
        SettingsError, match=r"^Pulumi.test.yaml: the namespace obs could not be read \(.*does not exist"
    ):
        check_role(cluster_of("prod"), "obs", Role.PRIMARY, FILE)


def test_who_votes_in_a_kafka_that_was_made_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = {stack: engine.recorded(stack).one("ConfigMap", "kafka") for stack in ("local", "prod")}
    cluster = cluster_of("prod")
    for stack, voters in (("local", 0), ("prod", 3)):
        there = {"/api/v1/namespaces/obs/configmaps/kafka": present[stack]}
        with kubeconfig(tmp_path / "kubeconfig", {REGIONS["prod"]: str(cluster.uid)}, there) as file:
            use(monkeypatch, file)
            check_quorum(cluster, "obs", voters, FILE)
            with pytest.raises(SettingsError) as caught:
                check_quorum(cluster, "obs", 3 - voters, FILE)
        assert str(caught.value) == (
            f"{FILE}: Kafka is to have {3 - voters} dedicated controllers (settings.kafka.controllers, or the "
            f"profile's), but that of obs was made with {voters}, and a quorum stays as it was made: nothing was "
            f"changed; set settings.kafka.controllers to {voters}, or make another platform and move to it "
            "(docs/operations/brokers.md)"
        )


def test_a_kafka_that_there_is_not_may_have_any_voters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of("prod")
    with kubeconfig(tmp_path / "kubeconfig", {REGIONS["prod"]: str(cluster.uid)}) as file:
        use(monkeypatch, file)
        for voters in (0, 3):
            check_quorum(cluster, "obs", voters, FILE)


def test_a_kafka_that_cannot_be_asked_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path / "none")
    with pytest.raises(
        SettingsError, match=r"^Pulumi.test.yaml: the ConfigMap kafka of obs could not be read \(.*does not exist"
    ):
        check_quorum(cluster_of("prod"), "obs", 3, FILE)


def test_the_namespace_says_which_role_its_region_has() -> None:
    for role in Role:
        [namespace] = engine.recorded("prod", str(role)).kinds("Namespace")
        assert namespace["metadata"]["annotations"] == {ROLE_ANNOTATION: str(role)}


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("stack", REGIONS)
def test_swapped_contexts_are_refused_in_previews_and_updates(
    swapped: Path, monkeypatch: pytest.MonkeyPatch, stack: str, preview: bool
) -> None:
    previewing(monkeypatch, preview)
    other = cluster_of("dr" if stack == "prod" else "prod").uid
    with pytest.raises(SettingsError) as caught:
        identified(cluster_of(stack), FILE)
    assert str(caught.value) == (
        f"{FILE}: settings.cluster.uid is {cluster_of(stack).uid}, but the context {REGIONS[stack]} leads to the "
        f"cluster {other}: nothing was changed; select the other stack or kubeconfig, or, where this is the right "
        f"cluster, run `python -m ops config set-cluster --file {FILE} --context {REGIONS[stack]} --replace`"
    )


def test_pulumi_previews_nothing_in_another_cluster(tmp_path: Path, swapped: Path) -> None:
    project = Engine.at(tmp_path / "engine", "prod")
    settings = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())
    (project.folder / "project" / "Pulumi.yaml").write_text(
        yaml.safe_dump({**settings, "main": str(CHECKOUT / "__main__.py")})
    )
    (project.folder / "no-cluster").write_text(swapped.read_text())
    done = project.run("preview")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "but the context obs-region-a leads to the cluster 00000000-0000-0000-0000-00000000000b" in said
    assert "Traceback" not in said
    assert "kubernetes:" not in said


@pytest.mark.parametrize(
    ("context", "reason"),
    [("nowhere", 'context "nowhere" does not exist'), ("silent", "The connection to the server 127.0.0.1:9 was ref")],
)
def test_a_cluster_that_gives_no_answer_stops_an_update_and_not_a_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: str, reason: str
) -> None:
    file = tmp_path / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "silent", "cluster": {"server": "http://127.0.0.1:9"}}],
        "contexts": [{"name": "silent", "context": {"cluster": "silent", "user": ""}}],
    }
    file.write_text(yaml.safe_dump(content))
    use(monkeypatch, file)
    cluster = cluster_of("prod").model_copy(update={"context": context})
    previewing(monkeypatch, False)
    with pytest.raises(SettingsError) as caught:
        identified(cluster, FILE)
    assert str(caught.value).startswith(
        f"{FILE}: the context {context} leads to no cluster that could be asked for its identity ({reason}"
    )
    assert str(caught.value).endswith("nothing was changed; set KUBECONFIG or settings.cluster.context")
    warnings = previewing(monkeypatch, True)
    assert identified(cluster, FILE) == {"context": context, "uid": None}
    [warning] = warnings
    assert reason in warning
    assert warning.endswith("an update would stop here")


def test_without_kubectl_an_update_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    previewing(monkeypatch, False)
    with pytest.raises(SettingsError, match=r"identity \(`kubectl` is not on PATH\): nothing was changed"):
        identified(cluster_of("prod"), FILE)


def test_two_regions_in_one_namespace_of_one_cluster_are_refused() -> None:
    own, stack = cluster_of("dr"), "organization/observability/prod"
    with pytest.raises(SettingsError) as caught:
        check_apart(own, "obs", {"context": "x", "uid": own.uid}, "obs", stack)
    assert str(caught.value) == (
        f"settings.cluster.uid is {own.uid}, and so is that of {stack}, in the same namespace obs: allowed is a "
        "cluster of its own for each region; name this region's"
    )
    check_apart(own, "obs", {"context": "x", "uid": own.uid}, "obs-other", stack)
    check_apart(own, "obs", {"context": "x", "uid": cluster_of("prod").uid}, "obs", stack)
    check_apart(own, "obs", None, None, stack)


def test_a_standby_in_the_primary_s_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = engine.stack_settings("dr")
    theirs = engine.other_outputs()
    place = {"cluster": {"context": "x", "uid": settings["cluster"]["uid"]}, "namespace": settings["namespace"]}
    monkeypatch.setattr(engine, "other_outputs", lambda: {**theirs, **place})
    with pytest.raises(SettingsError, match="allowed is a cluster of its own for each region"):
        engine.record("dr", settings)
