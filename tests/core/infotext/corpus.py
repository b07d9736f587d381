"""Infotexts as programs of the field write them, and what a person reads in each.

Made up in the forms that A1111 1.0 to 1.10, Forge, SD.Next, Dynamic Prompts, ADetailer, ControlNet, Civitai
and ComfyUI's savers write. Each is (text, prompt, negative, expected values); what isn't named is None.
"""

TAIL = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234567890, Size: 512x768"
BASIC = {
    "steps": 20, "sampler": "euler_ancestral", "scheduler": "normal", "cfg": 7.0, "seed": 1234567890,
    "width": 512, "height": 768,
}  # fmt: skip


def _with(**more):
    return {**BASIC, **more}


def _tail(more: str, **values):
    return f"oak\nNegative prompt: blurry\n{TAIL}, {more}", "oak", "blurry", _with(**values)


LORA = 'Lora hashes: "add_detail: 7c6bad76eb54, film-grain: 4f2c1a", TI hashes: "EasyNegative: c74b4e810b03"'
CIVITAI = (
    "Created Date: 2024-03-01T10:20:30.4567890Z, "
    'Civitai resources: [{"type":"checkpoint","modelVersionId":128713,"modelName":"DreamShaper, XL: turbo"},'
    '{"type":"lora","weight":0.8}], '
    "Civitai metadata: {}"
)
SETTINGS = [
    ("Model hash: 6ce0161689", {}),
    ("Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Version: v1.6.0", {}),
    ("Denoising strength: 0.55, Mask blur: 4", {"denoise": 0.55}),
    (
        "Denoising strength: 0.4, Hires upscale: 2, Hires steps: 15, Hires upscaler: R-ESRGAN 4x+",
        {},
    ),
    ("Clip skip: 2, ENSD: 31337", {}),
    (LORA, {}),
    (f"{LORA}, Version: 1.8.0", {}),
    ("Variation seed: 42, Variation seed strength: 0.2", {}),
    ("Seed resize from: 512x512, Eta: 0.67", {}),
    ("Face restoration: CodeFormer, Tiling: True", {}),
    ("RNG: CPU, Pad conds: True, NGMS: 0.2, Token merging ratio: 0.4", {}),
    (
        'ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny [d14c016b], Weight: 1, Resize Mode: 1"',
        {},
    ),
    ("ControlNet Enabled: True, ControlNet Module: depth, ControlNet Weight: 0.75", {}),
    (
        'ADetailer model: face_yolov8n.pt, ADetailer prompt: "a face, (smile:1.1)", ADetailer version: 23',
        {},
    ),
    ('Wildcard prompt: "__animal__, {a|b}: \\"quoted\\"", Version: v1.9.4', {}),
    (CIVITAI, {}),
    ("Schedule type: Karras", {"scheduler": "karras"}),
    ("Schedule type: Automatic", {}),
    ("Schedule type: SGM Uniform, Beta schedule alpha: 0.6", {"scheduler": "sgm_uniform"}),
    ("Schedule type: Align Your Steps", {"scheduler": None}),
    ("Distilled CFG Scale: 3.5, Diffusion in Low Bits: Automatic (fp16 LoRA), Module 1: ae", {}),
    ("Version: f2.0.1v1.10.1-previous-665-gae278f79", {}),
    ("Dynamic thresholding enabled: True, Mimic scale: 7, Separate Feature Channels: False", {}),
    ('Hires prompt: "line one\\nline two, (x:1.2)", Hires CFG Scale: 1', {}),
    ("Refiner: sd_xl_refiner_1.0 [7440042bbd], Refiner switch at: 0.8", {}),
    ("Model: folder\\sub\\name.v2, VAE: kl-f8-anime2.ckpt", {}),
    ("Version: ComfyUI", {}),
]
SAMPLERS = [
    ("DPM++ 2M Karras", "dpmpp_2m", "karras"),
    ("DPM++ SDE Karras", "dpmpp_sde", "karras"),
    ("DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential"),
    ("DPM++ 2S a Karras", "dpmpp_2s_ancestral", "karras"),
    ("DPM++ 3M SDE", "dpmpp_3m_sde", "normal"),
    ("DPM2 a Karras", "dpm_2_ancestral", "karras"),
    ("LMS", "lms", "normal"),
    ("DDIM", "ddim", "normal"),
    ("UniPC", "uni_pc", "normal"),
    ("Restart", None, None),
    ("dpmpp_2m_sde_gpu_karras", "dpmpp_2m_sde", "karras"),
    ("dpmpp_2m_sde_gpu", "dpmpp_2m_sde_gpu", "normal"),
    ("euler_ancestral_simple", "euler_ancestral", "simple"),
    ("k_dpmpp_2m", "dpmpp_2m", "normal"),
]

