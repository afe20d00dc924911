"""What a cluster is made of: names, endpoints, timings, limits; the file they stand in."""
