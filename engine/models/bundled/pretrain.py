"""Train a backbone for the box: a small timm network learns a teacher's answers, without labels.

Three steps, each of which goes on where it was stopped::

    python -m engine.models.bundled.pretrain pool  --teacher WEIGHTS --tar TAR --photos DIR... --out POOL
    python -m engine.models.bundled.pretrain train --pool POOL --out RUN --steps 20000
    python -m engine.models.bundled.pretrain export --out RUN --pool POOL --file FILE.safetensors

``pool`` renders views and asks the teacher once for each. ``train`` fits the student's pooled features to
the teacher's (standardised), a throw-away layer to its softened logits and two throw-away 1 x 1
projections to its maps at strides 16 and 32. The teacher's weights are never copied. Everything is seeded;
SIGTERM ends ``train`` with a checkpoint as soon as the processes meet.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import distributed, nn

from engine.models.bundled.muon import Muon
from engine.models.bundled.pool import Pool, batches, load_teacher, write_shard
from engine.models.bundled.student import WEIGHTS, Distilled
from engine.models.bundled.views import Views, read_folder, read_tar

MODULE = "engine.models.bundled.pretrain"


@dataclass
class State:
    """Where a training is."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0


class Trainer:
    """One of ``ranks`` processes that train the same student on different rows of each batch."""

    def __init__(self, options: argparse.Namespace, rank: int) -> None:
        self.options, self.rank = options, rank
        self.pool = Pool(options.pool, options.shards)
        torch.manual_seed(options.seed)
        self.model = Distilled(options.architecture, self.pool).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model.student).requires_grad_(False)
        self.optimizers = self._optimizers()
        self.state = State()
        self.stopping = False
        self._resume()

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Give Muon the dense convolutions of the student except its widest, and AdamW everything else."""
        options = self.options
        dense = [
            layer.weight
            for layer in self.model.student.modules()
            if isinstance(layer, nn.Conv2d)
            and layer.groups == 1
            and layer.bias is None
            and min(layer.weight.flatten(1).shape) <= 256
        ]
        chosen = {id(weight) for weight in dense} if options.muon else set()
        rest = [p for p in self.model.parameters() if id(p) not in chosen]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": options.decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        adam = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.99), fused=True)
        return [adam, Muon(dense, options.muon)] if chosen else [adam]

    @property
    def _checkpoint(self) -> Path:
        return Path(self.options.out) / "checkpoint.pt"

    def _resume(self) -> None:
        if not self._checkpoint.is_file():
            return
        saved = torch.load(self._checkpoint, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.state = State(**saved["state"])

    def save(self) -> None:
        """Write a checkpoint; the file is replaced only when the new one is whole."""
        saved = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "state": vars(self.state),
        }
        part = self._checkpoint.with_suffix(".part")
        torch.save(saved, part)
        part.replace(self._checkpoint)

    def run(self) -> None:
        """Train to ``--steps`` or until a SIGTERM; rank 0 writes log and checkpoints."""
        options, state = self.options, self.state
        signal.signal(signal.SIGTERM, self._stop)
        self.model.train()
        started, saved = time.monotonic() - state.seconds, time.monotonic()
        sums: dict[str, float] = {}
        for order in self._orders():
            losses = self._step(self.pool.rows(order))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            state.seconds = time.monotonic() - started
            if state.step % options.log == 0:
                self._log({name: value / options.log for name, value in sums.items()})
                sums = {}
            if state.step % options.together and state.step < options.steps:
                continue
            stopping = self._meet()
            late = time.monotonic() - saved > options.save_seconds
            if self.rank == 0 and (stopping or late or state.step >= options.steps):
                self.save()
                saved = time.monotonic()
            if stopping or state.step >= options.steps:
                return

    def _orders(self) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.intp]]]:
        options, state = self.options, self.state
        while state.step < options.steps:
            if len(self.pool) < options.batch * options.processes:
                raise SystemExit(f"The pool has {len(self.pool)} views, fewer than one batch of all ranks.")
            order = np.random.default_rng([options.seed, state.epoch]).permutation(len(self.pool))
            rows = batches(order, options.batch, self.rank, options.processes)
            skipped = state.batch
            for number, chosen in enumerate(rows):
                if number < skipped:
                    continue
                state.batch = number + 1
                state.step += 1
                yield chosen
            state.epoch, state.batch = state.epoch + 1, 0
            # New shards may have come; every rank looks at the same moment of the training.
            if options.grow:
                self._barrier()
                self.pool = Pool(options.pool, options.shards)
                self._barrier()

    def _step(self, rows: dict[str, torch.Tensor]) -> dict[str, float]:
        options, step = self.options, self.state.step
        rng = np.random.default_rng([options.seed, step, self.rank])
        size, flip = size_at(step / options.steps, options.sizes, options.shares), bool(rng.random() < 0.5)
        for optimizer, rate in zip(self.optimizers, (options.rate, options.muon), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate * rate_at(step, options.warmup, options.steps)
        losses = self.model(rows, size, flip)
        loss = torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        for optimizer in self.optimizers:
            optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def _meet(self) -> bool:
        """Make all ranks equal: average weights, statistics and moments; say whether anyone wants to stop.

        Stich, "Local SGD Converges Fast and Communicates Little" (2019). Ranks that meet at every step
        would spend most of their time waiting on a busy machine.
        """
        stopping = self.stopping
        if self.options.processes > 1:
            moments = [
                values[key]
                for optimizer in self.optimizers
                for values in optimizer.state.values()
                for key in ("exp_avg", "exp_avg_sq")
                if key in values
            ]
            tensors = [*self.model.parameters(), *self.model.buffers(), *moments]
            tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
            wishes = torch.tensor([float(stopping)])
            flat = torch.cat([wishes, *(tensor.detach().flatten() for tensor in tensors)])
            distributed.all_reduce(flat)
            flat /= self.options.processes
            stopping = bool(flat[0] > 0)
            parts = torch.split(flat[1:], [tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))
        step = self.state.step
        self._track(min(self.options.ema, (1 + step) / (10 + step)) ** self.options.together)
        return stopping

    @torch.no_grad()
    def _track(self, decay: float) -> None:
        """Keep the moving average of the weights, and of the statistics of the norms."""
        averages = [*self.average.parameters(), *self.average.buffers()]
        values = [*self.model.student.parameters(), *self.model.student.buffers()]
        pairs = [(a, v) for a, v in zip(averages, values, strict=True) if v.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in pairs], [v.detach() for _, v in pairs], 1 - decay)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _barrier(self) -> None:
        if self.options.processes > 1:
            distributed.barrier()

    def _log(self, losses: dict[str, float]) -> None:
        if self.rank:
            return
        state = self.state
        parts = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        with (self.options.out / "log.txt").open("a") as log:
            log.write(f"step {state.step} epoch {state.epoch} {state.seconds:.0f} s {parts}\n")


def rate_at(step: int, warmup: int, steps: int) -> float:
    """Return the share of the learning rate at a step: a linear rise, then half a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * done)) + 1e-3


