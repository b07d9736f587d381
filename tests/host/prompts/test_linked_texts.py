"""A text that another node makes is not there yet when a graph is queued: no node may refuse it for that."""

import asyncio
import inspect

TEXT = {"class_type": "PrimitiveString", "inputs": {"value": "a cat"}}
OURS = ("custom_validation_failed", "exception_during_inner_validation", "exception_during_validation")


def test_every_node_waits_for_texts_of_other_nodes(host):
    import execution

    import nodes

    seen = set()
    for kind, cls in nodes.NODE_CLASS_MAPPINGS.items():
        if not kind.startswith("ISI_") or "validate_inputs" not in vars(cls):
            continue
        widgets = {each.id: each for each in cls.define_schema().inputs}
        looked_at = [widgets[name] for name in inspect.signature(cls.validate_inputs).parameters]
        for text in (each for each in looked_at if each.io_type == "STRING"):
            inputs = {each.id: getattr(each, "default", None) for each in looked_at} | {text.id: ["2", 0]}
            prompt = {"1": {"class_type": kind, "inputs": inputs}, "2": TEXT}
            _, errors, _ = asyncio.run(execution.validate_inputs("p", prompt, "1", {}, []))
            assert not [error for error in errors if error["type"] in OURS], (kind, text.id)
            seen.add((kind, text.id))
    assert {("ISI_Script", "script"), ("ISI_Iterate", "negative"), ("ISI_Prompt", "text")} <= seen
