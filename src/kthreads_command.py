"""What the script `kthreads` runs. It stands beside the package, which imports all of its modules only where this one is not
imported (kthreads/__init__.py): a command imports its own.
"""

import sys


def main() -> int:
    """The command `kthreads`; returns its exit status."""
    from kthreads.cli.main import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
