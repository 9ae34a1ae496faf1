"""Kubernetes as ``ops`` needs it: pods of a workload, small changes, bounded waits."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from ops.core.errors import OpsError, one_line, waiting_for
from ops.core.platform import ClusterIdentity, Platform
from ops.core.terminal import say

_TIMEOUT_SECONDS = 15
_ROLLED_S = 900.0
"""Two gateways, each of which may take some minutes to hand over what it has on its disk."""
_TOLD_AFTER_S = 2.0
"""A wait that takes longer is a step that is told."""
NAME_LABEL = "app.kubernetes.io/name"
_OVER = ("Succeeded", "Failed")
STATEFUL_SET, DEPLOYMENT, DAEMON_SET = "StatefulSet", "Deployment", "DaemonSet"
_IN_CALLS = {STATEFUL_SET: "stateful_set", DEPLOYMENT: "deployment", DAEMON_SET: "daemon_set"}
"""Kind of workloads -> as names of calls have it."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """One pod, reduced to what the checks read.

    ``started`` is 0 until a node has taken it, else seconds since 1970. ``images`` and ``image_ids`` are in the order
    of ``containers``: what each is to run, and what its node says that it runs, empty until then. ``address`` is that
    of its network, and ``node`` where it runs, each empty until it has one. ``ending`` says that it was told to end.
    """

    name: str
    workload: str
    uid: str
    phase: str
    ready: bool
    restarts: int
    container_ids: tuple[str, ...]
    containers: tuple[str, ...]
    images: tuple[str, ...]
    started: float = 0.0
    image_ids: tuple[str, ...] = ()
    address: str = ""
    node: str = ""
    ending: bool = False


@dataclass(frozen=True, kw_only=True)
class CronJob:
    """A job that runs on a schedule: five fields of cron in a time zone (IANA name)."""

    name: str
    cron: str
    time_zone: str
    created: datetime
    suspended: bool


def pod_of(item: Any) -> Pod:
    """Reduce a pod of the Kubernetes client."""
    statuses = item.status.container_statuses or []
    ids = {status.name: status.image_id or "" for status in statuses}
    ending = item.metadata.deletion_timestamp is not None
    conditions = {condition.type: condition.status for condition in item.status.conditions or []}
    return Pod(
        name=item.metadata.name,
        workload=(item.metadata.labels or {}).get(NAME_LABEL, ""),
        uid=item.metadata.uid,
        phase=item.status.phase,
        ready=conditions.get("Ready") == "True" and not ending,
        restarts=sum(status.restart_count for status in statuses),
        container_ids=tuple(
            (status.container_id or "").rpartition("//")[2] for status in statuses if status.container_id
        ),
        containers=tuple(container.name for container in item.spec.containers),
        images=tuple(container.image for container in item.spec.containers),
        started=item.status.start_time.timestamp() if item.status.start_time else 0.0,
        image_ids=tuple(ids.get(container.name, "") for container in item.spec.containers),
        address=item.status.pod_ip or "",
        node=item.spec.node_name or "",
        ending=ending,
    )


class Kube:
    """Calls on one namespace; every call has a time limit, and errors are one line."""

    def __init__(self, api: Any, namespace: str, context: str | None = None) -> None:
        self.namespace = namespace
        self.context = context
        self.core: Any = client.CoreV1Api(api)
        self.apps: Any = client.AppsV1Api(api)
        self.batch: Any = client.BatchV1Api(api)
        self._api = api

    @classmethod
    def of(cls, platform: Platform) -> Kube:
        """Connect with the cluster that a stack names in its outputs, by its context, and with no other.

        Raises:
            OpsError: No configuration, the cluster does not answer, or it is another one.
        """
        expected = platform.cluster
        if expected is None:
            raise OpsError(
                "the stack's outputs name no cluster: run `pulumi up --policy-pack policy` with this version of the "
                "program"
            )
        kube = cls.connect(platform.namespace, context=expected.context)
        try:
            kube._check(expected, platform.platform)
        except OpsError:
            kube.close()
            raise
        return kube

    def _check(self, expected: ClusterIdentity, name: str) -> None:
        uid = self.cluster_id()
        if uid != expected.uid:
            where = f"the context {expected.context}" if expected.context else "the current context"
            raise OpsError(
                f"{where} leads to the cluster {uid}, but the platform {name} is in {expected.uid}: nothing was done; "
                "select the other stack, or set KUBECONFIG"
            )

    @classmethod
    def connect(cls, namespace: str, config_file: Path | None = None, context: str | None = None) -> Kube:
        """Connect with ``config_file`` or ``KUBECONFIG``, in a context of it, and ask for the server's version.

        Raises:
            OpsError: No configuration, or the cluster does not answer.
        """
        settings = client.Configuration()
        try:
            file = None if config_file is None else str(config_file)
            config.load_kube_config(file, context=context, client_configuration=settings)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError) as error:
            raise OpsError(f"no cluster: {one_line(error)}: set KUBECONFIG") from None
        settings.retries = False
        kube = cls(client.ApiClient(settings), namespace, context)
        with call_errors("the cluster does not answer"):
            client.VersionApi(kube._api).get_code(_request_timeout=_TIMEOUT_SECONDS)
        return kube

    def cluster_id(self) -> str:
        """UID of the namespace ``kube-system``, which identifies a cluster for its whole life."""
        with call_errors("cannot read the cluster's identity (namespace kube-system)"):
            namespace = self.core.read_namespace("kube-system", _request_timeout=_TIMEOUT_SECONDS)
        return str(namespace.metadata.uid)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._api.rest_client.pool_manager.clear()

    def pods(self, workload: str | None = None) -> list[Pod]:
        """Pods of one workload (label ``app.kubernetes.io/name``), or all, by name; none that have ended."""
        selector = f"{NAME_LABEL}={workload}" if workload else ""
        with call_errors(f"cannot list the pods of {workload or self.namespace}"):
            listing = self.core.list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=_TIMEOUT_SECONDS
            )
        pods = (pod_of(item) for item in listing.items)
        return sorted((pod for pod in pods if pod.phase not in _OVER), key=lambda pod: pod.name)

    def former_images(self) -> set[str]:
        """Images of all revisions of Deployments, StatefulSets and DaemonSets that Kubernetes keeps."""
        with call_errors(f"cannot list the revisions of {self.namespace}"):
            sets = self.apps.list_namespaced_replica_set(self.namespace, _request_timeout=_TIMEOUT_SECONDS).items
            revisions = self.apps.list_namespaced_controller_revision(
                self.namespace, _request_timeout=_TIMEOUT_SECONDS
            ).items
        images = {container.image for item in sets for container in item.spec.template.spec.containers}
        for revision in revisions:
            pods = ((revision.data or {}).get("spec") or {}).get("template") or {}
            images |= {container["image"] for container in (pods.get("spec") or {}).get("containers") or ()}
        return images

    def pod(self, name: str) -> Pod | None:
        """One pod, or nothing when there is none of that name."""
        return next((pod for pod in self.pods() if pod.name == name), None)

    def ready_pod(self, workload: str) -> Pod:
        """A pod of the workload that is ready.

        Raises:
            OpsError: There is none.
        """
        for pod in self.pods(workload):
            if pod.ready:
                return pod
        raise OpsError(f"no pod of {workload} is ready in namespace {self.namespace}")

    def config_map(self, name: str) -> dict[str, str]:
        """Files of a ConfigMap."""
        with call_errors(f"cannot read ConfigMap {name}"):
            config_map = self.core.read_namespaced_config_map(name, self.namespace, _request_timeout=_TIMEOUT_SECONDS)
        return dict(config_map.data or {})

    def balancers(self) -> dict[str, str]:
        """Service -> address or name of its load balancer, of those that have one; nothing without the namespace."""
        with call_errors(f"cannot list the Services of {self.namespace}"):
            services = self.core.list_namespaced_service(self.namespace, _request_timeout=_TIMEOUT_SECONDS).items
        ingress = {
            service.metadata.name: (service.status.load_balancer.ingress or [])[:1]
            for service in services
            if service.spec.type == "LoadBalancer"
        }
        return {name: first.ip or first.hostname or "" for name, listed in ingress.items() for first in listed}

    def account_may(self, account: str, verb: str, group: str, resource: str, *, namespaced: bool = True) -> bool:
        """Whether the API server would let a ServiceAccount of the namespace do something (SubjectAccessReview).

        Args:
            account: Its name.
            verb: For example ``get``.
            group: API group; empty for the core.
            resource: Plural name, with ``/`` and a subresource where it is about one.
            namespaced: Whether it is about objects of the namespace, not of the cluster.
        """
        name, _, subresource = resource.partition("/")
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated"]
        review = client.V1SubjectAccessReview(
            spec=client.V1SubjectAccessReviewSpec(
                user=f"system:serviceaccount:{self.namespace}:{account}",
                groups=groups,
                resource_attributes=client.V1ResourceAttributes(
                    namespace=self.namespace if namespaced else "",
                    verb=verb,
                    group=group,
                    resource=name,
                    subresource=subresource,
                ),
            )
        )
        with call_errors(f"cannot ask what {account} may do"):
            answer: Any = client.AuthorizationV1Api(self._api).create_subject_access_review(
                review, _request_timeout=_TIMEOUT_SECONDS
            )
        return bool(answer.status.allowed)

    def may_read_secret(self, name: str, account: str | None = None) -> bool:
        """Ask for a Secret, which need not be there, and tell whether the API server let it be read.

        Args:
            name: Its name.
            account: As whom; None: as the operator. Who may not be somebody else is refused as well.
        """
        with ExitStack() as stack, call_errors("cannot ask for a Secret"):
            core = self.core
            if account is not None:
                api = stack.enter_context(client.ApiClient(self._api.configuration))
                api.set_default_header("Impersonate-User", account)
                core = client.CoreV1Api(api)
            try:
                core.read_namespaced_secret(name, self.namespace, _request_timeout=_TIMEOUT_SECONDS)
            except ApiException as error:
                if error.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                    raise
                return bool(error.status == HTTPStatus.NOT_FOUND)
        return True

    def secret(self, name: str) -> dict[str, bytes] | None:
        """What is in a Secret; None where there is none.

        Raises:
            OpsError: It may not be read, or the cluster does not answer.
        """
        with call_errors(f"cannot read Secret {name} of namespace {self.namespace}"):
            try:
                content = self.core.read_namespaced_secret(name, self.namespace, _request_timeout=_TIMEOUT_SECONDS)
            except ApiException as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return None
                raise
        return {key: base64.b64decode(text) for key, text in (content.data or {}).items()}

    def secret_entry(self, name: str, key: str) -> str:
        """One entry of a Secret, a text.

        Raises:
            OpsError: It is not there, or may not be read.
        """
        content = self.secret(name)
        if content is None or key not in content:
            what = f"Secret {name} of namespace {self.namespace}"
            missing = f"there is no {what}" if content is None else f"{what} has no {key}"
            raise OpsError(f"{missing}: run `pulumi up --policy-pack policy` with this version")
        return content[key].decode()

    def cron_jobs(self) -> list[CronJob]:
        """Every CronJob."""
        with call_errors(f"cannot list the CronJobs of {self.namespace}"):
            cron_jobs = self.batch.list_namespaced_cron_job(self.namespace, _request_timeout=_TIMEOUT_SECONDS).items
        return [
            CronJob(
                name=item.metadata.name,
                cron=item.spec.schedule,
                time_zone=item.spec.time_zone or "UTC",
                created=item.metadata.creation_timestamp,
                suspended=bool(item.spec.suspend),
            )
            for item in cron_jobs
        ]

    def cron_job(self, name: str) -> CronJob | None:
        """A CronJob, or None where there is none of that name."""
        return next((job for job in self.cron_jobs() if job.name == name), None)

    def created(self) -> datetime:
        """When the namespace was created: the beginning of the platform."""
        with call_errors(f"cannot read namespace {self.namespace}"):
            namespace = self.core.read_namespace(self.namespace, _request_timeout=_TIMEOUT_SECONDS)
        at: datetime = namespace.metadata.creation_timestamp
        return at

    def argument(self, stateful_set: str, name: str) -> str:
        """Value of ``--name=value`` among the arguments of a StatefulSet's containers; empty where there is none."""
        with call_errors(f"cannot read {stateful_set}"):
            resource = self.apps.read_namespaced_stateful_set(
                stateful_set, self.namespace, _request_timeout=_TIMEOUT_SECONDS
            )
        words = (
            word
            for container in resource.spec.template.spec.containers
            for word in [*(container.command or []), *(container.args or [])]
        )
        return next((word.partition("=")[2] for word in words if word.startswith(f"--{name}=")), "")

    def scale(self, stateful_set: str, replicas: int) -> None:
        """Set the number of replicas of a StatefulSet."""
        with call_errors(f"cannot scale {stateful_set}"):
            self.apps.patch_namespaced_stateful_set_scale(
                stateful_set,
                self.namespace,
                {"spec": {"replicas": replicas}},
                field_manager="obs-ops",
                _request_timeout=_TIMEOUT_SECONDS,
            )

    def restart(self, workload: str, stamp: str, kind: str = STATEFUL_SET) -> None:
        """Start a rolling restart, as ``kubectl rollout restart`` does."""
        template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": stamp}}}
        with call_errors(f"cannot restart {workload}"):
            self._set(kind, "patch")(
                workload,
                self.namespace,
                {"spec": {"template": template}},
                field_manager="obs-ops",
                _request_timeout=_TIMEOUT_SECONDS,
            )

    def rolled(self, workload: str, kind: str = STATEFUL_SET) -> bool:
        """Whether every pod of a StatefulSet or Deployment is ready and of its newest revision."""
        with call_errors(f"cannot read {workload}"):
            resource = self._set(kind, "read")(workload, self.namespace, _request_timeout=_TIMEOUT_SECONDS)
        return _is_rolled(resource, kind)

    def wait_rolled(self, workload: str) -> float:
        """Wait after an update until `rolled`; seconds it took.

        Pulumi does not always wait for a StatefulSet: where the cluster is slow to say that it has seen the change, the
        status of before looks like that of a finished roll.

        Raises:
            OpsError: It is not in time.
        """
        return wait_until(lambda: self.rolled(workload), _ROLLED_S, f"every pod of {workload} to be ready as updated")

    def wait_all_rolled(self) -> float:
        """Wait after an update until every StatefulSet and Deployment is `rolled` and no pod is ending; seconds.

        Raises:
            OpsError: One is not in time.
        """
        waiting: list[str] = []

        def all_rolled() -> bool:
            waiting[:] = self._unrolled()
            return not waiting

        try:
            return wait_until(all_rolled, _ROLLED_S, "every pod to be ready as updated, and none of before")
        except OpsError as error:
            raise OpsError(f"{error}: {', '.join(waiting)}") from None

    def _unrolled(self) -> list[str]:
        listed = workloads(self, STATEFUL_SET, DEPLOYMENT)
        late = [str(resource.metadata.name) for kind, resource in listed if not _is_rolled(resource, kind)]
        with call_errors(f"cannot list the pods of {self.namespace}"):
            pods = self.core.list_namespaced_pod(self.namespace, _request_timeout=_TIMEOUT_SECONDS).items
        return late + [str(pod.metadata.name) for pod in pods if pod.metadata.deletion_timestamp is not None]

    def _set(self, kind: str, verb: str) -> Any:
        return getattr(self.apps, f"{verb}_namespaced_{_IN_CALLS[kind]}")

    def wait_ready(self, workload: str, count: int, seconds: float) -> float:
        """Wait until exactly ``count`` pods of the workload exist and are ready; seconds it took."""
        return wait_until(
            lambda: [pod.ready for pod in self.pods(workload)] == [True] * count,
            seconds,
            f"{count} ready pods of {workload}",
        )


