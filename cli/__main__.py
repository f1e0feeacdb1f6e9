"""``python -m cli`` is ``xinyin``."""

import sys

from cli.main import main

sys.exit(main())
