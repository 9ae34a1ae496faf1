"""The audit log: records, read with the login of its readers, which may read nothing else; and the report of them: who
came, what was refused, who read confidential traces, what is unusual, what is missing. It is drawn by the renderer of
the other reports.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from confluent_kafka import TopicPartition

from components.audit import READER
from components.telemetry.topics import AUDIT_TOPIC
from ops.core.errors import OpsError
from ops.core.kafka import TIMEOUT_SECONDS, client_settings, consumer, errors, watermarks
from ops.core.platform import Platform
from services.audit import Source
from services.audit.journal import PARTITION
from services.audit.records import (
    BEGINNING,
    GAP,
    REPEATED,
    UNKNOWN,
    AuditRecord,
    BrokenLink,
    Outcome,
    broken_links,
    parsed,
)
from services.reports.model import Cell, Document, Figure, Figures, Section, Table, Text, moment, text_of

TOPIC: Final = AUDIT_TOPIC.name
DAYS: Final = AUDIT_TOPIC.retention_days
"""How long records are kept."""
_AT_ONCE: Final = 1000
SILENT: Final = timedelta(hours=1)
"""Longest time without a record: there is a checkpoint each quarter of an hour."""
_AWAY: Final = timedelta(days=1)
"""Nobody may have written for so long where reading begins; Kafka itself keeps a record for its whole time."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a topic was read, so that it can be told what is missing at its ends.

    Attributes:
        region: Region that was asked.
        start: From when on.
        now: Until when.
        whole: Whether it holds nothing older.
    """

    region: str
    start: datetime
    now: datetime
    whole: bool


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """What was read.

    Attributes:
        records: With whether the hash is that of the content; in the order of the topic.
        unreadable: Records that are none of a version that this program knows.
        complete: Whether all that was there came in time.
        reading: How it was read; None: its ends are not looked at.
    """

    records: tuple[tuple[AuditRecord, bool], ...]
    unreadable: int = 0
    complete: bool = True
    reading: Reading | None = None

    @property
    def broken(self) -> list[BrokenLink]:
        """Places where a chain does not hold, and where one lacks its begin or its end."""
        ends = self._ends(self.reading) if self.reading and self.complete else ()
        return [*broken_links(self.records), *ends]

    def _ends(self, reading: Reading) -> Iterator[BrokenLink]:
        """What a hash cannot show: removed oldest records, and an end that is old."""
        oldest: dict[str, AuditRecord] = {}
        newest: AuditRecord | None = None
        for record, _ in self.records:
            first = oldest.setdefault(record.region, record)
            if (record.day, record.sequence) < (first.day, first.sequence):
                oldest[record.region] = record
            if record.region == reading.region and (newest is None or record.recorded_at > newest.recorded_at):
                newest = record
        for region, record in sorted(oldest.items()):
            late = record.recorded_at - reading.start
            if reading.whole and record.previous != BEGINNING and late > _AWAY:
                yield BrokenLink(
                    region=region,
                    day=record.day,
                    sequence=record.sequence,
                    problem="the records before it were removed before their time",
                )
        if newest is not None and reading.now - newest.recorded_at > SILENT:
            yield BrokenLink(
                region=newest.region,
                day=newest.day,
                sequence=newest.sequence,
                problem=f"nothing follows it since {newest.recorded_at:%Y-%m-%d %H:%M} UTC",
            )

    @property
    def accesses(self) -> list[AuditRecord]:
        """Records, each once, by their time."""
        once = {(record.region, record.day, record.sequence, record.hash): record for record, _ in self.records}
        return sorted(once.values(), key=lambda record: record.time)


def read(platform: Platform, start: datetime) -> AuditLog:
    """Records that were written since a moment, up to now.

    Args:
        platform: Outputs of the stack.
        start: The moment.

    Raises:
        OpsError: Kafka does not answer, or the stack has no audit log.
    """
    if READER not in platform.kafka_users:
        raise OpsError(f"the stack has no Kafka user `{READER}`: bring up a version of the platform with an audit log")
    settings = client_settings(platform, platform.kafka_users[READER])
    records: list[tuple[AuditRecord, bool]] = []
    unreadable = 0
    with consumer(settings, READER) as reader, errors(f"cannot read {TOPIC}"):
        low, high = watermarks(reader, TOPIC, PARTITION)
        wanted = [TopicPartition(TOPIC, PARTITION, int(start.timestamp() * 1000))]
        [first] = reader.offsets_for_times(wanted, timeout=TIMEOUT_SECONDS)
        at = first.offset if first.offset >= 0 else high
        whole = at <= low
        reader.assign([TopicPartition(TOPIC, PARTITION, at)])
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while at < high and time.monotonic() < deadline:
            for message in reader.consume(_AT_ONCE, timeout=1.0):
                if message.error():
                    continue
                deadline, at = time.monotonic() + TIMEOUT_SECONDS, int(message.offset() or 0) + 1
                known = parsed(message.value() or b"")
                if known is None:
                    unreadable += 1
                else:
                    records.append(known)
    how = Reading(region=platform.region, start=start, now=datetime.now(UTC), whole=whole)
    return AuditLog(records=tuple(records), unreadable=unreadable, complete=at >= high, reading=how)


LEAST_KNOWN: Final = 20
"""Accesses of somebody that have to be known before an hour at which there was none says anything."""
_PREFIXES: Final = {4: 24, 6: 64}
_HOURS: Final = 24
_NEAR: Final = 1


class Reason(StrEnum):
    """What is unusual about an access."""

    NETWORK = "network"
    HOUR = "hour"


@dataclass(frozen=True, kw_only=True)
class Unusual:
    """An access, and what is unusual about it."""

    record: AuditRecord
    reason: Reason


def network_of(origin: str) -> str:
    """The network of an address (/24, /64), or the machine's name as it is."""
    try:
        address = ipaddress.ip_address(origin)
    except ValueError:
        return origin
    return str(ipaddress.ip_network((address, _PREFIXES[address.version]), strict=False))


