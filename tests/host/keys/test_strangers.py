"""Keys on a stranger's pack and on replaced files: nothing is reused wrongly, what is the same is reused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file

from ...conftest import ROOT
from ..harness import HOST
from .host_nodes import make_files
from .runs import loop

HERE = Path(__file__).parent
CHECKPOINT = {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}}
PARTS = {"model": ["node", 0], "clip": ["checkpoint", 1], "vae": ["checkpoint", 2]}


@pytest.fixture(scope="module")
def pack(booted):
    """The made-up pack, in the host's own folder for packs."""
    import nodes

    folder = Path(folder_paths.get_folder_paths("custom_nodes")[0]) / "made-up"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "made_up_pack.py", folder / "__init__.py")
    make_files(Path(folder_paths.models_dir))
    assert booted.loop.run_until_complete(nodes.load_custom_node(str(folder)))
    return folder


@pytest.fixture
def sampled(host, calls, pack):
    """How often a run of two steps had to sample, in a host whose caches are empty unless `keep`."""

    def run(node: dict, script="a red circle; a blue square", keep=False, **more) -> int:
        calls.clear()
        if not keep:
            host.new_executor()
        host.run(loop({"checkpoint": CHECKPOINT, "node": node, **more}, PARTS, script))
        return len(calls)

    return run


def node(name: str, **inputs) -> dict:
    return {"class_type": name, "inputs": {"model": ["checkpoint", 0], **inputs}}


def ways() -> list[str]:
    source = (HERE / "made_up_pack.py").read_text("utf-8")
    return [line[4 : line.index("(")] for line in source.splitlines() if line.startswith("def by_")]


@pytest.mark.parametrize("way", ways())
def test_a_setting_counts_however_a_pack_holds_it(sampled, way):
    assert sampled(node("MadeUp_Patch", way=way, setting=0.25)) == 2
    assert sampled(node("MadeUp_Patch", way=way, setting=0.5)) == 2
    assert sampled(node("MadeUp_Patch", way=way, setting=0.25)) == 0
    assert sampled(node("MadeUp_Patch", way=way, setting=0.25), "a red circle; a star") == 1


@pytest.mark.parametrize("where", ["global", "table", "list", "tensor", "class", "space"])
def test_what_a_packs_modules_hold_counts(sampled, host, where):
    def set_to(value):
        host.run({"set": {"class_type": "MadeUp_SetGlobal", "inputs": {"where": where, "setting": value}}})

    first = sampled(node("MadeUp_UseGlobal"), f"{where}; b")
    set_to(0.4)
    try:
        assert first == 2 and sampled(node("MadeUp_UseGlobal"), f"{where}; b", keep=True) == 2
    finally:
        set_to(0.0)
    assert sampled(node("MadeUp_UseGlobal"), f"{where}; b") == 0


def test_what_a_packs_code_asks_of_the_environment_counts(sampled, monkeypatch):
    assert sampled(node("MadeUp_UseGlobal"), "environment; b") == 2
    monkeypatch.setenv("MADE_UP_SETTING", "0.3")
    assert sampled(node("MadeUp_UseGlobal"), "environment; b") == 2
    monkeypatch.setenv("NOT_ASKED_FOR", "1")
    assert sampled(node("MadeUp_UseGlobal"), "environment; b") == 0


def test_weights_changed_in_place_are_noticed(sampled):
    """The host keeps the changed model for a graph without the node that changed it."""
    plain = {"class_type": "CFGOverride", "inputs": {"model": ["checkpoint", 0], "cfg": 2.0}}
    plain["inputs"] |= {"start_percent": 0.0, "end_percent": 1.0}
    assert sampled(plain, "in place; b") == 2
    assert sampled(node("MadeUp_InPlace", factor=0.5), "in place; b", keep=True) == 2
    assert sampled(plain, "in place; b", keep=True) == 2, "the loaded model is not what the graph says"
    assert sampled(plain, "in place; b") == 0, "loaded anew, it is"


def test_a_node_that_is_another_one_each_time_is_never_reused(sampled):
    assert sampled(node("MadeUp_Always"), "always; b") == 2
    assert sampled(node("MadeUp_Always"), "always; b") == 2
    assert sampled(node("MadeUp_Always"), "always; b", keep=True) == 2


def test_each_model_of_a_list_has_its_own_key(sampled):
    assert sampled(node("MadeUp_Several"), "list; b") == 4
    assert sampled(node("MadeUp_Several"), "list; b") == 0


def test_code_that_changes_while_it_runs_proves_nothing(sampled, pack):
    file = pack / "__init__.py"
    text = file.read_text("utf-8")
    assert sampled(node("MadeUp_Patch", way="by_dict", setting=0.1), "code; b") == 2
    try:
        file.write_text(text.replace("return x + setting", "return x + 2 * setting"), "utf-8")
        assert sampled(node("MadeUp_Patch", way="by_dict", setting=0.1), "code; b") == 2
    finally:
        file.write_text(text, "utf-8")
    assert sampled(node("MadeUp_Patch", way="by_dict", setting=0.1), "code; b") == 0


def replace_weights(path: Path) -> None:
    """Other weights of the same size under the same name."""
    save_file({name: -weight for name, weight in load_file(path).items()}, path)


