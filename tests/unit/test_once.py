"""What the tests remember of libraries is what the libraries give."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pulumi.output import UNKNOWN

from tests.support.once import contains_unknowns, read_once, written_once


def test_a_text_is_read_once_and_each_reader_has_data_of_its_own() -> None:
    texts: list[str] = []

    def load(stream: str, loader: Any) -> Any:
        texts.append(stream)
        return yaml.YAMLObject if stream == "type" else loader(stream).get_single_data()

    read = read_once(load)
    first = read("a: [1]", yaml.SafeLoader)
    first["a"].append(2)
    assert read("a: [1]", Loader=yaml.SafeLoader) == {"a": [1]}
    assert read("a: [2]", yaml.SafeLoader) == {"a": [2]}
    assert read("a: [1]", yaml.BaseLoader) == {"a": ["1"]}
    assert texts == ["a: [1]", "a: [2]", "a: [1]"]


def test_a_text_that_cannot_be_read_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(yaml.YAMLError, match="line 1"):
            yaml.safe_load("[")


def test_data_is_written_once_until_it_or_the_style_is_another() -> None:
    written: list[Any] = []

    def dump(documents: list[Any], stream: Any, **style: Any) -> str:
        written.append(documents)
        return f"{documents} {style.get('width')}"

    write = written_once(dump)
    data: dict[str, Any] = {"a": [1]}
    assert write([data]) == write([{"a": [1]}]) == "[{'a': [1]}] None"
    assert len(written) == 1
    assert write([data], width=120) == "[{'a': [1]}] 120"
    data["a"].append(True)
    assert write([data]) == "[{'a': [1, True]}] None"
    assert write([{"a": [1, 1]}]) == "[{'a': [1, 1]}] None"
    assert write([[lambda: None]]).startswith("[[<function"), "data that cannot be pickled"


def test_shared_data_is_written_as_an_alias_and_equal_data_is_not() -> None:
    shared = ["x"]
    assert yaml.safe_dump([["x"], ["x"]]) == "- - x\n- - x\n"
    assert yaml.safe_dump([shared, shared]) == "- &id001\n  - x\n- *id001\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(UNKNOWN, True), ([{"a": [UNKNOWN]}], True), ({"a": [1, "x", None]}, False), ("x", False), ((UNKNOWN,), False)],
)
def test_unknown_values_are_noticed_wherever_pulumi_notices_them(value: Any, expected: bool) -> None:
    assert contains_unknowns(value) is expected


def test_data_that_holds_itself_is_looked_at_once() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert not contains_unknowns(loop)
