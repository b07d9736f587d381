"""Progress, previews and pictures on their way to the front end.

The host sends the state of all nodes with each progress update, so updates are spread over the whole run
and their number does not grow with it; previews and finished iterations go out on their own.
"""

from __future__ import annotations

import logging

import comfy.model_management
import comfy.utils
import latent_preview
from comfy_api import feature_flags
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context
from protocol import BinaryEventTypes
from server import PromptServer

log = logging.getLogger("isi")

UPDATES = 400
"""Progress updates a run at most."""


class Progress:
    """Counts the sampler steps of a whole run (`total`) and shows where it is."""

    def __init__(self, total: int, model):
        self.done = 0
        self.total = total
        self.bar = comfy.utils.ProgressBar(total)
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def callback(self):
        """A callback for one iteration's sampler: counts, previews, and raises where the user interrupts."""
        start = self.done

        def step(step: int, x0, x, total_steps: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            self.done = start + step + 1
            preview = None
            if self.previewer:
                preview = self.previewer.decode_latent_to_preview_image("JPEG", x0)
            if self.done % max(1, -(-self.total // UPDATES)) == 0:
                self.bar.update_absolute(self.done, self.total, preview)
            elif preview:
                send_preview(preview)

        return step

    def advance(self, done: int) -> None:
        """Moves on to `done` sampler steps: the end of an iteration, sampled or reused."""
        self.done = done
        self.bar.update_absolute(done, self.total)


def send_event(name: str, data: dict) -> None:
    """A message to the page that queued this run, with its node and its job in the queue.

    A job that came without a page (over the API) has none, and then nobody is told: without an address the
    host would tell every page, also those of other users.
    """
    server = PromptServer.instance
    if server.client_id is None:
        return
    context = get_executing_context()
    node, job = (context.node_id, context.prompt_id) if context else (None, None)
    server.send_sync(name, {"node": node, "prompt_id": job} | data, server.client_id)


def say_on_node(text: str) -> None:
    """A sentence in the log, and on the node that is executed, in the page that queued it."""
    log.warning("%s", text)
    server, context = PromptServer.instance, get_executing_context()
    if server.client_id is not None and context is not None:
        server.send_progress_text(text, context.node_id, server.client_id)


def send_preview(preview: tuple) -> None:
    """A preview picture, as the host's own progress handler sends it, without the state of all nodes."""
    server = PromptServer.instance
    if server.client_id is None:
        return
    context = get_executing_context()
    metadata_feature = "supports_preview_metadata"
    client = server.client_id
    if context is None or not feature_flags.supports_feature(
        server.sockets_metadata, client, metadata_feature
    ):
        server.send_sync(BinaryEventTypes.UNENCODED_PREVIEW_IMAGE, preview, server.client_id)
        return
    graph = get_progress_state().dynprompt
    metadata = {
        "node_id": context.node_id,
        "prompt_id": context.prompt_id,
        "display_node_id": graph.get_display_node_id(context.node_id),
        "parent_node_id": graph.get_parent_node_id(context.node_id),
        "real_node_id": graph.get_real_node_id(context.node_id),
    }
    server.send_sync(BinaryEventTypes.PREVIEW_IMAGE_WITH_METADATA, (preview, metadata), server.client_id)
