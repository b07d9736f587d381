"""The only rooms that touch ComfyUI's insides: sampling, model patches, guiders, progress."""
