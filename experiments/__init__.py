"""The commands: the only place with flags, printing and files."""
