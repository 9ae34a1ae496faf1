"""Entry point: ``python3 -m services.grafana_fake server --homepath=DIR --config=FILE``."""

import sys

from services.grafana_fake.program import main

sys.exit(main())