def size_at(done: float, sizes: list[int], shares: list[float]) -> int:
    """Return the px of the phase that training is in when ``done`` (0 to 1) of its steps are done."""
    ends = np.cumsum(shares) / np.sum(shares)
    return sizes[min(int(np.searchsorted(ends, done, side="left")), len(sizes) - 1)]


def make_pool(options: argparse.Namespace) -> None:
    """Write the shards ``--first`` to ``--first + --shards - 1`` that are not there yet."""
    teacher = load_teacher(options.teacher)
    small = read_tar(options.tar, options.limit) if options.tar else []
    large = [read_folder(folder, options.limit) for folder in options.photos]
    if not small and not any(large):
        raise SystemExit("There are no pictures: name a tar with --tar, or folders with --photos.")
    source = Views(small or large[0], large, options.teacher_size)
    for number in range(options.first, options.first + options.shards, options.stride):
        shard = options.out / f"shard-{number:04d}"
        if not shard.exists():
            rng = np.random.default_rng([options.seed, number])
            write_shard(shard, teacher, source, rng, options.views, options.stored_size)


def train(options: argparse.Namespace) -> None:
    """Train in ``--processes`` processes of one thread each, whose weights are averaged every few steps."""
    options.out.mkdir(parents=True, exist_ok=True)
    rank = options.rank
    others: list[subprocess.Popen[bytes]] = []
    meeting = options.out / "meeting"
    if options.processes > 1:
        if rank == 0:
            meeting.unlink(missing_ok=True)
            command = [sys.executable, "-m", MODULE, *sys.argv[1:], "--rank"]
            others = [
                # A session each: where the scheduler shares the machine out by sessions, each gets a part.
                subprocess.Popen([*command, str(r)], start_new_session=True)
                for r in range(1, options.processes)
            ]
        distributed.init_process_group(
            "gloo",
            init_method=meeting.resolve().as_uri(),
            rank=rank,
            world_size=options.processes,
            timeout=timedelta(hours=2),
        )
    Trainer(options, rank).run()
    for other in others:
        other.wait()


