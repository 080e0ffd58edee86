"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """Something that the user gave cannot be used; the message is one sentence that names the value and the way out.

    The command line prints the message on one line and exits with code 2. Every other exception is a defect of ours or
    of a library, and keeps its traceback.
    """
