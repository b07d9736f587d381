"""ISI for more than one person: a durable list of jobs, workers that are ComfyUI, and a door in HTTP."""
