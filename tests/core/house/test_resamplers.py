"""Each resampler stands in the table of core/pictures/resize.py, and nowhere else is anything resampled."""

import re

from .test_house import ROOT

RESAMPLES = re.compile(
    r"interpolate\(|adaptive_\w+_pool|common_upscale\(|grid_sample|Resampling\.|\.resize\("
)
TABLE = {
    "core/loop/lens.py": "loop.lens.resize",
    "core/pictures/resize.py": "lanczos",
    "core/pictures/masks.py": "masks.resize_mask",
    "core/models/concat.py": "core.models.concat",
    "core/fills/pyramid.py": "core.fills.pyramid",
    "core/fills/spread.py": "core.fills",
    "core/pictures/matte.py": "mattes",
    "core/edits/registration.py": "core.edits.registration",
    "core/frames/camera.py": "core.frames.camera",
    "host/tiles/tile_patches.py": "hints under tiles",
    "host/conditioning/concat.py": "common_upscale",
    "host/tiles/tile_conds.py": "common_upscale",
}


def test_nothing_is_resampled_beside_the_table():
    files = [path for hall in ("core", "host", "nodes") for path in (ROOT / hall).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if RESAMPLES.search(path.read_text("utf-8"))}
    assert found <= TABLE.keys()
    table = (ROOT / "core/pictures/resize.py").read_text("utf-8").partition('"""\n\n')[0]
    assert all(name in table for name in TABLE.values())
