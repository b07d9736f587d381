"""Stage `text`: the CLIP text model learns to tell what a caption or an instruction says, before any picture.

SD's text model comes pretrained; one that starts from noise together with the UNet hands it 77 nearly equal
tokens, most of them padding, and for thousands of steps the UNet learns to ignore them. Here linear heads
read each thing that can be said from the end token, as CLIP's head does, and from the padding after it; they
are then thrown away, and the text model stays as it is in all denoising stages, as SD's did.
"""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from . import world
from .autoencoder import initialise
from .captions import WHERE, phrase
from .denoiser import END, Text, Tokens
from .loop import Run, Settings
from .world import COLOURS, LIGHTS, PLACES, SHAPES, SIZES, TEXTURES, Scene

UNSAID = 0
SHAPE_HEADS = (len(COLOURS), len(SIZES), len(PLACES), len(TEXTURES), 1)
SCENE_HEADS = (len(COLOURS), 1, len(LIGHTS))
BEFORE = (0, 1, 3)  # colour, size and texture stand before the word of the shape that they belong to
HEADS = [1 + options for options in SHAPE_HEADS * len(SHAPES) + SCENE_HEADS]
BATCH = 48
READ = 4


def told(scene: Scene, text: str) -> list[int]:
    """What `text`, a phrase of `scene`, says: one class for each head, 0 where it says nothing. For each kind
    of shape its colour, size, place, texture and whether it is named; then background, gradient, light."""
    words, labels = text.replace(",", " ").split(), []
    for kind in SHAPES:
        shape = next((s for s in scene.shapes if s.kind == kind), None)
        if shape is None or kind not in words:
            labels += [UNSAID] * len(SHAPE_HEADS)
            continue
        placed = any(where in text for where in WHERE[shape.place])
        labels += [
            1 + list(COLOURS).index(shape.colour) if shape.colour in words else UNSAID,
            1 + list(SIZES).index(shape.size) if shape.size in words else UNSAID,
            1 + list(PLACES).index(shape.place) if placed else UNSAID,
            1 + TEXTURES.index(shape.texture) if shape.texture in words else UNSAID,
            1,
        ]
    ground = 1 + list(COLOURS).index(scene.background) if "background" in words else UNSAID
    light = 1 + list(LIGHTS).index(scene.light) if "light" in words else UNSAID
    return [*labels, ground, int(scene.gradient and "gradient" in words), light]


def instructed(before: Scene, text: str, after: Scene) -> list[int]:
    """What an instruction says: the new value of the one thing that it changes. A place has other words here
    than in a caption."""
    labels = told(after, text)
    for old, new in zip(before.shapes, after.shapes, strict=True):
        if old.place != new.place:
            labels[SHAPES.index(new.kind) * len(SHAPE_HEADS) + 2] = 1 + list(PLACES).index(new.place)
    return labels


def lesson(rng: Random) -> tuple[str, list[int]]:
    """A caption, or one time in three an instruction, and what it says."""
    scene = world.sample_scene(rng, rng.choice((1, 1, 1, 2, 3)))
    if rng.random() < 1 / 3:
        text, after = world.sample_edit(rng, scene)
        return text, instructed(scene, text, after)
    text = phrase(scene, rng)
    return text, told(scene, text)


def waves(length: int, width: int) -> Tensor:
    """Sines and cosines of the position (Vaswani et al., 2017), `[length, width]`: "the word before" is then
    a rotation, which attention finds at once; from noise it does not find whose colour is whose."""
    place = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return 0.15 * torch.stack((place.sin(), place.cos()), -1).flatten(1)


class Readers(nn.Module):
    """Linear heads on the text model's context `[B, 77, width]`."""

    def __init__(self, width: int, nouns: list[int]) -> None:
        super().__init__()
        self.nouns = nouns
        self.near = [1 + SHAPE_HEADS[head] for head in BEFORE]
        self.whole = nn.Linear(width, sum(HEADS))
        self.nouns_own = nn.Linear(width, sum(self.near))

    def all_told(self, context: Tensor, places: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of all heads at `places` `[B, READ]`, and the share of texts read without a fault."""
        read = torch.gather(context, 1, places[..., None].expand(-1, -1, context.shape[2]))
        errors, right = [], []
        for column, logits in enumerate(self.whole(read).split(HEADS, -1)):
            label = labels[:, column, None].expand(-1, READ)
            errors.append(cross_entropy(logits.flatten(0, 1), label.flatten()))
            right.append((logits.argmax(-1) == label).all(1))
        return torch.stack(errors).sum(), torch.stack(right).all(0).float().mean()

    def whose(self, context: Tensor, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Which colour is whose: among several shapes, each shape's word knows the words before it.
        Cross-entropy, and the share that is right."""
        named = labels[:, len(SHAPE_HEADS) - 1 : -len(SCENE_HEADS) : len(SHAPE_HEADS)] > 0
        several = named.sum(1, keepdim=True) > 1
        errors, right = [context.new_zeros(())], [context.new_ones(1)]
        for kind, noun in enumerate(self.nouns):
            row, place = ((ids == noun) & several).nonzero(as_tuple=True)
            if len(row) == 0:
                continue
            for head, logits in zip(
                BEFORE, self.nouns_own(context[row, place]).split(self.near, -1), strict=True
            ):
                label = labels[row, kind * len(SHAPE_HEADS) + head]
                errors.append(cross_entropy(logits, label) / len(SHAPES))
                right.append((logits.argmax(-1) == label).float())
        return torch.stack(errors).sum(), torch.cat(right).mean()


def train_text(of: Settings) -> None:
    """Until every text is read right at its end token and at some of the padding after it."""
    tokens = Tokens()
    text = Text(tokens.vocabulary())
    initialise(text, seed=4)
    nn.init.normal_(text.rows, std=0.1)
    text.text_model.embeddings.position_embedding.weight.data.copy_(waves(77, text.rows.shape[1]))
    readers = Readers(text.rows.shape[1], [tokens(kind)[1] for kind in SHAPES])
    net = nn.ModuleDict({"text": text, "readers": readers}).to(of.device)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = Random(step)
        drawn = [lesson(rng) if rng.random() > 0.05 else ("", [UNSAID] * len(HEADS)) for _ in range(BATCH)]
        ids = torch.tensor([tokens(words) for words, _ in drawn])
        labels = torch.tensor([label for _, label in drawn]).to(of.device)
        ends = (ids == END).int().argmax(1, keepdim=True)
        places = ends + (torch.rand(len(ids), READ, generator=generator) * (ids.shape[1] - ends)).long()
        places[:, 0] = ends[:, 0]
        ids = ids.to(of.device)
        context = text(ids)
        error, right = readers.all_told(context, places.to(of.device), labels)
        error_whose, bound = readers.whose(context, ids, labels)
        return error + error_whose, {"right": right.item(), "bound": bound.item()}

    Run("text", net, loss, of.work, of.steps, rate=2e-3, decay=0.99).train()
