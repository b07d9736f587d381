"""What kinds of diffusion models there are, and what each takes besides the noisy latent.

`KINDS` is the one place that says what the input channels of a kind mean and what must be connected;
reports, loaders, conditioning nodes and their error messages all read it. `ModelKind` is what detection
(`core.models.detect` from a file's header, `host.models.model_kind` from a loaded MODEL) hands around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

DIT = "dit-"
"""Prefix of the kinds of transformer models: `dit-flux`, `dit-wan-i2v`, ..."""


@dataclass(frozen=True)
class Kind:
    """One kind: its channels in the order in which they are concatenated, and what to connect.

    `parts` are (channels, meaning) pairs; `needs` names the required inputs of the conditioning node;
    `node` is the display name of the node that fills the channels.
    """

    name: str
    title: str
    parts: tuple[tuple[int, str], ...] = ()
    needs: tuple[str, ...] = ()
    node: str = ""

    @property
    def channels(self) -> int | None:
        """Input channels of the first convolution; None where the kind is not a UNet."""
        return sum(count for count, _ in self.parts) or None

    @property
    def meaning(self) -> str:
        """The channels in words: `4 noisy latent + 1 depth ...`."""
        return " + ".join(f"{count} {what}" for count, what in self.parts)

    @property
    def connect(self) -> str:
        """What the user has to connect, as the end of a sentence."""
        if not self.node:
            return "nothing more"
        inputs = ", ".join(self.needs)
        return f"{inputs} to the node {self.node}" if inputs else f"the node {self.node}"


NOISE = (4, "noisy latent")
CONCAT = "ISI Concat Conditioning"
ICLIGHT = "ISI IC-Light"

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("standard", "a standard text-to-image model", (NOISE,)),
        Kind(
            "depth",
            "a depth-to-image model",
            (NOISE, (1, "depth map at latent size, -1 far to 1 near")),
            ("depth",),
            CONCAT,
        ),
        Kind(
            "upscale-x4",
            "the x4 upscaler",
            (
                NOISE,
                (3, "low-resolution RGB pixels, -1 to 1, with noise added; its level is the class label"),
            ),
            ("image",),
            CONCAT,
        ),
        Kind(
            "instruct-pix2pix",
            "an instruct-pix2pix editing model",
            (NOISE, (4, "latent of the picture to edit (VAE mode; unscaled, but scaled for CosXL)")),
            ("image", "vae"),
            CONCAT,
        ),
        Kind(
            "ic-light-fc",
            "an IC-Light model conditioned on a foreground",
            (NOISE, (4, "latent of the foreground on grey, scaled")),
            ("image", "vae"),
            CONCAT,
        ),
        Kind(
            "ic-light-fbc",
            "an IC-Light model conditioned on a foreground and a background",
            (NOISE, (4, "latent of the foreground on grey, scaled"), (4, "latent of the background, scaled")),
            ("image", "background", "vae"),
            CONCAT,
        ),
        Kind(
            "inpaint",
            "an inpainting model",
            (NOISE, (1, "mask at latent size, 1 = paint"), (4, "latent of the masked picture, scaled")),
            ("image", "mask", "vae"),
            CONCAT,
        ),
        Kind(
            "zero123",
            "a Zero123 novel-view model",
            (NOISE, (4, "latent of the picture (VAE mode, unscaled)")),
            ("clip_vision", "init_image", "vae"),
            "StableZero123_Conditioning",
        ),
        Kind(
            "svd",
            "a Stable Video Diffusion model",
            (NOISE, (4, "latent of the first frame (VAE mode, unscaled)")),
            ("clip_vision", "init_image", "vae"),
            "SVD_img2vid_Conditioning",
        ),
        Kind(
            "marigold",
            "a Marigold-type estimator (depth, normals)",
            ((4, "latent of the picture, scaled"), NOISE),
            ("image", "vae"),
            CONCAT,
        ),
        Kind("lora", "a LoRA", node="Load LoRA"),
        Kind("controlnet", "a ControlNet or T2I-Adapter", node="Load ControlNet Model"),
        Kind("vae", "a VAE", node="Load VAE"),
        Kind("text-encoder", "a text encoder", node="Load CLIP"),
        Kind("clip-vision", "a vision encoder", node="Load CLIP Vision"),
        Kind("model-patch", "a ControlNet that patches its model", node="ModelPatchLoader"),
        Kind("photomaker", "a PhotoMaker adapter", node="Load PhotoMaker Model"),
        Kind("ip-adapter", "an IP-Adapter"),
        Kind("motion-module", "a motion module of AnimateDiff"),
        Kind("motion-lora", "a motion LoRA of AnimateDiff"),
        Kind(
            "ic-light-delta",
            "the weight differences of IC-Light, to be added to an SD 1.5 model",
            node=ICLIGHT,
        ),
        Kind("unknown", "a model of an unknown kind"),
    )
}

UNETS = tuple(name for name, kind in KINDS.items() if kind.parts)
"""Kinds of UNets: those whose extra channels something has to fill."""


def kind_facts(name: str) -> Kind:
    """The facts of a kind by its name, `dit-*` ones included. Raises KeyError for a name that is none."""
    if name.startswith(DIT):
        return Kind(name, f"a transformer model ({name[len(DIT) :]})")
    return KINDS[name]


@dataclass(frozen=True)
class ModelKind:
    """What a file or a loaded model is.

    `kind` is a name of `KINDS`, `dit-*`, or several joined by ` | ` where nothing tells them apart.
    `channels` counts the input channels of the first convolution or patch embedding (None: has none).
    `family` is SD1, SD2, SDXL, x4 or a transformer's name, `layout` LDM, UNet-only, diffusers, ... with
    `GGUF` or `fp8-scaled` after a comma, `role` what the file is for, `scaled_concat` whether the picture
    to edit is concatenated scaled (CosXL), `notes` further sentences for the report, `wrapped` the prefix
    before its names that keeps loaders from finding them ("": none).
    """

    kind: str
    channels: int | None
    family: str = "unknown"
    layout: str = "unknown"
    role: str = "unknown"
    scaled_concat: bool = False
    notes: tuple[str, ...] = ()
    wrapped: str = ""

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names that `kind` joins; a single one where it is certain."""
        return tuple(self.kind.split(" | "))

    @property
    def ambiguous(self) -> bool:
        """Whether nothing in the file tells its candidates apart."""
        return len(self.candidates) > 1

    @property
    def facts(self) -> Kind:
        """What the kind needs. Raises ValueError if the kind is ambiguous."""
        if self.ambiguous:
            raise ValueError(
                f"This model has {self.channels} input channels, which fits {' and '.join(self.candidates)}: "
                "choose one of them in `kind`."
            )
        return kind_facts(self.kind)

    def decided(self, kind: str) -> ModelKind:
        """This with the user's own choice of `kind` (`auto` keeps what was found).

        Raises ValueError if the choice takes another number of channels than the model has.
        """
        if kind in ("auto", self.kind):
            return self
        wanted = kind_facts(kind).channels
        if kind not in self.candidates and (wanted is None or wanted != self.channels):
            takes = "is not a UNet" if wanted is None else f"takes {wanted} input channels"
            raise ValueError(
                f"`kind` is set to {kind}, which {takes}, but this is {describe(self)}: set `kind` to auto."
            )
        return replace(self, kind=kind)


