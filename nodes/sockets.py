"""The pack's own socket types."""

from comfy_api.latest import io

Plan = io.Custom("ISI_PLAN")
Run = io.Custom("ISI_RUN")
Memory = io.Custom("ISI_MEMORY")
Drift = io.Custom("ISI_DRIFT")
Stop = io.Custom("ISI_STOP")
Conditioner = io.Custom("ISI_CONDITIONER")
Stitch = io.Custom("ISI_STITCH")
