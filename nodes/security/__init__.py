"""Who is talking: keys, principals, roles, the doors that ask, and every refusal."""
