"""What differs between two descriptions is said by name, hashes only where nothing else does."""

from isi.core.loop.changes import MOST, changes

OLD = {"threads": 2, "model": {"key": "a", "LoraLoader strength": "1", "LoraLoader name": "x"}}


def test_the_value_that_differs_is_named():
    new = {"threads": 2, "model": {"key": "b", "LoraLoader strength": "0.8", "LoraLoader name": "x"}}
    assert changes(OLD, new) == ["model: LoraLoader strength: 1 -> 0.8"]


def test_what_came_and_went_is_named():
    new = {"threads": 2, "model": {"key": "b", "LoraLoader name": "x", "FreeU b1": "1"}}
    assert changes(OLD, new) == [
        "model: FreeU b1: absent -> 1",
        "model: LoraLoader strength: 1 -> absent",
    ]


def test_a_hash_alone_is_said_too():
    assert changes(OLD, {**OLD, "model": {**OLD["model"], "key": "c"}}) == ["model: key: a -> c"]


def test_equal_ones_say_nothing_and_many_end():
    assert changes(OLD, OLD) == []
    assert len(changes({}, {str(i): i for i in range(99)})) == MOST
    assert len(changes({}, {"a": "x" * 10_000})[0]) < 100
