"""Numbers that come by a link are held to their widgets' ranges; events go to the page that asked."""

import math

import pytest
import torch
from isi.host.loop import progress

from .harness import Failed

PICTURE = torch.rand(1, 32, 48, 3)


@pytest.mark.parametrize("value", [17, -1, 10**9, 2**64, 1.5, math.nan, math.inf, "4", True])
def test_a_linked_number_outside_its_range_is_refused_in_a_sentence(host, value):
    import isi.nodes

    schema = host.nodes["ISI_Upscale"].GET_SCHEMA()
    with pytest.raises(
        ValueError, match=r"^`stages` of ISI Upscale takes a whole number from 0 to 16, and .+ came"
    ):
        isi.nodes.guard.check_widgets(schema, {"stages": value})
    isi.nodes.guard.check_widgets(schema, {"stages": 16, "factor": 2, "skip_flat": 0.5})


def test_numbers_inside_a_choice_are_held_too(host):
    import isi.nodes

    schema = host.nodes["ISI_OutpaintCanvas"].GET_SCHEMA()
    extend = {"extend": "size", "width": 64, "height": 10**7, "anchor": "center"}
    with pytest.raises(
        ValueError, match="`height` of ISI Outpaint Canvas takes a whole number from 8 to 16384"
    ):
        isi.nodes.guard.check_widgets(schema, {"extend": extend})


def test_a_link_does_not_come_round_the_range(host):
    from .harness import VALUES

    VALUES["far"] = 2**62
    prompt = {
        "far": {"class_type": "Test_Value", "inputs": {"name": "far"}},
        "stop": {"class_type": "ISI_StopWhenSettled", "inputs": {"threshold": 0.1, "patience": ["far", 0]}},
        "out": {"class_type": "Test_Catch", "inputs": {"name": "x", "value": ["stop", 0]}},
    }
    with pytest.raises(
        Failed, match="`patience` of ISI Stop When Settled takes a whole number from 1 to 1000"
    ):
        host.run(prompt)


def test_a_job_without_a_page_tells_nobody(host, monkeypatch):
    progress.send_event("isi.iteration", {"label": "a secret"})
    assert [name for name, _ in host.events] == ["isi.iteration"]
    host.events.clear()
    monkeypatch.setattr(
        host.server, "client_id", None
    )  # a job over the API: None is "every page" to the host
    progress.send_event("isi.iteration", {"label": "a secret"})
    progress.send_preview(("JPEG", None, 64))
    assert host.events == []
