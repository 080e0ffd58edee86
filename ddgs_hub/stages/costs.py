"""What the stages of a run cost, as a table."""

from collections.abc import Mapping

from ddgs_hub.core.machine import in_gib
from ddgs_hub.stages.run_folder import Finished


def costs_table(finished: Mapping[str, Finished]) -> str:
    """Time and peak memory of each stage as Markdown; the last row has the sum of the times and the highest peaks.

    What an earlier call has done is there with what it cost then. `core.machine.Measured` says what is measured.

    Args:
        finished: name of the stage → what it cost.
    """
    stages = list(finished.values())
    whole = Finished(
        made="",
        seconds=sum(stage.seconds for stage in stages),
        peak_memory=max((stage.peak_memory for stage in stages if stage.peak_memory is not None), default=None),
        peak_gpu_memory=max(
            (stage.peak_gpu_memory for stage in stages if stage.peak_gpu_memory is not None), default=None
        ),
    )
    on_gpu = whole.peak_gpu_memory is not None
    rule = "-" * 11 + ":"
    lines = [_row("stage", "time", "peak memory", "GPU memory", on_gpu), _row("-" * 22, rule, rule, rule, on_gpu)]
    for name, stage in [*finished.items(), ("all", whole)]:
        memory, gpu_memory = (
            "" if size is None else in_gib(size) for size in (stage.peak_memory, stage.peak_gpu_memory)
        )
        lines.append(_row(name, f"{stage.seconds:,.1f} s", memory, gpu_memory, on_gpu))
    return "\n".join(lines)


def _row(name: str, seconds: str, memory: str, gpu_memory: str, on_gpu: bool) -> str:
    return f"| {name:<22} | {seconds:>12} | {memory:>12} |" + (f" {gpu_memory:>12} |" if on_gpu else "")
