"""How full volumes really are: what kubelets measure of those of the platform's pods, as metrics."""

from __future__ import annotations

from typing import Annotated

from services.runtime.settings import File, ServerSettings, SettingsModel, Text, Url, above_zero, whole


class Kubernetes(SettingsModel):
    """The API server and the kubelets: both have certificates of the same authority and take the same token.

    Attributes:
        api: Address of the API server.
        kubelet_port: Port of each kubelet, at the address of its node.
        ca_file: Authority of their certificates.
        token_file: File with the token of the pod's own ServiceAccount, which the kubelet renews.
        namespace: Whose volumes are looked at.
    """

    api: Url
    kubelet_port: Annotated[int, whole(1, 65535)]
    ca_file: File
    token_file: File
    namespace: Text


class VolumesSettings(ServerSettings):
    """What is asked, and how often.

    Attributes:
        kubernetes: Who is asked.
        interval_s: Seconds between two rounds. A kubelet measures once a minute.
    """

    kubernetes: Kubernetes
    interval_s: Annotated[int | float, above_zero("seconds")]
