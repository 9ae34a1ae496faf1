"""The fake's settings: one file that its owner alone can read, closed to unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_Text = Annotated[str, Field(min_length=1)]


class SettingsError(Exception):
    """What is wrong with a settings file, in one line that says what to do."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class User(_Closed):
    """Somebody who can sign in; the name is the subject of the tokens, the hash one of bcrypt."""

    name: _Text
    password_hash: _Text
    email: _Text
    groups: tuple[_Text, ...] = ()


class Client(_Closed):
    """A program that users sign in to, or that signs in itself.

    Attributes:
        client_id: Its name.
        secret: Its password.
        redirects: Where its users may be sent back to; none: it has no login.
        groups: Groups of its own tokens (client credentials).
        audiences: Audiences of its own tokens; none: it gets none of its own.
    """

    client_id: _Text
    secret: _Text
    redirects: tuple[_Text, ...] = ()
    groups: tuple[_Text, ...] = ()
    audiences: tuple[_Text, ...] = ()


class Settings(_Closed):
    """How the fake is reached and served, and who can sign in.

    Attributes:
        issuer: Issuer URL, without a slash at its end.
        host, port: Where to listen.
        cert_file: Certificate chain.
        key_file: Its key.
        token_life_s: Life of a token in seconds.
        users, clients: Who can sign in.
    """

    issuer: Annotated[str, Field(pattern=r"^https://.*[^/]$")]
    host: _Text
    port: Annotated[int, Field(ge=1, le=65535)]
    cert_file: _Text
    key_file: _Text
    token_life_s: Annotated[int, Field(ge=60, le=86_400)] = 3600
    users: tuple[User, ...]
    clients: tuple[Client, ...]


def load(path: Path) -> Settings:
    """Read the settings, as JSON; messages never show a value.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    try:
        return Settings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(f"{path}: {where}: {first['msg']}") from None
