"""The error that a command reports as one sentence."""


class UserError(Exception):
    """A mistake of the user; the message is one sentence that names flag or file."""
