"""Replication and failover: pure state machines (a replica, a witness) and what they say to each other."""
