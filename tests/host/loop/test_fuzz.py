"""What a page sets and asks, and what lies on disk, broken from a seed: no raw error, no file outside."""

import random
from pathlib import Path

import pytest

from ...inside import kept_inside
from ..fuzzing import Desk

COUNT = 300


@pytest.fixture(scope="module")
def desk(booted):
    desk = Desk(booted)
    yield desk
    desk.close()


@pytest.mark.parametrize("target", ["settings", "manifests", "routes"])
def test_a_result_or_one_sentence_and_no_file_outside(desk, target, caplog):
    ask = desk.targets()[target]
    with kept_inside(desk.host.base) as outside:
        for number in range(COUNT):
            try:
                ask(random.Random(f"{target} {number}"))
            except Exception as error:
                raise AssertionError(f"{target}, input {number}: {error!r}") from error
            assert not outside, f"{target}, input {number}: {outside[:3]}"
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_file_outside_is_seen(desk, tmp_path):
    canary = tmp_path / "canary"
    with kept_inside(desk.host.base) as outside:
        canary.write_text("x")
        canary.rename(tmp_path / "moved")
        (tmp_path / "moved").unlink()
        assert Path(__file__).read_text("utf-8")  # code is no secret
    assert [each.split()[0] for each in outside] == ["open", "os.rename", "os.rename", "os.remove"]
