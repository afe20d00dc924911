"""What people run: the `aulario` command."""
