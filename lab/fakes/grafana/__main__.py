"""Entry point: ``python3 -m lab.fakes.grafana server --homepath=DIR --config=FILE``."""

import sys

from lab.fakes.grafana.program import main

sys.exit(main())
