"""What `run.py` unpacks stays inside its folder; what it installs is what a command needs."""

import ast
import importlib.util
import io
import re
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location("isi_run", ROOT / "run.py")
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


TOOLS = {"pytest", "pytest_timeout", "hypothesis", "ruff", "pyright", "playwright", "uv"}


def third_party(module: str, seen: set[str]) -> set[str]:
    """What a module of tools/ imports that is neither ours nor Python's, with all of ours that it imports."""
    if module in seen:
        return set()
    seen.add(module)
    tree = ast.parse((ROOT / "tools" / f"{module}.py").read_text("utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            for name in [node.module] if node.module else [n.name for n in node.names]:
                found |= third_party(name, seen)
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_demo_installs_no_test_tool_and_needs_none(command, monkeypatch):
    asked = []
    monkeypatch.setattr(run, "get_comfyui", lambda version: ROOT)
    monkeypatch.setattr(run, "install", lambda files, host, constraints: asked.extend(files))
    run.set_up(None, command)
    names = {re.split(r"[=\[ ]", line)[0] for path in asked for line in path.read_text().splitlines()}
    assert "torch" in names and not names & TOOLS
    assert not third_party(command, set()) & TOOLS


def installer(tmp_path, monkeypatch) -> list:
    """`run.install` in a folder of its own; the list holds the files of each call of pip."""
    calls = []
    monkeypatch.setattr(run, "VENV", tmp_path)
    monkeypatch.setattr(run, "PYTHON", tmp_path)
    monkeypatch.setattr(run, "make_venv", lambda: None)
    monkeypatch.setattr(
        run.Progress, "run", lambda self, command, problem: calls.append([Path(p).name for p in command[5:]])
    )
    return calls


def test_a_demo_after_a_test_installs_nothing_and_a_test_after_a_demo_the_rest(tmp_path, monkeypatch):
    calls = installer(tmp_path, monkeypatch)
    host = tmp_path / "requirements.txt"
    host.write_text("numpy")
    for _ in range(2):
        run.install([run.RUN], host, None)
    run.install([run.RUN, run.DEV], host, None)
    run.install([run.RUN], host, None)
    assert [run.DEV.name in call for call in calls] == [False, True]
    host.write_text("numpy<2")  # another host: all of it again
    run.install([run.RUN], host, None)
    run.install([run.RUN, run.DEV], host, None)
    assert len(calls) == 4


def test_the_line_under_pip_moves_with_what_it_says():
    progress = run.Progress()
    texts = [progress.text()]
    for line in (
        "Collecting torch==2.11.0",
        "  Downloading torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl (530.7 MB)",
        "  Downloading numpy-2.4.6-cp312-cp312.whl.metadata (62 kB)",
        "Installing collected packages: a, b, torch",
    ):
        progress.read(line)
        texts.append(progress.text())
    assert "torch (530.7 MB)" in texts[2] and "531 MB" in texts[3] and "3 packages" in texts[4]


def test_pip_that_fails_is_said(capfd):
    with pytest.raises(run.SetupError, match="no luck"):
        run.Progress().run([sys.executable, "-c", "import sys; sys.exit('why')"], "no luck")
    assert "why" in capfd.readouterr().err


@pytest.mark.parametrize("system", ["linux", "darwin", "win32", "freebsd14"])
def test_without_a_browser_there_is_a_command_for_every_system(system):
    from isi.tools.browser import how_to_get_one

    assert "playwright install --with-deps chromium" in how_to_get_one(system)
    named = {"linux": "apt install chromium", "darwin": "brew install", "win32": "winget install"}
    assert named.get(system, "") in how_to_get_one(system)
