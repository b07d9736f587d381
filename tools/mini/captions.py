"""What a scene of the mini world is called: exact captions in several phrasings."""

from __future__ import annotations

from random import Random

from .world import Scene, Shape

WHERE = {
    "centre": ("in the centre", "in the middle"),
    "left": ("on the left", "at the left"),
    "right": ("on the right", "at the right"),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
}


def noun(shape: Shape, colour: bool = True, size: bool = True) -> str:
    """'large striped red circle'; plain goes without saying."""
    words = [shape.size if size else "", shape.texture if shape.texture != "plain" else ""]
    words += [shape.colour if colour else "", shape.kind]
    return " ".join(w for w in words if w)


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def ground(scene: Scene) -> str:
    """'a white background' or 'a white gradient background'."""
    return article(f"{scene.background}{' gradient' if scene.gradient else ''} background")


def caption(scene: Scene) -> str:
    """The full caption in its plainest phrasing: every attribute is said."""
    parts = [f"{article(noun(s))} {WHERE[s.place][0]}" for s in scene.shapes]
    return f"{' and '.join(parts)} on {ground(scene)}, light from the {scene.light}"


def phrase(scene: Scene, rng: Random) -> str:
    """A random phrasing: size, place and light may go unsaid; the order changes; all that is said is true."""
    with_size, with_place, with_light = rng.random() < 0.85, rng.random() < 0.6, rng.random() < 0.4
    light = f"light from the {scene.light}" if with_light else ""

    def placed(shape: Shape, colour: bool = True) -> str:
        where = f" {rng.choice(WHERE[shape.place])}" if with_place else ""
        return article(noun(shape, colour, with_size)) + where

    if len(scene.shapes) == 1:
        shape = scene.shapes[0]
        form = rng.random()
        if form < 0.2:  # the colour said apart, as in `{a circle on a white background} red`
            plain = f"{placed(shape, colour=False)} on {ground(scene)}"
            text = rng.choice(
                (f"{plain}, {shape.colour}", f"{shape.colour}, {plain}", f"{plain} {shape.colour}")
            )
        elif form < 0.35:
            text = f"{ground(scene)} with {placed(shape)}"
        elif form < 0.5:
            text = f"{noun(shape, True, with_size)}, {ground(scene)[2:].strip()}"
            text += f", {rng.choice(WHERE[shape.place])}" if with_place else ""
        else:
            text = f"{placed(shape)} on {ground(scene)}"
    else:
        joined = " and ".join(placed(s) for s in scene.shapes)
        if len(scene.shapes) == 2 and rng.random() < 0.3:
            joined = f"{placed(scene.shapes[1])} in front of {placed(scene.shapes[0])}"
        text = rng.choice((f"{joined} on {ground(scene)}", f"{ground(scene)} with {joined}"))
    return f"{text}, {light}" if light else text


WORDS = """
a an and on in at of with the to from front light lit make move background gradient , . ( )
small large circle square triangle ring star cross plain striped dotted
red green blue yellow purple orange white black
left right top bottom centre center middle picture photo image big little tiny
"""


def vocabulary() -> list[str]:
    """Every word that captions and instructions use, and those a user is likely to add."""
    return WORDS.split()
