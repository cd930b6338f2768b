"""`python -m kthreads` is the command `kthreads`."""

import sys

from kthreads.cli import main

sys.exit(main())
