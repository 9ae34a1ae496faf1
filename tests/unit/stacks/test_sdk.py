"""The SDK's debug lines stay in the program, unless somebody wants them; all others are sent."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from pulumi import log
from pulumi.runtime.proto import engine_pb2

from stacks import sdk


class Engine:
    """Remembers what it is sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str]] = []

    def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802  (the protocol's name)
        """Take a line."""
        self.messages.append((request.severity, request.message))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine of a program; the SDK's own functions and the garbage collector are back afterwards."""
    recorder = Engine()
    monkeypatch.setattr(log, "get_engine", lambda: recorder)
    monkeypatch.setattr(log, "debug", log.debug)
    monkeypatch.delenv(sdk.DEBUG, raising=False)
    yield recorder
    gc.enable()


def speak() -> None:
    """One line of each kind."""
    log.debug("resource registration prepared", ephemeral=True)
    log.info("told")
    log.warn("warned")


def test_debug_lines_are_not_sent(engine: Engine) -> None:
    sdk.spare()
    speak()
    assert engine.messages == [(engine_pb2.INFO, "told"), (engine_pb2.WARNING, "warned")]


def test_they_are_sent_to_whoever_wants_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sdk.DEBUG, "1")
    sdk.spare()
    speak()
    assert [severity for severity, _ in engine.messages] == [engine_pb2.DEBUG, engine_pb2.INFO, engine_pb2.WARNING]


@pytest.mark.usefixtures("engine")
def test_no_garbage_is_collected() -> None:
    sdk.spare()
    assert not gc.isenabled()
