"""kill -9 at random moments of a run on a model with a LoRA and another sampling, and in its writes: at most
one step is redone.

`python run.py bench kills` does it 200 and 50 times.
"""

import os

import pytest
import torch

from .killed import kill_and_go_on


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kills, aimed", [(4, False), pytest.param(8, True, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_where_it_was(host, model, clip, vae, picture, tmp_path, kills, aimed):
    before = torch.get_num_threads()
    again = kill_and_go_on(host, model, clip, vae, picture, kills, tmp_path, aimed, steps=10)
    assert again.keys() <= {0, 1}, again
    assert sum(again.values()) == kills and torch.get_num_threads() == before
