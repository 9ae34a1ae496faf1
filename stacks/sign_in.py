"""Personal logins in front of the metrics' read address and of Alertmanager."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.config import WEB_PORT as ALERTMANAGER_PORT
from components.contracts import OidcEndpoint, PersonalLogin
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import QUERY_PORT
from components.signin import ALERTS_LOGIN, METRICS_LOGIN, Protected, SignIn, SignInArgs
from stacks.endpoints import PlatformInputs, load_balancer_options
from stacks.stage_settings import SignInPage

TOKEN = "obs:platform:SignIns"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class SignInsArgs:
    """What the logins need.

    Attributes:
        inputs: What every part is built from.
        oidc: Where people sign in.
    """

    inputs: PlatformInputs
    oidc: OidcEndpoint


class SignIns(pulumi.ComponentResource):
    """The logins of the stack's section ``sign_in``."""

    def __init__(self, name: str, args: SignInsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        parent = pulumi.ResourceOptions(parent=self)
        pages, endpoints = args.inputs.settings.sign_in, args.inputs.endpoints
        query, alertmanager = endpoints.query, endpoints.alertmanager
        if pages and query.people and alertmanager.people:
            metrics = Protected(
                workload=QUERY, url=query.internal_url, port=QUERY_PORT, access_label=query.access_label
            )
            alerts = Protected(
                workload=ALERTMANAGER,
                url=alertmanager.internal_url,
                port=ALERTMANAGER_PORT,
                access_label=alertmanager.access_label,
            )
            SignIn(METRICS_LOGIN, _args(args, pages.metrics, query.people, metrics), parent)
            SignIn(ALERTS_LOGIN, _args(args, pages.alerts, alertmanager.people, alerts), parent)
        self.register_outputs({})


def _args(args: SignInsArgs, page: SignInPage, login: PersonalLogin, protected: Protected) -> SignInArgs:
    inputs, sizing = args.inputs, args.inputs.sizing.visualization
    return SignInArgs(
        context=inputs.context,
        login=login,
        protected=protected,
        oidc=args.oidc,
        groups=page.groups,
        replicas=sizing.sign_ins,
        resources=sizing.sign_in,
        host=page.host,
        address=page.address,
        client_cidrs=page.client_cidrs,
        load_balancer=load_balancer_options(inputs.settings, page),
    )
