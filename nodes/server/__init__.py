"""A server process: the replica's shell, its door for clients, its links to its peers, its metrics."""
