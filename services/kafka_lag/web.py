"""The exporter's web server: HTTPS with a password for ``/metrics``."""

from __future__ import annotations

from services.common import web
from services.common.web import allowed as allowed
from services.common.web import application as application


class HttpsServer(web.HttpsServer):
    """The exporter's web server."""

    program = "kafka-lag"
