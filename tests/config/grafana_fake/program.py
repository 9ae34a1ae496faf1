"""The fake of Grafana with cheap hashes of its accounts' passwords: each request with Basic auth computes one.

Runs as ``python3 -m tests.config.grafana_fake.program server --homepath=DIR --config=FILE``.
"""

from __future__ import annotations

import sys

from lab.fakes.grafana import users
from lab.fakes.grafana.__main__ import main

if __name__ == "__main__":
    vars(users)["_ROUNDS"] = 4
    sys.exit(main())