def export(options: argparse.Namespace) -> None:
    """Write the averaged student as float16 safetensors, without classifier and counters.

    With ``--pool`` the statistics of its norms are measured anew on views at ``--size`` px, which is nearer
    to what the network will see than the last phase (Touvron et al., "Fixing the train-test resolution
    discrepancy", 2019).
    """
    saved = torch.load(options.out / "checkpoint.pt", weights_only=True)
    average = saved["average"]
    if options.pool:
        pool = Pool(options.pool, options.shards)
        model = Distilled(options.architecture, pool)
        model.student.load_state_dict(average)
        measure_norms(model, pool, options.size, options.seed)
        average = model.student.state_dict()
    tensors = {
        name: value.to(torch.float16).contiguous()
        for name, value in average.items()
        if value.is_floating_point()
    }
    assert all(bool(value.isfinite().all()) for value in tensors.values()), "too large for 16 bits"
    save_file(tensors, options.file)
    options.file.chmod(0o644)


@torch.no_grad()
def measure_norms(model: Distilled, pool: Pool, size: int, seed: int, count: int = 30) -> None:
    """Set every batch norm of the student to its mean and variance over ``count`` batches of 64 views."""
    for layer in model.student.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean over all batches
    model.train()
    for number in range(count):
        order = np.random.default_rng([seed, number]).permutation(len(pool))[:64]
        model(pool.rows(order), size, bool(number % 2))
    model.eval()


def _pool_options(commands: Any) -> None:
    pool = commands.add_parser("pool", help="render views and ask the teacher")
    pool.set_defaults(run=make_pool)
    pool.add_argument("--teacher", type=Path, required=True, help="folder of config.json and weights")
    pool.add_argument("--tar", type=Path, help="tar of little pictures, one thing each")
    pool.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photographs to crop")
    pool.add_argument("--out", type=Path, required=True, help="folder of the shards")
    pool.add_argument("--shards", type=int, default=30)
    pool.add_argument("--first", type=int, default=0, help="number of the first shard")
    pool.add_argument("--stride", type=int, default=1, help="every how many-th shard, to share the work")
    pool.add_argument("--views", type=int, default=4096, help="views in a shard")
    pool.add_argument("--teacher-size", type=int, default=160, help="px of a view for the teacher")
    pool.add_argument("--stored-size", type=int, default=128, help="px of a view for the student")
    pool.add_argument("--limit", type=int, help="at most so many pictures of each source")
    pool.add_argument("--seed", type=int, default=0)


def _train_options(commands: Any) -> None:
    fit = commands.add_parser("train", help="train the student on a pool")
    fit.set_defaults(run=train)
    fit.add_argument("--pool", type=Path, required=True)
    fit.add_argument("--out", type=Path, required=True, help="folder of log and checkpoint")
    fit.add_argument("--architecture", default="mobilenetv4_conv_small")
    fit.add_argument("--steps", type=int, default=3200)
    fit.add_argument("--batch", type=int, default=64, help="views per process and step")
    fit.add_argument("--processes", type=int, default=2)
    fit.add_argument("--together", type=int, default=10, help="steps between averagings of the processes")
    fit.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    fit.add_argument("--rate", type=float, default=2e-3)
    fit.add_argument("--muon", type=float, default=0.04, help="step of the dense convolutions; 0: AdamW")
    fit.add_argument("--warmup", type=int, default=40)
    fit.add_argument("--decay", type=float, default=0.02)
    fit.add_argument("--ema", type=float, default=0.998)
    fit.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128], help="px, phase by phase")
    fit.add_argument("--shares", type=float, nargs="+", default=[0.33, 0.42, 0.25], help="of the steps")
    fit.add_argument("--shards", type=int, help="at most so many shards")
    fit.add_argument("--grow", action="store_true", help="take up new shards after each epoch")
    fit.add_argument("--log", type=int, default=50, help="steps between lines of the log")
    fit.add_argument("--save-seconds", type=float, default=180)
    fit.add_argument("--seed", type=int, default=0)


def _export_options(commands: Any) -> None:
    out = commands.add_parser("export", help="write the weights file")
    out.set_defaults(run=export)
    out.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    out.add_argument("--pool", type=Path, help="measure the norms' statistics anew on these views")
    out.add_argument("--size", type=int, default=160, help="px of the views for that")
    out.add_argument("--shards", type=int, help="at most so many shards")
    out.add_argument("--architecture", default="mobilenetv4_conv_small")
    out.add_argument("--seed", type=int, default=0)
    out.add_argument("--file", type=Path, required=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    commands = root.add_subparsers(required=True)
    _pool_options(commands)
    _train_options(commands)
    _export_options(commands)
    return root


def main() -> None:
    """Run a command with one thread per process."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch.set_num_threads(1)
    options = parser().parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
