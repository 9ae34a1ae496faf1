"""Images: fixed releases, from our registries."""

from __future__ import annotations

from typing import Any

import pytest

from components.versions import IMAGES
from policy.rules._agreed import agreed
from tests.policy.fixtures_kubernetes import GONE, changed, deployment, said

IMAGE = "spec/template/spec/containers/0/image"
HERE = "Deployment obs/query, spec.template.spec.containers[0]"
THANOS = "registry.lab.internal/thanosio/thanos"
DIGEST = f"sha256:{'0a' * 32}"
RULE_IDS = ("image-release", "image-registry", "image-digest", "image-pull")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (THANOS, f'image "{THANOS}" of container query names no release -> add its tag'),
        (
            "registry.lab.internal:5000/thanos",
            'image "registry.lab.internal:5000/thanos" of container query names no release -> add its tag',
        ),
        (f"{THANOS}:latest", 'tag "latest" of container query moves -> name one release'),
        (f"{THANOS}:main", 'tag "main" of container query moves -> name one release'),
        (f"{THANOS}:release", 'tag "release" of container query moves -> name one release'),
        (f"{THANOS}@sha256:12", f"the digest of image {THANOS}@sha256:12 is no SHA-256 -> write the whole digest"),
        (GONE, "container query has no image -> name one of components.versions"),
    ],
)
def test_an_image_without_a_release_is_told(image: Any, message: str) -> None:
    assert said("image-release", changed(deployment(), IMAGE, image)) == [f"{HERE}.image: {message}"]


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/somebody/thanos:v0.42.0",
        "thanos:v0.42.0",
        "registry.lab.internal.example.net/thanos:v0.42.0",
        "registry.example.com/somebody/thanos:v0.42.0",
    ],
)
def test_an_image_from_elsewhere_is_told(image: str) -> None:
    assert said("image-registry", changed(deployment(), IMAGE, image)) == [
        f'{HERE}.image: image "{image}" of container query comes from elsewhere'
        " -> take it from registry.lab.internal or registry.example.com/observability"
    ]
    assert said("image-registry", changed(deployment(), IMAGE, "quay.io/a:1"), registries=["quay.io"]) == []


def test_digests_are_asked_for_where_the_option_says_so() -> None:
    assert said("image-digest", deployment(), registries=["registry.lab.internal"]) == [
        f'{HERE}.image: image "{THANOS}:v0.42.0" has no digest -> add it to images.digests in the settings'
    ]
    pinned = changed(deployment(), IMAGE, f"{THANOS}:v0.42.0@{DIGEST}")
    assert said("image-digest", pinned, registries=["registry.lab.internal"]) == []


def test_a_tag_that_is_fetched_at_each_start_is_told() -> None:
    policy = "spec/template/spec/containers/0/imagePullPolicy"
    always = changed(deployment(), policy, "Always")
    assert said("image-pull", always) == [
        f'{HERE}.imagePullPolicy: imagePullPolicy is "Always" for a tag that somebody can move (container query)'
        " -> use IfNotPresent, or name the digest"
    ]
    assert said("image-pull", changed(always, IMAGE, f"{THANOS}:v0.42.0@{DIGEST}")) == []
    assert said("image-pull", changed(deployment(), policy, GONE)) == []


@pytest.mark.parametrize("rule_id", RULE_IDS)
@pytest.mark.parametrize(
    "image",
    [
        f"{THANOS}:v0.42.0",
        f"{THANOS}:1",
        f"{THANOS}:v0.42.0@{DIGEST}",
        f"{THANOS}@{DIGEST}",
        "registry.example.com/observability/obs/kafka:4.3.1",
    ],
)
def test_a_release_from_our_registries_passes(rule_id: str, image: str) -> None:
    assert said(rule_id, changed(deployment(), IMAGE, image)) == []


def test_the_agreed_images_are_those_that_components_name() -> None:
    assert agreed()["images"] == sorted(image.rpartition("/")[2] for image in IMAGES.values())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("quay.io/x/query:v0.42.0", 'image "quay.io/x/query:v0.42.0" is none that the platform runs'),
        (f"{THANOS}:v0.40.0", f'image "{THANOS}:v0.40.0" is not the release v0.42.0 that settings are written for'),
    ],
)
def test_another_image_or_release_is_told(image: str, message: str) -> None:
    fix = "remove it, or have it agreed on in policy/agreed.yaml"
    assert said("image-agreed", changed(deployment(), IMAGE, image)) == [f"{HERE}.image: {message} -> {fix}"]
    assert said("image-agreed", changed(deployment(), IMAGE, f"{THANOS}:v0.40.0@{DIGEST}")) == []
