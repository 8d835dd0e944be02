"""The one exception for input that a user can mend."""


class InputError(ValueError):
    """Input that cannot be used.

    The message names the file, band or key, what was expected and what to do. The command line
    prints it without a traceback.
    """
