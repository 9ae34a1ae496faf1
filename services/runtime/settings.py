"""Settings of our programs: one pydantic model each, which the component renders and the program reads; and what a
moment in their records is.

A model is frozen and closed to unknown keys. A mistake is one line: key, value, what is allowed. Modules with models
are imported by the Pulumi program too: they need pydantic and PyYAML, and nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError

_LONGEST_VALUE = 60
_T = TypeVar("_T")
_M = TypeVar("_M", bound="SettingsModel")
_NOT_ALLOWED, _RULE = "not_allowed", "rule"
_TOP_PORT = 65535
_FIRST = {"extra_forbidden": 0, "missing": 1}
"""Of several mistakes the one about a key is told, since a value may be under the wrong one."""
ENCRYPTIONS = ("AES256", "aws:kms")
"""How a storage can be asked to encrypt objects."""


def causes(error: ValidationError) -> Iterator[ErrorDetails]:
    """The mistakes in the order of the model, without lists that are too short only since an element is refused."""
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] != "too_short" or not any(_inside(other, detail) for other in details):
            yield detail


def value_at(location: tuple[int | str, ...], content: Any) -> Any:
    """The value at a location of what was read; None where there is none."""
    for part in location:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def shown(value: object) -> str:
    """A value in a line: as YAML has it, and not too long."""
    names = {"None": "null", "True": "true", "False": "false"}
    text = names.get(repr(value), repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def keys_at(location: tuple[int | str, ...], model: type[BaseModel], *, needed: bool = False) -> list[str]:
    """Keys of the model at a location, all or those that must be there."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _nested_model(model.model_fields[part].annotation) or model
    return [key for key, known in model.model_fields.items() if known.is_required() or not needed]


