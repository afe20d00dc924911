"""Who speaks to a cluster from outside: programs, loads, and peers that mean no good."""
