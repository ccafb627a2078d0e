"""`python -m bench`: see `command`, whose imports take a second; Ctrl-C ends those without a traceback, too."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bench.command import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
