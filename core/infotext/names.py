"""Samplers and schedules by A1111's, NovelAI's and InvokeAI's names, and by ComfyUI's."""

from __future__ import annotations

import re

SAMPLERS = {
    "Euler": "euler",
    "Euler a": "euler_ancestral",
    "Heun": "heun",
    "HeunPP2": "heunpp2",
    "LMS": "lms",
    "DPM2": "dpm_2",
    "DPM2 a": "dpm_2_ancestral",
    "DPM fast": "dpm_fast",
    "DPM adaptive": "dpm_adaptive",
    "DPM++ 2S a": "dpmpp_2s_ancestral",
    "DPM++ SDE": "dpmpp_sde",
    "DPM++ 2M": "dpmpp_2m",
    "DPM++ 2M SDE": "dpmpp_2m_sde",
    "DPM++ 2M SDE Heun": "dpmpp_2m_sde_heun",
    "DPM++ 3M SDE": "dpmpp_3m_sde",
    "DDPM": "ddpm",
    "DDIM": "ddim",
    "UniPC": "uni_pc",
    "LCM": "lcm",
    "DEIS": "deis",
    "IPNDM": "ipndm",
    "IPNDM_V": "ipndm_v",
    "Euler CFG++": "euler_cfg_pp",
    "Euler a CFG++": "euler_ancestral_cfg_pp",
    "DPM++ 2M CFG++": "dpmpp_2m_cfg_pp",
    "Res Multistep": "res_multistep",
    "ER SDE": "er_sde",
}
"""A1111's and Forge's names of ComfyUI's samplers."""

SCHEDULES = {
    "Normal": "normal",
    "Karras": "karras",
    "Exponential": "exponential",
    "SGM Uniform": "sgm_uniform",
    "Simple": "simple",
    "DDIM": "ddim_uniform",
    "Beta": "beta",
    "KL Optimal": "kl_optimal",
    "Linear Quadratic": "linear_quadratic",
}
"""A1111's and Forge's names of ComfyUI's schedules."""

AUTOMATIC = {
    "dpm_2": "karras",
    "dpm_2_ancestral": "karras",
    "dpmpp_2s_ancestral": "karras",
    "dpmpp_sde": "karras",
    "dpmpp_2m": "karras",
    "dpmpp_2m_sde": "exponential",
    "dpmpp_2m_sde_heun": "exponential",
    "dpmpp_3m_sde": "exponential",
}
"""What A1111 takes where the schedule is `Automatic`; for all other samplers the model's own steps."""

_OTHERS = {
    "kdpm2": "dpm_2",
    "kdpm2a": "dpm_2_ancestral",
    "kdpm2ancestral": "dpm_2_ancestral",
    "dpmpp2sa": "dpmpp_2s_ancestral",
    "dpmpp2s": "dpmpp_2s_ancestral",
    "eulera": "euler_ancestral",
    "ddimv3": "ddim",
    "unipcbh2": "uni_pc_bh2",
}
_OTHER_SCHEDULES = {"native": "normal", "uniform": "normal", "default": "normal", "discrete": "normal"}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("++", "pp").replace("+", "p"))


_BY_PLAIN = {_plain(name): host for name, host in SAMPLERS.items()}
_BY_PLAIN |= {_plain(host): host for host in SAMPLERS.values()} | _OTHERS
_SCHEDULE_BY_PLAIN = {_plain(name): host for name, host in SCHEDULES.items()}
_SCHEDULE_BY_PLAIN |= {_plain(host): host for host in SCHEDULES.values()} | _OTHER_SCHEDULES


def host_names(sampler: str, schedule: str | None = None) -> tuple[str | None, str | None]:
    """ComfyUI's sampler and schedule for another program's names; None where it has no equal.

    The schedule may stand in the sampler's name: `DPM++ 2M Karras`, `dpmpp_2m_sde_k`, `euler_simple`.
    """
    found, kind = _sampler(_plain(sampler).replace("gpu", ""))
    if schedule is None:
        return found, kind or (found and "normal")
    name = _plain(schedule)
    if name == "automatic":
        return found, kind or (found and AUTOMATIC.get(found, "normal"))
    return found, _SCHEDULE_BY_PLAIN.get(name)


def _sampler(name: str) -> tuple[str | None, str | None]:
    for start in ("", "sample", "k", "samplek"):
        bare = name.removeprefix(start) if name.startswith(start) else None
        if not bare:
            continue
        if bare in _BY_PLAIN:
            return _BY_PLAIN[bare], None
        for ending, schedule in [*_SCHEDULE_BY_PLAIN.items(), ("k", "karras")]:
            if bare.endswith(ending) and bare[: -len(ending)] in _BY_PLAIN:
                return _BY_PLAIN[bare[: -len(ending)]], schedule
    return None, None


def infotext_names(sampler: str, schedule: str) -> tuple[str, str]:
    """A1111's names for ComfyUI's sampler and schedule; what it has none for keeps ComfyUI's."""
    back = {host: name for name, host in SAMPLERS.items()}
    kinds = {host: name for name, host in SCHEDULES.items()}
    return back.get(sampler, sampler), kinds.get(schedule, schedule)
