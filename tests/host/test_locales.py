"""The front end's texts: English is the schemas' own, and every language says all that there is to say."""

from tools.locales import REWRITE, english, flat, load, node_texts


def test_english_is_what_the_schemas_say(host):
    assert load("en", "nodeDefs") == english(node_texts(host.nodes)), f"Words changed: {REWRITE}"


def test_english_shows_every_description_and_name(host):
    said, left_out = flat(load("en", "nodeDefs")), flat(node_texts(host.nodes))
    assert {key.rsplit(".", 1)[1] for key in left_out.keys() - said.keys()} <= {"tooltip"}
