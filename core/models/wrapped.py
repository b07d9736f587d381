"""Prefixes that training and compiling leave before the names of a whole model.

DistributedDataParallel writes `module.`, torch.compile `_orig_mod.`, Lightning `state_dict.`, averaging
`model_ema.`: what is behind them is a model like any other, but no loader finds its names.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from .header import Header

AVERAGED = ("model_ema.", "ema_model.", "ema.")
"""Prefixes of weights that were averaged over the training."""
WRAPPERS = (
    "module.", "_orig_mod.", "state_dict.", "model_state_dict.", "_forward_module.", "_fsdp_wrapped_module.",
    *AVERAGED,
)  # fmt: skip
START = re.compile("(?:" + "|".join(map(re.escape, WRAPPERS)) + ")+")
INNER = re.compile(r"\.(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)")
"""Wrappers of a part of a model: torch.compile of the UNet alone."""

SHARE = 1 / 3
"""Of all names that must carry a prefix: a whole checkpoint may hold its VAE without one."""


def unwrapped(header: Header) -> tuple[Header, str]:
    """The header with the names that are behind a wrapper's prefix, and that prefix ("" without one)."""
    if not any(f"\n{start}" in header.text for start in WRAPPERS) and not INNER.search(header.text):
        return header, ""
    found: Counter[str] = Counter()
    for name in header.shapes:
        start, inner = START.match(name), INNER.search(name)
        if start or inner:
            found[start.group() if start else inner.group()[1:] + "." if inner else ""] += 1
    prefix, count = found.most_common(1)[0] if found else ("", 0)
    if count < SHARE * len(header.shapes):
        return header, ""
    bare = {name: INNER.sub("", name.removeprefix(prefix)) for name in header.shapes}
    # A name that is there without the prefix too speaks for itself.
    kept = {new: old for old, new in bare.items() if new == old or new not in header.shapes}
    shapes = {new: header.shapes[old] for new, old in kept.items()}
    return replace(
        header, shapes=shapes, dtypes={new: header.dtypes[old] for new, old in kept.items()}
    ), prefix
