"""A faculty process: one pure core, two patterns of reaching the servers."""
