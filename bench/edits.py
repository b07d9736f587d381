"""Edit lock: known edits of 100 pictures, and 20 edits in a row of the mini instruct-pix2pix model.

python run.py bench edits
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

PICTURES, REACH = 100, 8
ROW = 20
SEEDS = (5, 101)
"""The lock was tuned on the first; the other is new to it."""


def moved(picture: Tensor, zoom: float, right: float, down: float) -> Tensor:
    """`[H, W, 3]` zoomed about its middle and shifted, bicubic."""
    rows = []
    for side, shift in ((picture.shape[0], down), (picture.shape[1], right)):
        middle = (side - 1) / 2
        rows.append(((torch.arange(side) - middle - shift) / zoom) / middle)
    y, x = torch.meshgrid(*rows, indexing="ij")
    read = functional.grid_sample(
        picture.movedim(-1, 0)[None], torch.stack([x, y], -1)[None], mode="bicubic",
        padding_mode="reflection", align_corners=True,
    )  # fmt: skip
    return read[0].movedim(0, -1).clamp(0, 1)


def world_edit(rng: Random, size: int) -> tuple[Tensor, Tensor]:
    """A scene of two or three shapes, and the same after one of them was changed, moved or taken away."""
    from ..tools.mini import world

    scene = world.sample_scene(rng, shapes=rng.choice([2, 3]))
    index = rng.randrange(len(scene.shapes))
    shape, act = scene.shapes[index], rng.choice(["recolour", "resize", "move", "remove"])
    if act == "remove":
        kept = tuple(one for at, one in enumerate(scene.shapes) if at != index)
        after = world.Scene(kept, scene.background, scene.light, scene.gradient)
    elif act == "resize":
        _, after = world.resize(scene, index, "small" if shape.size == "large" else "large")
    else:
        taken = {scene.background}.union(*({one.colour, one.place} for one in scene.shapes))
        names = world.COLOURS if act == "recolour" else world.PLACES
        change = world.recolour if act == "recolour" else world.move
        _, after = change(scene, index, rng.choice([name for name in names if name not in taken]))
    return tuple(world.render(one, size, size).picture.movedim(0, -1) for one in (scene, after))


def photograph_edit(rng: Random, photographs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """A part of a photograph, and the same with a disc of another part of one, or of a colour."""
    parts = []
    for photograph in rng.choices(photographs, k=2):
        top, left = (rng.randrange(side - 255) for side in photograph.shape[:2])
        parts.append(photograph[top : top + 256, left : left + 256])
    picture, other = parts
    if rng.random() < 0.5:
        other = torch.tensor([rng.random() for _ in range(3)]).expand_as(picture)
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    centre, radius = [rng.uniform(80, 176) for _ in range(2)], rng.uniform(25, 50)
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
    return picture, torch.where(disc[..., None], other, picture)


def known_edits(vae, seed: int):
    """Yields 100 of kind, before, what was meant, after `[H, W, 3]`, and the motion (zoom, right, down)."""
    from PIL import Image

    folder = Path(__file__).resolve().parents[1] / "assets" / "examples"
    photographs = []
    for name in ("rocket.png", "rocket_masts.png"):
        with Image.open(folder / name) as file:
            size = max(300, file.width), max(300, file.height)
            raw = bytearray(file.convert("RGB").resize(size).tobytes())
        photographs.append(torch.frombuffer(raw, dtype=torch.uint8).view(size[1], size[0], 3) / 255)
    rng = Random(seed)
    for number in range(PICTURES):
        kind = "mini world, VAE" if number < 50 else "mini world" if number < 75 else "photographs"
        size = 128 if number % 2 else 256
        before, meant = world_edit(rng, size) if number < 75 else photograph_edit(rng, photographs)
        motion = rng.uniform(0.96, 1.04), rng.uniform(-12, 12), rng.uniform(-12, 12)
        gains = torch.tensor([rng.uniform(0.95, 1.05) for _ in range(3)])
        after = (moved(meant, *motion) * gains + rng.uniform(-0.03, 0.03)).clamp(0, 1)
        if kind.endswith("VAE"):
            after = vae.decode(vae.encode(after[None]))[0]
        yield kind, before, meant, after, motion


def measured(before: Tensor, meant: Tensor, after: Tensor, motion: tuple) -> tuple[float, float, float]:
    """The shares of the outside that has its bits and of the change that is there, and the registration's
    error: how far, on average, the edges outside of the change are from where they are, in pixels."""
    from ..core.edits.direct import register
    from ..core.edits.edit_lock import EditLock

    out = EditLock().hold(before[None], after[None])[0]
    change = (meant - before).abs().amax(-1) > 0.06
    far = torch.from_numpy(ndimage.distance_transform_cdt(~change.numpy(), "chessboard") > REACH)
    same = (out == before).all(-1)
    seen = register(before, after)
    grey = before.mean(-1)
    edges = (torch.stack(torch.gradient(grey)).abs().sum(0) > 0.03) & far
    y, x = (one - (side - 1) / 2 for one, side in zip(edges.nonzero().T, grey.shape, strict=True))
    grown, right, down = seen.zoom - motion[0], seen.right - motion[1], seen.down - motion[2]
    error = ((right + grown * x) ** 2 + (down + grown * y) ** 2).sqrt().mean() if len(x) else 0.0
    return float(same[far].double().mean()), float((~same)[change].double().mean()), float(error)


def report(vae, seed: int) -> None:
    """Prints how many pictures keep every bit outside the change, have it whole, and are registered."""
    found: dict[str, list] = {}
    for kind, *case in known_edits(vae, seed):
        found.setdefault(kind, []).append(measured(*case))
    for kind, rows in found.items():
        kept, whole, error = (list(column) for column in zip(*rows, strict=True))
        print(
            f"seed {seed}, {kind:16} of {len(rows)}: all outside identical {sum(one == 1 for one in kept)} "
            f"(worst {min(kept):.4f}), change there {sum(one >= 0.98 for one in whole)} (worst "
            f"{min(whole):.4f}), within .25 px {sum(one <= 0.25 for one in error)} (worst {max(error):.2f})"
        )


def edits_in_a_row(host) -> None:
    """Prints the error of the background after each of 20 edits, with the lock and without."""
    from ..tests.host.studio import Studio, pixels, scene

    studio, before = Studio(host, "instruct-pix2pix"), pixels(scene("red", "circle", "small", "white"))
    colours = ("blue", "green", "yellow", "purple", "red")
    script = "; ".join(f"make the circle {colours[k % 5]}" for k in range(ROW))
    (conditioner,) = host.call("ISI_ConcatConditioner", kind="instruct-pix2pix", image_cfg=1.5)
    (lock,) = host.call("ISI_EditLock", strength=1.0, floor=0.05, min_area=32)
    away = torch.ones(128, 128, dtype=torch.bool)
    away[24:104, 24:104] = False
    for name, more in (("lock off", {}), ("lock on", {"drift": lock})):
        made = studio.loop(script, 3, denoise=1.0, image=before, conditioner=conditioner, **more)
        errors = [(one - before[0]).abs()[away] for one in made]
        shown = ", ".join(f"{k + 1}: {float(errors[k].mean()):.4f}" for k in (0, 4, 9, 19))
        moved_colours = (made[-1] - before[0]).abs()[~away].mean()
        print(f"{name}: mean error of the background after {shown}; worst {float(errors[-1].max()):.4f}")
        print(f"  inside the circle's square it changed by {float(moved_colours):.4f}")


def main() -> None:
    """Known edits, then edits in a row."""
    from ..tests.host.harness import Host

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        host = Host(Path(folder))
        edits_in_a_row(host)
        vae = host.call("ISI_MiniCheckpoint", kind="base")[2]
        for seed in SEEDS:
            report(vae, seed)
