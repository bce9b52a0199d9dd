"""Learning-rate schedules as pure functions of the step, so that a resumed run needs no state."""

from __future__ import annotations

import math


def cosine_with_warmup(step: int, total: int, warmup: float) -> float:
    """Return the factor (0 to 1) on the peak rate at ``step`` of ``total`` steps.

    It rises linearly over the share ``warmup`` of the steps, then falls along half a cosine to zero
    (Loshchilov and Hutter, 2017, without restarts).
    """
    rising = round(total * warmup)
    if step < rising:
        return (step + 1) / (rising + 1)
    progress = (step - rising) / max(total - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
