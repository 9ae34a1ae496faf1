"""Variables of a dashboard: what the address chooses, what can be chosen, and how their values stand in a query."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from lab.fakes.grafana.exchange import Request
from lab.fakes.grafana.proxy import Proxy, SourceAwayError
from lab.fakes.grafana.query_kinds import Window
from lab.fakes.grafana.sources import Source

ALL: Final = "$__all"
_MOST_VARIABLES: Final = 50
_MOST_CHOICES: Final = 500
_MOST_VALUES: Final = 100
_LONGEST: Final = 1000
_NAMED: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})|\[\[(\w+)\]\]")
_LABEL_VALUES: Final = re.compile(r"label_values\((?:(.+),)?\s*([A-Za-z_]\w*)\s*\)", re.DOTALL)
_PATTERN_SIGNS: Final = re.compile(r"[\\\"'^$*{}\[\]+?.()|]")
_LUCENE_SIGNS: Final = re.compile(r"[!*+\-=<>\s&|()\[\]{}^~?:\\/\"]")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable.

    Attributes:
        name: Stands in queries as ``$name``.
        label: For people.
        kind: As Grafana names it: ``query``, ``custom``, ``datasource``, ``textbox``, ``constant``.
        values: What is chosen; `ALL` alone: everything.
        choices: Value and text of what can be chosen; empty where anything can be written.
        multiple: Whether several can be chosen.
        pattern: Whether it stands in queries as a regular expression: where several, or everything, can be chosen.
        all_value: What stands for everything; empty: all choices.
        hidden: Whether it has no place at the head of the page.
    """

    name: str
    label: str
    kind: str
    values: tuple[str, ...]
    choices: tuple[tuple[str, str], ...] = ()
    multiple: bool = False
    pattern: bool = False
    all_value: str = ""
    hidden: bool = False

    def selected(self, value: str) -> bool:
        """Whether a choice is chosen."""
        return value in self.values

    def written(self, plugin: str) -> str:
        """Its value as it stands in a query of that kind of data source."""
        if ALL in self.values and self.all_value:
            return self.all_value
        values = [value for value, _ in self.choices if value != ALL] if ALL in self.values else list(self.values)
        if plugin == "prometheus" and self.pattern:
            escaped = [_PATTERN_SIGNS.sub(_in_pattern, value) for value in values]
            return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
        if plugin == "prometheus":
            return ",".join(re.sub(r"[\\\"']", r"\\\g<0>", value) for value in values)
        if plugin in ("elasticsearch", "grafana-opensearch-datasource"):
            escaped = [_LUCENE_SIGNS.sub(r"\\\g<0>", value) for value in values]
            return escaped[0] if len(escaped) == 1 else f"({' OR '.join(escaped)})"
        return ",".join(values)


def _in_pattern(match: re.Match[str]) -> str:
    """A sign of a regular expression, within a text of PromQL."""
    sign = match[0]
    return f"\\{sign}" if sign in "\"'" else "\\\\\\\\" if sign == "\\" else f"\\\\{sign}"


def interpolated(text: str, variables: Mapping[str, Variable], plugin: str) -> str:
    """A text with the dashboard's variables filled in; Grafana's own ones are the server's."""

    def value(match: re.Match[str]) -> str:
        variable = variables.get(match[1] or match[2] or match[3])
        return variable.written(plugin) if variable else match[0]

    return _NAMED.sub(value, text)


