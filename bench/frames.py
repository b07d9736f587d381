"""Clips whose ground is known: an object taken out of 48 frames, masks carried through them, and how much
memory 100 and 1,000 frames take.

python run.py bench frames
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from ..tests.core.frames.clips import camera_clip, decibels, disc_masks, flicker, ground, with_object

COUNT, SIZE = 48, 128
MEMORY_SIZE = 256
COUNTED = "ISI_FRAMES"
"""Says to a process of its own how many frames it is to measure memory with; 0: how steady a model paints."""
LONG = 24
"""Frames that a model paints."""


def mini_clip(pan=(0.0, 0.0)):
    """A clip of the mini world: its frames, the masks of what moves (0 or 1), and its ground."""
    from ..tools.mini.world import Scene, Shape, render

    still = [
        Shape(kind, colour, "large", "centre", texture, x, y)
        for kind, colour, texture, x, y in (
            ("square", "blue", "striped", 0.25, 0.3), ("circle", "green", "dotted", 0.7, 0.7),
            ("star", "yellow", "plain", 0.3, 0.8), ("cross", "purple", "striped", 0.8, 0.25),
            ("ring", "white", "plain", 1.3, 0.4), ("square", "orange", "dotted", 1.2, 0.9),
        )
    ]  # fmt: skip
    frames, masks, truth = [], [], []
    for index in range(COUNT):
        right, down = (move * index / SIZE for move in pan)
        ground = [replace(one, x=one.x + right, y=one.y + down) for one in still]
        thing = Shape("circle", "red", "small", "centre", "plain", 0.2 + 0.6 * index / COUNT, 0.5)
        truth.append(render(Scene(tuple(ground), "white"), SIZE, SIZE).picture)
        drawn = render(Scene((*ground, thing), "white"), SIZE, SIZE)
        frames.append(drawn.picture)
        masks.append((drawn.masks[-1] > 0).float())
    frames, truth = (torch.stack(each).movedim(1, -1) for each in (frames, truth))
    return frames, torch.stack(masks), truth


def clouds(**moved):
    """A clip of clouds with a disc that moves."""
    truth, masks = camera_clip(COUNT, SIZE, **moved), disc_masks(COUNT, SIZE, SIZE / 8)
    return with_object(truth, masks), masks, truth


def clips():
    """Frames, masks and ground of each clip by what is special about it."""
    return {
        "mini world, still": mini_clip(),
        "mini world, pan of 1.7 and 0.6 px a frame": mini_clip((-1.7, 0.6)),
        "clouds, still": clouds(),
        "clouds, still, light that swings by 10 %": clouds(light=0.1),
        "clouds, still, grain of 1 %": clouds(noise=0.01),
        "clouds, pan of 2.3 and 0.7 px a frame": clouds(pan=(2.3, -0.7)),
        "clouds, pan and zoom of 0.3 % a frame": clouds(pan=(1.3, 0.4), zoom=1.003),
    }


def quality() -> None:
    from ..core.fills.fill import fill
    from ..core.frames.clip import clip_of
    from ..core.frames.plate import CleanPlate

    print("| clip | clean plate, dB | each alone (telea), dB | flicker / truth's | unseen | s a frame |")
    print("|---|---|---|---|---|---|")
    for name, (frames, masks, truth) in clips().items():
        began = time.perf_counter()
        plate = CleanPlate(clip_of(frames, masks), lambda picture, mask: fill(picture, mask, "telea"), 48)
        for index in range(COUNT):
            plate.take(index, plate.make(index))
        took = (time.perf_counter() - began) / COUNT
        alone, hole = fill(frames, masks, "telea"), masks > 0
        assert torch.equal(plate.frames[~hole], frames[~hole])
        own = flicker(truth, hole)
        ratio = (
            f"{flicker(plate.frames, hole) / own:.2f}" if own else f"{flicker(plate.frames, hole):.4f} / 0"
        )
        print(
            f"| {name} | {decibels(plate.frames, truth, hole):.1f} | {decibels(alone, truth, hole):.1f} | "
            f"{ratio} | {float(plate.unseen[hole].mean()):.1%} | {took:.2f} |",
            flush=True,
        )


def away_and_back():
    """A textured disc that leaves to the right over clouds, is out for 8 frames, and comes back."""
    columns = torch.cat(
        [torch.linspace(SIZE / 2, 1.2 * SIZE, COUNT // 2), torch.linspace(1.2, 0.3, COUNT // 2) * SIZE]
    )
    masks = torch.cat([disc_masks(1, SIZE, SIZE / 8, float(column.round()) / SIZE) for column in columns])
    frames, own = camera_clip(COUNT, SIZE, noise=0.01), ground(9, SIZE, SIZE)
    for frame, mask, column in zip(frames, masks, columns, strict=True):
        y, x = (mask > 0).nonzero(as_tuple=True)
        frame[y, x] = own[y, (x - int(column.round())) % SIZE]
    return frames, masks, None


def tracking() -> None:
    from ..core.frames.track import tracked

    print("| clip | key frame | mean IoU | worst | not found | s a frame |\n|---|---|---|---|---|---|")
    for name, (frames, masks, _) in {**clips(), "clouds, leaves and comes back": away_and_back()}.items():
        for key in (0, COUNT // 2 - 1) if masks.amax((1, 2)).all() else (0,):
            began = time.perf_counter()
            made = dict(tracked(frames, masks[key : key + 1], [key]))
            took = (time.perf_counter() - began) / COUNT
            # Of what is only just in the frame nothing need be found.
            there = [at for at in range(COUNT) if at != key and masks[at].sum() > 0.3 * masks[key].sum()]
            both = [((made[at] > 0) & (masks[at] > 0)).sum() for at in there]
            either = [((made[at] > 0) | (masks[at] > 0)).sum() for at in there]
            overlaps = [float(one / other) for one, other in zip(both, either, strict=True)]
            missed = f"{sum(not made[at].any() for at in there)} of {len(there)}"
            mean = sum(overlaps) / len(there)
            print(
                f"| {name} | {key + 1} | {mean:.3f} | {min(overlaps):.2f} | {missed} | {took:.3f} |",
                flush=True,
            )


def memory(count: int) -> None:
    """Prints by how much memory rose while `count` frames were cleaned, besides them and the result."""
    import resource

    from ..tests.host.harness import Host

    Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    from ..core.frames.clip import clip_of
    from ..host.frames.clean import clean_clip

    truth = camera_clip(1, MEMORY_SIZE)
    masks = disc_masks(count, MEMORY_SIZE, 24)
    frames = truth.repeat(count, 1, 1, 1)
    for frame, mask in zip(frames, masks, strict=True):
        frame[mask > 0] = torch.tensor([0.9, 0.1, 0.1])
    clean_clip(clip_of(frames[:3].clone(), masks[:3].clone()), "telea", 0, 48)  # what is loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    made, unseen = clean_clip(clip_of(frames, masks), "telea", 0, 48)
    took = (time.perf_counter() - began) / count
    rose = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    result = made.nbytes + unseen.nbytes
    print(
        f"{count} frames of {MEMORY_SIZE} px: +{rose / 1024 - result / 2**20:.0f} MiB besides the result of "
        f"{result / 2**20:.0f} MiB, {took:.3f} s a frame",
        flush=True,
    )


def steadiness() -> None:
    """Prints how much what the mini models paint over a circle changes from frame to frame."""
    from ..tests.host.harness import Host

    host = Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    from ..tests.host.frames.test_one_after_another import clip_of_a_circle, flicker_in, run
    from ..tests.host.studio import Studio

    print("| model | mask | frames | flicker | first to last |\n|---|---|---|---|---|")
    for kind in ("base", "inpaint"):
        studio = Studio(host, kind)
        for way, step in (("still", 0.0), ("moves", 0.01)):
            clip = clip_of_a_circle(step, LONG)
            cases = {"each alone": {}} | {
                f"one after another, {amount}": {"frames": "one after another", "frame_denoise": amount}
                for amount in (0.0, 0.15, 0.3, 0.5)
            }
            for name, given in cases.items():
                made = run(studio, clip, **given)
                ends = flicker_in(made[[0, -1]], clip[1][[0, -1]])
                print(
                    f"| {kind} | {way} | {name} | {flicker_in(made, clip[1]):.4f} | {ends:.4f} |", flush=True
                )


def main() -> None:
    """Prints all figures."""
    if COUNTED in os.environ:
        count = int(os.environ[COUNTED])
        memory(count) if count else steadiness()
        return
    quality()
    tracking()
    for count in (0, 100, 1000):
        again = [sys.executable, "-m", "bench", "frames"]
        subprocess.run(again, env={**os.environ, COUNTED: str(count)}, check=True)


if __name__ == "__main__":
    main()
