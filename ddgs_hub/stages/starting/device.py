"""What a run would be computed on."""

import os
from contextlib import suppress
from dataclasses import dataclass

from ddgs_hub.core.machine import GIB


@dataclass(frozen=True)
class Device:
    """A device, and the machine around it.

    Attributes:
        kind: `cuda`, `mps` or `cpu`.
        name: of the GPU; empty for a CPU.
        gpu_gib: memory of the GPU, GiB; 0 where there is none, or where it shares the machine's.
        cores: that this process may use.
        ram_gib: memory of the machine, GiB; None where the system does not tell.
    """

    kind: str
    name: str
    gpu_gib: float
    cores: int
    ram_gib: float | None

    @property
    def is_gpu(self) -> bool:
        """Whether there is a GPU whose memory holds a DiT and an autoencoder at 256 px."""
        return self.kind == "cuda" and self.gpu_gib >= SMALLEST_GPU

    @property
    def text(self) -> str:
        """The device in words."""
        ram = f", {self.ram_gib:.0f} GiB of memory" if self.ram_gib else ""
        machine = f"{self.cores} CPU core{'s' if self.cores > 1 else ''}{ram}"
        if self.kind == "cuda":
            return f"{self.name} with {self.gpu_gib:.0f} GiB; {machine}"
        return f"Apple GPU; {machine}" if self.kind == "mps" else f"no GPU; {machine}"


SMALLEST_GPU = 8  # GiB: Stable Diffusion's autoencoder and a DiT from scratch at 256 px
LARGE_GPU = 16  # GiB: fine-tuning of DiT-XL/2 takes 7 in bfloat16 at batch 8, and the evaluation comes after it


def find_device() -> Device:
    """The device that accelerate would use here."""
    import torch

    name, memory, kind = "", 0.0, "cpu"
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        kind, name, memory = "cuda", properties.name, properties.total_memory / GIB
    elif torch.backends.mps.is_available():
        kind = "mps"
    return Device(kind, name, memory, _cores(), _memory())


def busy() -> float:
    """How many programs compute on this machine for each of its cores, over the last minute; 0 where it cannot tell."""
    with suppress(AttributeError, OSError):  # not on Windows
        return os.getloadavg()[0] / _cores()
    return 0.0


def _cores() -> int:
    with suppress(AttributeError):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return None
