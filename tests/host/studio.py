"""A mini model with the nodes around it, and programs that read what it draws; for tests and benches."""

import torch
from isi.tools.mini import captions, judge, world
from isi.tools.mini.bones import bones

SAMPLER = {"sampler_name": "euler", "scheduler": "normal"}


class Studio:
    """One kind of mini model on a host of `harness`."""

    def __init__(self, host, kind="base"):
        self.host, self.kind = host, kind
        self.model, self.clip, self.vae, self.vision = host.call("ISI_MiniCheckpoint", kind=kind)
        self.negative = self.text("")

    def text(self, words):
        return self.host.call("CLIPTextEncode", clip=self.clip, text=words)[0]

    def encode(self, picture, mask=None):
        """The latent of `[1, H, W, 3]`, with a noise mask if there is one."""
        (latent,) = self.host.call("VAEEncode", pixels=picture, vae=self.vae)
        return latent if mask is None else self.host.call("SetLatentNoiseMask", samples=latent, mask=mask)[0]

    def sample(self, model, positive, negative, latent, seed, cfg=5.0, steps=20, denoise=1.0):
        """The decoded picture `[H, W, 3]`."""
        (out,) = self.host.call(
            "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=seed,
            steps=steps, cfg=cfg, denoise=denoise, **SAMPLER,
        )  # fmt: skip
        return self.host.call("VAEDecode", samples=out, vae=self.vae)[0][0]

    def draw(self, words, seed, size=(128, 128), **settings):
        """Text to image; `size` is (height, width)."""
        (latent,) = self.host.call("EmptyLatentImage", width=size[1], height=size[0], batch_size=1)
        return self.sample(self.model, self.text(words), self.negative, latent, seed, **settings)

    def concat(self, words, **sources):
        """What ISI Concat Conditioning makes of `sources`: model, positive, negative, latent."""
        return self.host.call(
            "ISI_ConcatConditioning", model=self.model, positive=self.text(words), negative=self.negative,
            vae=self.vae, kind=self.kind, **sources,
        )  # fmt: skip

    def shown(self, words, seed, cfg=5.0, steps=20, **sources):
        """Draws with the kind's extra channels."""
        return self.sample(*self.concat(words, **sources), seed, cfg, steps)

    def edit(self, words, seed, image_cfg, steps=20, **sources):
        """The same with ISI Edit Guider, which guides by text (5) and by the picture."""
        model, positive, negative, latent = self.concat(words, **sources)
        (sampler,) = self.host.call("KSamplerSelect", sampler_name=SAMPLER["sampler_name"])
        (sigmas,) = self.host.call(
            "BasicScheduler", model=model, scheduler=SAMPLER["scheduler"], steps=steps, denoise=1.0
        )
        (guider,) = self.host.call(
            "ISI_EditGuider", model=model, positive=positive, negative=negative, text_cfg=5.0,
            image_cfg=image_cfg, curve="constant", final_text_cfg=5.0, final_image_cfg=image_cfg,
        )  # fmt: skip
        (noise,) = self.host.call("RandomNoise", noise_seed=seed)
        out, _ = self.host.call(
            "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas,
            latent_image=latent,
        )  # fmt: skip
        return self.host.call("VAEDecode", samples=out, vae=self.vae)[0][0]

    def controlled(self, words, seed, net, hint, strength=1.0):
        """Draws as a ControlNet's hint `[1, H, W, 3]` leads."""
        positive, negative = self.host.call(
            "ControlNetApplyAdvanced", positive=self.text(words), negative=self.negative, control_net=net,
            image=hint, strength=strength, start_percent=0.0, end_percent=1.0,
        )  # fmt: skip
        (latent,) = self.host.call("EmptyLatentImage", width=128, height=128, batch_size=1)
        return self.sample(self.model, positive, negative, latent, seed)

    def varied(self, picture, seed, noise=0.0):
        """Draws what `[1, H, W, 3]` shows, without words; of the kind unclip."""
        (seen,) = self.host.call("CLIPVisionEncode", clip_vision=self.vision, image=picture, crop="center")
        (positive,) = self.host.call(
            "unCLIPConditioning", conditioning=self.negative, clip_vision_output=seen, strength=1.0,
            noise_augmentation=noise,
        )  # fmt: skip
        (latent,) = self.host.call("EmptyLatentImage", width=128, height=128, batch_size=1)
        return self.sample(self.model, positive, self.negative, latent, seed)

    def loop(self, script, seed, steps=12, cfg=5.0, denoise=0.8, **inputs):
        """Every picture of a run of ISI Iterate, `[N, 128, 128, 3]`."""
        curve = {"final_denoise": denoise, "curve": "constant", "seed_mode": "increment"}
        (plan, *_) = self.host.call(
            "ISI_Script", script=script, steps=steps, cfg=cfg, denoise=denoise, seed=seed, **curve
        )
        parts = {"model": self.model, "clip": self.clip, "vae": self.vae, "plan": plan, "negative": ""}
        *_, run = self.host.call("ISI_Iterate", **parts, **SAMPLER, width=128, height=128, **inputs)
        return self.host.call("ISI_RunImages", run=run, first=1, last=0, every=1)[0]


def scene(colour="red", kind="circle", size="large", background="white", place="centre", light="left"):
    """One plain shape."""
    x, y = world.PLACES[place]
    return world.Scene((world.Shape(kind, colour, size, place, "plain", x, y),), background, light)


def pixels(of, size=(128, 128)):
    """A scene as the host's picture `[1, H, W, 3]`."""
    return world.render(of, *size).picture.movedim(0, -1)[None]


def hint(host, kind, of):
    """What the mini ControlNet reads of a scene, `[1, 128, 128, 3]`: its edges, depth or bones."""
    if kind == "edges":
        return host.call("Canny", image=pixels(of), low_threshold=0.1, high_threshold=0.3)[0]
    if kind == "bones":
        return bones(of, 128, 128).movedim(0, -1)[None]
    return world.render(of).depth[None, ..., None].expand(-1, -1, -1, 3)


def caption(of):
    """All of a one-shape scene but its light."""
    shape = of.shapes[0]
    where = captions.WHERE[shape.place][0]
    return f"{captions.article(captions.noun(shape))} {where} on {captions.ground(of)}"


def right(of, picture):
    """Which attributes of a one-shape scene a picture `[H, W, 3]` has."""
    seen, told = judge.read(picture), of.shapes[0]
    found = seen.shapes[0] if seen.shapes else None
    return {
        "colour": found is not None and found.colour == told.colour,
        "background": seen.background == of.background,
        "shape": found is not None and found.kind == told.kind,
        "size": found is not None and found.size == told.size,
        "place": found is not None and found.place == told.place,
        "light": seen.light == of.light,
    }


def psnr(a, b):
    return float(-10 * torch.log10((a - b).pow(2).mean()))
