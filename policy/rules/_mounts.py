"""Mounts of a pod: a program reads a file under the name by which rules know it, and no mount hides another one's."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from itertools import combinations

from policy.model import Finding, Node, Resource
from policy.rules._agreed import ADD, agreed, fits
from policy.rules._servers import Container
from policy.rules._values import finding


def unagreed_volumes(resource: Resource, pod: Node) -> Iterator[Finding]:
    """Files of a pod that it has under other names, or may lack."""
    for source in (source for volume in pod["volumes"].elements() for source in _sources(volume)):
        for item in source["items"].elements():
            yield from _renamed(resource, item["path"], item["key"].text(), item["path"].text())
        held = source["name"].text() or source["secretName"].text()
        if source["optional"].value and held not in agreed()["optional_files"]:
            yield finding(resource, source["optional"], f"the program may start without the files of {held}", ADD)


def _sources(volume: Node) -> Iterator[Node]:
    for holder in (volume, *volume["projected"]["sources"].elements()):
        yield from (holder["configMap"], holder["secret"])


def unagreed_mounts(container: Container) -> Iterator[Finding]:
    """Mounts of a container that hide what another one has at a path, or bring a file under the name of another."""
    resource, mounts = container.resource, list(container.node["volumeMounts"].elements())
    scratch = {volume["name"].text() for volume in container.pod["volumes"].elements() if volume["emptyDir"].exists}
    for mount in mounts:
        path, part = mount["mountPath"], mount["subPath"]
        if mount["name"].text() in scratch and not fits(path.text(), agreed()["scratch_paths"]):
            yield finding(resource, path, f"what the program reads at {path.text()} is empty scratch space", ADD)
        if part.text():
            yield from _renamed(resource, part, part.text(), path.text())
    for pair in combinations(mounts, 2):
        outer, inner = sorted(pair, key=lambda mount: len(_place(mount)))
        if _place(inner) == _place(outer) or (_within(inner, outer) and outer["name"].text() not in scratch):
            problem = f"the mount at {_place(inner)} hides what the one at {_place(outer)} has there"
            yield finding(resource, inner["mountPath"], problem, "mount them at paths of which none is in the other")


def _place(mount: Node) -> str:
    return posixpath.normpath(mount["mountPath"].text())


def _within(inner: Node, outer: Node) -> bool:
    return _place(inner).startswith(f"{_place(outer).rstrip('/')}/")


def _renamed(resource: Resource, where: Node, name: str, path: str) -> Iterator[Finding]:
    if posixpath.basename(name) != posixpath.basename(posixpath.normpath(path)):
        problem = f"the program reads {path}, and rules {name}: they are the same file"
        yield finding(resource, where, problem, "give the file the name by which the program reads it")
