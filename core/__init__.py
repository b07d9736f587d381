"""Pure torch and Python: the maths, each module one concept. Nothing here imports ComfyUI."""
