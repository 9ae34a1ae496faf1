"""``docs/masking.md``: what is masked, how, and what is not; written from the rules."""

from __future__ import annotations

from components.masking.allow_list import allowed_keys
from components.masking.catalogue import EVERY
from components.masking.keys import HASHED_KEYS, POSITION_KEYS, REMOVED_KEYS
from components.telemetry.layers import LAYER_NAMES

_BEFORE = """# Masking

Written by `python -m components.masking` from `components/masking`; a test compares. Requirement O3.

The gateway masks before it queues anything, so neither Kafka nor what reads from it ever holds the data. The rules look
at attributes (keys and values, nested maps and lists too), bodies of any shape, names of spans, events, scopes and
metrics, status messages, exceptions and stack traces. The collector is unchanged upstream: rules become statements of
its transform processor and one redaction processor (`components/masking/render.py`).

- **Ids** that others join by are hashed: HMAC-SHA-256 with a key from the Secret `gateway-auth`, the same in every
  signal. `components.masking.pseudonyms.pseudonym` computes it.
- **Keys** that say what they hold are removed with their values.
- **Everything else** is found by expression and replaced by a marker such as `[mail]`.
- Text is normalised first: invisible characters, HTML tags and entities, percent encoding, `\\u` escapes and full-width
  characters do not hide anything. A record in which a rule found something keeps the normalised form (and maps inside
  attributes become flat, `a.b.0`); one in which none did leaves the gateway exactly as it came.
"""

_AFTER = """
## What is not masked

- Base64, compressed or encrypted text, and attributes of OTLP's type `bytes`: what is inside cannot be seen.
- **Attributes of span links and of metric exemplars**: no stock processor of the collector 0.149 reads or writes them.
  Prometheus and Jaeger store neither, but Kafka's records hold them until retention ends. Clients must not put
  personal data there.
- Names without any mark (no honorific, title, label, known surname or first name) in free text, and names written in
  percent-encoded UTF-8 outside of a query for a name.
- Device and worker ids inside of free text; ids are hashed where they are attributes.
- Numbers without separators that match no check digit and carry no label.
- More than two numbers with the form of a card in one record: the rest is masked without a check of the digits.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "⏎")


def document() -> str:
    """The whole page."""
    lines = [_BEFORE, "## Rules", "", "| rule | class | becomes | for example | stays |", "|---|---|---|---|---|"]
    for rule in EVERY:
        dirty, clean = _cell(rule.dirty[0][0]), _cell(rule.clean[0])
        lines.append(f"| `{rule.id}` | {rule.data_class.value} | `{rule.replacement}` | {dirty} | {clean} |")
    lines += ["", "## Keys", "", "| rule | class | what happens | for example | stays |", "|---|---|---|---|---|"]
    outcomes = [(rule, "removed") for rule in REMOVED_KEYS]
    outcomes += [(POSITION_KEYS, "removed if more than two decimals"), (HASHED_KEYS, "hashed")]
    for key_rule, outcome in outcomes:
        dirty = ", ".join(f"`{key}`" for key in key_rule.dirty)
        clean = ", ".join(f"`{key}`" for key in key_rule.clean)
        lines.append(f"| `{key_rule.id}` | {key_rule.data_class.value} | {outcome} | {dirty} | {clean} |")
    lines += [
        "",
        "## Allow list per layer",
        "",
        "The rules for numbers (phone, IP, position, My Number, card) leave these attributes alone; the others do not.",
        "",
        "| layer | attributes |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {', '.join(f'`{key}`' for key in allowed_keys(name))} |" for name in LAYER_NAMES]
    return "\n".join(lines) + "\n" + _AFTER
