"""How much memory this process has taken at most, and how much something loaded holds."""

import resource
import sys
from itertools import chain
from typing import Any

import torch


def peak_memory_bytes() -> int:
    """Peak bytes: of the GPU where there is one, else resident memory of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def held_bytes(loaded: Any) -> int:
    """Bytes of the tensors of all networks that an object holds in its attributes, shared ones counted once."""
    networks = [value for value in vars(loaded).values() if isinstance(value, torch.nn.Module)]
    tensors = chain.from_iterable(chain(each.parameters(), each.buffers()) for each in networks)
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())
