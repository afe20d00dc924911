"""Where `aulario` begins: Ctrl-C ends it without a traceback also while it is still being imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command (ops.cli) and exit."""
    try:
        from ops import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)  # ops.exits.INTERRUPTED, if that were imported by now


if __name__ == "__main__":
    main()