def unusual(records: Iterable[AuditRecord], since: datetime, zone: tzinfo) -> list[Unusual]:
    """Accesses since a moment that differ from all of the same person before them; each novelty once.

    Args:
        records: By their time; those before ``since`` are what is known.
        since: Begin of what is looked at.
        zone: Time zone of the hours.
    """
    networks: dict[str, set[str]] = defaultdict(set)
    hours: dict[str, list[int]] = defaultdict(list)
    strange: list[Unusual] = []
    for record in records:
        if record.who == UNKNOWN or record.outcome not in (Outcome.ALLOWED, Outcome.FAILED):
            continue
        network, hour = network_of(record.origin), record.time.astimezone(zone).hour
        known_networks, known_hours = networks[record.who], hours[record.who]
        if record.time >= since:
            if known_networks and network not in known_networks:
                strange.append(Unusual(record=record, reason=Reason.NETWORK))
            if len(known_hours) >= LEAST_KNOWN and all(_apart(hour, known) > _NEAR for known in set(known_hours)):
                strange.append(Unusual(record=record, reason=Reason.HOUR))
        known_networks.add(network)
        known_hours.append(hour)
    return strange


def _apart(hour: int, other: int) -> int:
    distance = abs(hour - other)
    return min(distance, _HOURS - distance)


CONFIDENTIAL: Final = "confidential"
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
}
_REASONS: Final = {
    Reason.NETWORK: Text(en="a network that this user never came from", ja="初めてのネットワーク"),
    Reason.HOUR: Text(en="an hour at which this user never came", ja="初めての時間帯"),
}

