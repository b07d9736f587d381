"""The pack loads in the real ComfyUI, and the test models are alive."""

import torch


def test_tiny_models_sample_finite_varied_pictures(host, model, clip, vae):
    (positive,) = host.call("CLIPTextEncode", clip=clip, text="a (red:1.3) circle")
    (negative,) = host.call("CLIPTextEncode", clip=clip, text="")
    (latent,) = host.call("EmptyLatentImage", width=64, height=64, batch_size=1)
    (latent,) = host.call(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=latent,
        seed=1, steps=4, cfg=7.0, sampler_name="euler", scheduler="normal", denoise=1.0,
    )  # fmt: skip
    (image,) = host.call("VAEDecode", samples=latent, vae=vae)
    assert image.shape == (1, 64, 64, 3)
    assert torch.isfinite(image).all() and image.std() > 0.01
    (again,) = host.call("VAEEncode", pixels=image, vae=vae)
    assert again["samples"].shape == latent["samples"].shape
