"""The one exception that stands for a user's mistake, the kind of it that another try mends, and what caused one."""

from collections.abc import Iterator

from ddgs_hub.core.text import one_line


class InputError(ValueError):
    """Something that the user gave cannot be used; the message is one sentence that names the value and the way out.

    The command line prints the message on one line and exits with code 2. Every other exception is a defect of ours or
    of a library, and keeps its traceback. What the message quotes of a stranger is harmless wherever it is shown.
    """

    def __init__(self, message: object) -> None:
        text = str(message)
        if text.startswith(f"Caught {type(self).__name__} in DataLoader worker"):
            # torch makes the error of a worker anew, of its traceback, which ends with the error's own message.
            text = text.rpartition(f"{type(self).__name__}: ")[2]
        super().__init__(one_line(text))


class ConnectionLostError(InputError):
    """The Hub did not answer for longer than its clients wait: what was read so far is kept for the next try."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or in the handling of, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
