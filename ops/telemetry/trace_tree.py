"""A trace as Jaeger's API gives it, and as a tree on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text
from rich.tree import Tree

from components.telemetry.classification import ATTRIBUTE, CLASSES, DEFAULT


@dataclass(frozen=True)
class Span:
    """One span as it is shown.

    Attributes:
        span_id: Its id.
        parent_id: Id of its parent, or empty.
        service: Who made it.
        name: Its operation.
        start_us: Start in microseconds since 1970.
        duration_us: Duration in microseconds.
        error: Whether it failed.
        data_class: Its class of confidentiality.
        links: Ids of other traces that it follows from.
    """

    span_id: str
    parent_id: str
    service: str
    name: str
    start_us: int
    duration_us: int
    error: bool
    data_class: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """One trace; of its spans those that the clearance shows."""

    trace_id: str
    spans: tuple[Span, ...]

    @property
    def start_us(self) -> int:
        """Start of the earliest span."""
        return min(span.start_us for span in self.spans)

    @property
    def duration_us(self) -> int:
        """From the first start to the last end."""
        return max(span.start_us + span.duration_us for span in self.spans) - self.start_us


def parse(content: Mapping[str, Any]) -> Trace:
    """A trace from Jaeger's JSON."""
    trace_id = str(content.get("traceID", ""))
    processes = content.get("processes") or {}
    return Trace(trace_id, tuple(_span(span, trace_id, processes) for span in content.get("spans") or []))


def _span(content: Mapping[str, Any], trace_id: str, processes: Mapping[str, Any]) -> Span:
    process = processes.get(content.get("processID", ""), {})
    tags = {str(tag["key"]): tag.get("value") for tag in content.get("tags") or []}
    own = [str(tags[ATTRIBUTE])] if ATTRIBUTE in tags else []
    own += [str(tag.get("value")) for tag in process.get("tags") or [] if tag["key"] == ATTRIBUTE]
    known = all(name in CLASSES for name in own)
    references = content.get("references") or []
    inner = [reference for reference in references if reference.get("traceID") == trace_id]
    parents = [reference for reference in inner if reference.get("refType") == "CHILD_OF"] or inner
    return Span(
        span_id=str(content.get("spanID", "")),
        parent_id=str(parents[0]["spanID"]) if parents else "",
        service=str(process.get("serviceName", "?")),
        name=str(content.get("operationName", "?")),
        start_us=int(content.get("startTime", 0)),
        duration_us=int(content.get("duration", 0)),
        error=str(tags.get("error", "")).lower() == "true",
        data_class=max(own, key=CLASSES.index) if own and known else DEFAULT,
        links=tuple(str(reference.get("traceID")) for reference in references if reference.get("traceID") != trace_id),
    )


def tree(trace: Trace) -> Tree:
    """The spans as a tree; a span whose parent is not there stands at the top and says so."""
    known = {span.span_id for span in trace.spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(trace.spans, key=lambda span: (span.start_us, span.span_id)):
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    when = datetime.fromtimestamp(trace.start_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    head = f"trace {trace.trace_id}  {when} UTC  {duration(trace.duration_us)}  {len(trace.spans)} spans"
    root = Tree(Text(printable(head), style="bold"))
    shown: set[str] = set()

    def add(spans: Iterable[Span]) -> None:
        waiting = [(root, span) for span in spans]
        for branch, span in waiting:
            if span.span_id not in shown:
                shown.add(span.span_id)
                inner = branch.add(_label(span, trace.start_us, orphan=branch is root and bool(span.parent_id)))
                waiting += [(inner, child) for child in children.get(span.span_id, ())]

    add(children.get("", ()))
    # Spans that name each other as parents have no top; they must not vanish.
    for span in trace.spans:
        add([span])
    return root


def _label(span: Span, start_us: int, *, orphan: bool) -> Text:
    label = Text.assemble(
        (printable(span.service), "cyan"),
        " ",
        printable(span.name),
        f"  +{duration(span.start_us - start_us)}  ",
        (duration(span.duration_us), "yellow"),
    )
    label.append(f"  {span.data_class}", "dim")
    if span.error:
        label.append("  ERROR", "bold red")
    if orphan:
        label.append("  (parent not shown)", "dim")
    for other in span.links:
        label.append(f"  -> trace {printable(other)}", "dim")
    return label


def printable(text: str) -> str:
    """Text without control characters: span names come from clients, and could steer the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def duration(microseconds: int) -> str:
    """A duration for people."""
    if microseconds < 1000:
        return f"{microseconds} us"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.1f} ms"
    return f"{microseconds / 1_000_000:.2f} s"
