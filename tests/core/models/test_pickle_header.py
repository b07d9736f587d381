"""Pickled checkpoints, read without unpickling. Oracle: torch's own weights_only loader."""

import collections
import io
import pickle
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.models.pickle_header import read_pickle
from isi.core.models.safetensors_header import HeaderError

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64]
NEWER = [torch.float8_e4m3fn, torch.uint16]  # torch can't read these from its own old layout


def saved(value, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def read(data: bytes):
    return read_pickle(io.BytesIO(data))


tensors = st.builds(
    lambda shape, dtype, kind: kind(torch.zeros(shape, dtype=dtype)),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from(DTYPES + NEWER),
    st.sampled_from(
        [lambda t: t, lambda t: torch.nn.Parameter(t, False), lambda t: t.mT if t.ndim > 1 else t]
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=12), tensors, min_size=1, max_size=6),
    st.sampled_from(
        [dict, collections.OrderedDict, lambda d: {"state_dict": d, "epoch": 3, "lr": [0.1, None]}]
    ),
    st.booleans(),
)
def test_tells_what_torch_loads(tensors, wrapped, zipped):
    zipped = zipped or any(tensor.dtype in NEWER for tensor in tensors.values())
    data = saved(wrapped(tensors), _use_new_zipfile_serialization=zipped)
    loaded = torch.load(io.BytesIO(data), weights_only=True)
    loaded = loaded.get("state_dict", loaded)
    header = read(data)
    assert header.shapes == {name: tuple(tensor.shape) for name, tensor in loaded.items()}
    assert header.dtypes == {name: str(tensor.dtype)[6:] for name, tensor in loaded.items()}
    assert header.container == "pickle"


class Surprise:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_could_run_code_is_refused_and_does_not_run(zipped, capsys):
    with pytest.raises(HeaderError, match="weights_only loader refuses.*print"):
        read(saved({"a": torch.zeros(3, 2), "b": Surprise()}, _use_new_zipfile_serialization=zipped))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cut", [1, 3, 100, 400, 600])
def test_what_is_cut_short_is_refused(cut):
    with pytest.raises(HeaderError, match="weights_only loader refuses"):
        read(saved({"a": torch.zeros(3, 2)})[:-cut])
    with pytest.raises(HeaderError):
        read(saved({"a": torch.zeros(3, 2)}, _use_new_zipfile_serialization=False)[: cut // 4])


@pytest.mark.parametrize(
    "other", [b"not a pickle", pickle.dumps({"a": 1}), saved({"a": 1}), saved([torch.zeros(1)])]
)
def test_what_holds_no_weights_is_refused(other):
    with pytest.raises(HeaderError):
        read(other)


def test_a_zip_that_says_its_list_lies_beyond_all_files_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.getinfo("a/data.pkl").header_offset = 2**64 - 1
    with pytest.raises(HeaderError, match="weights_only loader refuses"):
        read(file.getvalue())
