"""People who go from dashboard to dashboard at the same time, and how long each of them waits."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from components.dashboards.boards import DASHBOARDS
from components.dashboards.model import Dashboard
from ops.dashboard.ask import Asker, quantile, span
from ops.errors import OpsError, one_line
from ops.people_doors import Door, Question, Way, questions

SECONDS = 60.0
THINK_S = 30.0
"""How long a person looks at a dashboard, on average: as long as until it refreshes itself."""
MEAN_S, P95_S = 3.0, 5.0
"""Requirement S2: how long a dashboard may take on average, and how long 95 of 100 may."""
CONNECTIONS = 6
"""Questions that a browser has under way at a server at the same time."""
_ANSWER = b'{"status":"success"'
_EMPTY = b'"result":[]'


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A dashboard that a person opened.

    Attributes:
        board: Its short name.
        began: Monotonic seconds.
        seconds: Until the last panel had its answer.
        queries: Questions asked.
        empty: Answers without a series.
        problems: What went wrong; empty when every panel got an answer.
    """

    board: str
    began: float
    seconds: float
    queries: int
    empty: int = 0
    problems: tuple[str, ...] = ()


@dataclass
class Person:
    """Somebody who goes from dashboard to dashboard.

    Attributes:
        name: For messages.
        door: Makes the way in; called when the person arrives.
        boards: In the order in which this person opens them, again and again.
        asked: Fills queries in.
        openings: What came of it.
        problem: Why the person did not get in.
    """

    name: str
    door: Callable[[], Door]
    boards: Sequence[Dashboard]
    asked: Asker
    openings: list[Opening] = field(default_factory=list)
    problem: str = ""

    def visit(self, first: float, until: float, think_s: float, stopping: threading.Event) -> None:
        """Open dashboards, one at least.

        Args:
            first: When the person arrives (monotonic seconds).
            until: No further dashboard is opened after this moment; the one that is open is read to its end.
            think_s: Average pause between two of them.
            stopping: Ends it early.
        """
        if stopping.wait(max(0.0, first - time.monotonic())):
            return
        try:
            door = self.door()
        except OpsError as error:
            self.problem = f"{self.name}: {one_line(error, 160)}"
            return
        pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=self.name)
        try:
            boards = door.sees(self.boards)
            if not boards:
                self.problem = f"{self.name}: sees none of {len(self.boards)} dashboards"
            for board in cycle(boards):
                self.openings.append(self._open(door, pool, board))
                pause = min(random.uniform(0.5, 1.5) * think_s, max(0.0, until - time.monotonic()))
                if stopping.wait(pause) or time.monotonic() >= until:
                    return
        except OpsError as error:
            self.problem = f"{self.name}: {one_line(error, 160)}"
        finally:
            pool.shutdown(cancel_futures=True)
            door.close()

    def _open(self, door: Door, pool: ThreadPoolExecutor, board: Dashboard) -> Opening:
        began = time.monotonic()
        asked = questions(board, self.asked, span(board.since))
        wrong = door.open(board.uid)
        if wrong:
            return Opening(
                board=board.name, began=began, seconds=time.monotonic() - began, queries=0, problems=(wrong,)
            )
        answers = list(pool.map(lambda each: _answer(door, each), asked))
        return Opening(
            board=board.name,
            began=began,
            seconds=time.monotonic() - began,
            queries=len(asked),
            empty=sum(empty for empty, _ in answers),
            problems=tuple(problem for _, problem in answers if problem),
        )