def instead(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What could have been meant by an unknown key."""
    known = sorted(keys_at(location[:-1], model))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]}? Known here: {', '.join(known)}"
    return f"remove it; known here: {', '.join(known)}"


def _inside(detail: ErrorDetails, outer: ErrorDetails) -> bool:
    """Whether one mistake is inside the value that another is about."""
    length = len(outer["loc"])
    return len(detail["loc"]) > length and detail["loc"][:length] == outer["loc"]


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``Model``, ``Model | None``, ``tuple[Model, ...]`` or ``dict[str, Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _nested_model(argument)) is not None), None)


class SettingsError(Exception):
    """What is wrong with the settings file, in one line that says what to do."""


class SettingsModel(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def content(self) -> dict[str, Any]:
        """The content of a settings file, for the component that renders it."""
        return self.model_dump(mode="json")

    @classmethod
    def parse(cls: type[_M], content: object) -> _M:
        """Check the content of a settings file.

        Raises:
            SettingsError: A key is missing or unknown, or a value is not acceptable.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            details = sorted(causes(error), key=lambda detail: _FIRST.get(detail["type"], len(_FIRST)))
            raise SettingsError(_line(details[0], cls, content)) from None

    @classmethod
    def load(cls: type[_M], path: Path) -> _M:
        """Read a settings file, YAML or JSON.

        Raises:
            SettingsError: The file cannot be read, or a value in it is not acceptable.
        """
        return read(path, cls.parse)


def not_allowed(allowed: str, verb: str = "be") -> PydanticCustomError:
    """The error for a value that is not allowed; ``verb`` and ``allowed`` complete 'it must ...'."""
    return PydanticCustomError(_NOT_ALLOWED, "{allowed}", {"allowed": f"{verb} {allowed}"})


def broken_rule(line: str) -> PydanticCustomError:
    """The error of a rule about several values, in a whole line."""
    return PydanticCustomError(_RULE, "{line}", {"line": line})


def checked(check: Callable[[Any], bool], allowed: str, verb: str = "be") -> BeforeValidator:
    """A check of a value as it stands in the file; ``verb`` and ``allowed`` complete 'it must ...'."""

    def validate(value: Any) -> Any:
        if not check(value):
            raise not_allowed(allowed, verb)
        return value

    return BeforeValidator(validate)


def whole(lowest: int, highest: int, unit: str = "") -> BeforeValidator:
    """A whole number of ``unit`` in a range."""
    of = f" of {unit}" if unit else ""
    return checked(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest,
        f"a whole number{of} from {lowest} to {highest}",
    )


def number(lowest: float, highest: float, unit: str = "") -> BeforeValidator:
    """A number of ``unit`` in a range."""
    of = f" of {unit}" if unit else ""
    return checked(
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value <= highest,
        f"a number{of} from {lowest:.0f} to {highest:.0f}",
    )


def above_zero(unit: str) -> BeforeValidator:
    """A number of ``unit`` above 0."""
    return checked(
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
        f"a number of {unit} above 0",
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_address(value: object) -> bool:
    host, _, port = str(value).rpartition(":")
    return isinstance(value, str) and bool(host) and port.isdigit() and int(port) <= _TOP_PORT


def is_host_port(value: object) -> bool:
    """Whether it is ``host:port``."""
    return _is_address(value) and int(str(value).rpartition(":")[2]) > 0


def is_url(value: object) -> bool:
    """Whether it is ``https://host:port``."""
    try:
        parts = urlsplit(str(value))
        whole = parts.scheme == "https" and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        return False
    return whole and "@" not in parts.netloc and not (parts.path.strip("/") or parts.query or parts.fragment)


Text = Annotated[str, checked(_is_text, "a text that is not empty")]


File = Annotated[
    Path,
    checked(lambda value: isinstance(value, Path) or _is_text(value), "a text that is not empty"),
    PlainSerializer(str, when_used="json"),
]


Address = Annotated[str, checked(_is_address, '"address:port", for example "0.0.0.0:8080"')]


Url = Annotated[
    str,
    checked(is_url, "https://host:port, without a user or a path"),
    BeforeValidator(lambda value: str(value).rstrip("/")),
]


class Tls(SettingsModel):
    """Certificate (chain) and key of a server."""

    cert_file: File
    key_file: File


class Login(SettingsModel):
    """Who may enter, and the file with the password."""

    user: Text
    password_file: File


class ServerSettings(SettingsModel):
    """How a program serves its metrics, and what else it has.

    Attributes:
        listen: Address and port.
        tls: Certificate of the server.
        metrics: May read the metrics.
    """

    listen: Address
    tls: Tls
    metrics: Login

    @property
    def listen_host(self) -> str:
        """Address of everything that it serves."""
        return self.listen.rpartition(":")[0]

    @property
    def listen_port(self) -> int:
        """Port of it."""
        return int(self.listen.rpartition(":")[2])

    @property
    def cert_file(self) -> Path:
        """Certificate chain of the server."""
        return self.tls.cert_file

    @property
    def key_file(self) -> Path:
        """Its key."""
        return self.tls.key_file


class KafkaTopic(SettingsModel):
    """Where records come from."""

    bootstrap: Text
    topic: Text
    ca_file: File
    username: Text
    group: Text
    password_file: File


class SearchIndex(SettingsModel):
    """Where documents go: ``index`` is an alias with a write index."""

    url: Url
    server_name: Text
    index: Text
    ca_file: File
    username: Text
    password_file: File


def _line(detail: ErrorDetails, model: type[BaseModel], content: object) -> str:
    """One mistake: key, value, what is allowed."""
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    path = _path(location)
    if kind == "missing":
        return f"{path} is missing; needed: {', '.join(keys_at(location[:-1], model, needed=True))}"
    if kind == "extra_forbidden":
        return f"{path} is not a setting; allowed: {', '.join(keys_at(location[:-1], model))}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{path or 'the file'} must be a mapping with the keys {', '.join(keys_at(location, model))}"
    if kind == _RULE:
        return str(context["line"])
    allowed = f"it must {context['allowed']}" if kind == _NOT_ALLOWED else detail["msg"]
    return f"{path} is {value_at(location, content)!r}; {allowed}"


def _path(location: tuple[int | str, ...]) -> str:
    """``("families", 0, "name")`` as ``families[0].name``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(path: Path, parse: Callable[[object], _T]) -> _T:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    try:
        return parse(content)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def mapping(where: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Check that a value has exactly these keys; ``where`` is its own key, empty for the file.

    Raises:
        SettingsError: A key is missing or unknown, or it is no mapping.
    """
    if not isinstance(value, dict):
        raise SettingsError(f"{where or 'the file'} must be a mapping with the keys {', '.join(keys)}")
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in keys:
            raise SettingsError(f"{prefix}{key} is not a setting; allowed: {', '.join(keys)}")
    for key in keys:
        if key not in value:
            raise SettingsError(f"{prefix}{key} is missing; needed: {', '.join(keys)}")
    return value


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The bucket.

    Attributes:
        endpoint: Its address; None: AWS' own.
        region: Its region.
        bucket: Its name.
        prefix: What the keys of all objects begin with.
        access_key_id_file: File with the key's id.
        secret_access_key_file: File with the key.
        ca_file: Authority of its certificate; None: the public ones.
        encryption: How it is asked to encrypt objects; None: as the bucket says.
    """

    endpoint: str | None
    region: str
    bucket: str
    prefix: str
    access_key_id_file: Path
    secret_access_key_file: Path
    ca_file: Path | None
    encryption: str | None = None


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and not value.startswith("/") and (not value or value.endswith("/"))


def _checked_endpoint(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise not_allowed("null or a text that is not empty")
    try:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and not parts.path.strip("/")
    except ValueError:
        whole = False
    if not whole:
        raise not_allowed("https://host:port, or null for AWS' own")
    return value.rstrip("/")


OptionalFile = Annotated[
    File | None, checked(lambda value: value is None or bool(value), "null or a text that is not empty")
]


class BucketSettings(SettingsModel):
    """A whole bucket, and who may use it; see `Storage`."""

    endpoint: Annotated[str | None, BeforeValidator(_checked_endpoint)]
    region: Text
    bucket: Text
    access_key_id_file: File
    secret_access_key_file: File
    ca_file: OptionalFile

    @property
    def place(self) -> Storage:
        """The bucket."""
        return Storage(**{"prefix": "", **{name: getattr(self, name) for name in type(self).model_fields}})


class StorageSettings(BucketSettings):
    """A part of a bucket that is read."""

    prefix: Annotated[str, checked(_is_prefix, '"" or end with /, for example "reports/"')]


class WritableStorageSettings(StorageSettings):
    """A part of a bucket that is written to."""

    encryption: Annotated[
        str | None, checked(lambda value: value in (None, *ENCRYPTIONS), f"null or one of {', '.join(ENCRYPTIONS)}")
    ] = None


def secret(file: Path) -> str:
    """What a mounted file with a password or a key holds.

    Raises:
        SettingsError: It cannot be read, or is empty.
    """
    try:
        content = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: is no text; it must hold a password or a key") from None
    if not content:
        raise SettingsError(f"{file}: is empty; it must hold a password or a key")
    return content


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[
    AwareDatetime,
    AfterValidator(_utc),
    PlainSerializer(_written, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T09:30:00.000Z"]}),
]
"""A moment in UTC, written with milliseconds: the same moment is the same text everywhere."""
