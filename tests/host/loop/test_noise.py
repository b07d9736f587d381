"""ISI Noise against the host's RandomNoise, alone and in the loop."""

import pytest
import torch

from ..harness import Failed


def noise(host, **settings):
    plain = {"seed": 3, "variation_seed": 9, "variation_strength": 0.0, "walk": 1.0}
    plain |= {"resize_from_width": 0, "resize_from_height": 0}
    return host.call("ISI_Noise", **plain | settings)[0]


def hosts(host, seed, latent):
    return host.call("RandomNoise", noise_seed=seed)[0].generate_noise(latent)


@pytest.mark.parametrize("shape", [(1, 4, 8, 6), (3, 4, 8, 8), (2, 16, 3, 8, 8)])
def test_off_it_is_random_noise_and_at_one_that_of_the_other_seed(host, shape):
    latent = {"samples": torch.zeros(shape), "batch_index": list(range(2, 2 + shape[0]))}
    assert torch.equal(noise(host).generate_noise(latent), hosts(host, 3, latent))
    assert torch.equal(noise(host, variation_strength=1.0).generate_noise(latent), hosts(host, 9, latent))
    between = noise(host, variation_strength=0.3).generate_noise(latent)
    assert not torch.equal(between, hosts(host, 3, latent)) and between.shape == shape


def test_the_smaller_picture_lies_in_the_middle(host):
    small, large = {"samples": torch.zeros(2, 4, 8, 6)}, {"samples": torch.zeros(2, 4, 12, 12)}
    made = noise(host, resize_from_width=48, resize_from_height=64).generate_noise(large)
    assert torch.equal(made[..., 2:10, 3:9], hosts(host, 3, small))
    # What is round it is other noise, not the same numbers once more.
    rim = made.clone()
    rim[..., 2:10, 3:9] = torch.nan
    assert not torch.isin(rim[rim.isfinite()], hosts(host, 3, small)).any()
    with pytest.raises(ValueError, match="more than this picture's 48 x 64"):
        noise(host, resize_from_width=56).generate_noise(small)


def test_off_a_loop_is_bit_for_bit_as_without_it(bench, picture, calls):
    plain, _, run = bench.run(image=picture)
    ours, _, other = bench.run(image=picture, noise=noise(bench.host, seed=5))
    assert torch.equal(plain, ours) and run.keys != other.keys
    # The node's own seed and a variation of strength 0 decide nothing.
    calls.clear()
    bench.run(image=picture, noise=noise(bench.host, seed=6, variation_seed=7))
    assert not calls


def test_what_each_step_of_a_loop_starts_from(bench, picture, noises):
    batch = torch.cat([picture, picture.flip(1)])
    mask = torch.ones(1, 64, 64)
    latent = {"samples": torch.zeros(2, 4, 8, 8)}
    own = [hosts(bench.host, seed, latent) for seed in (7, 8, 9, 10)]
    (memory,) = bench.host.call("ISI_Memory", carry="latent", blend="last", amount=0.5)
    for walk, expected in ((0.0, [own[0]] * 4), (1.0, own)):
        noises.clear()
        bench.run(image=batch, mask=mask, noise=noise(bench.host, walk=walk), memory=memory)
        assert all(map(torch.equal, noises, expected)) and len(noises) == 4
    noises.clear()
    bench.run(image=batch, noise=noise(bench.host, walk=0.2))
    strides = [(b - a).pow(2).mean() for a, b in zip(noises, noises[1:], strict=False)]
    fresh = [(b - a).pow(2).mean() for a, b in zip(own, own[1:], strict=False)]
    assert all(0 < stride < full / 4 for stride, full in zip(strides, fresh, strict=True))


def test_a_walk_that_is_taken_up_again_goes_on_where_it_was(bench, picture, calls):
    walking = noise(bench.host, walk=0.3)
    whole, *_ = bench.run(image=picture, noise=walking)
    calls.clear()
    again, *_ = bench.run(image=picture, noise=walking, redo_from=3)
    assert torch.equal(whole, again) and len(calls) == 2


def test_what_can_not_work_is_said_before_sampling(bench, picture, calls):
    with pytest.raises(Failed, match="resize_from of ISI Noise is 0 x 128, more than this picture's 64 x 64"):
        bench.run(image=picture, noise=noise(bench.host, resize_from_height=128))
    (other,) = bench.host.call("RandomNoise", noise_seed=1)
    with pytest.raises(Failed, match="Expected noise from ISI Noise, but got Noise_RandomNoise"):
        bench.run(image=picture, noise=other)
    assert not calls


def test_a_video_with_its_sound_is_refused_and_one_without_has_noise_for_each_frame(host):
    from comfy.nested_tensor import NestedTensor

    video, sound = torch.zeros(1, 4, 3, 8, 8), torch.zeros(1, 8, 16)
    varied = noise(host, variation_seed=1, variation_strength=0.5)
    with pytest.raises(ValueError, match="Expected one latent for ISI Noise, but got several in one"):
        varied.generate_noise({"samples": NestedTensor([video, sound])})
    frames = varied.generate_noise({"samples": video})[0].transpose(0, 1)
    assert frames.shape == (3, 4, 8, 8) and not torch.equal(frames[0], frames[1])
