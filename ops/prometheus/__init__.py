"""Prometheus over a cluster: what it scrapes, records and alerts on, and a process of it."""
