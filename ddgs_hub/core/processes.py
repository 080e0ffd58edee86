"""The processes of a launch: one, or several that `accelerate launch` or `torchrun` has started.

The first process, number 0, is the main one: it writes what is shared, and prints.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ddgs_hub.core.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

T = TypeVar("T")
Compilable = TypeVar("Compilable", bound=Callable[..., Any])

PATIENCE = timedelta(days=30)  # how long processes wait for one that works alone: an evaluation can take days
LINGER = 30.0  # seconds: how long the main process keeps the store, so that others can read the report
# Keys in the store of a launch: the report of the first process that failed, and how many have left.
REPORT, LEFT = "ddgs_hub/report", "ddgs_hub/left"
ALL_PRECISIONS = ("no", "bf16", "fp16", "fp8")
PRECISIONS = {"cpu": ("no", "bf16")}  # of accelerate's mixed precision, for devices that lack some
SHARDED = ("DEEPSPEED", "FSDP", "MEGATRON_LM")


def is_main() -> bool:
    """Whether this is the main process, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def is_distributed() -> bool:
    """Whether a launcher has started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join_processes() -> None:
    """Connects the processes of a launch, over gloo if there is no GPU: by itself, accelerate would see only one then.

    Raises:
        InputError: accelerate is configured in a way that cannot work.
    """
    if is_distributed():
        import torch
        from accelerate import PartialState

        with _as_configured():
            PartialState(cpu=not torch.accelerator.is_available())
        _patient_group()  # made while all processes are alive: later it would wait for one that has died
        _store()


def get_state() -> "PartialState":
    """Accelerate's state: the number of this process, and how many there are.

    Raises:
        InputError: accelerate is configured in a way that cannot work.
    """
    from accelerate import PartialState

    with _as_configured():
        return PartialState()


def get_accelerator(**tracking: Any) -> "Accelerator":
    """The accelerator, as the launch configures it.

    If no precision is configured and the GPU has bfloat16, that is used; `accelerate launch --mixed_precision no`, or
    `ACCELERATE_MIXED_PRECISION=no`, asks for float32.

    Args:
        **tracking: `log_with` and `project_dir` of `Accelerator`.

    Raises:
        InputError: it is configured in a way that cannot work here, or shards weights.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import is_initialized

    unset = "ACCELERATE_MIXED_PRECISION" not in os.environ and not is_initialized()
    bfloat16 = unset and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    with _as_configured():
        accelerator = Accelerator(mixed_precision="bf16" if bfloat16 else None, **tracking)
        if accelerator.mixed_precision not in PRECISIONS.get(accelerator.device.type, ALL_PRECISIONS):
            raise ValueError(f"mixed precision {accelerator.mixed_precision} on a {accelerator.device.type.upper()}")
        if accelerator.distributed_type.value in SHARDED:
            raise ValueError(f"{accelerator.distributed_type.value} shares out weights, where batches are shared out")
    return accelerator


@contextmanager
def _as_configured() -> Iterator[None]:
    """Turns errors of accelerate's configuration into one sentence."""
    try:
        yield
    except (ImportError, LookupError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"accelerate cannot work as it is configured ({error}): change that with `accelerate config`, the options "
            "of `accelerate launch`, or the environment variables ACCELERATE_…"
        ) from error


def compiled(function: Compilable) -> Compilable:
    """What is given, through `torch.compile` if accelerate is told so: `accelerate launch --dynamo_backend`."""
    import torch
    from accelerate.utils import DynamoBackend

    plugin = get_accelerator().state.dynamo_plugin
    if plugin.backend == DynamoBackend.NO:
        return function
    return cast("Compilable", torch.compile(function, **plugin.to_kwargs()))


def wait_for_all() -> None:
    """A barrier that waits as long as the slowest process works, and fails at once when one has ended.

    It uses gloo: NCCL gives up after ten minutes, and does not notice that a process has ended.
    """
    if is_distributed():
        import torch.distributed

        torch.distributed.barrier(group=_patient_group())


def run_on_main(work: Callable[[], T]) -> T:
    """Runs `work` in the main process alone, and returns its result in all processes.

    Raises:
        InputError: raised by `work`; it is raised in all processes.
    """
    if not is_distributed():
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
    if not is_distributed():
        return False
    import torch.distributed

    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def claim_report(code: int) -> tuple[bool, int]:
    """Decides which process reports why the command fails: the first that fails.

    The others have made the same mistake, or notice only that a process has ended.

    Args:
        code: the exit code that this process would choose.

    Returns:
        Whether this process reports the error, and the exit code of all processes.
    """
    store = _store()
    if store is None:
        return is_main(), code
    import torch.distributed

    mine = f"{os.environ['RANK']} {code}"
    try:
        report = store.compare_set(REPORT, "", mine).decode()
    except torch.distributed.DistError:  # the process that kept the store has ended, and nobody has read it
        return True, code
    return report == mine, int(report.split()[1])


def leave_processes(*, unread: bool) -> None:
    """Called last by a process that fails: the others no longer wait for it, and can still read the report.

    Args:
        unread: whether the others must read the report before the store ends; otherwise they notice that a process has
            ended, which is right, too.
    """
    store = _store()
    if store is None:
        return
    import torch.distributed

    with suppress(torch.distributed.DistError):
        store.add(LEFT, 1)
        if is_main():  # the store may live in this process
            group = None if torch.distributed.get_backend() == "gloo" else _patient_group()
            _patient_group.cache_clear()
            torch.distributed.destroy_process_group(group)
            end = time.monotonic() + LINGER
            while unread and store.add(LEFT, 0) < int(os.environ["WORLD_SIZE"]) and time.monotonic() < end:
                time.sleep(0.05)


@cache
def _store() -> Any:
    """The store over which the processes of a launch have connected; None if they have not, or if there is only one."""
    if not is_distributed():
        return None
    import torch.distributed

    # Cached, so that it outlives the groups of processes, see `leave_processes`. There is no public way to it.
    return torch.distributed.distributed_c10d._get_default_store() if torch.distributed.is_initialized() else None


@cache
def _patient_group() -> Any:
    """All processes, connected over gloo, with `PATIENCE`."""
    import torch.distributed

    return torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
