"""`python -m kthreads` is the command `kthreads`."""

import sys

from kthreads.cli.main import main

sys.exit(main())
