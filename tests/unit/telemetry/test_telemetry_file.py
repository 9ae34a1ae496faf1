"""Every mistake in the reviewed file is one line: the place, the value, what is allowed, what to do."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry import file as reviewed
from components.telemetry.__main__ import main
from components.telemetry.fields import seconds, spoken
from components.telemetry.file import PATH, CatalogueError, explaining, parse
from components.telemetry.thresholds import DOCUMENT, read

ROOT = Path(__file__).parents[3]
NAME = "components/telemetry/thresholds.yaml"
SERVICE: dict[str, Any] = {
    "name": "transcriber",
    "layer": "business",
    "description": "turns speech into text",
    "metrics": [{"name": "transcription.delay", "unit": "s", "kind": "gauge", "description": "age of the oldest job"}],
    "traces": {"latency_limit_ms": 2000},
}
Content = dict[str, Any]


def validation_errors(change: Callable[[Content], object]) -> list[str]:
    """What is said about the committed file after a change."""
    content = copy.deepcopy(parse(PATH.read_text(encoding="utf-8")))
    change(content)
    with pytest.raises(CatalogueError) as told:
        read(yaml.safe_dump(content, sort_keys=False))
    return str(told.value).splitlines()


def battery(content: Content) -> Content:
    """The entry of the threshold ``battery``."""
    row: Content = next(threshold for threshold in content["thresholds"] if threshold["name"] == "battery")
    return row


def api(content: Content) -> Content:
    """The entry of the objective ``api-availability``."""
    row: Content = next(slo for slo in content["slos"] if slo["name"] == "api-availability")
    return row


def _set(find: Callable[[Content], Content], **changes: object) -> Callable[[Content], None]:
    return lambda content: find(content).update(changes)


def _without(key: str) -> Callable[[Content], object]:
    return lambda content: battery(content).pop(key)


def _services(*services: Content) -> Callable[[Content], None]:
    return lambda content: content.update(services=list(services))


def _metric(**changes: object) -> Callable[[Content], None]:
    return _services({**SERVICE, "metrics": [{**SERVICE["metrics"][0], **changes}]})


def test_the_committed_file_is_read_with_its_limits_in_the_texts() -> None:
    again = read(PATH.read_text(encoding="utf-8"))
    assert again == DOCUMENT
    texts = [text for row in again.thresholds for text in (row.summary, row.description, row.description_ja)]
    texts += [text for row in again.slos for text in (row.description, row.good or "", row.bad or "", row.total)]
    assert not [text for text in texts if "{limit}" in text or "{hold}" in text]
    battery = next(row for row in again.thresholds if row.name == "battery")
    assert f"at {battery.limit:.0%} or less".replace("%", " %") in battery.description
    assert f"{battery.limit:.0%} 以下".replace("%", " %") in battery.description_ja


def test_a_service_is_read() -> None:
    content = parse(PATH.read_text(encoding="utf-8"))
    _services(SERVICE)(content)
    (service,) = read(yaml.safe_dump(content)).services
    assert (service.name, service.layer.source, service.metrics[0].unit) == ("transcriber", "L3", "s")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            _set(battery, priority="urgent"),
            "thresholds[battery].priority is 'urgent': "
            "allowed is one of 'critical', 'high', 'medium' or 'low'; correct it",
        ),
        (_set(battery, limit="0.2"), "thresholds[battery].limit is '0.2': allowed is a number; correct it"),
        (_set(battery, stated="yes"), "thresholds[battery].stated is 'yes': allowed is true or false; correct it"),
        (
            _set(battery, comparison="=<"),
            "thresholds[battery].comparison is '=<': allowed is one of '>', '<', '<=' or '=='; correct it",
        ),
        (
            _set(battery, hold="soon"),
            "thresholds[battery].hold is 'soon': allowed is a duration such as 30s, 5m, 1h or 3d; correct it",
        ),
        (
            _set(battery, layer="cloud"),
            "thresholds[battery].layer is 'cloud': "
            "allowed is one of device, streaming, business, data, analytics; correct it",
        ),
        (
            _set(battery, alert="battery-low"),
            "thresholds[battery].alert is 'battery-low': "
            "allowed is words like DeviceBatteryLow, each with a capital letter; correct it",
        ),
        (_set(battery, metrics=[]), "thresholds[battery].metrics: allowed is at least 1 of them; correct it"),
        (_set(battery, summary=" "), "thresholds[battery].summary is ' ': allowed is one line of text; correct it"),
        (
            _set(battery, owner="nobody"),
            "thresholds[battery].owner is 'nobody': allowed is one of devices, streaming, business, data, analytics, "
            "platform; correct it, or add the team to `owners`",
        ),
        (
            _set(battery, runbook="docs/runbooks/Battery.md"),
            "thresholds[battery].runbook is 'docs/runbooks/Battery.md': "
            "allowed is 'docs/runbooks/DeviceBatteryLow.md'; name the page after the alert",
        ),
        (
            _set(battery, slo="uptime"),
            "thresholds[battery].slo is 'uptime': allowed is one of api-availability, recording-success, "
            "stream-delivery, screen-display, telemetry-path; correct it, or remove the key",
        ),
        (
            _without("reason"),
            "thresholds[battery].reason is missing: "
            "add it (other entries and docs/operations/thresholds.md show every key)",
        ),
        (
            _set(battery, inhibited_by=[{"alert": "NoSuchAlert", "equal": [], "reason": "x"}]),
            "thresholds[battery].inhibited_by[0].alert is 'NoSuchAlert': "
            "allowed is an alert of this file or of `alerts_elsewhere`; correct it",
        ),
        (
            _set(battery, inhibited_by=[{"alert": "DeviceBatteryLow", "equal": [], "reason": "x"}]),
            "thresholds[battery].inhibited_by[0].alert is 'DeviceBatteryLow': "
            "allowed is another alert; an alert cannot make itself superfluous",
        ),
        (
            _set(battery, inhibited_by=[{"alert": "ConcurrentUsersHigh", "equal": [], "reason": "x"}]),
            "thresholds[battery].inhibited_by[0].alert is 'ConcurrentUsersHigh', priority low: allowed is one that is "
            "at least as urgent as DeviceBatteryLow (medium), else people would hear of it too late; remove it",
        ),
        (
            lambda content: battery(content)["example"].update(good=battery(content)["example"]["bad"]),
            "thresholds[battery].example: "
            "allowed is a `good` that differs from `bad`: one of them has to stay silent; correct it",
        ),
        (
            lambda content: content["thresholds"].append(content["thresholds"][1]),
            "thresholds: name delivery-delay occurs 2 times: allowed is once; rename all but one",
        ),
        (
            _set(api, objective=99.5),
            "slos[api-availability].objective is 99.5: "
            "allowed is a share between 0 and 1, for example 0.995; correct it",
        ),
        (
            _set(api, total="sum(rate(x_total[5m]))"),
            "slos[api-availability].total is 'sum(rate(x_total[5m]))': allowed is PromQL with the placeholder "
            "{window}, for example sum(rate(requests_total[{window}])); correct it",
        ),
        (
            _set(api, good="sum(rate(x_total[{window}]))"),
            "slos[api-availability]: allowed is either `good` or `bad`, not both and not neither; correct it",
        ),
        (
            _set(api, layer="cloud"),
            "slos[api-availability].layer is 'cloud': "
            "allowed is one of device, streaming, business, data, analytics, platform; correct it",
        ),
        (
            _set(api, priorities={"fast": "high"}),
            "slos[api-availability].priorities has the keys fast: "
            "allowed is each of fast, steep, slow, steady; give every burn rate a priority",
        ),
        (
            _set(api, description="within {limit}"),
            "slos[api-availability] uses {limit}, but 0 thresholds name it (none): "
            "allowed is one; write `slo: api-availability` at the threshold that is meant",
        ),
        (
            lambda content: api(content)["example"]["failing"].clear(),
            "slos[api-availability].example.failing: allowed is at least 1 of them; correct it",
        ),
        (
            lambda content: api(content)["example"]["failing"].popitem(),
            "slos[api-availability].example: "
            "allowed is the same series under `healthy` and under `failing`; correct it",
        ),
        (
            lambda content: content["burn_rates"][0].update(short="1d"),
            "burn_rates[fast]: allowed is a short window from 5m up to less than the long one; correct it",
        ),
        (
            lambda content: content["burn_rates"][0].update(factor=0),
            "burn_rates[fast].factor is 0: allowed is a number above 0; correct it",
        ),
        (
            _services({**SERVICE, "layer": "data"}),
            "services[transcriber]: allowed is no traces: layer data may not send any; correct it",
        ),
        (
            _services({key: value for key, value in SERVICE.items() if key not in ("metrics", "traces")}),
            "services[transcriber]: allowed is a service with metrics, traces or both; correct it",
        ),
        (
            _services({**SERVICE, "traces": {"latency_limit_ms": 0}}),
            "services[transcriber].traces.latency_limit_ms is 0: allowed is a number of at least 1; correct it",
        ),
        (
            _metric(kind="timer"),
            "services[transcriber].metrics[transcription.delay].kind is 'timer': "
            "allowed is one of 'counter', 'updowncounter', 'gauge' or 'histogram'; correct it",
        ),
        (
            _metric(kind="histogram"),
            "services[transcriber].metrics[transcription.delay]: "
            "allowed is buckets for a histogram, and for nothing else; correct it",
        ),
        (
            _metric(attributes=["language"], simulated={"usual": 1}),
            "services[transcriber].metrics[transcription.delay]: "
            "allowed is a simulated value for each of the metric's attributes, and for nothing else; correct it",
        ),
        (
            _services(SERVICE, SERVICE),
            "services: name transcriber occurs 2 times: allowed is once; rename all but one",
        ),
        (
            lambda content: content.update(services=None),
            "services is null: allowed is a list; correct it",
        ),
        (
            lambda content: content.pop("owners"),
            "owners is missing: add it (other entries and docs/operations/thresholds.md show every key)",
        ),
        (
            lambda content: content["owners"].update({"The Team": "x"}),
            "owners.The Team: allowed as a key is lower-case words joined by dashes; correct it",
        ),
    ],
)
def test_a_mistake_is_one_line(change: Callable[[Content], object], line: str) -> None:
    assert f"{NAME}: {line}" in validation_errors(change)


def test_an_unknown_key_is_told_together_with_what_could_be_meant() -> None:
    (line,) = validation_errors(_set(battery, limits=3))
    assert line.startswith(
        f"{NAME}: thresholds[battery].limits is not a known key: did you mean limit? Known here: alert"
    )
    (line,) = validation_errors(lambda content: content.update(zzz=1))
    assert line == (
        f"{NAME}: zzz is not a known key: remove it; known here: alerts_elsewhere, burn_rates, owners, services, slos, "
        "thresholds"
    )


def test_every_mistake_is_told_at_once() -> None:
    def change(content: Content) -> None:
        battery(content).update(limit=None, hold=3)
        api(content).update(owner=1)

    assert len(validation_errors(change)) == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", "is not YAML"),
        ("- a", "is list: allowed is a group of keys"),
        ("", "is NoneType: allowed is a group of keys"),
        ("owners: {a: b}\nowners: {}\n", "line 2: key 'owners' occurs twice: allowed is once; remove one"),
    ],
)
def test_a_text_that_is_no_such_file_is_refused_in_one_line(text: str, line: str) -> None:
    with pytest.raises(CatalogueError) as told:
        read(text)
    assert str(told.value).startswith(f"{NAME}: {line}")
    assert "\n" not in str(told.value)


def test_what_is_read_without_the_schema_is_explained_by_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = parse(PATH.read_text(encoding="utf-8"))
    _metric(unit=5)(broken)
    monkeypatch.setattr(reviewed, "content", lambda: broken)
    with (
        pytest.raises(CatalogueError, match=r"metrics\[transcription\.delay\]\.unit is 5: allowed is a text"),
        explaining(),
    ):
        reviewed.text(5)


def test_an_error_that_the_file_is_not_to_blame_for_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="5 is no text"), explaining():
        reviewed.text(5)


@pytest.mark.parametrize("module", ["catalogue", "services", "attributes", "topics"])
def test_pods_read_the_catalogue_without_pydantic(module: str) -> None:
    code = f"import sys; sys.modules['pydantic'] = None; import components.telemetry.{module}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_the_command_tells_mistakes_and_prints_no_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: str) -> str:
        raise CatalogueError("file: a: one\nfile: b: two")

    monkeypatch.setattr("components.telemetry.__main__._written", refuse)
    assert main(["thresholds"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "file: a: one\nfile: b: two\n")


@pytest.mark.parametrize(
    ("value", "unit", "english", "japanese"),
    [
        (0.2, "1", "20 %", "20 %"),
        (0.995, "1", "99.5 %", "99.5 %"),
        (1, "s", "1 s", "1 秒"),
        (0.5, "s", "0.5 s", "0.5 秒"),
        (90, "s", "90 s", "90 秒"),
        (300, "s", "5 min", "5 分"),
        (86400, "s", "24 h", "24 時間"),
        (100, "{session}", "100", "100"),
        (20, "Cel", "20 Cel", "20 Cel"),
    ],
)
def test_limits_are_spoken_as_people_read_them(value: float, unit: str, english: str, japanese: str) -> None:
    assert (spoken(value, unit, "en"), spoken(value, unit, "ja")) == (english, japanese)


def test_a_duration_is_a_number_of_seconds() -> None:
    assert [seconds(text) for text in ("0s", "90s", "5m", "6h", "3d")] == [0, 90, 300, 21600, 259200]
    with pytest.raises(ValueError, match="duration '1w': allowed is one such as 30s"):
        seconds("1w")
