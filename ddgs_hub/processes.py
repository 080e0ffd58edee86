"""The processes of a launch: one, or several that `accelerate launch` or `torchrun` started."""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from ddgs_hub.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")

PATIENCE = timedelta(days=30)  # of those that wait for the one that works alone: an evaluation can take days


def is_main() -> bool:
    """Whether this is the one process, or the first of several: it alone writes what is shared, and prints."""
    return os.environ.get("RANK", "0") == "0"


def several() -> bool:
    """Whether a launcher started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> None:
    """Meets the other processes of a launch, with gloo where there is no GPU: accelerate alone would see but one."""
    if several():
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.accelerator.is_available())
        _patient_group()  # now that all are there: later, one that has died would be waited for


def get_accelerator() -> "Accelerator":
    """The accelerator of the launch, as it is configured; on a GPU that has bfloat16 and with nothing said, bfloat16.

    `accelerate launch --mixed_precision no` or `ACCELERATE_MIXED_PRECISION=no` asks for float32 there.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import is_initialized

    unsaid = "ACCELERATE_MIXED_PRECISION" not in os.environ and not is_initialized()
    if unsaid and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
        return Accelerator(mixed_precision="bf16")
    return Accelerator()


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
    import torch.distributed

    return several() and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error))


@cache
def _patient_group() -> Any:
    import torch.distributed

    return torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
