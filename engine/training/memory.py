"""Too little memory on the device: recognised, cleared up after, and said in a sentence."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.errors import RunError

# CUDA has an error of its own; Apple's GPU and the CPU raise plain RuntimeErrors with these words.
_WORDS = ("out of memory", "can't allocate memory")


def ran_out(error: RuntimeError) -> bool:
    """Return whether ``error`` says that the device had too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)


def release(device: torch.device) -> None:
    """Give memory that nothing uses any more back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def too_small(device: torch.device, batch_size: int, image_size: int) -> RunError:
    """Return the error that says what did not fit, and what to make smaller."""
    return RunError(
        f"The memory of {device} is too small for {batch_size} images of {image_size} px at once.",
        f"Train again with a smaller batch size (such as {max(1, batch_size // 2)}), a smaller image "
        "size or a smaller backbone, and end other programs that use this device.",
    )


@contextmanager
def memory_in_words(device: torch.device, batch_size: int, image_size: int) -> Iterator[None]:
    """Turn running out of memory into a ``RunError`` that says what to make smaller."""
    try:
        yield
    except RuntimeError as error:
        if not ran_out(error):
            raise
        raise too_small(device, batch_size, image_size) from error
