"""Entry point: ``python3 -m services.grafana_double server --homepath=DIR --config=FILE``."""

import sys

from services.grafana_double.program import main

sys.exit(main())