def describe(found: ModelKind) -> str:
    """What was found, as part of a sentence: `a depth-to-image model (SD2, 5 input channels)`."""
    titles = " or ".join(kind_facts(name).title for name in found.candidates)
    family = "" if found.family == "unknown" else found.family
    channels = "" if found.channels is None else f"{found.channels} input channels"
    details = ", ".join(filter(None, (family, channels)))
    return f"{titles} ({details})" if details else titles


def wrapped_by(found: ModelKind) -> str:
    """Why a file whose names have a prefix can't be loaded, as the end of a sentence."""
    return (
        f"has names that start with `{found.wrapped}`, as a training or compiling tool left them, and no "
        "loader knows these: export it again without that prefix, or get another version"
    )


def report(found: ModelKind) -> str:
    """What was found, as lines for a person."""
    title = describe(found)
    lines = [
        f"{title[0].upper()}{title[1:]}",
        *([f"It can't be loaded: it {wrapped_by(found)}."] if found.wrapped else []),
        *found.notes,
        f"kind: {found.kind}" + (" (ambiguous: choose one in `kind`)" if found.ambiguous else ""),
        f"role: {found.role}, family: {found.family}, layout: {found.layout}",
    ]
    for name in found.candidates:
        facts = kind_facts(name)
        if found.ambiguous:
            lines.append(f"if it is {name}:")
        needs = [f"channels: {facts.meaning}"] if facts.meaning else []
        needs += [f"connect: {facts.connect}"] if facts.node else []
        lines += [f"    {line}" if found.ambiguous else line for line in needs]
    return "\n".join(lines)