def _answer(door: Door, question: Question) -> tuple[bool, str]:
    """Whether an answer has no series, and what is wrong with it; drawing it is a browser's own work."""
    try:
        with door.ask(question) as response:
            status, content = response.status_code, response.content
    except OpsError as error:
        return False, one_line(error, 160)
    if status != 200 or not content.startswith(_ANSWER):
        return False, f"{status} to {question.params['query'][:80]}: {one_line(content[:120].decode(errors='replace'))}"
    return _EMPTY in content, ""


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What many people saw.

    Attributes:
        count: People.
        seconds: From the first arrival to the last answer.
        openings: All of theirs.
        refused: Why some of them did not get in.
    """

    count: int
    seconds: float
    openings: tuple[Opening, ...]
    refused: tuple[str, ...] = ()

    @property
    def times(self) -> list[float]:
        """Seconds of all openings, quickest first."""
        return sorted(each.seconds for each in self.openings)

    @property
    def mean(self) -> float:
        """Average seconds; no number when nobody opened anything."""
        return sum(self.times) / len(self.times) if self.times else math.nan

    @property
    def errors(self) -> list[str]:
        """Everything that went wrong."""
        return [*self.refused, *(problem for each in self.openings for problem in each.problems)]

    @property
    def at_once(self) -> int:
        """Most dashboards that were being opened at the same time."""
        ends = [(each.began + each.seconds, -1) for each in self.openings]
        now = most = 0
        for _, change in sorted([*((each.began, 1) for each in self.openings), *ends]):
            now += change
            most = max(most, now)
        return most

    def wrong(self) -> list[str]:
        """What the requirement does not allow."""
        if not self.openings:
            return [f"nobody opened a dashboard: {'; '.join(self.refused[:3]) or 'there was no time'}"]
        found = [f"{len(self.errors)} errors, such as {self.errors[0]}"] if self.errors else []
        if not self.mean <= MEAN_S:
            found.append(f"a dashboard takes {self.mean:.2f} s on average, at most {MEAN_S:g} s")
        if not quantile(self.times, 0.95) <= P95_S:
            found.append(f"95 of 100 dashboards take {quantile(self.times, 0.95):.2f} s, at most {P95_S:g} s")
        return found

    def figures(self) -> dict[str, Any]:
        """For evidence."""
        queries = sum(each.queries for each in self.openings)
        by_board: dict[str, list[float]] = defaultdict(list)
        for each in self.openings:
            by_board[each.board].append(each.seconds)
        return {
            "people": self.count,
            "seconds": round(self.seconds, 1),
            "openings": len(self.openings),
            "most at the same time": self.at_once,
            "average s": _rounded(self.mean),
            "P50 s": _rounded(quantile(self.times, 0.5)),
            "P95 s": _rounded(quantile(self.times, 0.95)),
            "max s": _rounded(self.times[-1] if self.times else math.nan),
            "queries": queries,
            "queries/s": round(queries / self.seconds, 1) if self.seconds else 0.0,
            "answers without a series": sum(each.empty for each in self.openings),
            "errors": len(self.errors),
            "average s by dashboard": {
                name: _rounded(sum(times) / len(times)) for name, times in sorted(by_board.items())
            },
            **({"what went wrong": dict(Counter(self.errors).most_common(5))} if self.errors else {}),
        }


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def crowd(
    ways: Sequence[Way],
    asked: Asker,
    *,
    seconds: float = SECONDS,
    think_s: float = THINK_S,
    boards: Sequence[Dashboard] = DASHBOARDS,
    progress: Callable[[str], None] = lambda _: None,
) -> Crowd:
    """Let people open dashboards for a while.

    They arrive one by one within the time that one of them looks at a dashboard, and each begins with another one.

    Args:
        ways: Of each person.
        asked: Fills queries in.
        seconds: No further dashboard is opened after so many; what is open is read to its end.
        think_s: Average time that a person looks at a dashboard.
        boards: What they open.
        progress: Told what is going on.
    """
    began, stopping = time.monotonic(), threading.Event()
    arrival = min(think_s, seconds / 2) / max(1, len(ways))
    people = [
        Person(
            name=name,
            door=door,
            boards=list(islice(cycle(boards), number % len(boards), number % len(boards) + len(boards))),
            asked=asked,
        )
        for number, (name, door) in enumerate(ways)
    ]
    threads = [
        threading.Thread(
            target=person.visit,
            args=(began + number * arrival, began + seconds, think_s, stopping),
            name=person.name,
            daemon=True,
        )
        for number, person in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    try:
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(0.5)
            progress(f"{sum(len(person.openings) for person in people)} dashboards opened by {len(people)} people")
    finally:
        stopping.set()
    return Crowd(
        count=len(people),
        seconds=time.monotonic() - began,
        openings=tuple(opening for person in people for opening in person.openings),
        refused=tuple(person.problem for person in people if person.problem),
    )
