"""``docs/masking.md`` from the examples."""

from __future__ import annotations

from components.masking import EXAMPLES

_BEFORE = """# Masking

Written by `python -m components.masking` from `components/masking/examples.yaml`; a test compares. Requirement O3.

The gateway's processor `gate` masks before anything is queued, so neither Kafka nor a gateway's disk nor what reads
from Kafka ever holds the data ([ADR 33](adr/0033-gate-processor.md), [34](adr/0034-masking-scanners.md)).

- **What has a type is not searched.** The catalogue lists every attribute of a layer with its type: a number, a version
  or a value of a list cannot hold a name. A value that does not fit its type does not pass.
- **Ids** that others join by are hashed: HMAC-SHA-256 with a key from the Secret `gateway-auth`, the same in every
  signal. `components.masking.pseudonym` computes it. Another resource attribute with the same value becomes
  the same pseudonym.
- **Erasure**: who may read that key finds one person's pseudonym in every store, and removes it where the store can:
  `ops privacy` ([operations/privacy.md](operations/privacy.md)).
- **Free text** (bodies, messages, stack traces, names of spans, and everything that an `open` layer adds to the
  catalogue) is normalised and searched by `collector/masking`; what it finds is replaced by a marker such as `[mail]`.
  Invisible characters, tags, entities, percent encoding, escapes, variants of characters and full-width characters hide
  nothing; JSON is decoded and walked; base64 of text is looked into. Text in which nothing is found stays as it came.
- **Keys** that say what they hold (`password`, `full_name`, `氏名`) decide over their values in free text.
- `otelcol_gate_masked_values_total` counts by layer, signal and kind.

Detection is conservative: what may be a phone number or a My Number is masked. Attributes whose numbers look like these
belong into the catalogue with a type.

## Examples

Each is sent through the real gateway by `tests/config/test_masking.py`, and through the live one by `ops verify O3`;
the corpora in `tests/support/dirty` add several hundred more. `collector/masking/testdata/vocabulary.yaml` defines more
than a thousand texts as real logs have them, none of which may change.

| example | finds | masked | stays as it is |
|---|---|---|---|
"""

_AFTER = """
## What is not masked

- Compressed or encrypted text, and base64 of it: what is inside cannot be seen.
- Names without any mark (no honorific, title, label, known surname or first name) in free text.
- Ids inside of free text; ids are hashed where they are attributes.
- Numbers without separators that match no check digit, have no form of a phone number and carry no label.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "⏎")


def document() -> str:
    """The whole page."""
    rows = [
        f"| `{example.id}` | {example.finds} | {_cell(example.dirty[0][0])} | {_cell(example.clean[0])} |\n"
        for example in EXAMPLES
    ]
    return _BEFORE + "".join(rows) + _AFTER


print(document(), end="")
