"""``python -m neurenix``: the command line."""

import sys

from neurenix.command import main

sys.exit(main())
