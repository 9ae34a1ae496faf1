"""Everything outside of the access matrix is tried with every login of the platform (M1, K5, J3); and the audit report
tells of one allowed and one refused access at each source within a minute (M1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from ops.audit.log import findings, read
from ops.audit.tries import LIMIT_S, attempts, reported
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kafka import client_settings
from ops.core.terminal import say
from ops.drills import access_kafka, access_tries
from ops.drills.access_tries import Try, account
from ops.drills.tools.accounts import unmet
from ops.permissions.matrix import matrix
from ops.permissions.model import HttpServer, Matrix, Passwords, export
from services.audit.records import Outcome

LONGEST_S: Final = 780.0
"""After that nothing more is begun."""
AT_ONCE: Final = 4
"""Jobs at a time, so that the platform has next to nothing to do."""
_SEARCH, _POSTGRES = "search", "postgres"
_POSTGRES_PORT: Final = 5432
_SEARCH_PORT: Final = 9200

Job = Callable[[], Sequence[Try]]


def try_everything(context: Context, figures: dict[str, Any]) -> list[str]:
    """Try what is outside of the matrix of the deployed stack, and a part of what is inside as a control."""
    platform = context.platform
    started = time.monotonic()
    say("reading what the stack is deployed with")
    deployed = export(login.password.get_secret_value() for login in platform.otlp_credentials.values())
    allowed = matrix(deployed.resources)
    problems: list[str] = []
    jobs: dict[str, Job] = {}
    logins: dict[str, list[str]] = {}
    for part in (_kafka, _http, _kubernetes, _search, _database):
        begun = part(context, allowed, deployed.passwords, problems)
        jobs |= begun[0]
        logins |= begun[1]
    say(f"{len(jobs)} servers and logins to try")
    tries, failed = run_jobs(jobs, started + LONGEST_S)
    figures["seconds"] = round(time.monotonic() - started, 1)
    problems += failed
    return [*account(tries, figures, logins), *problems]


def run_jobs(jobs: Mapping[str, Job], deadline: float) -> tuple[list[Try], list[str]]:
    """Run jobs, a few at a time, until a moment (monotonic seconds).

    Returns:
        All tries, and what went wrong: jobs that failed, and those that had no turn.
    """

    def in_time(job: Job) -> Sequence[Try] | None:
        return job() if time.monotonic() < deadline else None

    tries: list[Try] = []
    problems: list[str] = []
    late: list[str] = []
    with ThreadPoolExecutor(AT_ONCE, "access") as pool:
        futures: dict[str, Future[Sequence[Try] | None]] = {
            name: pool.submit(in_time, job) for name, job in jobs.items()
        }
        for name, future in futures.items():
            try:
                result = future.result()
            except OpsError as error:
                problems.append(f"{name}: {one_line(error)}")
                continue
            if result is None:
                late.append(name)
            tries += result or ()
    if late:
        problems.append(f"there was no time for {len(late)} of {len(jobs)}: {', '.join(late[:5])}")
    return tries, problems


Begun = tuple[dict[str, Job], dict[str, list[str]]]
"""Jobs by name, and logins by part that must be let in somewhere."""


def _kafka(context: Context, allowed: Matrix, passwords: Passwords, problems: list[str]) -> Begun:
    """Every user at every topic, its own group and others, and the cluster."""
    platform, topics = context.platform, sorted(context.kafka.topics())
    access_kafka.check_safe(context.kafka.topic_settings(topics))
    groups = sorted({grant.resource for grant in allowed.kafka if grant.kind == "Group" and grant.resource != "*"})

    def job(user: str) -> Job:
        def attempt() -> list[Try]:
            settings = client_settings(platform, known[user])
            return list(access_kafka.KafkaTries(settings, allowed, user).all(topics, groups))

        return attempt

    known = {login.username: login for login in platform.kafka_users.values()}
    users = [user for user in allowed.kafka_users if user in known]
    _unknown(problems, access_kafka.PART, sorted({*allowed.kafka_users} - {*users}))
    return {f"Kafka as {user}": job(user) for user in users}, {access_kafka.PART: users}


def _http(context: Context, allowed: Matrix, passwords: Passwords, problems: list[str]) -> Begun:
    """Every login at every server that can be reached by HTTP/1."""
    servers = [server for server in allowed.http if not server.grpc]
    known, unknown = access_tries.logins(servers, passwords)
    _unknown(problems, access_tries.HTTP, unknown)

    def job(places: Sequence[HttpServer]) -> Job:
        def attempt() -> list[Try]:
            workload, port = places[0].workload, places[0].port
            pod = context.kube.ready_pod(workload).name
            url = context.tunnels.url(pod, port)
            try:
                return [
                    attempted
                    for server in places
                    for attempted in access_tries.http_tries(
                        server, url, context.ca_file, known, control=workload != _SEARCH
                    )
                ]
            finally:
                if workload != _SEARCH:
                    # Each tunnel is a process; that of the search cluster is used by a part of its own.
                    context.tunnels.drop(pod, port)

        return attempt

    # What has the same port shares a tunnel, and so a job.
    ports: dict[tuple[str, int], list[HttpServer]] = {}
    for server in servers:
        ports.setdefault((server.workload, server.port), []).append(server)
    controlled = [
        login.name
        for login in known
        if any(server.label in login.servers for server in servers if server.workload != _SEARCH)
    ]
    jobs = {f"HTTP {places[0].label}": job(places) for places in ports.values()}
    return jobs, {access_tries.HTTP: controlled}


def _kubernetes(context: Context, allowed: Matrix, passwords: Passwords, problems: list[str]) -> Begun:
    """Every ServiceAccount; none of them has a login that could be broken."""

    def review(name: str, verb: str, group: str, resource: str) -> bool:
        namespaced = resource not in access_tries.CLUSTER_WIDE
        return context.kube.account_may(name, verb, group, resource, namespaced=namespaced)

    def job(name: str) -> Job:
        (holder,) = (account for account in allowed.accounts if account.name == name)
        return lambda: list(access_tries.kubernetes_tries(holder, review))

    return {f"ServiceAccount {holder.name}": job(holder.name) for holder in allowed.accounts}, {}


def _search(context: Context, allowed: Matrix, passwords: Passwords, problems: list[str]) -> Begun:
    """Every user of the search cluster at every family of indices."""
    names = access_tries.families(allowed)
    secrets = {user.name: passwords.of(user.name, user.verifier) for user in allowed.search}
    _unknown(problems, access_tries.SEARCH, [name for name, secret in secrets.items() if secret is None])

    def job(name: str, secret: str) -> Job:
        (holder,) = (user for user in allowed.search if user.name == name)

        def attempt() -> list[Try]:
            url = context.tunnels.url(context.kube.ready_pod(_SEARCH).name, _SEARCH_PORT)
            return list(access_tries.search_tries(url, context.ca_file, holder, secret, names))

        return attempt

    known = {name: secret for name, secret in secrets.items() if secret is not None}
    return {f"search as {name}": job(name, secret) for name, secret in known.items()}, {
        access_tries.SEARCH: [
            user.name for user in allowed.search if user.name in known and (user.indices or user.cluster)
        ]
    }


def _database(context: Context, allowed: Matrix, passwords: Passwords, problems: list[str]) -> Begun:
    """Every role of PostgreSQL at every database, at the server that takes writes."""
    secrets = {role.name: passwords.of(role.name, role.verifier) for role in allowed.database}
    _unknown(problems, access_tries.DATABASE, [name for name, secret in secrets.items() if secret is None])
    known = {name: secret for name, secret in secrets.items() if secret is not None}
    bases = access_tries.databases(allowed)

    def connect_to(pod: str) -> access_tries.Connect:
        def connect(base: str, user: str, password: str) -> psycopg.Connection[Any]:
            # A tunnel ends with the first connection that the server closes by itself.
            context.tunnels.drop(pod, _POSTGRES_PORT)
            return psycopg.connect(
                host="localhost",
                port=int(context.tunnels.url(pod, _POSTGRES_PORT).rpartition(":")[2]),
                dbname=base,
                user=user,
                password=password,
                sslmode="verify-full",
                sslrootcert=context.ca_file,
                connect_timeout=10,
            )

        return connect

    def attempt() -> list[Try]:
        pods = [pod.name for pod in context.kube.pods(_POSTGRES) if pod.ready]
        owner = next(role for role in allowed.database if role.owns and role.name in known)
        for pod in pods:
            connect = connect_to(pod)
            if access_tries.takes_writes(connect, owner.owns[0], owner.name, known[owner.name]):
                return [
                    attempt
                    for role in allowed.database
                    if role.name in known
                    for attempt in access_tries.database_tries(connect, role, known[role.name], bases)
                ]
        raise OpsError(f"none of {', '.join(pods) or 'no ready pod'} takes writes")

    if not known:
        return {}, {}
    return {"PostgreSQL": attempt}, {access_tries.DATABASE: list(known)}


def _unknown(problems: list[str], part: str, users: Sequence[str]) -> None:
    if users:
        problems.append(f"{part}: no password is known of {', '.join(users)}")


_BACK: Final = timedelta(hours=1)


def tell_of_accesses(context: Context, figures: dict[str, Any]) -> list[str]:
    """Carry accesses out and make the audit report until it tells of them; what did not hold.

    Args:
        context: The platform.
        figures: Filled with what was seen.

    Raises:
        OpsError: A server does not answer, or lets in what it must refuse.
    """
    say("an allowed and a refused access at each source")
    tried = attempts(context)
    seconds = reported(context, tried)
    known = {name: taken for name, taken in seconds.items() if taken is not None}
    now = datetime.now(UTC)
    seen = findings(read(context.platform, now - _BACK), now - _BACK, now, UTC)
    figures["accesses"] = len(tried)
    figures["told after s"] = known
    figures["slowest s"] = max(known.values(), default=LIMIT_S)
    figures["not told"] = len(seconds) - len(known)
    figures["records"] = len(seen.records)
    figures["breaks"] = len(seen.broken)
    refused = [attempt for attempt in tried if attempt.outcome is Outcome.REFUSED]
    return unmet(
        *((name in known, f"{name}: not in the audit report within {LIMIT_S:.0f} s") for name in seconds),
        (bool(refused), "no refused access was tried"),
        (not seen.broken, f"the chain does not hold: {[vars(link) for link in seen.broken[:3]]}"),
    )
