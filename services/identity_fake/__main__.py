"""Entry point: ``python3 -m services.identity_fake --config FILE``."""

import sys

from services.identity_fake.server import main

sys.exit(main())
