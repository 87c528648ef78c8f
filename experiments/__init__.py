"""The commands: flags, printing, figures and run folders."""
