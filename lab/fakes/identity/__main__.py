"""Entry point: ``python3 -m lab.fakes.identity --config FILE``."""

import sys

from lab.fakes.identity.server import main

sys.exit(main())
