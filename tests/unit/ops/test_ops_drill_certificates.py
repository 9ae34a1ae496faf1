"""A renewal is asked for again where cert-manager changed the certificate meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.client.exceptions import ApiException

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.drills.procedures import certificates
from ops.drills.procedures.certificates import Certificates


class Api:
    """Certificates of a cluster that answers each write as it is told to."""

    def __init__(self, *answers: int) -> None:
        self._answers, self._version = list(answers), 1
        self.written: list[dict[str, Any]] = []

    def get_namespaced_custom_object_status(self, *_: object, **__: object) -> dict[str, Any]:
        old = [{"type": "Ready", "status": "True"}, {"type": "Issuing", "status": "False"}]
        metadata = {"generation": 4, "resourceVersion": str(self._version)}
        return {"metadata": metadata, "status": {"conditions": old}}

    def patch_namespaced_custom_object_status(self, *arguments: Any, **_: object) -> None:
        status = self._answers.pop(0)
        self._version += 1
        if status != 200:
            raise ApiException(status=status, reason="Conflict")
        self.written.append(arguments[-1])


def renewing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, api: Api) -> Certificates:
    monkeypatch.setattr(certificates, "client", SimpleNamespace(CustomObjectsApi=lambda _: api))
    monkeypatch.setattr(certificates, "ssl", SimpleNamespace(create_default_context=lambda **_: SimpleNamespace()))
    core = SimpleNamespace(api_client=None)
    context = SimpleNamespace(kube=SimpleNamespace(core=core, namespace="obs"), ca_file=str(tmp_path))
    return Certificates(cast(Context, context))


def test_a_renewal_that_meets_a_change_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api = Api(409, 200)
    renewing(monkeypatch, tmp_path, api).renew("kafka")
    [change] = api.written
    assert change["metadata"]["resourceVersion"] == "2", "it was read again"
    assert [(condition["type"], condition["status"]) for condition in change["status"]["conditions"]] == [
        ("Ready", "True"),
        ("Issuing", "True"),
    ]


def test_a_renewal_that_is_never_taken_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(certificates, "_ASKED_S", 0.5)
    vain = (
        r"waited 0 s in vain for the renewal of kafka to be taken \(cannot write certificate kafka: HTTP 403 Conflict\)"
    )
    with pytest.raises(OpsError, match=vain):
        renewing(monkeypatch, tmp_path, Api(*[403] * 9)).renew("kafka")
