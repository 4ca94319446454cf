"""`python -m qubo_prune` is the command `qubo-prune`."""

import sys

from qubo_prune.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
