"""The report of the audit log, as data, for machines, and as PDF; it is drawn by the renderer of the other reports."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from ops.audit.log import CLOCK_BOUND, ClockOff, Findings, Reason, Unusual, times
from ops.core.errors import OpsError, one_line
from services.audit import Source
from services.audit.records import AuditRecord, Outcome
from services.reports import Language
from services.reports.model import Cell, Document, Figure, Figures, Section, Table, Text, duration, moment, text_of

MOST_ROWS: Final = 200
_TITLE = Text(en="Audit report", ja="監査レポート")
_NONE = Text(en="None in this period.", ja="この期間にはありません。")
_HEADS: Final = {
    "time": Text(en="Time", ja="時刻"),
    "who": Text(en="Who", ja="利用者"),
    "origin": Text(en="From", ja="接続元"),
    "source": Text(en="Part", ja="構成要素"),
    "action": Text(en="Action", ja="操作"),
    "target": Text(en="About", ja="対象"),
    "count": Text(en="Count", ja="件数"),
    "last": Text(en="Last", ja="最終"),
    "reason": Text(en="Why", ja="理由"),
    "outcome": Text(en="Outcome", ja="結果"),
    "pod": Text(en="Pod or machine", ja="Pod・端末"),
    "offset": Text(en="Clock", ja="時計"),
    "first": Text(en="First arrival", ja="最初の到着"),
    "arrived": Text(en="Last arrival", ja="最後の到着"),
}
_REASONS: Final = {
    Reason.NETWORK: Text(en="a network that this user never came from", ja="初めてのネットワーク"),
    Reason.HOUR: Text(en="an hour at which this user never came", ja="初めての時間帯"),
    Reason.VOLUME: Text(en="a day with far more accesses than any before", ja="アクセス件数の急増"),
}
_OUTCOMES: Final = {
    Outcome.ALLOWED: Text(en="allowed", ja="許可"),
    Outcome.REFUSED: Text(en="refused", ja="拒否"),
    Outcome.FAILED: Text(en="failed", ja="失敗"),
    Outcome.NOTED: Text(en="noted", ja="記録"),
}
_AHEAD: Final = Text(en="{time} ahead", ja="{time} 進み")
_BEHIND: Final = Text(en="{time} behind, or read late", ja="{time} 遅れ、または読み取りの遅延")
_SOURCES: Final = {
    Source.TRACES: Text(en="Jaeger", ja="Jaeger（トレース）"),
    Source.METRICS: Text(en="Thanos Query", ja="Thanos Query（メトリクス）"),
    Source.ALERTS: Text(en="Alertmanager", ja="Alertmanager（アラート）"),
    Source.KAFKA: Text(en="Kafka", ja="Kafka"),
    Source.DATABASE: Text(en="PostgreSQL", ja="PostgreSQL（データベース）"),
    Source.GRAFANA: Text(en="Grafana", ja="Grafana（ダッシュボード）"),
    Source.SEARCH: Text(en="Search cluster", ja="検索クラスター"),
    Source.CLUSTER: Text(en="Kubernetes API", ja="Kubernetes API"),
    Source.OPS: Text(en="Commands of operators", ja="運用コマンド"),
    Source.AUDIT: Text(en="Audit log", ja="監査ログ"),
}


def document(found_in: Findings, platform: str, zone: ZoneInfo) -> Document:
    """The report as data.

    Args:
        found_in: What it is about.
        platform: Name of the platform, for the head.
        zone: Time zone of its times.
    """
    start, end = (moment(at.timestamp(), zone) for at in (found_in.since, found_in.until))
    covered = Text(en="{platform}: {start} to {end} ({zone})", ja="{platform}：{start} ～ {end}（{zone}）")
    return Document(
        title=_TITLE,
        facts=(covered.filled(platform=platform, start=start, end=end, zone=zone.key), _chain(found_in)),
        sections=(
            Section(title=Text(en="In short", ja="概要"), blocks=(_figures(found_in),)),
            Section(title=Text(en="Who came", ja="アクセスした利用者"), blocks=(_people(found_in, zone),)),
            Section(
                title=Text(en="Refused", ja="拒否されたアクセス"),
                blocks=(_table(found_in.refused, zone),),
            ),
            Section(
                title=Text(en="Changes of rights", ja="権限の変更"),
                blocks=(_rights(found_in.rights, zone),),
            ),
            Section(
                title=Text(en="Reads of confidential traces", ja="機密トレースの閲覧"),
                blocks=(_table(found_in.confidential, zone),),
            ),
            Section(
                title=Text(en="Break-glass access", ja="緊急アクセス（ブレークグラス）"),
                blocks=(_break_glass(found_in.break_glass, zone),),
            ),
            Section(title=Text(en="Unusual", ja="通常と異なるアクセス"), blocks=(_unusual(found_in.unusual, zone),)),
            Section(title=Text(en="Missing", ja="欠落"), blocks=(_missing(found_in, zone),)),
            Section(title=Text(en="Clocks", ja="時計のずれ"), blocks=(_clocks(found_in.clocks, zone),)),
        ),
        problems=_problems(found_in),
    )


def content(found_in: Findings) -> dict[str, Any]:
    """The report for machines."""

    def plain(records: Iterable[AuditRecord]) -> list[dict[str, Any]]:
        return [record.model_dump(mode="json", exclude={"positions"}) for record in records]

    return {
        "since": found_in.since.isoformat(),
        "until": found_in.until.isoformat(),
        "complete": found_in.complete,
        "unreadable": found_in.unreadable,
        "broken": [{**vars(link), "day": link.day.isoformat()} for link in found_in.broken],
        "who": [
            {"who": who, "source": source, "outcome": outcome, "count": count, "last": last.isoformat()}
            for (who, source, outcome), (count, last) in sorted(_visits(found_in.people).items())
        ],
        "refused": plain(found_in.refused),
        "rights": plain(found_in.rights),
        "confidential": plain(found_in.confidential),
        "break_glass": plain(found_in.break_glass),
        "unusual": [{"reason": strange.reason, **plain([strange.record])[0]} for strange in found_in.unusual],
        "gaps": plain(found_in.gaps),
        "clocks": [
            {
                "region": clock.region,
                "source": clock.source,
                "part": clock.part,
                "offset_s": round(clock.offset.total_seconds(), 1),
                "records": clock.records,
                "first": clock.first.isoformat(),
                "last": clock.last.isoformat(),
            }
            for clock in found_in.clocks
        ],
    }


def paper() -> Callable[[Document, Language], bytes]:
    """What draws the report as PDF.

    Raises:
        OpsError: WeasyPrint, or a library of the system that it loads, is not here.
    """
    try:
        # Here: other commands have to work without it. It prints a page of text about a library that is missing.
        with redirect_stdout(io.StringIO()):
            from services.reports.pdf import pdf
    except (ImportError, OSError) as error:
        raise OpsError(
            f"--pdf needs WeasyPrint with Pango, as images/services/Dockerfile installs them; missing: "
            f"{one_line(error, 100)}: use --html"
        ) from None
    # It draws any document, and is only ever called with reports of a period elsewhere.
    return cast("Callable[[Document, Language], bytes]", pdf)


def _chain(found_in: Findings) -> Text:
    if not found_in.broken:
        whole = Text(en="{count} records, every chain holds.", ja="{count} 件。ハッシュチェーンはすべて正常です。")
        return whole.filled(count=str(len(found_in.records)))
    first = found_in.broken[0]
    broken = Text(
        en="The chain does not hold: {count} places, the first in {region} on {day}, number {number}: {problem}.",
        ja="ハッシュチェーンの異常 {count} 箇所。最初の箇所：{region} {day} 番号 {number}（{problem}）",
    )
    return broken.filled(
        count=str(len(found_in.broken)),
        region=first.region,
        day=first.day.isoformat(),
        number=str(first.sequence),
        problem=first.problem,
    )


def _figures(found_in: Findings) -> Figures:
    def figure(en: str, ja: str, value: int, *, bad: bool = False) -> Figure:
        return Figure(label=Text(en=en, ja=ja), value=text_of(str(value)), tone="bad" if bad and value else "")

    return Figures(
        figures=(
            figure("Users and programs", "利用者・プログラム", len({record.who for record in found_in.people})),
            figure("Accesses", "アクセス", sum(map(times, found_in.people))),
            figure("Refused", "拒否", sum(map(times, found_in.refused))),
            figure("Changes of rights", "権限の変更", sum(map(times, found_in.rights))),
            figure("Confidential reads", "機密閲覧", len(found_in.confidential)),
            figure("Break-glass", "緊急アクセス", sum(map(times, found_in.break_glass))),
            figure("Unusual", "通常と異なる", len(found_in.unusual)),
            figure("Gaps", "欠落", len(found_in.gaps) + len(found_in.broken), bad=True),
        )
    )


def _visits(records: Iterable[AuditRecord]) -> dict[tuple[str, Source, Outcome], tuple[int, datetime]]:
    """Who, where, with which outcome -> how often, and when last; records by their time."""
    visits: dict[tuple[str, Source, Outcome], tuple[int, datetime]] = {}
    for record in records:
        key = record.who, record.source, record.outcome
        count, _ = visits.get(key, (0, record.time))
        visits[key] = count + times(record), record.time
    return visits


def _people(found_in: Findings, zone: ZoneInfo) -> Table:
    rows = tuple(
        (
            _cell(who),
            Cell(text=_SOURCES[source]),
            Cell(text=_OUTCOMES[outcome]),
            _number(count),
            Cell(text=moment(last.timestamp(), zone)),
        )
        for (who, source, outcome), (count, last) in sorted(_visits(found_in.people).items())
    )
    head = tuple(_HEADS[name] for name in ("who", "source", "outcome", "count", "last"))
    return _cut(Text(en="Users and programs", ja="利用者・プログラム"), head, rows)


def _row(record: AuditRecord, zone: ZoneInfo) -> tuple[Cell, ...]:
    when = moment(record.time.timestamp(), zone, "%Y-%m-%d %H:%M:%S")
    source = Cell(text=_SOURCES[record.source])
    return (
        Cell(text=when),
        *map(_cell, (record.who, record.origin)),
        source,
        *map(_cell, (record.action, record.target)),
    )


_NEWEST_FIRST: Final = Text(en="Newest first", ja="新しい順")
_ROW_HEAD: Final = tuple(_HEADS[name] for name in ("time", "who", "origin", "source", "action", "target"))


def _table(records: Sequence[AuditRecord], zone: ZoneInfo) -> Table:
    rows = tuple((*_row(record, zone), _number(times(record))) for record in reversed(records))
    return _cut(_NEWEST_FIRST, (*_ROW_HEAD, _HEADS["count"]), rows)


def _rights(records: Sequence[AuditRecord], zone: ZoneInfo) -> Table:
    rows = tuple(
        (*_row(record, zone), Cell(text=_OUTCOMES[record.outcome]), _number(times(record)))
        for record in reversed(records)
    )
    return _cut(_NEWEST_FIRST, (*_ROW_HEAD, _HEADS["outcome"], _HEADS["count"]), rows)


def _break_glass(records: Sequence[AuditRecord], zone: ZoneInfo) -> Table:
    """A row for all that are alike: one update is hundreds of them."""
    alike: dict[tuple[str, str, Source, str, Outcome], tuple[int, datetime]] = {}
    for record in records:
        key = record.who, record.origin, record.source, record.action, record.outcome
        count, _ = alike.get(key, (0, record.time))
        alike[key] = count + times(record), record.time
    newest = sorted(alike.items(), key=lambda item: item[1][1], reverse=True)
    rows = tuple(
        (
            *map(_cell, (who, origin)),
            Cell(text=_SOURCES[source]),
            _cell(action),
            Cell(text=_OUTCOMES[outcome]),
            _number(count),
            Cell(text=moment(last.timestamp(), zone)),
        )
        for (who, origin, source, action, outcome), (count, last) in newest
    )
    head = tuple(_HEADS[name] for name in ("who", "origin", "source", "action", "outcome", "count", "last"))
    return _cut(_NEWEST_FIRST, head, rows)


def _unusual(strange: Sequence[Unusual], zone: ZoneInfo) -> Table:
    rows = tuple((*_row(one.record, zone), Cell(text=_REASONS[one.reason])) for one in reversed(strange))
    return _cut(_NEWEST_FIRST, (*_ROW_HEAD, _HEADS["reason"]), rows)


def _missing(found_in: Findings, zone: ZoneInfo) -> Table:
    head = (_HEADS["time"], _HEADS["source"], _HEADS["reason"])
    gaps = tuple(
        (
            Cell(text=moment(record.time.timestamp(), zone)),
            _cell(f"{record.target} {record.part}"),
            _cell(record.detail.get("reason", "")),
        )
        for record in found_in.gaps
    )
    broken = tuple(
        (_cell(link.day.isoformat()), _cell(f"{link.region} {link.sequence}"), _cell(link.problem))
        for link in found_in.broken
    )
    return _cut(Text(en="Gaps and breaks", ja="欠落とチェーンの異常"), head, gaps + broken)


def _clocks(clocks: Sequence[ClockOff], zone: ZoneInfo) -> Table:
    def offset(clock: ClockOff) -> Text:
        said = _AHEAD if clock.offset > timedelta() else _BEHIND
        return said.filled(time=duration(clock.offset.total_seconds()))

    rows = tuple(
        (
            Cell(text=_SOURCES[clock.source]),
            _cell(clock.part),
            Cell(text=offset(clock)),
            _number(clock.records),
            *(Cell(text=moment(at.timestamp(), zone)) for at in (clock.first, clock.last)),
        )
        for clock in clocks
    )
    head = tuple(_HEADS[name] for name in ("source", "pod", "offset", "count", "first", "arrived"))
    title = Text(
        en="Times more than {minutes} minutes from their arrival", ja="到着時刻と {minutes} 分を超えて異なる時刻"
    )
    return _cut(title.filled(minutes=str(CLOCK_BOUND.seconds // 60)), head, rows)


def _cell(text: str) -> Cell:
    return Cell(text=text_of(text))


def _number(count: int) -> Cell:
    return Cell(text=text_of(str(count)), number=True)


def _cut(title: Text, head: tuple[Text, ...], rows: tuple[tuple[Cell, ...], ...]) -> Table:
    more = Text(en="{count} more are not shown; --json has all.", ja="ほか {count} 件は --json に含まれます。")
    left = len(rows) - MOST_ROWS
    note = more.filled(count=str(left)) if left > 0 else None
    return Table(title=title, head=head, rows=rows[:MOST_ROWS], empty=_NONE, note=note)


def _problems(found_in: Findings) -> tuple[Text, ...]:
    problems = []
    if not found_in.complete:
        problems.append(Text(en="Kafka did not give all records in time.", ja="一部のレコードを取得できませんでした。"))
    if found_in.unreadable:
        other = Text(en="{count} records are of another version.", ja="版の異なるレコードが {count} 件あります。")
        problems.append(other.filled(count=str(found_in.unreadable)))
    return tuple(problems)
