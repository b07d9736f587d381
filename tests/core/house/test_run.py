"""What `run.py` unpacks stays inside its folder."""

import importlib.util
import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

spec = importlib.util.spec_from_file_location("isi_run", Path(__file__).resolve().parents[3] / "run.py")
assert spec and spec.loader
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)
INSIDE = PurePosixPath("pack-1/vendor/ComfyUI")


def archive(path: Path, **members) -> Path:
    """A .tar.gz; a value is a file's text, or the TarInfo of something else."""
    with tarfile.open(path, "w:gz") as tar:
        for name, value in members.items():
            if isinstance(value, tarfile.TarInfo):
                value.name = name
                tar.addfile(value)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value.encode()))
    return path


def test_unpacks_what_is_inside_and_nothing_else(tmp_path):
    files = {f"{INSIDE}/main.py": "main", f"{INSIDE}/comfy/sd.py": "sd", "pack-1/setup.py": "no"}
    run.unpack(archive(tmp_path / "a.tar.gz", **files), INSIDE, tmp_path / "tree")
    found = {str(p.relative_to(tmp_path / "tree").as_posix()) for p in (tmp_path / "tree").rglob("*.py")}
    assert found == {"main.py", "comfy/sd.py"}
    assert (tmp_path / "tree" / "comfy" / "sd.py").read_text() == "sd"


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = tarfile.SYMTYPE, "/etc"
    return info


@pytest.mark.parametrize("name, value", [(f"{INSIDE}/../../evil.py", "x"), (f"{INSIDE}/etc", link())])
def test_refuses_ways_out(tmp_path, name, value):
    with pytest.raises(run.SetupError):
        run.unpack(archive(tmp_path / "a.tar.gz", **{name: value}), INSIDE, tmp_path / "tree")
    assert not (tmp_path / "evil.py").exists()
