"""ISI Brackets in the loop: every exposure is of the picture itself, and ISI Exposure Fusion takes them."""

import pytest
import torch

from ..harness import Failed


def plan(bench, picture, **settings):
    plain = {"prompt": "a", "count": 3, "gap": 0.2, "curve": 1.0, "denoise": 0.5, "steps": 3, "cfg": 1.0}
    return bench.host.call("ISI_Brackets", image=picture, seed=5, **plain | settings)[0]


def test_every_exposure_starts_from_the_picture_and_the_middle_one_is_plain(bench, picture, noises):
    _, _, run = bench.run(plan(bench, picture), image=picture)
    (made,) = bench.host.call("ISI_RunImages", run=run, first=1, last=0, every=1)
    assert len(made) == 3 and all(torch.equal(noises[0], one) for one in noises)
    alone, *_ = bench.run(
        bench.plan("a", steps=3, cfg=1.0, denoise=0.5, final_denoise=0.5, seed=5), image=picture
    )
    assert torch.equal(made[1:2], alone)
    (toned,) = bench.host.call(
        "ISI_Tone", model=bench.model, brightness=-0.2, contrast=0.0, saturation=0.0, red=0.0, green=0.0,
        blue=0.0, start=0.0, end=1.0, vae=bench.vae,
    )  # fmt: skip
    darker, *_ = bench.run(
        bench.plan("a", steps=3, cfg=1.0, denoise=0.5, final_denoise=0.5, seed=5), image=picture, model=toned
    )
    assert torch.equal(made[:1], darker)
    (fused,) = bench.host.call(
        "ISI_ExposureFusion", images=made, contrast=1.0, saturation=1.0, exposedness=1.0
    )
    assert fused.shape == picture.shape and torch.isfinite(fused).all()


def test_without_the_picture_or_with_another_size_it_is_said_before_sampling(bench, picture, noises):
    with pytest.raises(Failed, match="Expected a picture for ISI Brackets"):
        bench.run(plan(bench, picture), width=64, height=64)
    with pytest.raises(Failed, match="of a picture of 64 x 64, and one of 64 x 32 goes through"):
        bench.run(plan(bench, picture), image=picture[:, :32])
    assert not noises


@pytest.mark.parametrize(
    ("settings", "pixels"),
    [
        ({"format": "png", "format.bit_depth": "16-bit", "format.input_color_space": "sRGB"}, "rgb48le"),
        (
            {"format": "exr", "format.bit_depth": "32-bit float", "format.input_color_space": "linear"},
            "gbrpf32le",
        ),
    ],
)
def test_a_fused_picture_is_saved_with_more_than_8_bits_by_the_host(host, settings, pixels):
    import av

    import nodes

    if "SaveImageAdvanced" not in nodes.NODE_CLASS_MAPPINGS:
        pytest.skip("this ComfyUI saves 8 bits alone")
    ramp = torch.linspace(0.2, 0.8, 32 * 64).reshape(1, 32, 64, 1).expand(-1, -1, -1, 3)
    brackets = torch.cat([ramp * light for light in (0.5, 1.0, 1.2)])
    (fused,) = host.call("ISI_ExposureFusion", images=brackets, contrast=1.0, saturation=1.0, exposedness=1.0)
    host.call("SaveImageAdvanced", images=fused, filename_prefix=f"fused-{pixels}", **settings)
    (path,) = (host.base / "output").glob(f"fused-{pixels}*")
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0)).to_ndarray(format=pixels)
    read = torch.from_numpy(frame.astype("float32")) / (65535 if pixels == "rgb48le" else 1)
    assert (read - fused[0].clamp(0, 1)).abs().max() < 1 / 65535
    assert len(read.unique()) > 1500  # of 2,048 places; 8 bits have 256 values
