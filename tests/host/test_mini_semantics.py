"""What the shipped weights can do, with a wide margin: the model card says how well."""

from random import Random

from isi.tools.mini import judge, world


def test_the_autoencoder_keeps_the_picture(host):
    _, _, vae = host.call("ISI_MiniCheckpoint", kind="base")
    rng, right = Random(77), 0
    for _ in range(6):
        scene = world.sample_scene(rng, 1, textured=0.0, gradient=0.0)
        picture = world.render(scene).picture.movedim(0, -1)[None]
        (latent,) = host.call("VAEEncode", pixels=picture, vae=vae)
        (back,) = host.call("VAEDecode", samples=latent, vae=vae)
        assert (back - picture).pow(2).mean() < 10**-2.2  # 22 dB
        seen = judge.read(back[0])
        colours = {s.colour for s in seen.shapes}
        right += seen.background == scene.background and scene.shapes[0].colour in colours
    assert right >= 5
