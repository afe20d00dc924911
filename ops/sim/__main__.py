"""`python -m ops.sim`."""

import sys

from ops.sim.command import sim

sys.exit(sim.main(prog_name="python -m ops.sim", standalone_mode=False))