class Variables:
    """Reads them, with the values that a Prometheus knows."""

    def __init__(self, sources: Sequence[Source], proxy: Proxy) -> None:
        """Ask those sources."""
        self._sources, self._proxy = sources, proxy

    def read(self, model: Mapping[str, Any], request: Request, window: Window) -> dict[str, Variable]:
        """Name -> variable, in the order of the dashboard; those of kinds that the fake does not offer are left out.

        Args:
            model: The dashboard.
            request: What chooses, with ``var-NAME=VALUE``.
            window: The time that is looked at.
        """
        templating = model.get("templating")
        listed = templating.get("list") if isinstance(templating, dict) else None
        variables: dict[str, Variable] = {}
        for written in (listed if isinstance(listed, list) else [])[:_MOST_VARIABLES]:
            if not isinstance(written, dict) or not re.fullmatch(r"\w{1,100}", str(written.get("name"))):
                continue
            reader = _READERS.get(str(written.get("type")))
            if reader:
                choices = reader(self, written, variables, window)
                variables[written["name"]] = _variable(written, choices, request)
        return variables

    def source(self, reference: object, variables: Mapping[str, Variable]) -> Source | None:
        """The data source that a panel, a query or a variable names; the default one where it names none."""
        wanted = reference.get("uid") if isinstance(reference, dict) else reference
        if wanted in (None, "", "default"):
            return next((source for source in self._sources if source.default), None)
        name = interpolated(str(wanted), variables, "")
        return next((source for source in self._sources if name in (source.uid, source.name)), None)

    def _sources_of(self, written: Mapping[str, Any], *_: object) -> tuple[tuple[str, str], ...]:
        kind = written.get("query")
        listed = [source for source in self._sources if source.type == kind]
        listed.sort(key=lambda source: (not source.default, source.name.lower()))
        return tuple((source.uid, source.name) for source in listed)

    def _known(
        self, written: Mapping[str, Any], variables: Mapping[str, Variable], window: Window
    ) -> tuple[tuple[str, str], ...]:
        """Values of a label; none where they cannot be had."""
        query = written.get("query")
        text = query.get("query") if isinstance(query, dict) else query
        match = _LABEL_VALUES.fullmatch(text.strip()) if isinstance(text, str) else None
        source = self.source(written.get("datasource"), variables)
        if match is None or source is None or source.type != "prometheus":
            return ()
        parameters = {"start": f"{window.begin:.3f}", "end": f"{window.end:.3f}", "limit": str(_MOST_CHOICES)}
        if match[1]:
            parameters["match[]"] = interpolated(match[1].strip(), variables, source.type)
        target = f"api/v1/label/{quote(match[2])}/values?{urlencode(parameters)}"
        try:
            answer = self._proxy.ask(source, "GET", target, headers={"Accept-Encoding": "identity"})
            values = [str(value) for value in json.loads(answer.body)["data"]]
        except (SourceAwayError, ValueError, KeyError, TypeError):
            return ()
        return tuple((value, value) for value in sorted(values)[:_MOST_CHOICES])

    def _custom(self, written: Mapping[str, Any], *_: object) -> tuple[tuple[str, str], ...]:
        parts = [part.strip() for part in str(written.get("query") or "").split(",")]
        pairs = [part.rpartition(" : ") for part in parts if part][:_MOST_CHOICES]
        return tuple((value.strip(), (text or value).strip()) for text, _, value in pairs)

    def _free(self, *_: object) -> tuple[tuple[str, str], ...]:
        return ()


_Reader = Callable[
    [Variables, Mapping[str, Any], Mapping[str, Variable], Window],
    tuple[tuple[str, str], ...],
]
_READERS: Final[Mapping[str, _Reader]] = {
    "query": Variables._known,
    "custom": Variables._custom,
    "interval": Variables._custom,
    "datasource": Variables._sources_of,
    "textbox": Variables._free,
    "constant": Variables._free,
}


def _variable(written: Mapping[str, Any], choices: tuple[tuple[str, str], ...], request: Request) -> Variable:
    name, kind, every = written["name"], str(written["type"]), written.get("includeAll") is True
    chosen = [value[:_LONGEST] for value in request.query.get(f"var-{name}", ())][:_MOST_VALUES]
    if kind == "constant" or not chosen:
        current = written.get("current")
        value = current.get("value") if isinstance(current, dict) else None
        if value in (None, "", []) and kind in ("textbox", "constant"):
            value = written.get("query")
        chosen = [str(item) for item in (value if isinstance(value, list) else [value]) if item not in (None, "")]
    by_text = {text: value for value, text in choices} if kind == "datasource" else {}
    values = [by_text.get(value, value) for value in chosen]
    if kind == "datasource":
        known = [value for value, _ in choices]
        values = [value for value in values if value in known] or known[:1]
    elif every and (not values or {ALL, "All"} & set(values)):
        values = [ALL]
    elif not values:
        values = [value for value, _ in choices[:1]]
    multiple = written.get("multi") is True
    return Variable(
        name=name,
        label=str(written.get("label") or name),
        kind=kind,
        values=tuple(values if multiple else values[:1]) or ("",),
        choices=(((ALL, "All"),) if every else ()) + _with(choices, values),
        multiple=multiple,
        pattern=multiple or every,
        all_value=str(written.get("allValue") or ""),
        hidden=kind == "constant" or written.get("hide") == 2,
    )


def _with(choices: tuple[tuple[str, str], ...], values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Choices, and with them what was chosen by the address alone; none where anything can be written."""
    known = {ALL, *(value for value, _ in choices)}
    return choices + tuple((value, value) for value in values if value not in known) if choices else ()
