"""ISI_Equalize in the real host."""

import torch
from isi.core.pictures.colour import equalize


def test_node_equalises_and_0_is_absent(host):
    image = torch.rand(2, 16, 24, 3) * 0.2 + 0.4
    (equal,) = host.call("ISI_Equalize", image=image, mode="luma", strength=0.7)
    assert torch.equal(equal, equalize(image, "luma", 0.7))
    (same,) = host.call("ISI_Equalize", image=image, mode="per channel", strength=0.0)
    assert torch.equal(same, image)
