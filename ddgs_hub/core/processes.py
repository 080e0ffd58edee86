"""The processes of a launch: one, or several that `accelerate launch` or `torchrun` started."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from ddgs_hub.core.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

T = TypeVar("T")

PATIENCE = timedelta(days=30)  # of those that wait for the one that works alone: an evaluation can take days
LINGER = 30.0  # seconds that the first process waits at most for others to read its last word
WORD, GONE = "ddgs_hub/word", "ddgs_hub/gone"  # in the store: what the first to fail has said, and who has seen it
ALL_PRECISIONS = ("no", "bf16", "fp16", "fp8")
PRECISIONS = {"cpu": ("no", "bf16")}  # of accelerate's mixed precision, where a device does not have all
SHARED_WEIGHTS = ("DEEPSPEED", "FSDP", "MEGATRON_LM")


def is_main() -> bool:
    """Whether this is the one process, or the first of several: it alone writes what is shared, and prints."""
    return os.environ.get("RANK", "0") == "0"


def several() -> bool:
    """Whether a launcher started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> None:
    """Meets the other processes of a launch, with gloo where there is no GPU: accelerate alone would see but one.

    Raises:
        InputError: accelerate is configured as it cannot work.
    """
    if several():
        import torch
        from accelerate import PartialState

        with _as_configured():
            PartialState(cpu=not torch.accelerator.is_available())
        _patient_group()  # now that all are there: later, one that has died would be waited for
        _store()


def get_state() -> "PartialState":
    """What accelerate knows of this process: its number, and how many there are; see `get_accelerator`."""
    from accelerate import PartialState

    with _as_configured():
        return PartialState()


def get_accelerator() -> "Accelerator":
    """The accelerator of the launch, as it is configured; on a GPU that has bfloat16 and with nothing said, bfloat16.

    `accelerate launch --mixed_precision no` or `ACCELERATE_MIXED_PRECISION=no` asks for float32 there.

    Raises:
        InputError: it is configured as it cannot work here, or shares out weights.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import is_initialized

    unsaid = "ACCELERATE_MIXED_PRECISION" not in os.environ and not is_initialized()
    bfloat16 = unsaid and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    with _as_configured():
        accelerator = Accelerator(mixed_precision="bf16" if bfloat16 else None)
        if accelerator.mixed_precision not in PRECISIONS.get(accelerator.device.type, ALL_PRECISIONS):
            raise ValueError(f"mixed precision {accelerator.mixed_precision} on a {accelerator.device.type.upper()}")
        if accelerator.distributed_type.value in SHARED_WEIGHTS:
            raise ValueError(f"{accelerator.distributed_type.value} shares out weights, where batches are shared out")
    return accelerator


@contextmanager
def _as_configured() -> Iterator[None]:
    """Says in one sentence that accelerate cannot work as the user has configured it."""
    try:
        yield
    except (ImportError, LookupError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"accelerate cannot work as it is configured ({error}): change that with `accelerate config`, the options "
            "of `accelerate launch`, or the environment variables ACCELERATE_…"
        ) from error


def compiled(function: Callable[..., T]) -> Callable[..., T]:
    """`function` through `torch.compile`, where accelerate is configured so: `accelerate launch --dynamo_backend`."""
    import torch
    from accelerate.utils import DynamoBackend

    plugin = get_accelerator().state.dynamo_plugin
    return function if plugin.backend == DynamoBackend.NO else torch.compile(function, **plugin.to_kwargs())


def wait_for_all() -> None:
    """A barrier that waits as long as the slowest process works, and fails at once when one has ended.

    NCCL's gives up after ten minutes, and does not see a process end; gloo, on the side, does.
    """
    if several():
        import torch.distributed

        torch.distributed.barrier(group=_patient_group())


def by_the_first(work: Callable[[], T]) -> T:
    """What `work` returns in the first process, in all of them; a user's mistake that it finds is one in all."""
    if not several():
        return work()
    import torch.distributed

    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome[0] = work()
        except InputError as error:
            outcome[1] = error
    torch.distributed.broadcast_object_list(outcome, src=0, group=_patient_group())
    result, mistake = outcome
    if mistake is not None:
        raise mistake
    return result


def lost_a_process(error: BaseException) -> bool:
    """Whether an error means that another process of the launch has ended."""
    if not several():
        return False
    import torch.distributed

    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def first_word(code: int) -> tuple[bool, int]:
    """Whether this process is the one to say why the command fails, and the exit code of all.

    Only the first that fails says so: others find the same mistake, or only that a process has ended.

    Args:
        code: of the exit, by what this process found.
    """
    store = _store()
    if store is None:
        return is_main(), code
    import torch.distributed

    mine = f"{os.environ['RANK']} {code}"
    try:
        word = store.compare_set(WORD, "", mine).decode()
    except torch.distributed.DistError:  # the store has ended with the process that kept it, unheard
        return True, code
    return word == mine, int(word.split()[1])


def depart(*, unread: bool) -> None:
    """What a process that fails does last: the others no longer wait for it, and get to read the first word.

    Args:
        unread: whether it matters that they do; else they find, rightly, that a process has ended.
    """
    store = _store()
    if store is None:
        return
    import torch.distributed

    with suppress(torch.distributed.DistError):
        store.add(GONE, 1)
        if is_main():  # which may keep the store
            own = None if torch.distributed.get_backend() == "gloo" else _patient_group()
            _patient_group.cache_clear()
            torch.distributed.destroy_process_group(own)
            end = time.monotonic() + LINGER
            while unread and store.add(GONE, 0) < int(os.environ["WORLD_SIZE"]) and time.monotonic() < end:
                time.sleep(0.05)


@cache
def _store() -> Any:
    """The store by which the processes of a launch have met; None where they have not, or where there is but one."""
    if not several():
        return None
    import torch.distributed

    # Held here it outlives the groups of processes, see `depart`; another way to it there is not.
    return torch.distributed.distributed_c10d._get_default_store() if torch.distributed.is_initialized() else None


@cache
def _patient_group() -> Any:
    import torch.distributed

    return torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
