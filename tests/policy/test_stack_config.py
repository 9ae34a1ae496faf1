"""What the pack takes from the file of the stack that it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.paths import CHECKOUT
from policy.pack import _options
from policy.rules import RULES
from policy.stack_config import IMAGE_REGISTRY, _settings, left_out, stack_options

NAMES = "certificate-own-names"
RULE = next(rule for rule in RULES if rule.id == IMAGE_REGISTRY)


def urn(stack: str) -> str:
    return f"urn:pulumi:{stack}::observability::kubernetes:apps/v1:StatefulSet::kafka"


def stack_file(folder: Path, text: str) -> None:
    (folder / "Pulumi.mine.yaml").write_text(text)


def test_registries_are_those_of_the_stack(tmp_path: Path) -> None:
    images = {"registry": "a.example/obs", "registries": {"obs": "b.example", "upstream": "a.example/obs"}}
    stack_file(tmp_path, yaml.safe_dump({"config": {"observability:settings": {"images": images}}}))
    assert stack_options(IMAGE_REGISTRY, urn("mine"), tmp_path) == {"registries": ["a.example/obs", "b.example"]}
    assert stack_options("image-digest", urn("mine"), tmp_path) == {}


@pytest.mark.parametrize("stack", ["local", "prod", "dr", "local-dr"])
def test_each_stack_of_ours_names_its_own(stack: str) -> None:
    content = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]["observability:settings"]
    assert stack_options(IMAGE_REGISTRY, urn(stack), CHECKOUT) == {"registries": [content["images"]["registry"]]}


def test_names_outside_and_where_pods_run_are_up_to_the_stack_file(tmp_path: Path) -> None:
    content = yaml.safe_load((CHECKOUT / "Pulumi.prod.yaml").read_text())
    settings = content["config"]["observability:settings"]
    [outside] = stack_options(NAMES, urn("prod"), CHECKOUT).values()
    hosts = {*(broker["host"] for broker in settings["kafka"]["brokers"]), settings["gateway"]["host"]}
    assert {*hosts, *settings["regions"]["dns"]["names"].values()} <= {*outside}
    assert not {settings["grafana"]["ldap"]["host"], None} & {*outside}
    assert stack_options("pod-placement-said", urn("prod"), CHECKOUT) == {}
    settings["scheduling"] = {
        "default": {"node_selector": {"pool": "obs"}, "tolerations": [{"operator": "Exists"}]},
        "stages": {"kafka": {"priority_class": "high", "tolerations": [{"key": "a", "value": None, "seconds": 60}]}},
    }
    stack_file(tmp_path, yaml.safe_dump(content))
    assert stack_options("pod-placement-said", urn("mine"), tmp_path) == {
        "node_selectors": [{"pool": "obs"}],
        "priority_classes": ["high"],
        "tolerations": [{"operator": "Exists"}, {"operator": "Equal", "key": "a", "tolerationSeconds": 60}],
    }


def without_names(options: dict[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Options but for those that every stack has."""
    return {rule: changed for rule, changed in options.items() if rule != NAMES}


def test_what_a_stack_leaves_out_loosens_rules_outside_of_production_only(tmp_path: Path) -> None:
    content = yaml.safe_load((CHECKOUT / "Pulumi.kind.yaml").read_text())
    assert without_names(left_out("local", CHECKOUT)) == without_names(left_out("prod", CHECKOUT)) == {}
    assert without_names(left_out("kind", CHECKOUT)) == {
        "alertmanager-critical-ways": {"least": 0},
        "alertmanager-receivers": {"people": False},
        "alert-reaches-people": {"within": {}},
        "alert-escalates": {"delays": {}},
        "watchdog-leaves": {"switch": False},
        "failover-agent-exists": {"needed": False},
        "backup-store-encrypted": {"required": False},
        "storage-key-of-role": {"roles": []},
    }
    content["config"]["observability:settings"]["backups"]["search"] = None
    stack_file(tmp_path, yaml.safe_dump(content))
    kind = without_names(left_out("kind", CHECKOUT))
    assert without_names(left_out("mine", tmp_path)) == {**kind, "backup-search-exists": {"needed": False}}
    _settings.cache_clear()
    content["config"]["observability:settings"]["profile"] = "production"
    stack_file(tmp_path, yaml.safe_dump(content))
    assert without_names(left_out("mine", tmp_path)) == {}


def test_a_storage_that_is_not_asked_to_encrypt_is_the_word_of_a_stack_outside_of_production_only(
    tmp_path: Path,
) -> None:
    content = yaml.safe_load((CHECKOUT / "Pulumi.local.yaml").read_text())
    settings = content["config"]["observability:settings"]
    settings["object_storage"]["encryption"] = None
    for profile, options in (("small", {"required": False}), ("production", {})):
        _settings.cache_clear()
        settings["profile"] = profile
        stack_file(tmp_path, yaml.safe_dump(content))
        assert stack_options("backup-store-encrypted", urn("mine"), tmp_path) == options
    for stack in ("local", "prod", "dr", "local-dr"):
        assert stack_options("backup-store-encrypted", urn(stack), CHECKOUT) == {}


@pytest.mark.parametrize("text", ["", "[]", "config: 5", "config: {observability:settings: {images: null}}", ": :"])
def test_without_a_readable_file_the_defaults_stay(tmp_path: Path, text: str) -> None:
    stack_file(tmp_path, text)
    assert stack_options(IMAGE_REGISTRY, urn("mine"), tmp_path) == {}
    assert stack_options(IMAGE_REGISTRY, urn("none"), tmp_path) == {}
    assert stack_options(IMAGE_REGISTRY, "", tmp_path) == {}


def test_the_configuration_of_the_pack_goes_before_the_stack_and_the_stack_before_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    stack_file(tmp_path, "config: {observability:settings: {images: {registry: a.example}}}")
    assert _options(RULE, {"registries": ["only.example"]}, urn("mine")) == {"registries": ["only.example"]}
    assert _options(RULE, RULE.defaults(), urn("mine")) == {"registries": ["a.example"]}
    assert _options(RULE, {}, urn("other")) == RULE.defaults()
