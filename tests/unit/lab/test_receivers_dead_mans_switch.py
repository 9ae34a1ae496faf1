"""The dead man's switch: armed by a heartbeat, tells once, recovers once, remembers over a restart."""

from __future__ import annotations

from lab.fakes.receivers.channels import DeadMansSwitch
from lab.fakes.receivers.record import DEAD_MANS_SWITCH, Record
from tests.config.servers import eventually


class Clock:
    """Time that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(record: Record) -> list[str]:
    return [notification.body["state"] for notification in record.since() if notification.channel == DEAD_MANS_SWITCH]


def test_without_a_first_heartbeat_it_is_not_armed() -> None:
    record, clock = Record(), Clock()
    switch = DeadMansSwitch(record, 60, clock=clock)
    clock.now = 1000
    switch.check()
    assert record.since() == []
    assert switch.data() == {"armed": False, "silent": False, "quiet_s": None, "grace_s": 60}


def test_silence_is_told_once_and_not_a_second_early() -> None:
    record, clock = Record(), Clock()
    switch = DeadMansSwitch(record, 60, clock=clock)
    switch.beat()
    clock.now = 59.9
    switch.check()
    assert told(record) == []
    clock.now = 60
    switch.check()
    assert told(record) == ["silent"]
    for clock.now in (61, 600):
        switch.check()
    assert told(record) == ["silent"]
    last = record.last(DEAD_MANS_SWITCH)
    assert last is not None
    assert (last.audience, last.title) == ("operators", "The monitoring itself is down: no heartbeat for 60 s")


def test_every_heartbeat_gives_the_whole_grace_again() -> None:
    record, clock = Record(), Clock()
    switch = DeadMansSwitch(record, 60, clock=clock)
    for clock.now in (0, 50, 100, 150):
        switch.beat()
    clock.now = 209
    switch.check()
    assert told(record) == []
    assert switch.data()["quiet_s"] == 59


def test_the_return_of_heartbeats_is_told_once_and_arms_it_again() -> None:
    record, clock = Record(), Clock()
    switch = DeadMansSwitch(record, 60, clock=clock)
    switch.beat()
    clock.now = 100
    switch.check()
    for clock.now in (130, 160):
        switch.beat()
        switch.check()
    assert told(record) == ["silent", "back"]
    back = record.last(DEAD_MANS_SWITCH)
    assert back is not None
    assert back.body["silence_s"] == 130
    clock.now = 220
    switch.check()
    assert told(record) == ["silent", "back", "silent"]


def test_a_restart_neither_forgets_that_it_is_armed_nor_counts_its_own_absence() -> None:
    record = Record()
    DeadMansSwitch(record, 60, clock=Clock()).beat()
    clock = Clock()
    clock.now = 5000
    switch = DeadMansSwitch(record, 60, clock=clock)
    switch.check()
    assert told(record) == []
    clock.now = 5060
    switch.check()
    assert told(record) == ["silent"]


def test_a_restart_does_not_tell_an_alarm_again_and_still_tells_its_end() -> None:
    record, clock = Record(), Clock()
    before = DeadMansSwitch(record, 60, clock=clock)
    before.beat()
    clock.now = 60
    before.check()
    after = DeadMansSwitch(record, 60, clock=clock)
    clock.now = 500
    after.check()
    assert told(record) == ["silent"]
    after.beat()
    assert told(record) == ["silent", "back"]


def test_it_looks_by_itself() -> None:
    record = Record()
    switch = DeadMansSwitch(record, 0.1)
    switch.beat()
    switch.start()
    try:
        eventually(lambda: told(record) == ["silent"], 10, "the switch tells")
    finally:
        switch.stop()