CORPUS = [
    (f"oak\n{TAIL}", "oak", "", BASIC),
    (f"oak\nNegative prompt: blurry\n{TAIL}", "oak", "blurry", BASIC),
    (f"Negative prompt: blurry\n{TAIL}", "", "blurry", BASIC),
    (TAIL, "", "", BASIC),
    (f"oak,\r\n(tall:1.2), [old]\r\nNegative prompt: blurry,\r\nlow quality\r\n{TAIL}\r\n",
     "oak,\n(tall:1.2), [old]", "blurry,\nlow quality", BASIC),
    (f"一只猫, (晚霞:1.3), <lora:水墨:0.8>\nNegative prompt: 低质量, 模糊\n{TAIL}",
     "一只猫, (晚霞:1.3), <lora:水墨:0.8>", "低质量, 模糊", BASIC),
    (f"고양이, 노을\nNegative prompt: 흐림\n{TAIL}, Model: 한국어 모델", "고양이, 노을", "흐림", BASIC),
    (f'a sign, "Steps: 5", 16:9 format\n{TAIL}', 'a sign, "Steps: 5", 16:9 format', "", BASIC),
    (f"Steps: to heaven, a\nNegative prompt: ratio 3:2\n{TAIL}", "Steps: to heaven, a", "ratio 3:2", BASIC),
    (f"[day:night:0.5] BREAK a AND b :0.7\n\n\n{TAIL}", "[day:night:0.5] BREAK a AND b :0.7", "", BASIC),
    (f"cat\nNegative prompt: \n{TAIL}", "cat", "", BASIC),
    (f"cat\n{TAIL},", "cat", "", BASIC),
    (f"cat\n{TAIL}\nTemplate: {{cat|dog}}, __colour__\nNegative Template: bad\nworse", "cat", "", BASIC),
    ("only words, no settings", "only words, no settings", "", {}),
    ("words\nNegative prompt: bad words", "words", "bad words", {}),
    ("(sky:1.2), (sea:1.1), (sand:1.3)", "(sky:1.2), (sea:1.1), (sand:1.3)", "", {}),
    ("fox\nSampler: Euler, Seed: 7, Size: 640x384", "fox", "",
     {"sampler": "euler", "scheduler": "normal", "seed": 7, "width": 640, "height": 384}),
    ("fox\nSteps: 8, Sampler: LCM, CFG scale: 1.5, Seed: 18446744073709551615, Size: 1024x1024", "fox", "",
     {"steps": 8, "sampler": "lcm", "scheduler": "normal", "cfg": 1.5, "seed": 2**64 - 1, "width": 1024,
      "height": 1024}),
    ("fox\nSteps: 0, Sampler: Euler, CFG scale: nan, Seed: -1, Size: big", "fox", "",
     {"sampler": "euler", "scheduler": "normal"}),
    *(_tail(more, **values) for more, values in SETTINGS),
    *(
        (f"fox\nSteps: 9, Sampler: {name}, CFG scale: 5, Seed: 3", "fox", "",
         {"steps": 9, "sampler": sampler, "scheduler": kind, "cfg": 5.0, "seed": 3})
        for name, sampler, kind in SAMPLERS
    ),
]  # fmt: skip
