"""The exceptions for a user's mistake, and for a lost connection."""

from collections.abc import Iterator

from ddgs_hub.core.text import one_line


class InputError(ValueError):
    """Something that the user gave cannot be used. The message is one sentence: it names the value and the way out.

    The command line prints the message on one line and exits with code 2. Every other exception is a defect of ours or
    of a library, and keeps its traceback. A message may quote text from strangers: it is made harmless here, once, so
    that it can be shown anywhere.
    """

    def __init__(self, message: object) -> None:
        text = str(message)
        if text.startswith(f"Caught {type(self).__name__} in DataLoader worker"):
            # torch raises an error of a worker process anew, with the traceback as its message; the last line of that
            # is the error's own message.
            text = text.rpartition(f"{type(self).__name__}: ")[2]
        super().__init__(one_line(text))


class NoSplitError(InputError):
    """A source has no split of the name that was asked for."""


class ConnectionLostError(InputError):
    """The Hub did not answer for longer than its clients wait. What was read before is kept for the next try."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then the error from which or during whose handling it was raised, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
