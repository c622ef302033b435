"""``python -m corroscope`` is the command line."""

import sys

from corroscope.cli import main

sys.exit(main())
