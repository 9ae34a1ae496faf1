"""Classes of traces stay apart: each has its filter, its pipeline, its store and its readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed
from policy.rules._values import finding

_FILES: Final = frozenset({"ConfigMap", "Secret"})
_EXPORTER: Final = "jaeger_storage_exporter"
_SAMPLED: Final = "tail_sampling"


def _apart(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        backends = document.node.at("extensions.jaeger_storage.backends")
        for name, backend in backends.items():
            for _, store in backend.items():
                yield from _of_store(resource, name, store)
        if any(key.startswith(_EXPORTER) for key, _ in document.node["exporters"].items()):
            yield from _writes(document)
        shown = document.node.at("extensions.jaeger_query.storage")
        for key in ("traces", "traces_archive"):
            yield from _is(resource, shown[key], [name for name, _ in backends.items()])
    for document in documents(resource, Format.OTHER):
        if isinstance(document.node.value, Mapping):
            for family in document.node["families"].elements():
                yield from _read_as(resource, family)


def _read_as(resource: Resource, family: Node) -> Iterator[Finding]:
    """Names by which indices of a class are read: those of the class, and of clearances above it."""
    classes = [*agreed()["trace_classes"]]
    own = family["name"].text().partition("-")[0]
    below = classes[: classes.index(own)] if own in classes else []
    aliases = [family["read_aliases"], family.at("template.template.aliases")]
    for name in [*aliases[0].texts(), *(key for key, _ in aliases[1].items())]:
        if name.partition("-")[0] in below:
            problem = f"{own} spans are shown to who may see {name.partition('-')[0]} ones: {name} leads to them"
            yield finding(resource, family["name"], problem, f"remove the alias {name}")


def _of_store(resource: Resource, name: str, store: Node) -> Iterator[Finding]:
    yield from _is(resource, store.at("indices.index_prefix"), [name])
    yield from _is(resource, store.at("auth.basic.username"), [resource.object_name])


def _is(resource: Resource, node: Node, wanted: Sequence[str]) -> Iterator[Finding]:
    if node.exists and node.text() not in wanted:
        problem = f"spans of one class are kept or shown as another's: it is {node.text()}"
        yield finding(resource, node, problem, f"set it to {' or '.join(wanted)}")


def _writes(document: Document) -> Iterator[Finding]:
    resource, node, classes = document.resource, document.node, agreed()["trace_classes"]
    pipelines = node.at("service.pipelines")
    entry = pipelines["traces/in"]["exporters"]
    for name, conditions in classes.items():
        if f"forward/{name}" not in entry.texts():
            yield finding(resource, entry, f"spans of the class {name} are kept nowhere", f"add forward/{name}")
        pipeline = pipelines[f"traces/{name}"]
        wanted = {
            "receivers": [f"forward/{name}"],
            "processors": [f"filter/{name}"],
            "exporters": [f"{_EXPORTER}/{name}"],
        }
        for key, parts in wanted.items():
            if pipeline[key].texts() != parts:
                problem = f"spans of the class {name} do not go through {parts[0]} alone"
                yield finding(resource, pipeline[key], problem, f"set {key} to {parts[0]}")
        yield from _is(resource, node["exporters"][f"{_EXPORTER}/{name}"]["trace_storage"], [name])
        spans = node["processors"][f"filter/{name}"].at("traces.span")
        if [" ".join(text.split()) for text in spans.texts()] != [" ".join(text.split()) for text in conditions]:
            problem = f"the filter of the class {name} lets through what was not agreed on"
            yield finding(
                resource, spans, problem, "leave it as in trace_classes of policy/agreed.yaml, or agree on it"
            )


def _kept(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.COLLECTOR):
        for name, sampler in document.node["processors"].items():
            if name.split("/", 1)[0] != _SAMPLED:
                continue
            kept = {policy["name"].text(): policy["type"].text() for policy in sampler["policies"].elements()}
            for policy, kind in agreed()["sampling_policies"].items():
                if kept.get(policy) != kind:
                    problem = f"no policy keeps what {policy} keeps"
                    yield finding(resource, sampler["policies"], problem, f"add {policy}, of type {kind}")


RULES: tuple[Rule, ...] = (
    Rule(
        id="trace-classes-apart",
        promise="Spans of each class go through the agreed filter into the store of that class, and are shown from it.",
        why="Confidential spans in the store of public ones are shown to everybody who may see any.",
        sources=("J1", "J3"),
        kinds=_FILES,
        resource=_apart,
    ),
    Rule(
        id="traces-sampled-as-agreed",
        promise="Traces with errors, slow ones and a share of all are kept.",
        why="What is dropped here is nowhere: an incident would have no traces.",
        sources=("J1",),
        kinds=_FILES,
        resource=_kept,
    ),
)
"""Rules of this concern."""
