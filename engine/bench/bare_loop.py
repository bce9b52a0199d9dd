"""The bare loop that Lensmith's is measured against: tensors in memory, forward, backward, step.

Run as ``python -m engine.bench.bare_loop PLAN_JSON``; prints images/s as its last word.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import timm
import torch

WARM_UP = 2
STEPS = 12
CLASSES = 5


def images_per_second(plan: dict[str, Any]) -> float:
    """Train on one batch of random tensors (N, 3, size, size) with the plan's settings."""
    torch.set_num_threads(int(plan["threads"]))
    device = torch.device(plan["device"])
    form = torch.channels_last if plan["memory_format"] == "channels_last" else torch.contiguous_format
    model = timm.create_model(plan["backbone"], num_classes=CLASSES, **plan["model_args"])
    model = model.to(device).to(memory_format=form).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=float(plan["lr"]), weight_decay=0.02)
    size, batch = int(plan["image_size"]), int(plan["batch_size"])
    images = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=form)
    labels = torch.randint(CLASSES, (batch,), device=device)
    start = 0.0
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            start = _now(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan["precision"] == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
    return STEPS * batch / (_now(device) - start)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    sys.stdout.write(f"{images_per_second(json.loads(sys.argv[1]))}\n")
