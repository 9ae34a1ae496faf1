"""What a change of the gate's catalogue lets in, in plain words."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import LAYER_NAMES
from ops.review.explain import explain
from tests.unit.ops.review_plans import files, plan

LAYERS = {name: [name] for name in LAYER_NAMES}
CATALOGUE: Any = json.loads(json.dumps(gate_catalogue(LAYERS)))
"""With nothing that two layers share, so that a change is one of one layer."""
Change = Callable[[Any], object]


def told(before: Any, after: Any) -> list[tuple[str, bool]]:
    old, new = (plan(*([files(catalogue__yaml=content)] if content else [])) for content in (before, after))
    return [(statement.text, statement.weakens) for statement in explain(old, new)]


def layer(name: str) -> Callable[[Any], Any]:
    return lambda content: content["layers"][name]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda content: content["layers"]["data"]["metrics"].update(
                {"etl.rows": {"unit": "{row}", "kind": "counter", "attributes": ["etl.job.name", "outcome"]}}
            ),
            (
                "layer data may now send metric `etl.rows`, a counter in `{row}` by `etl.job.name` (code), `outcome` "
                "(enum (success, failure))",
                True,
            ),
        ),
        (
            lambda content: content["layers"]["data"]["metrics"].pop("etl.job.runs"),
            ("layer data may no longer send metric `etl.job.runs`", False),
        ),
        (
            lambda content: content["layers"]["data"]["metrics"]["etl.job.runs"]["attributes"].append("error.message"),
            ("layer data may now send metric `etl.job.runs` also by `error.message` (text)", True),
        ),
        (
            lambda content: content["layers"]["data"]["metrics"]["etl.job.runs"]["attributes"].remove("outcome"),
            ("layer data may no longer send metric `etl.job.runs` by `outcome`", False),
        ),
        (
            lambda content: content["layers"]["data"]["metrics"]["etl.job.runs"].update(kind="gauge"),
            ("layer data may send metric `etl.job.runs` as a gauge in `{run}` instead of a counter in `{run}`", False),
        ),
        (
            lambda content: content["layers"]["data"]["metrics"]["etl.job.runs"].pop("unit"),
            (
                "layer data may send metric `etl.job.runs` as a counter in any unit instead of a counter in `{run}`",
                True,
            ),
        ),
        (
            lambda content: content["layers"]["device"].update(open=True),
            ("layer device is now open: names that the catalogue lacks pass as free text", True),
        ),
        (
            lambda content: content["layers"]["device"]["signals"].append("traces"),
            ("layer device may now send `traces`", True),
        ),
        (
            lambda content: content["layers"]["device"]["services"].append("robot"),
            ("layer device may now send as service `robot`", True),
        ),
        (
            lambda content: content["layers"]["device"]["services"].remove("device-agent"),
            ("layer device may no longer send as service `device-agent`", False),
        ),
        (
            lambda content: content["layers"]["device"]["budget"].update(series=200_000),
            ("layer device may now create 200,000 time series instead of 100,000", True),
        ),
        (
            lambda content: content["layers"]["device"]["budget"].update(client_series=100),
            ("layer device may now create 100 time series of one resource instead of 500", False),
        ),
        (
            lambda content: content["layers"]["device"]["required"].remove("device_id"),
            ("layer device need no longer have `device_id`", True),
        ),
        (
            lambda content: content["layers"]["device"]["logs"].remove("exception.message"),
            ("layer device may no longer have on logs: `exception.message`", False),
        ),
        (
            lambda content: [own["logs"].append("http.status_code") for own in content["layers"].values()],
            ("every layer may now have on logs: `http.status_code` (number from 100 to 599)", True),
        ),
        (
            lambda content: content["attributes"]["worker.id"].update(type="code"),
            ("`worker.id` is now code instead of id", True),
        ),
        (
            lambda content: content["attributes"]["work.id"].update(type="id"),
            ("`work.id` is now id instead of code: its values are hashed", False),
        ),
        (
            lambda content: content["attributes"]["exception.message"].update(type="code"),
            ("`exception.message` is now code instead of text", True),
        ),
        (
            lambda content: content["attributes"]["outcome"]["values"].append("skipped"),
            ("`outcome` may now be `skipped`", True),
        ),
        (
            lambda content: content["attributes"]["http.response.status_code"].update(maximum=999),
            ("`http.response.status_code` is now number from 100 to 999 instead of number from 100 to 599", True),
        ),
        (
            lambda content: content["clients"].update(device=["device", "data"]),
            ("user device may now send as layer data", True),
        ),
        (lambda content: content["clients"].pop("data"), ("user data may no longer send as layer data", False)),
        (
            lambda content: content["reserved"]["metrics"].remove("kafka_*"),
            ("no longer reserved for the platform: metric `kafka_*`", True),
        ),
        (
            lambda content: content["reserved"]["labels"].append("team"),
            ("reserved for the platform now: label `team`", False),
        ),
        (
            lambda content: content.update(limits={"depth": 32}),
            ("limit `depth` is now 32 instead of the default", True),
        ),
    ],
)
def test_a_change_is_one_sentence(change: Change, sentence: tuple[str, bool]) -> None:
    changed = copy.deepcopy(CATALOGUE)
    change(changed)
    assert told(CATALOGUE, changed) == [sentence]


def test_nothing_is_said_where_only_the_version_or_the_order_differs() -> None:
    changed = {**dict(reversed(CATALOGUE.items())), "version": "other"}
    assert told(CATALOGUE, changed) == []


def test_a_layer_that_goes_and_a_catalogue_that_comes_or_goes_are_one_sentence() -> None:
    changed = copy.deepcopy(CATALOGUE)
    del changed["layers"]["data"]
    assert told(CATALOGUE, changed) == [("layer data may no longer send anything", False)]
    assert told(None, CATALOGUE) == [
        (
            "the gate lets in what its catalogue lists, of the layers analytics, business, data, device, streaming",
            False,
        )
    ]
    assert told(CATALOGUE, None) == [("the gate's catalogue is gone", True)]


def test_a_new_layer_tells_its_budget_and_many_names_are_counted() -> None:
    small: Any = {**CATALOGUE, "layers": {"data": CATALOGUE["layers"]["data"]}}
    changed = copy.deepcopy(small)
    keys = [f"key.{number}" for number in range(20)]
    changed["layers"]["new"] = {"signals": ["logs"], "logs": keys, "budget": {"series": 10}}
    assert told(small, changed) == [
        ("layer new may now send `logs`", True),
        (f"layer new may now have on logs: {', '.join(f'`{key}` (text)' for key in keys[:12])} and 8 more", True),
        ("layer new may now create 10 time series", True),
    ]
