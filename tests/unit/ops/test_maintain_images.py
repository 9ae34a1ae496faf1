"""Images that run: tags and digests, and where a digest says something else than its tag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.rows import Finding
from ops.evidence.files import PlatformId
from ops.evidence.reading import Drills
from ops.maintenance.check_functions import versions
from ops.maintenance.model import Lazy, Tools
from policy.documents import Image

OLD, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
KAFKA = "r.example/obs/kafka:4.3.1"


def found_by(pinned: dict[str, str], kube: Any, digests: dict[str, str]) -> Finding:
    """What the check says of a cluster."""
    context: Any = SimpleNamespace(kube=kube, platform=SimpleNamespace(image_digests=digests))
    tools = Tools(
        context=context,
        now=datetime.now(UTC),
        silence_age=timedelta(),
        identity=None,
        dashboards=Lazy(list),
        drills=Drills(lambda: PlatformId(stack="local", namespace="obs", cluster_id="cluster")),
    )
    return versions(pinned)(tools)


def look(
    *images: str, running: str = "", digests: dict[str, str] | None = None, former: tuple[str, ...] = ()
) -> Finding:
    """What it says of a pod ``p-0`` with a container for each image, of all of which the node tells ``running``."""
    names = tuple(f"c{number}" for number in range(len(images)))
    pod = SimpleNamespace(name="p-0", containers=names, images=images, image_ids=tuple(running for _ in images))
    kube = SimpleNamespace(pods=lambda: [pod], former_images=lambda: set(former))
    return found_by({"kafka": "obs/kafka:4.3.1", "thanos": "thanosio/thanos:v0.42.0"}, kube, digests or {})


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("registry.lab.internal/obs/kafka:4.3.1", ("registry.lab.internal/obs/kafka", "4.3.1", "")),
        ("host:5000/obs/kafka", ("host:5000/obs/kafka", "", "")),
        ("host:5000/obs/kafka:4@sha256:abc", ("host:5000/obs/kafka", "4", "sha256:abc")),
    ],
)
def test_an_image_has_a_repository_a_tag_and_a_digest(image: str, parts: tuple[str, str, str]) -> None:
    reference = Image.of(image)
    assert (reference.name, reference.tag, reference.digest) == parts


def test_what_runs_is_what_is_pinned() -> None:
    assert look(f"{KAFKA}@{NEW}", "r.example/thanosio/thanos:v0.42.0").wrong == []
    assert look("r.example/obs/kafka:4.2.0").wrong == ["kafka runs 4.2.0, pinned is 4.3.1"]
    assert look("r.example/somebody/else:1").wrong == ["not pinned: r.example/somebody/else:1"]
    assert look().wrong == ["no pod runs"]


def test_each_container_names_the_digest_of_the_stack() -> None:
    digests = {"kafka": NEW}
    assert look(f"{KAFKA}@{NEW}", digests=digests).wrong == []
    assert look(f"{KAFKA}@{OLD}", digests=digests).wrong == [
        "p-0/c0 names sha256:aaaaaaaaaaaa, the stack sha256:bbbbbbbbbbbb"
    ]
    assert look("r.example/thanosio/thanos:v0.42.0", KAFKA, digests=digests).wrong == [
        "p-0/c1 names no digest, the stack sha256:bbbbbbbbbbbb"
    ]


def test_what_a_node_runs_is_what_the_pod_names() -> None:
    good = look(f"{KAFKA}@{NEW}", running=f"r.example/obs/kafka@{NEW}")
    assert (good.wrong, good.seen) == ([], ["kafka 4.3.1"])
    assert look(f"{KAFKA}@{NEW}", running=f"docker-pullable://r.example/obs/kafka@{OLD}").wrong == [
        "p-0/c0 runs sha256:aaaaaaaaaaaa, its pod names sha256:bbbbbbbbbbbb"
    ]
    loaded = look(f"{KAFKA}@{NEW}", running=OTHER)
    assert loaded.wrong == []
    assert loaded.seen[-1] == "1 containers: their node does not tell the digest of what runs"


def test_a_new_tag_with_the_digest_of_the_old_one_is_told() -> None:
    digests = {"kafka": OLD}
    stale = look(f"{KAFKA}@{OLD}", digests=digests, former=(f"r.example/obs/kafka:4.2.0@{OLD}", f"{KAFKA}@{OLD}"))
    assert stale.wrong == ["kafka 4.3.1 has the digest of kafka 4.2.0: sha256:aaaaaaaaaaaa; what runs is one of them"]
    mended = look(
        f"{KAFKA}@{NEW}", digests={"kafka": NEW}, former=(f"r.example/obs/kafka:4.2.0@{OLD}", f"{KAFKA}@{OLD}")
    )
    assert mended.wrong == []
    moved = look(f"{KAFKA}@{NEW}", former=(f"other.example/obs/kafka:4.3.1@{NEW}",))
    assert moved.wrong == []
