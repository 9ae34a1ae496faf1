"""Accounts of the directory for checks and load tests: one for each role."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.core.errors import OpsError, one_line
from ops.core.platform import Login

TEST_ACCOUNTS_FILE = "OBS_TEST_ACCOUNTS_FILE"
"""Environment variable that names the file of `Credentials`."""


CREDENTIALS_FORM = (
    'must be {"viewer": {"username": "...", "password": "..."}, "editor": ..., "admin": ..., "outsider": ...}'
)


class Credentials(BaseModel):
    """Accounts of the directory for checks, one for each role; in a file, as JSON.

    Attributes:
        viewer: In the group of those who may look.
        editor: In the group of those who may change dashboards.
        admin: In the group of those who may change permissions.
        outsider: In the directory, and in none of these groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    viewer: Login
    editor: Login
    admin: Login
    outsider: Login

    @property
    def inside(self) -> tuple[Login, ...]:
        """Those who get in."""
        return self.viewer, self.editor, self.admin


def read_credentials(path: Path) -> Credentials:
    """Read the accounts.

    Raises:
        OpsError: The file cannot be read or is none of this kind.
    """
    try:
        return Credentials.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise OpsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise OpsError(f"{path}: {where}: {one_line(first['msg'])}: {CREDENTIALS_FORM}") from None
    except ValueError:
        raise OpsError(f"{path}: is no JSON: {CREDENTIALS_FORM}") from None


def known_credentials(environment: Mapping[str, str] | None = None) -> Credentials | None:
    """Accounts of the file that the environment names, or nothing where it names none."""
    path = (os.environ if environment is None else environment).get(TEST_ACCOUNTS_FILE)
    return read_credentials(Path(path)) if path else None
