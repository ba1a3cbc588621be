"""The stages, each run as `python -m stages.<name>`."""

import sys

from stages.command import start

if sys.argv[0] == "-m":  # Python has found no stage yet, let alone imported its libraries
    start()
