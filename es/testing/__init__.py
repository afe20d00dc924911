"""A whole cluster in one thread: virtual clock, network, disks and processes around the production cores.

A seed decides everything. `Cluster` runs what it is given: any application, any load.
"""
