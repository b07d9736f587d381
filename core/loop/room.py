"""How much memory is free, and one sentence where something needs more: said before it is allocated.

Pictures grow with the square of a widget, and a system that has no memory left ends the whole process. So
whoever makes something whose size a widget decides asks for room first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

CPU = torch.device("cpu")
RESERVE = 0.05
"""Share of what is free that stays so: others allocate too."""
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
# What torch's and C++'s allocators say, on Linux, Windows and Mac.
_NO_ROOM = ("can't allocate memory", "not enough memory", "bad_alloc", "Storage size calculation overflowed")

_on_device: list[Callable[[torch.device], int]] = []


def ask_devices(free: Callable[[torch.device], int]) -> None:
    """Names the function that knows what is free on devices other than the CPU: the host's own."""
    _on_device[:] = [free]


def free_memory(device: torch.device = CPU) -> int:
    """Bytes that may still be allocated on `device`.

    RAM is what the system has, less where a container or a limit of the process allows less. Devices that
    share it (Mac) count as RAM too.
    """
    if device.type not in ("cpu", "mps", "meta"):
        return _on_device[0](device) if _on_device else 2**62
    free = [psutil.virtual_memory().available]
    for folder, most, used in _CGROUPS:
        with suppress(OSError, ValueError):  # "max" where there is no limit
            free.append(int(Path(folder, most).read_text()) - _in_use(folder, used))
    if resource is not None:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free.append(limit - psutil.Process(os.getpid()).memory_info().vms)
    return max(0, min(free))


def _in_use(folder: str, used: str) -> int:
    """Bytes that a container uses, without files that are merely remembered: models that were read."""
    in_use = int(Path(folder, used).read_text())
    for line in Path(folder, "memory.stat").read_text().splitlines():
        name, _, size = line.partition(" ")
        if name in ("active_file", "inactive_file"):
            in_use -= int(size)
    return in_use


def need_room(size: float, what: str, instead: str, device: torch.device = CPU) -> None:
    """Raises ValueError, in one sentence, where `size` bytes are more than is free on `device`.

    `what` begins the sentence ("A canvas of 32768x16384 pixels"), `instead` ends it ("add less room").
    """
    free = free_memory(device) * (1 - RESERVE)
    if size > free:
        raise ValueError(
            f"{what} needs {_gigabytes(size)} of {_memory(device)}, and {_gigabytes(free)} are free: "
            f"{instead}."
        )


@contextmanager
def in_words() -> Iterator[None]:
    """Turns an allocator's failure inside into one sentence; a graphics card's stays, the host reacts to it.

    The last resort, for work whose need nobody can know before.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _NO_ROOM):
            raise
        raise ValueError(
            f"There was not enough memory ({_gigabytes(free_memory())} of RAM are free): use a smaller size, "
            "or fewer pictures at once."
        ) from error


def _memory(device: torch.device) -> str:
    return "RAM" if device.type in ("cpu", "mps") else f"memory on {device}"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 1e13 else f"{size / 1e12:,.3g} TB"
