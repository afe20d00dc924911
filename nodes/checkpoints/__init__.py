"""Signed statements of where a server's committed log stood, and who keeps them."""
