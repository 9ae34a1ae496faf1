"""A map of calls as SVG: services from left to right in the order in which they call each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ops.dashboards.panel_queries import Result
from ops.dashboards.values import last, shown

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 132, 46, 74, 30, 12
_BOX, _BOX_LINE, _ARROW, _TEXT, _SMALL = "#EEF4FA", "#0072B2", "#5B6B7A", "#1B2733", "#5B6B7A"


@dataclass(frozen=True, kw_only=True)
class Call:
    """Calls from one service to another, per second."""

    client: str
    server: str
    rate: float


def drawn(result: Result, name: str) -> str:
    """The map of a panel whose first query has the labels ``client`` and ``server``."""
    edges, nodes = result.answers[0], result.answers[1]
    calls = [
        Call(client=edge.labels.get("client", "?"), server=edge.labels.get("server", "?"), rate=last(edge) or 0.0)
        for edge in edges.series
    ]
    served = {node.labels.get("service_name", "?"): last(node) or 0.0 for node in nodes.series}
    return svg(calls, served, name, result.panel.title)


def svg(calls: Iterable[Call], served: Mapping[str, float], name: str, title: str) -> str:
    """The map.

    Args:
        calls: Arrows.
        served: Service -> calls per second that it answers; services without an arrow are drawn too.
        name: Letters and digits; must differ between the pictures of one page.
        title: What it shows.
    """
    listed = sorted(calls, key=lambda call: (call.client, call.server))
    depth = _depths(listed, served)
    columns: dict[int, list[str]] = {}
    for service in sorted(depth, key=lambda service: (depth[service], service)):
        columns.setdefault(depth[service], []).append(service)
    rows = max((len(column) for column in columns.values()), default=1)
    height = rows * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE + 14
    width = len(columns) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE
    places = {
        service: (
            _EDGE + column * (_WIDTH + _GAP_X),
            14 + (height - 14 - len(members) * (_HEIGHT + _GAP_Y) + _GAP_Y) / 2 + row * (_HEIGHT + _GAP_Y),
        )
        for column, members in columns.items()
        for row, service in enumerate(members)
    }
    parts = [_arrow(call, places, name) for call in listed]
    parts += [_box(service, places[service], served.get(service, 0.0)) for service in places]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" style="width:100%;max-width:{width}px;height:auto">'
        f'<defs><marker id="{name}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{_ARROW}"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def _depths(calls: Iterable[Call], served: Iterable[str]) -> dict[str, int]:
    """Column of each service: behind all that call it; calls in a circle end the search."""
    listed = list(calls)
    depth = dict.fromkeys([*served, *(name for call in listed for name in (call.client, call.server))], 0)
    for _ in range(len(depth)):
        moved = False
        for call in listed:
            if call.client != call.server and depth[call.server] <= depth[call.client] < len(depth) - 1:
                depth[call.server], moved = depth[call.client] + 1, True
        if not moved:
            break
    used = sorted(set(depth.values()))
    return {service: used.index(value) for service, value in depth.items()}


def _box(service: str, place: tuple[float, float], served: float) -> str:
    x, y = place
    text = service if len(service) <= 19 else f"{service[:17]}.."
    below = f"{shown(served, '{call}/s')} answered" if served else "calls only"
    return (
        f'<rect x="{x}" y="{y:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{_BOX}" stroke="{_BOX_LINE}"/>'
        f'<text x="{x + _WIDTH / 2}" y="{y + 20:.1f}" text-anchor="middle" font-size="13" font-weight="600" '
        f'fill="{_TEXT}">{escape(text)}</text>'
        f'<text x="{x + _WIDTH / 2}" y="{y + 36:.1f}" text-anchor="middle" font-size="11" '
        f'fill="{_SMALL}">{escape(below)}</text>'
    )


def _arrow(call: Call, places: Mapping[str, tuple[float, float]], name: str) -> str:
    (x1, y1), (x2, y2) = places[call.client], places[call.server]
    start, end = (x1 + _WIDTH, y1 + _HEIGHT / 2), (x2, y2 + _HEIGHT / 2)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    bend = f"C {middle[0]:.1f} {start[1]:.1f} {middle[0]:.1f} {end[1]:.1f}"
    return (
        f'<path d="M {start[0]:.1f} {start[1]:.1f} {bend} {end[0]:.1f} {end[1]:.1f}" fill="none" stroke="{_ARROW}" '
        f'stroke-width="1.4" marker-end="url(#{name}-head)"/>'
        f'<text x="{middle[0]:.1f}" y="{middle[1] - 6:.1f}" text-anchor="middle" font-size="11" '
        f'fill="{_SMALL}">{escape(shown(call.rate, "{call}/s"))}</text>'
    )
