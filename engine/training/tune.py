"""Measuring a model on this machine before the start: precision, memory format, batch size, threads.

Channels-last and bfloat16 change the speed by up to 3.5 times, in either direction, by model: so it is
measured, with the learner's own step, and remembered per model and machine in ``cache/tuning/``.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import torch
from pydantic import TypeAdapter

from engine.contracts.training import TrainingConfig
from engine.models.backbones import training_mode
from engine.models.devices import autocast
from engine.settings import Settings
from engine.storage.blobs import write_atomic
from engine.tasks.base import Batch, Learner, Sample
from engine.training.data import torch_format
from engine.training.memory import ran_out, release, too_small

CPU_BATCH = 32
GPU_BATCH = 64
STEPS = 2
AS_FAST = 0.95
"""The usual batch size is taken unless it is slower than a small one."""
CLEARLY = 1.1
"""A still larger batch, or fewer threads, must be this much faster to be taken."""


@dataclass(frozen=True)
class Setting:
    """One way to compute."""

    precision: str
    memory_format: str
    batch_size: int
    threads: int

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}, batch {self.batch_size}, {self.threads} threads"


@dataclass(frozen=True)
class Speed:
    """The chosen way and its rates (images/s) in training and in evaluation."""

    setting: Setting
    train_rate: float
    predict_rate: float
    tried: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Subject:
    """What is measured: a learner with its model, on targets of its own, and what the speed depends on."""

    learner: Learner
    samples: Sequence[Sample]
    image_size: int
    device: torch.device
    train_images: int
    training: bool
    name: str


def tune(settings: Settings, config: TrainingConfig, subject: Subject, seconds: float) -> Speed:
    """Return the fastest setting that ``config`` allows; measures for about ``seconds`` at most."""
    path = settings.cache / "tuning" / f"{_key(config, subject)}.json"
    if path.is_file():
        return TypeAdapter(Speed).validate_json(path.read_bytes())
    # The measured steps must leave no trace in the model.
    model = subject.learner.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    speed, whole = _search(config, subject, seconds)
    model.load_state_dict(before)
    if whole:
        write_atomic(path, json.dumps(asdict(speed)).encode(), sync=False)
    return speed


def _key(config: TrainingConfig, subject: Subject) -> str:
    facts = (
        platform.node(),
        platform.processor(),
        torch.get_num_threads(),
        torch.__version__,
        str(subject.device),
        subject.name,
        subject.image_size,
        subject.training,
        _batch_limit(subject),
        config.precision,
        config.memory_format,
        config.batch_size,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


def _batch_limit(subject: Subject) -> int:
    """Leave at least eight steps an epoch, so that a small set still takes enough steps."""
    return max(2, subject.train_images // 8)


def _search(config: TrainingConfig, subject: Subject, seconds: float) -> tuple[Speed, bool]:
    """Measure until everything was tried or the time is over; also return whether all was tried."""
    deadline = time.perf_counter() + seconds
    steps = _train_steps if subject.training else _predict_steps
    rates: dict[Setting, float] = {}
    whole = True
    for setting in _first(config, subject):
        if rates and time.perf_counter() >= deadline:
            whole = False
            break
        rates[setting] = _rate(subject, setting, steps)
    chosen = max(rates, key=lambda setting: rates[setting])
    if rates[chosen] == 0:
        raise too_small(subject.device, chosen.batch_size, subject.image_size)
    for change, needed in _further(config, subject, chosen):
        if time.perf_counter() >= deadline:
            whole = False
            break
        other = change(chosen)
        rates[other] = _rate(subject, other, steps)
        chosen = other if rates[other] > needed * rates[chosen] else chosen
    predicted = _rate(subject, chosen, _predict_steps) if subject.training else rates[chosen]
    if predicted == 0:
        raise too_small(subject.device, chosen.batch_size, subject.image_size)
    tried = tuple((str(setting), round(rate, 1)) for setting, rate in rates.items())
    # Another program may have held the memory, so that is not remembered.
    return Speed(chosen, rates[chosen], predicted, tried), whole and all(rates.values())


def _first(config: TrainingConfig, subject: Subject) -> Iterator[Setting]:
    """Yield every precision and memory format that is open, with a small batch."""
    precisions = ["fp32", "bf16"] if config.precision == "auto" else [config.precision]
    if not subject.training:
        precisions = ["fp32"]  # features are kept, and must not depend on the machine
    formats = ["channels_last", "contiguous"] if config.memory_format == "auto" else [config.memory_format]
    batch = config.batch_size or min(_small_batch(subject), _batch_limit(subject))
    for memory_format, precision in product(formats, precisions):
        yield Setting(precision, memory_format, batch, torch.get_num_threads())


def _small_batch(subject: Subject) -> int:
    """Return a batch that is large enough to rank the ways to compute, and costs little."""
    if subject.device.type != "cpu":
        return GPU_BATCH
    return CPU_BATCH // 2 if subject.training else CPU_BATCH // 4


def _further(
    config: TrainingConfig, subject: Subject, chosen: Setting
) -> Iterator[tuple[Callable[[Setting], Setting], float]]:
    """Yield changes of the chosen setting, each with the ratio of rates at which it is taken."""
    usual = CPU_BATCH if subject.device.type == "cpu" else GPU_BATCH
    if not subject.training:
        # One pass over the images: more measuring would cost more than it could win.
        return
    if config.batch_size is None:
        for batch, needed in ((usual, AS_FAST), (2 * usual, CLEARLY)):
            if chosen.batch_size < batch <= _batch_limit(subject):
                yield partial(replace, batch_size=batch), needed
    open_choice = "auto" in (config.precision, config.memory_format) or config.batch_size is None
    if open_choice and subject.device.type == "cpu" and chosen.threads > 1:
        yield partial(replace, threads=chosen.threads // 2), CLEARLY


def _rate(subject: Subject, setting: Setting, steps: Callable[[Subject, Setting, int], None]) -> float:
    """Return images/s of ``setting`` over a few steps, the first one not counted; 0 without the memory."""
    torch.set_num_threads(setting.threads)
    subject.learner.model.to(memory_format=torch_format(setting.memory_format))
    try:
        steps(subject, setting, 1)
        _wait(subject.device)
        started = time.perf_counter()
        count = STEPS if subject.training else 1
        steps(subject, setting, count)
        _wait(subject.device)
    except RuntimeError as error:
        if not ran_out(error):
            raise
        subject.learner.model.zero_grad(set_to_none=True)
    else:
        return count * setting.batch_size / max(time.perf_counter() - started, 1e-9)
    # Outside the handler: the error's trace holds the tensors of the failed step.
    release(subject.device)
    return 0.0


def _wait(device: torch.device) -> None:
    """Wait for what a device still computes; a GPU takes work on and returns at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _images(subject: Subject, setting: Setting) -> torch.Tensor:
    shape = (setting.batch_size, 3, subject.image_size, subject.image_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(subject.device)
    return noise.contiguous(memory_format=torch_format(setting.memory_format))


def _train_steps(subject: Subject, setting: Setting, count: int) -> None:
    learner = subject.learner
    index = np.arange(setting.batch_size, dtype=np.int64) % len(subject.samples)
    targets = learner.targets(subject.samples, subject.device).batch(index, None)
    batch = Batch(_images(subject, setting), targets, torch.from_numpy(index))
    training_mode(learner.model)
    for _ in range(count):
        with autocast(subject.device, setting.precision):
            output = learner.step(batch)
        output.loss.backward()  # type: ignore[no-untyped-call]
        learner.model.zero_grad(set_to_none=True)


def _predict_steps(subject: Subject, setting: Setting, count: int) -> None:
    subject.learner.model.eval()
    images = _images(subject, setting)
    for _ in range(count):
        with autocast(subject.device, setting.precision):
            subject.learner.predict(images)
