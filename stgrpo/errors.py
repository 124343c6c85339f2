"""The errors that a user can mend; the command line prints them in one line and without a traceback."""


class UserError(Exception):
    """Bad input. The text says where, what, what would be right, and what to type next."""


class VideoError(UserError):
    """A video that is missing, does not decode or hangs its decoder; the row that needs it is set aside."""