_SOURCES: Final = {
    Source.TRACES: Text(en="Jaeger", ja="Jaeger（トレース）"),
    Source.KAFKA: Text(en="Kafka", ja="Kafka"),
    Source.DATABASE: Text(en="PostgreSQL", ja="PostgreSQL（データベース）"),
    Source.GRAFANA: Text(en="Grafana", ja="Grafana（ダッシュボード）"),
    Source.SEARCH: Text(en="Search cluster", ja="検索クラスター"),
    Source.CLUSTER: Text(en="Kubernetes API", ja="Kubernetes API"),
    Source.OPS: Text(en="Commands of operators", ja="運用コマンド"),
    Source.AUDIT: Text(en="Audit log", ja="監査ログ"),
}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the audit log says of a period.

    Attributes:
        since: Begin.
        until: End.
        records: Accesses in it, by their time.
        unusual: Those unlike the ones before.
        broken: Places where a chain does not hold.
        unreadable: Records of another version.
        complete: Whether all that was there came in time.
    """

    since: datetime
    until: datetime
    records: Sequence[AuditRecord]
    unusual: Sequence[Unusual]
    broken: Sequence[BrokenLink]
    unreadable: int
    complete: bool

    @property
    def people(self) -> list[AuditRecord]:
        """Accesses of people and programs: without what the audit log tells about itself."""
        return [record for record in self.records if record.source is not Source.AUDIT]

    @property
    def refused(self) -> list[AuditRecord]:
        """What was refused."""
        return [record for record in self.people if record.outcome is Outcome.REFUSED]

    @property
    def confidential(self) -> list[AuditRecord]:
        """Reads of confidential traces that were let in."""
        return [
            record
            for record in self.people
            if record.outcome is Outcome.ALLOWED
            and record.detail.get("clearance") == CONFIDENTIAL
            and record.action in ("read trace", "search traces")
        ]

    @property
    def gaps(self) -> list[AuditRecord]:
        """Where the audit log says that lines are missing."""
        return [record for record in self.records if record.source is Source.AUDIT and record.action == GAP]


def findings(log: AuditLog, since: datetime, until: datetime, zone: tzinfo) -> Findings:
    """What records say of a period; earlier ones are what is usual."""
    accesses = log.accesses
    people = [record for record in accesses if record.source is not Source.AUDIT]
    return Findings(
        since=since,
        until=until,
        records=[record for record in accesses if record.time >= since],
        unusual=unusual(people, since, zone),
        broken=log.broken,
        unreadable=log.unreadable,
        complete=log.complete,
    )


def times(record: AuditRecord) -> int:
    """How many accesses a record stands for."""
    return int(record.detail.get(REPEATED, "1"))


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
                title=Text(en="Reads of confidential traces", ja="機密トレースの閲覧"),
                blocks=(_table(found_in.confidential, zone),),
            ),
            Section(title=Text(en="Unusual", ja="通常と異なるアクセス"), blocks=(_unusual(found_in.unusual, zone),)),
            Section(title=Text(en="Missing", ja="欠落"), blocks=(_missing(found_in, zone),)),
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
            {"who": who, "source": source, "outcome": outcome, "count": count}
            for (who, source, outcome), count in sorted(_counts(found_in.people).items())
        ],
        "refused": plain(found_in.refused),
        "confidential": plain(found_in.confidential),
        "unusual": [{"reason": strange.reason, **plain([strange.record])[0]} for strange in found_in.unusual],
        "gaps": plain(found_in.gaps),
    }


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
            figure("Confidential reads", "機密閲覧", len(found_in.confidential)),
            figure("Unusual", "通常と異なる", len(found_in.unusual)),
            figure("Gaps", "欠落", len(found_in.gaps) + len(found_in.broken), bad=True),
        )
    )


def _counts(records: Iterable[AuditRecord]) -> Counter[tuple[str, str, str]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        counts[record.who, record.source, record.outcome] += times(record)
    return counts


def _people(found_in: Findings, zone: ZoneInfo) -> Table:
    last = {(record.who, record.source, record.outcome): record.time for record in found_in.people}
    outcomes = {
        Outcome.ALLOWED: Text(en="allowed", ja="許可"),
        Outcome.REFUSED: Text(en="refused", ja="拒否"),
        Outcome.FAILED: Text(en="failed", ja="失敗"),
        Outcome.NOTED: Text(en="noted", ja="記録"),
    }
    rows = tuple(
        (
            _cell(who),
            Cell(text=_SOURCES[Source(source)]),
            Cell(text=outcomes[Outcome(outcome)]),
            Cell(text=text_of(str(count)), number=True),
            Cell(text=moment(last[who, Source(source), Outcome(outcome)].timestamp(), zone)),
        )
        for (who, source, outcome), count in sorted(_counts(found_in.people).items())
    )
    head = (_HEADS["who"], _HEADS["source"], Text(en="Outcome", ja="結果"), _HEADS["count"], _HEADS["last"])
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


_ROW_HEAD: Final = tuple(_HEADS[name] for name in ("time", "who", "origin", "source", "action", "target"))


def _table(records: Sequence[AuditRecord], zone: ZoneInfo) -> Table:
    rows = tuple(
        (*_row(record, zone), Cell(text=text_of(str(times(record))), number=True)) for record in reversed(records)
    )
    return _cut(Text(en="Newest first", ja="新しい順"), (*_ROW_HEAD, _HEADS["count"]), rows)


def _unusual(strange: Sequence[Unusual], zone: ZoneInfo) -> Table:
    rows = tuple((*_row(one.record, zone), Cell(text=_REASONS[one.reason])) for one in reversed(strange))
    return _cut(Text(en="Newest first", ja="新しい順"), (*_ROW_HEAD, _HEADS["reason"]), rows)


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


def _cell(text: str) -> Cell:
    return Cell(text=text_of(text))


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
