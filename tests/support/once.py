"""Work of libraries that thousands of tests would repeat: done once in each process.

typer builds the whole tree of commands for each call, and botocore reads the same files of definitions for each
client: together a tenth of the processor time of all unit tests. Each recording of the platform writes mostly the same
configurations as YAML, and tests read them again; and Pulumi takes the same types apart for each property: together
two fifths of a recording.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Callable
from typing import Any

import botocore.loaders
import pulumi._types
import pulumi._utils
import pulumi.runtime.known_types
import pulumi.runtime.rpc
import typer.main
import typer.testing
import yaml

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types whose values hold no other values."""


def apply() -> None:
    """Remember all of them; what they give is the same every time and is not changed by who gets it."""
    build = functools.cache(typer.main.get_command)
    typer.main.get_command = build
    typer.testing._get_command = build
    read = botocore.loaders.JSONFileLoader.load_file

    @functools.cache
    def at(path: str) -> Any:
        return read(botocore.loaders.JSONFileLoader(), path)

    botocore.loaders.JSONFileLoader.load_file = lambda _self, path: at(path)
    botocore.loaders.Loader.list_available_services = _listed_once(botocore.loaders.Loader.list_available_services)
    for name, replacement in (("dump_all", written_once(yaml.dump_all)), ("load", read_once(yaml.load))):
        setattr(yaml, name, replacement)
    for name in ("unwrap_type", "unwrap_optional_type", "_is_optional_type", "_is_union_type"):
        setattr(pulumi._types, name, _by_identity(getattr(pulumi._types, name)))
    pulumi.runtime.rpc.contains_unknowns = contains_unknowns
    pulumi._utils.ContextProperty.__get__ = _current


def _listed_once(list_services: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """The services that are defined in the folders of a loader: each new client would look into every one."""
    known: dict[tuple[tuple[str, ...], str], list[str]] = {}

    @functools.wraps(list_services)
    def remembered(self: Any, type_name: str) -> list[str]:
        key = (tuple(self.search_paths), type_name)
        if key not in known:
            known[key] = list_services(self, type_name)
        return list(known[key])

    return remembered


def written_once(dump: Callable[..., Any]) -> Callable[..., Any]:
    """`yaml.dump_all`, which writes a text once for equal data of the same structure, written in the same way.

    Pickled data is the key: that tells types and what is shared apart, which YAML shows as well.
    """
    texts: dict[bytes, Any] = {}

    @functools.wraps(dump)
    def remembered(documents: Any, stream: Any = None, Dumper: Any = yaml.Dumper, **style: Any) -> Any:  # noqa: N803
        documents = list(documents)
        if stream is not None:
            return dump(documents, stream, Dumper=Dumper, **style)
        try:
            key = hashlib.sha256(pickle.dumps((documents, Dumper, style))).digest()
        except Exception:  # data that cannot be pickled, of whatever kind
            return dump(documents, stream, Dumper=Dumper, **style)
        if key not in texts:
            texts[key] = dump(documents, stream, Dumper=Dumper, **style)
        return texts[key]

    return remembered


def read_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """`yaml.load`, which reads a text once, by libyaml where it can; whoever reads it gets data of its own."""
    contents: dict[tuple[str, Any], bytes] = {}

    @functools.wraps(load)
    def remembered(stream: Any, Loader: Any) -> Any:  # noqa: N803
        if type(stream) is not str:
            return load(stream, Loader)
        content = contents.get((stream, Loader))
        if content is not None:
            return pickle.loads(content)  # noqa: S301  (pickled below)
        try:
            value = load(stream, yaml.CSafeLoader if Loader is yaml.SafeLoader else Loader)
        except yaml.YAMLError:
            # Its texts are others than those that a user is told.
            value = load(stream, Loader)
        try:
            contents[stream, Loader] = pickle.dumps(value)
        except Exception:  # what a loader of its own may give
            return value
        return value

    return remembered


def _by_identity(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a type, computed once for each: types that are equal may still differ in their order."""
    results: dict[int, tuple[Any, Any]] = {}

    @functools.wraps(function)
    def remembered(val: Any) -> Any:
        known = results.get(id(val))
        if known is None:
            known = results[id(val)] = (val, function(val))
        return known[1]

    return remembered


def contains_unknowns(val: Any) -> bool:
    """Pulumi's function, without a look into texts and numbers."""
    is_unknown = pulumi.runtime.known_types.is_unknown
    seen: set[int] = set()
    left = [val]
    while left:
        value = left.pop()
        if type(value) in _PLAIN:
            continue
        if is_unknown(value):
            return True
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            left.extend(value[key] for key in value)
        elif isinstance(value, list):
            left.extend(value)
    return False


def _current(self: Any, instance: object | None, _owner: object) -> Any:
    """The value of a setting of Pulumi, looked up once instead of twice."""
    if instance is None:
        return self
    value = self.fget()
    return self if isinstance(value, dict) else value
