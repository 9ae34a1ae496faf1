"""Issuers: a self-signed start, the platform's authority, and the issuer of every workload's certificate."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.k8s.credentials import API
from components.k8s.deployment_context import DeploymentContext
from components.k8s.pods import FileSet, config_files, metadata

TOKEN = "obs:tls:Authority"  # noqa: S105  (a type token)
TRUST_BUNDLE = "trust-bundle"
_BOOTSTRAP = "bootstrap"
_AUTHORITY = "platform-ca"


class Authority(pulumi.ComponentResource):
    """A certificate authority whose key never leaves the cluster.

    Attributes:
        issuer: Name of the Issuer of workload certificates.
    """

    issuer: str

    def __init__(
        self,
        name: str,
        context: DeploymentContext,
        *,
        duration: str,
        renew_before: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the issuers.

        Args:
            name: Resource name.
            context: Deployment context.
            duration: Life of the authority's certificate, as a Go duration.
            renew_before: How long before its end it is renewed.
            opts: Resource options.
        """
        super().__init__(TOKEN, name, None, opts)
        self.issuer = context.issuer
        self._make(context, "Issuer", _BOOTSTRAP, {"selfSigned": {}})
        self._make(
            context,
            "Certificate",
            _AUTHORITY,
            {
                "isCA": True,
                "commonName": f"{context.platform} authority",
                "secretName": _AUTHORITY,
                "duration": duration,
                "renewBefore": renew_before,
                "usages": ["cert sign", "crl sign", "digital signature"],
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
                "issuerRef": {"name": _BOOTSTRAP, "kind": "Issuer", "group": "cert-manager.io"},
            },
        )
        self._make(context, "Issuer", context.issuer, {"ca": {"secretName": _AUTHORITY}})
        self.register_outputs({"issuer": self.issuer})

    def _make(self, context: DeploymentContext, kind: str, name: str, spec: dict[str, Any]) -> None:
        CustomResource(
            f"{name}-{kind}".lower(),
            api_version=API,
            kind=kind,
            metadata=metadata(context, name, name),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )


def trust_bundle(parent: pulumi.Resource, context: DeploymentContext, authority: pulumi.Output[str]) -> FileSet:
    """The authority's public certificate as a ConfigMap, for clients without a certificate of their own."""
    return config_files(parent, context, name=TRUST_BUNDLE, workload=TRUST_BUNDLE, files={"ca.crt": authority})
