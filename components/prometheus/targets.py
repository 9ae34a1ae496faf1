"""Scrape, alert and probe targets of a replica: contracts as parts of its configuration."""

from __future__ import annotations

from collections.abc import Sequence

from components.contracts import AlertReceiver, ProbeJob, ScrapeTarget
from components.prometheus.config import AlertTarget, ScrapeJob, job_names
from components.prometheus.probe_jobs import ProbeScrape


def scrape_jobs(targets: Sequence[ScrapeTarget]) -> list[ScrapeJob]:
    """Jobs for the metrics of workloads.

    Raises:
        ValueError: A name occurs twice.
    """
    jobs = [
        ScrapeJob(
            job=target.job,
            srv=target.srv,
            server_name=target.server_name,
            username=target.credential.username,
            path=target.path,
        )
        for target in targets
    ]
    job_names(jobs)
    return jobs


def alert_targets(receivers: Sequence[AlertReceiver]) -> list[AlertTarget]:
    """Where alerts go."""
    return [
        AlertTarget(
            name=receiver.name,
            srv=receiver.srv,
            server_name=receiver.server_name,
            username=receiver.credential.username,
            path_prefix=receiver.path_prefix,
        )
        for receiver in receivers
    ]


def probe_scrapes(jobs: Sequence[ProbeJob]) -> list[ProbeScrape]:
    """What a prober is asked for."""
    return [
        ProbeScrape(
            job=job.job,
            address=job.address,
            server_name=job.server_name,
            username=job.credential.username,
            interval=job.interval,
            module=job.module,
            srvs=job.srvs,
            targets=job.targets,
        )
        for job in jobs
    ]
