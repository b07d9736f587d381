"""What reading a prompt costs: plain texts, long ones, and random ones, which may only be read or refused.

python run.py bench prompts
"""

from __future__ import annotations

import random
import time

from ..core.language.choices import ChoiceError, read_choices
from ..core.language.mistakes import ScriptError
from ..core.language.prompts import chunks, read_prompt
from ..core.language.script import parse

PLAIN = "a photo of an old oak tree, (masterpiece:1.2), detailed \\(bark\\), soft light, 35 mm " * 3
PIECES = [
    *"[](){}|:;@*<>\\ a", "[a:b:.5]", "[c|d]", ":3]", " AND ", "BREAK", ":0.7", "<lora:x:1>", "<lora:",
    "{a|b}", "$$", "__w__", ".5::", "@cfg=6", '@negative="', "猫", "２", "\n",
]  # fmt: skip
TEXTS, SHORT, LONG = 100_000, 1_000, 100_000


def spent(act, rounds: int) -> float:
    """Processor time of a call in seconds, the least of some rounds."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        act()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    def plain() -> None:
        for _ in range(100):
            assert read_prompt(PLAIN).plain and chunks(PLAIN) == (PLAIN,)

    print(f"a plain prompt of {len(PLAIN)} characters: {10 * spent(plain, 5):.4f} ms a step")
    chance = random.Random(16)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(TEXTS):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 16)))
        for read in (parse, read_prompt, read_choices):
            try:
                read(text)
                outcomes["read"] += 1
            except (ScriptError, ChoiceError):
                outcomes["refused"] += 1
    print(f"{TEXTS:,} random texts, three readers each: {outcomes}")
    worst = 0.0
    for piece in PIECES:
        times = []
        for length in (SHORT, LONG):
            text = piece * (length // len(piece))

            def read(text: str = text) -> None:
                try:
                    read_prompt(text).by_step(2)
                    chunks(text)
                except ScriptError:
                    pass

            times.append(spent(read, 3) / len(text))
        worst = max(worst, times[1] / max(times[0], 1e-9))
    print(f"time a character of {LONG:,} over that of {SHORT:,}, the worst of {len(PIECES)}: {worst:.2f}")


if __name__ == "__main__":
    main()
