"""Compares metrics sample by sample: what a restored Prometheus answers against what another one answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from services.backup.errors import BackupError, one_line
from services.backup.restore_metrics import EXTERNAL_LABELS, shown

_TIMEOUT_S = (10.0, 120.0)
_NO_ENTRY = (401, 403)
_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class QueryApi:
    """A Prometheus, or a Thanos Query.

    Attributes:
        url: ``https://host:port``.
        user, password: Who asks.
        ca_file: The only authority that is trusted.
        only: External labels that choose one replica, for Thanos Query; a Prometheus has none.
    """

    url: str
    user: str
    password: str = field(repr=False)
    ca_file: Path
    only: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Numbers of samples.

    Attributes:
        equal: Those that both have, with the same value.
        missing: Those that only the first has.
        different: Those that both have, with other values.
        additional: Those that only the second has.
        series: Series that either has.
        examples: Some of what is not equal, one line each.
    """

    equal: int
    missing: int
    different: int
    additional: int
    series: int
    examples: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both have samples, and the same ones."""
        return self.equal > 0 and not (self.missing or self.different or self.additional)


_Samples = dict[tuple[tuple[str, str], ...], dict[int, str]]


def compare(
    query_a: QueryApi,
    query_b: QueryApi,
    matchers: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    window_ms: int = 600_000,
    ignored: Sequence[str] = EXTERNAL_LABELS,
) -> Comparison:
    """Compare raw samples, one by one.

    Args:
        query_a: The first, for example what was there before.
        query_b: The second, for example what was restored.
        matchers: Matchers that a series has to fulfil, all of them, for example ``job=~"kafka.*"``.
        start_ms, end_ms: First and last moment, in milliseconds since 1970; both belong to it.
        window_ms: How much is asked for at once.
        ignored: Labels that are not compared.

    Raises:
        BackupError: A server refuses, does not answer, or its answer is not whole.
    """
    counts = dict.fromkeys(("equal", "missing", "different", "additional"), 0)
    seen: set[tuple[tuple[str, str], ...]] = set()
    examples: list[str] = []
    with requests.Session() as session:
        session.trust_env = False
        before = start_ms - 1
        while before < end_ms:
            until = min(before + window_ms, end_ms)
            first, second = (_samples(session, api, matchers, before, until, ignored) for api in (query_a, query_b))
            for series in first.keys() | second.keys():
                seen.add(series)
                _count(series, first.get(series, {}), second.get(series, {}), counts, examples)
            before = until
    return Comparison(series=len(seen), examples=tuple(examples), **counts)


def _count(
    series: tuple[tuple[str, str], ...],
    a: dict[int, str],
    b: dict[int, str],
    counts: dict[str, int],
    examples: list[str],
) -> None:
    for moment in a.keys() | b.keys():
        kind = "additional" if moment not in a else "missing" if moment not in b else "different"
        if a.get(moment) == b.get(moment):
            kind = "equal"
        elif len(examples) < _EXAMPLES:
            examples.append(f"{kind}: {shown(dict(series))} at {moment}: {a.get(moment)}, {b.get(moment)}")
        counts[kind] += 1


def _samples(
    session: requests.Session, api: QueryApi, matchers: Sequence[str], after: int, until: int, ignored: Sequence[str]
) -> _Samples:
    """Samples after one moment and until another: a range has its right end and not its left one."""
    wanted = ",".join(
        [*matchers, *(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in api.only.items())]
    )
    form = {
        "query": f"{{{wanted}}}[{until - after}ms]",
        "time": f"{until / 1000:.3f}",
        # For Thanos Query; a Prometheus takes no notice.
        "dedup": "false",
        "partial_response": "false",
        "max_source_resolution": "0s",
    }
    try:
        with session.post(
            f"{api.url.rstrip('/')}/api/v1/query",
            data=form,
            auth=(api.user, api.password),
            verify=str(api.ca_file),
            timeout=_TIMEOUT_S,
            allow_redirects=False,
        ) as answer:
            if answer.status_code in _NO_ENTRY:
                raise BackupError(f"{api.url}: refuses the user {api.user} ({answer.status_code})")
            content = answer.json()
        if content["status"] != "success":
            raise BackupError(f"{api.url}: refuses the question: {one_line(content.get('error'))}")
        if content.get("warnings"):
            raise BackupError(f"{api.url}: the answer is not whole: {one_line(content['warnings'][0])}")
        samples: _Samples = {}
        for series in content["data"]["result"]:
            labels = tuple(sorted((k, v) for k, v in series["metric"].items() if k not in ignored))
            values = {round(float(at) * 1000): str(value) for at, value in series.get("values", ())}
            values |= {round(float(at) * 1000): json.dumps(v, sort_keys=True) for at, v in series.get("histograms", ())}
            if labels in samples:
                raise BackupError(f"{api.url}: two series are {shown(dict(labels))}; choose one replica with only")
            samples[labels] = values
    except requests.RequestException as error:
        raise BackupError(f"{api.url}: does not answer: {one_line(error)}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BackupError(f"{api.url}: the answer is none of a Prometheus: {one_line(error)}") from None
    return samples
