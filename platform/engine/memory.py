"""How much memory this process has taken at most."""

import resource
import sys

import torch


def peak_memory_bytes() -> int:
    """Peak bytes: of the GPU where there is one, else resident memory of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