@pytest.mark.parametrize("keep", [True, False])
def test_a_lora_replaced_under_its_name_is_another_one(sampled, keep):
    path = Path(folder_paths.models_dir, "loras", "made_1.safetensors")
    lora = node("LoraLoaderModelOnly", lora_name="made_1.safetensors", strength_model=1.0)
    assert sampled(lora, f"lora {keep}; b") == 2
    assert sampled(lora, f"lora {keep}; c", keep=True) == 1
    size = path.stat().st_size
    replace_weights(path)
    assert path.stat().st_size == size
    # With its caches the host still has the old weights loaded: these are not what the file says either.
    assert sampled(lora, f"lora {keep}; d", keep=keep) == 2
    lora["inputs"]["strength_model"] = 0.5
    assert sampled(lora, f"lora {keep}; d", keep=keep) == 2


def test_an_embedding_that_is_added_or_replaced_counts(host, calls, pack, booted):
    folder = Path(folder_paths.get_folder_paths("embeddings")[0]) / "styles"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = {"class_type": "CFGOverride", "inputs": {"model": ["checkpoint", 0], "cfg": 2.0}}
    checkpoint["inputs"] |= {"start_percent": 0.0, "end_percent": 1.0}

    def run(negative="") -> int:
        calls.clear()
        host.new_executor()
        script = "a red circle; (embedding:styles/oil, dark:1.1); a star"
        graph = loop({"checkpoint": CHECKPOINT, "node": checkpoint}, PARTS, script)
        graph["iterate"]["inputs"]["negative"] = negative
        host.run(graph)
        return len(calls)

    assert run() == 3
    save_file({"emb_params": torch.randn(1, 64)}, folder / "oil.safetensors")
    assert run() == 2, "the first step does not name it"
    assert run() == 0
    save_file({"emb_params": torch.randn(1, 64)}, folder / "oil.safetensors")
    assert run() == 2
    assert run("embedding:styles/oil") == 3


CODE = """
import json, sys; sys.path[:0] = [{root!r}]
from pathlib import Path
from tests.host.harness import Host
host = Host(Path({base!r}))
import nodes
host.loop.run_until_complete(nodes.load_custom_node({pack!r}))
import comfy.sample
from tests.host.keys.runs import loop
from tests.host.keys.test_strangers import CHECKPOINT, PARTS, node
patch = node("MadeUp_Patch", way="by_closure", setting=.2)
host.run(loop({{"checkpoint": CHECKPOINT, "node": patch}}, PARTS, "a; b"))
reused = [data["reused"] for name, data in host.events if name == "isi.iteration"]
Path({base!r}, "reused.json").write_text(json.dumps(reused))
"""


def another_process(tmp_path: Path, name: str, root: Path = ROOT, **environment) -> list:
    """Which of two steps a new process reuses: its own folders, one store for all of them."""
    base = tmp_path / name
    pack = base / "custom_nodes" / f"pack of {name}"
    pack.mkdir(parents=True)
    shutil.copy(HERE / "made_up_pack.py", pack / "__init__.py")
    code = CODE.format(root=str(root), base=str(base), pack=str(pack))
    shared = {"ISI_HOME": str(tmp_path / "shared"), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | shared | environment
    )
    assert (base / "reused.json").exists(), ended.stderr[-3000:]
    return json.loads((base / "reused.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_at_other_paths_share(tmp_path):
    assert another_process(tmp_path, "first") == [False, False]
    assert another_process(tmp_path, "other folders") == [True, True]
    elsewhere = tmp_path / "a copy of us"
    ignored = shutil.ignore_patterns(".*", "workflows", "docs", "js", "bench")
    shutil.copytree(ROOT, elsewhere, ignore=ignored)
    (elsewhere / "js").mkdir()
    shutil.copytree(HOST, tmp_path / "a copy of ComfyUI", ignore=shutil.ignore_patterns(".git"))
    host = str(tmp_path / "a copy of ComfyUI")
    assert another_process(tmp_path, "copies", root=elsewhere, COMFYUI_PATH=host) == [True, True]


def other_threads(monkeypatch):
    torch.set_num_threads(torch.get_num_threads() + 1)


def other_attention(monkeypatch):
    import comfy.ldm.modules.attention as attention

    monkeypatch.setattr(attention, "optimized_attention", attention.attention_basic)


def fast(monkeypatch):
    import comfy.cli_args

    monkeypatch.setattr(comfy.cli_args.args, "fast", {"fp16_accumulation"})


def other_processor(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")


@pytest.mark.parametrize("switch", [other_threads, other_attention, fast, other_processor])
def test_what_gives_other_bits_shares_nothing(sampled, monkeypatch, switch):
    patch, script = node("MadeUp_Patch", way="by_closure", setting=0.2), f"{switch.__name__}; b"
    threads = torch.get_num_threads()
    assert sampled(patch, script) == 2
    try:
        with monkeypatch.context() as other:
            switch(other)
            assert sampled(patch, script) == 2
    finally:
        torch.set_num_threads(threads)
    assert sampled(patch, script) == 0


def test_a_run_says_why_it_was_made_again(host, sampled):
    from isi.host.loop.gallery import overview

    def shown() -> dict:
        data = [data for name, data in host.events if name == "isi.iteration" and data["iteration"] == 1]
        assert data[-1]["changed"] == tuple(overview(data[-1]["run"])["changed"])
        return overview(data[-1]["run"])

    lora = node("LoraLoaderModelOnly", lora_name="made_2.safetensors", strength_model=1.0)
    assert sampled(lora, "why; b") == 2 and shown()["changed"] == []
    lora["inputs"]["strength_model"] = 0.75
    assert sampled(lora, "why; b") == 2
    assert shown()["changed"] == ["model: LoraLoaderModelOnly strength_model: 1 -> 0.75"]
    assert sampled(lora, "why; c") == 1 and shown()["changed"] == []
