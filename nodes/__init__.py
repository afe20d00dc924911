"""Processes: thin shells around pure cores. The only place that speaks ZeroMQ."""
