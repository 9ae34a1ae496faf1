"""What the processors promise, whatever the rules are."""

from __future__ import annotations

import yaml

from components.collector.config import KafkaClient, rendered
from components.gateway.config import GatewayConfig, gateway_config
from components.masking.ottl import escaped, has, literal, pattern, quoted
from components.masking.render import HASH, MASK, MASKING_ORDER, masking_processors, statements_in
from components.telemetry.layers import Signal

CONFIG = gateway_config(
    GatewayConfig(
        kafka=KafkaClient(brokers=("kafka:9092",), user="gateway"), volume_bytes=4 * 2**30, max_message_bytes=8 * 2**20
    )
)
CONFIG_MAP_BYTES = 2**20


def test_nothing_reaches_the_router_unmasked() -> None:
    for signal in Signal:
        pipeline = CONFIG["service"]["pipelines"][f"{signal.value}/in"]
        assert tuple(pipeline["processors"][-len(MASKING_ORDER) :]) == MASKING_ORDER
        others = [name for name, pipeline in CONFIG["service"]["pipelines"].items() if "otlp" in pipeline["receivers"]]
        assert sorted(others) == sorted(f"{signal.value}/in" for signal in Signal)


def test_an_error_while_masking_refuses_the_request() -> None:
    assert CONFIG["processors"][MASK]["error_mode"] == "propagate"


def test_ids_are_hashed_with_a_key_from_a_file() -> None:
    processor = masking_processors("/somewhere/key")[HASH]
    assert processor["hash_function"] == "hmac-sha256"
    assert processor["hmac_key"] == "${file:/somewhere/key}"
    assert processor["redact_all_types"] is True
    assert processor["summary"] == "silent", "a summary would name the keys that were hashed"


def test_the_configuration_fits_in_a_config_map() -> None:
    text = rendered(CONFIG)
    assert len(text.encode()) < CONFIG_MAP_BYTES / 2
    assert yaml.load(text, yaml.CSafeLoader) == CONFIG


def test_no_statement_is_read_as_a_reference_by_the_collector() -> None:
    for statement in statements_in(masking_processors()):
        assert "${" not in statement.replace("$$", "")


def test_texts_are_written_for_the_language_and_for_the_configuration() -> None:
    assert quoted('a"b\\c') == '"a\\"b\\\\c"'
    assert escaped("${1}$") == "$${1}$$"
    assert pattern(r"\d$") == '"\\\\d$$"'
    assert literal("a.b(c)") == r"a\.b\(c\)"
    assert has("x", "k=") == 'IsMatch(x, "k=")'
