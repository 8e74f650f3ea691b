"""Errors that come from a device or its driver, and not from what was computed there."""

import re

import torch

# Older torch has no type for what a driver says, but a RuntimeError with these words.
_TYPES = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
_WORDS = re.compile(r"CUDA (driver )?error|CUDA out of memory|CUBLAS_STATUS_|CUDNN_STATUS_")
_ADVICE = "see whether nvidia-smi shows the card"
_ADVICE_ON_MEMORY = (
    "fewer --workers take less of the card's memory, as does another program that ends"
)


def device_failure(error: BaseException) -> str | None:
    """Say what a device or its driver had to tell, in a line; None: the error is of another kind.

    Args:
        error: it, or what was raised because of it or while it was handled.

    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        told: str | None = getattr(at, "device_failure", None)
        if told is not None:
            return told
        if isinstance(at, _TYPES) or (isinstance(at, RuntimeError) and _WORDS.search(str(at))):
            return f"{type(at).__name__}: {str(at).partition(chr(10))[0]}"
        at = at.__cause__ or at.__context__
    return None


def advice_on(failure: str) -> str:
    """Say what to do about what `device_failure` gave."""
    return _ADVICE_ON_MEMORY if "out of memory" in failure else _ADVICE
