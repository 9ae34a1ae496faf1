"""Provider plugin for ``pulumi-random``: passwords and ids, drawn once and kept in the state as secrets."""

from __future__ import annotations

import base64
import importlib.metadata
import secrets
import string
import threading
from typing import ClassVar

import bcrypt

from lab.pulumi_host.provider import Handler, Properties, Provider, ProviderError, Refusal, Unknown, run

_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
# bcrypt reads no further than this; upstream cuts likewise.
_BCRYPT_LIMIT_BYTES = 72
_CLASSES = ("lower", "upper", "numeric", "special")


def _minimum(kind: str) -> str:
    return f"min{kind.capitalize()}"


def _alphabets(inputs: Properties) -> dict[str, str]:
    all_of = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": str(inputs.get("overrideSpecial") or _SPECIAL),
    }
    return {kind: letters for kind, letters in all_of.items() if inputs.get(kind, True)}


def draw_password(inputs: Properties) -> str:
    """Draw a password with the asked length, character classes and minimum of each class."""
    alphabets = _alphabets(inputs)
    letters = [
        secrets.choice(letters)
        for kind, letters in alphabets.items()
        for _ in range(int(inputs.get(_minimum(kind), 0)))
    ]
    everything = "".join(alphabets.values())
    letters += [secrets.choice(everything) for _ in range(int(inputs["length"]) - len(letters))]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)


class _Once(Handler):
    """A value that is drawn once: every change of its inputs is a new one, and the state is the only place it is in."""

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        if not self.computed <= state.keys():
            raise ProviderError(
                f"{self.resource_type} {identity} cannot be imported: its value is only in the state it was made in"
            )
        return state, {key: value for key, value in state.items() if key in self.inputs}

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        raise ProviderError(f"{self.resource_type} {identity} cannot change in place: every input replaces it")

    def delete(self, identity: str, state: Properties) -> None:
        """Nothing exists outside the state."""


class RandomPassword(_Once):
    """A random password and its bcrypt hash, both secret."""

    resource_type: ClassVar[str] = "random:index/randomPassword:RandomPassword"
    inputs: ClassVar[frozenset[str]] = frozenset(
        {"keepers", "length", "overrideSpecial", "number", *_CLASSES, *map(_minimum, _CLASSES)}
    )
    required: ClassVar[frozenset[str]] = frozenset({"length"})
    replace_on: ClassVar[frozenset[str]] = inputs
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"result", "bcryptHash"})
    computed: ClassVar[frozenset[str]] = secret_outputs

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        length = inputs["length"]
        if any(isinstance(value, Unknown) for value in inputs.values()):
            return []
        if "number" in inputs:
            return [Refusal("number", "is deprecated upstream: use numeric")]
        if not _alphabets(inputs):
            return [Refusal("lower", "all of lower, upper, numeric and special are off: switch one on")]
        switched_off = [
            _minimum(kind) for kind in _CLASSES if not inputs.get(kind, True) and int(inputs.get(_minimum(kind), 0)) > 0
        ]
        if switched_off:
            return [Refusal(switched_off[0], "asks for characters of a class that is switched off")]
        least = max(1, sum(int(inputs.get(_minimum(kind), 0)) for kind in _CLASSES))
        if not isinstance(length, int) or length < least:
            return [Refusal("length", f"is {length}; it must be a whole number of at least {least}")]
        return []

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        result = draw_password(inputs)
        hashed = bcrypt.hashpw(result.encode()[:_BCRYPT_LIMIT_BYTES], bcrypt.gensalt(10)).decode()
        switches = {kind: bool(inputs.get(kind, True)) for kind in _CLASSES}
        minima = {_minimum(kind): int(inputs.get(_minimum(kind), 0)) for kind in _CLASSES}
        outputs = {
            **switches,
            "number": switches["numeric"],
            **minima,
            **inputs,
            "result": result,
            "bcryptHash": hashed,
        }
        return "none", outputs


class RandomId(_Once):
    """Random bytes in several spellings; not secret."""

    resource_type: ClassVar[str] = "random:index/randomId:RandomId"
    inputs: ClassVar[frozenset[str]] = frozenset({"byteLength", "keepers", "prefix"})
    required: ClassVar[frozenset[str]] = frozenset({"byteLength"})
    replace_on: ClassVar[frozenset[str]] = inputs
    computed: ClassVar[frozenset[str]] = frozenset({"hex", "dec", "b64Std", "b64Url"})

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        length = inputs["byteLength"]
        if isinstance(length, Unknown) or (isinstance(length, int) and length >= 1):
            return []
        return [Refusal("byteLength", f"is {length}; it must be a whole number of at least 1")]

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        drawn = secrets.token_bytes(int(inputs["byteLength"]))
        prefix = str(inputs.get("prefix", ""))
        url = base64.urlsafe_b64encode(drawn).decode().rstrip("=")
        spellings = {
            "hex": prefix + drawn.hex(),
            "dec": prefix + str(int.from_bytes(drawn)),
            "b64Std": prefix + base64.b64encode(drawn).decode(),
            "b64Url": prefix + url,
        }
        return url, {**inputs, **spellings}


def main() -> None:
    """Run as ``pulumi-resource-random``."""
    stopping = threading.Event()
    run(Provider(importlib.metadata.version("pulumi-random"), [RandomPassword(), RandomId()], stopping), stopping)
