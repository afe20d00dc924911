"""The kernel: an event-sourced replicated state machine.

It knows bytes, sequence numbers, epochs, and clocks that are passed in as arguments. It knows
nothing of rooms, of ZeroMQ or of Prometheus: an application gives it a `Machine` (es.machine), a
process gives it sockets and disks (nodes).
"""