def workloads(kube: Kube, *kinds: str) -> list[tuple[str, Any]]:
    """Workloads of some kinds, of all of them where none is named, each with its kind.

    Raises:
        OpsError: Kubernetes does not answer.
    """
    with call_errors(f"cannot list the workloads of {kube.namespace}"):
        return [
            (kind, item)
            for kind in kinds or _IN_CALLS
            for item in getattr(kube.apps, f"list_namespaced_{_IN_CALLS[kind]}")(
                kube.namespace, _request_timeout=_TIMEOUT_SECONDS
            ).items
        ]


def _is_rolled(resource: Any, kind: str) -> bool:
    status, wanted = resource.status, resource.spec.replicas
    if kind == STATEFUL_SET:
        only_new = status.update_revision == status.current_revision
    else:
        only_new = (status.replicas or 0) == wanted
    return bool(
        status.observed_generation == resource.metadata.generation
        and only_new
        and (status.ready_replicas or 0) == wanted
        and (status.updated_replicas or wanted) == wanted
    )


def wait_until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 1.0) -> float:
    """Poll ``condition`` until it holds; a failing poll counts as not yet. Returns the seconds that it took.

    Raises:
        OpsError: ``what`` did not come true in time.
    """
    start = time.monotonic()
    problem, told = "", False
    while time.monotonic() - start < seconds:
        try:
            if condition():
                return time.monotonic() - start
            problem = ""
        except OpsError as error:
            problem = f" ({error})"
        if not told and time.monotonic() - start > _TOLD_AFTER_S:
            told = True
            say(f"waiting for {what}, {seconds:.0f} s at most")
        time.sleep(pause)
    raise OpsError(f"waited {seconds:.0f} s in vain for {what}{problem}")


def kubectl_target(namespace: str, context: str | None) -> list[str]:
    """Arguments of ``kubectl`` for a namespace and, where one is named, a context."""
    return [*([f"--context={context}"] if context else []), "-n", namespace]


@contextmanager
def call_errors(what: str) -> Iterator[None]:
    """Turn the client's errors into one line."""
    try:
        with waiting_for(lambda: "Kubernetes"):
            yield
    except ApiException as error:
        raise OpsError(f"{what}: HTTP {error.status} {one_line(error.reason)}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise OpsError(f"{what}: {one_line(error)}") from None
