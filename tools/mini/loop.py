"""The training loop all stages share: AdamW, a rate that falls with the clock, EMA, checkpoints, a log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Settings:
    """What a stage is told: where its files are, how long, on what, how much data it draws, its batch,
    whether all scenes are `simple` (one plain shape, no gradient), which a short run can learn, and whether
    it starts from nothing (`fresh`) or goes on from the weights that are shipped."""

    work: Path
    steps: int
    device: str
    scenes: int
    batch: int
    simple: bool
    fresh: bool = False


@dataclass
class Run:
    """One stage's training. `loss(step, generator)` draws its own batch and returns the loss and what to log.

    The learning rate rises over 100 steps, stays, and falls in a line to zero over the last 60 % of `steps`;
    so a run that was stopped while it stayed can be resumed with more or fewer `steps`.
    """

    name: str
    module: nn.Module
    loss: Callable[[int, torch.Generator], tuple[Tensor, dict[str, float]]]
    work: Path
    steps: int
    rate: float = 1e-3
    decay: float = 0.999
    seed: int = 0
    spent: float = 0.0
    save_every: float = 60.0
    step: int = 0
    ema: dict[str, Tensor] = field(default_factory=dict)

    def train(self) -> None:
        """Trains to the last step; saves every `save_every` seconds and at the end."""
        params = [p for p in self.module.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(params, lr=self.rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.ema = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self._resume(optimiser)
        saved = last = time.monotonic()
        means: dict[str, float] = {}
        while self.step < self.steps:
            generator = torch.Generator().manual_seed(self.seed + self.step)
            rise, fall = (self.step + 1) / 100, (self.steps - self.step) / (0.6 * self.steps)
            rate = self.rate * min(1.0, rise, fall)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss, logged = self.loss(self.step, generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(params, 1.0)
            optimiser.step()
            self.step += 1
            self._average()
            for key, value in ({"loss": loss.item()} | logged).items():
                means[key] = 0.98 * means.get(key, value) + 0.02 * value
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if self.step % 50 == 0:
                self._log(means | {"step": self.step, "seconds": round(self.spent, 1), "rate": rate})
            if now - saved > self.save_every:
                self._save(optimiser)
                saved = now
        self._save(optimiser)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.decay, (self.step + 1) / (self.step + 10))
        for key, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.ema[key].lerp_(value, 1 - decay)

    def _path(self) -> Path:
        return self.work / f"{self.name}.pt"

    def _save(self, optimiser: torch.optim.Optimizer) -> None:
        state = {"module": self.module.state_dict(), "ema": self.ema, "optimiser": optimiser.state_dict()}
        temporary = self._path().with_suffix(".tmp")
        torch.save(state | {"step": self.step, "spent": self.spent}, temporary)
        temporary.replace(self._path())

    def _resume(self, optimiser: torch.optim.Optimizer) -> None:
        if not self._path().exists():
            return
        state = torch.load(self._path(), map_location=next(self.module.parameters()).device)
        self.module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        self.ema, self.step, self.spent = state["ema"], state["step"], state["spent"]

    def _log(self, row: dict[str, float]) -> None:
        text = json.dumps({k: round(v, 6) for k, v in row.items()})
        print(self.name, text, flush=True)
        with (self.work / f"{self.name}.jsonl").open("a") as file:
            file.write(text + "\n")
