"""Seeded schedules of the whole system in one thread: the production cores of servers and witness, simulated
clients, network, disks and clocks. `python -m ops.sim --help` says how to run them."""
