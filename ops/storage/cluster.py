"""Claims, storage classes and StatefulSets of the cluster: read, grown, and adopted without a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from ops.core.errors import OpsError
from ops.core.kube import Kube, call_errors, wait_until
from ops.core.terminal import say
from ops.storage.claims import Claim, Wanted, claim_of

_TIMEOUT_S: Final = 15
_ABSENT: Final = 404
_APPLY: Final = "application/apply-patch+yaml"
_OWN_MANAGER: Final = "obs-ops"
_GONE_S: Final = 120.0
_ADOPTED_S: Final = 180.0
_TRIES: Final = 5
_PAUSE_S: Final = 2.0


class Volumes:
    """What growing volumes needs of one namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._storage: Any = client.StorageV1Api(kube._api)

    def claims(self) -> dict[str, Claim]:
        """Name -> claim."""
        with call_errors("cannot list the volume claims"):
            answer = self._kube.core.list_namespaced_persistent_volume_claim(
                self._kube.namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
            )
        return {item["metadata"]["name"]: claim_of(item) for item in json.loads(answer.data)["items"]}

    def templates(self) -> dict[str, dict[str, str]]:
        """StatefulSet -> claim template -> size."""
        with call_errors("cannot list the StatefulSets"):
            answer = self._kube.apps.list_namespaced_stateful_set(
                self._kube.namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
            )
        return {
            item["metadata"]["name"]: {
                claim["metadata"]["name"]: str(claim["spec"]["resources"]["requests"]["storage"])
                for claim in item["spec"].get("volumeClaimTemplates") or []
            }
            for item in json.loads(answer.data)["items"]
        }

    def expandable(self) -> dict[str, bool]:
        """StorageClass -> whether it lets volumes grow."""
        with call_errors("cannot list the storage classes"):
            classes = self._storage.list_storage_class(_request_timeout=_TIMEOUT_S).items
        return {item.metadata.name: bool(item.allow_volume_expansion) for item in classes}

    def ask(self, claim: str, size: str) -> None:
        """Let a claim ask for another size."""
        with call_errors(f"the claim {claim} is not let grow to {size}"):
            self._kube.core.patch_namespaced_persistent_volume_claim(
                claim,
                self._kube.namespace,
                {"spec": {"resources": {"requests": {"storage": size}}}},
                field_manager=_OWN_MANAGER,
                _request_timeout=_TIMEOUT_S,
            )

    def adopt(self, workload: str, wanted: Mapping[str, Wanted]) -> None:
        """Give a StatefulSet other claim templates: it is made again around its pods, which go on running.

        The field cannot change in place. The old one is deleted without its pods, the new one has the same pod
        template, so it takes them, and the revisions of the old one, for its own.

        Args:
            workload: Its name.
            wanted: Claim template -> what it has to say.

        Raises:
            OpsError: It is being rolled, its volumes go with it, or it cannot be made again; then the message names a
                file from which it can.
        """
        old = self._read(workload)
        if old is None:
            raise OpsError(f"there is no {workload}: `pulumi up --refresh --policy-pack policy` makes it again")
        spec = old["spec"]
        if (spec.get("persistentVolumeClaimRetentionPolicy") or {}).get("whenDeleted") == "Delete":
            raise OpsError(f"{workload} deletes its volumes with itself (whenDeleted: Delete): nothing was done")
        if not self._kube.rolled(workload):
            raise OpsError(f"{workload} is being rolled, or a pod of it is not ready: wait, then repeat")
        new = _again(old, wanted)
        with NamedTemporaryFile("w", prefix=f"obs-{workload}-", suffix=".json", delete=False) as file:
            json.dump(new, file, indent=2)
        say(f"{workload} is made again around its pods; until then it is kept in {file.name}")
        manager = _manager(old)
        try:
            self._delete(old)
            self._apply(new, manager)
        except OpsError as error:
            raise OpsError(
                f"{workload} was not made again ({error}); if `kubectl get statefulset` lacks it, its pods run on with "
                f"nobody to replace them: kubectl apply --server-side --field-manager={manager} -f {file.name}"
            ) from None
        Path(file.name).unlink()
        wait_until(lambda: self._kube.rolled(workload), _ADOPTED_S, f"{workload} to have its pods again")

    def _read(self, workload: str) -> dict[str, Any] | None:
        """A StatefulSet as the API server has it, or None."""
        with call_errors(f"cannot read {workload}"):
            try:
                answer = self._kube.apps.read_namespaced_stateful_set(
                    workload, self._kube.namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
                )
            except ApiException as error:
                if error.status == _ABSENT:
                    return None
                raise
        content: dict[str, Any] = json.loads(answer.data)
        return content

    def _delete(self, old: Mapping[str, Any]) -> None:
        metadata = old["metadata"]
        unchanged = client.V1Preconditions(uid=metadata["uid"], resource_version=metadata["resourceVersion"])
        options = client.V1DeleteOptions(propagation_policy="Orphan", preconditions=unchanged)
        with call_errors(f"cannot take {metadata['name']} away from its pods"):
            self._kube.apps.delete_namespaced_stateful_set(
                metadata["name"], self._kube.namespace, body=options, _request_timeout=_TIMEOUT_S
            )
        wait_until(
            lambda: self._read(metadata["name"]) is None,
            _GONE_S,
            f"{metadata['name']} to let go of its pods",
            pause=0.2,
        )

    def _apply(self, new: Mapping[str, Any], manager: str) -> None:
        name = new["metadata"]["name"]
        for attempt in range(1, _TRIES + 1):
            try:
                with call_errors(f"cannot make {name} again"):
                    self._kube.apps.patch_namespaced_stateful_set(
                        name,
                        self._kube.namespace,
                        new,
                        field_manager=manager,
                        force=True,
                        _content_type=_APPLY,
                        _request_timeout=_TIMEOUT_S,
                    )
            except OpsError as error:
                if attempt == _TRIES:
                    raise
                say(f"{error}: once more")
                time.sleep(_PAUSE_S)
            else:
                return


def _again(old: Mapping[str, Any], wanted: Mapping[str, Wanted]) -> dict[str, Any]:
    """The same StatefulSet with other claim templates."""
    metadata = {
        key: old["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if key in old["metadata"]
    }
    templates = []
    for claim in old["spec"]["volumeClaimTemplates"]:
        content = {key: value for key, value in claim.items() if key != "status"}
        content["metadata"] = {key: value for key, value in claim["metadata"].items() if key != "creationTimestamp"}
        if one := wanted.get(claim["metadata"]["name"]):
            resources = {**claim["spec"]["resources"], "requests": {"storage": one.size}}
            content["spec"] = {**claim["spec"], "resources": resources, "storageClassName": one.storage_class}
        templates.append(content)
    spec = {**old["spec"], "volumeClaimTemplates": templates}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def _manager(old: Mapping[str, Any]) -> str:
    """Who applied it: whoever else made it again would own its fields, and the next update would be a conflict."""
    return next(
        (
            str(entry["manager"])
            for entry in old["metadata"].get("managedFields") or []
            if entry["operation"] == "Apply" and "f:template" in entry["fieldsV1"].get("f:spec", {})
        ),
        _OWN_MANAGER,
    )
