"""The number of compute threads of this process, set once."""

import os


def use_threads(count: int = 1) -> int:
    """Give torch and every BLAS exactly `count` threads; call it before the first tensor is made.

    Two OpenMP threads on one shared core wait for each other by spinning (measured: 14 times slower), so
    the default is one and more are taken only where cores are reserved.
    """
    if count < 1:
        raise ValueError(f"A process needs at least one thread, not {count}.")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if count == 1 else "true")
    import torch  # here, so that the variables above are in place when it loads

    torch.set_num_threads(count)
    return torch.get_num_threads()
