"""How tests are spread over workers: by file, the longest first; and what may not be listed as flaky."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests import flaky, seconds
from tests.support import garbage, loops, once, pending, shared

_TESTS = Path(__file__).parent
_SERVERS = "tests/config/"
"""Folder of the files that start servers, and mostly wait for them."""
_LIMIT_S = 600
"""The least limit of a test, which only ends a hang: the first one of a file waits for all of its servers, and a busy
machine multiplies what that takes."""
_LIVE = "tests/e2e/"
"""Folder of the tests on a live cluster, whose limits are their own."""
_SHARED = ("tests/config/search", "tests/config/elasticsearch", "tests/config/grafana_fake", "tests/config/keycloak")
"""Folders whose files share servers, and so a worker."""
_PROMISES = tuple(
    _SERVERS + name
    for name in (
        "elasticsearch/test_elastic_logs",
        "grafana_fake/test_crowd",
        "test_alert",
        "test_collector_pipeline",
        "test_escalation",
        "test_jaeger_collector",
        "test_kafka_archive",
        "test_logs_path",
        "test_mirror",
        "test_postgres_standby",
        "test_region",
        "test_sampler_pipeline",
    )
)
"""Beginnings of the files there that show that nothing is lost, doubled or late."""
_UNKNOWN_S = 20.0
"""Of a file that nobody has timed."""


once.apply()
pending.apply()
garbage.collect_seldom()
_loops = loops.apply()


_run = ExitStack()


def pytest_configure() -> None:
    """Give the workers a folder for what they share, and let what a test starts be interrupted as from a terminal."""
    # A shell's background ignores it, and so would every process below.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _run.enter_context(shared.folder())


def pytest_unconfigure() -> None:
    """Remove it, and close what Pulumi left open."""
    _run.close()
    _loops.close()


def pytest_collection_finish() -> None:
    """Keep modules and collected tests, which live as long as the run, out of the garbage collector's way."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Collect what a file left, so that a socket or a process that nobody closed fails this file and no other.

    What is still used is kept out of the next collection, which would take three tenths of a second otherwise.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Give back what answers to a request to end: a program's main function, called in a test, keeps its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


class ByFile(LoadScopeScheduling):
    """A file's tests go to one worker, and so do those of a folder that shares servers; what takes longest is first.

    Marks of `xdist_group` would say the same as the folders, but xdist 3.8 writes them where pytest 9 does not look.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        self._known = seconds.known()

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid.partition("::")[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(max(self.workqueue, key=self._takes), last=False)
        super()._assign_work_unit(node)

    def _takes(self, scope: str) -> float:
        files = dict.fromkeys(test.partition("::")[0] for test in self.workqueue[scope])
        return sum(self._known.get(file, _UNKNOWN_S) for file in files)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Spread by `ByFile`, whatever ``--dist`` says."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give servers time to start, mark what shows a promise, hold the list of flaky tests against the marks.

    Raises:
        pytest.UsageError: A test that shows a promise is listed as flaky.
    """
    for item in items:
        own = item.get_closest_marker("timeout")
        if not _file(item).startswith(_LIVE) and (own is None or own.args[0] < _LIMIT_S):
            item.add_marker(pytest.mark.timeout(_LIMIT_S), append=False)
        if _file(item).startswith(_PROMISES):
            item.add_marker(pytest.mark.promise)
    listed = {entry.test for entry in flaky.read()}
    promises = [item.nodeid for item in items if item.nodeid in listed and item.get_closest_marker("promise")]
    if promises:
        raise pytest.UsageError(f"{flaky.FILE.name} lists what shows a promise: {', '.join(promises)}; mend it instead")


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS.parent).as_posix()


def _group(file: str) -> str:
    return next((folder for folder in _SHARED if file.startswith(f"{folder}/")), file)
