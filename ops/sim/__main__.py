"""`python -m ops.sim`: the same as `aulario sim`."""

import sys

from ops.cli import main

if __name__ == "__main__":
    main(["sim", *sys.argv[1:]])
