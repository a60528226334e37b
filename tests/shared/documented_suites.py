"""A project like this repository's suites, in which the documented commands run in seconds.

Everything that is another than in ``suites/`` stands here.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from documented import ROOT, table
from loras import write_adapter
from pull_requests import git

from pytest_modellab import testing

KEPT = re.compile(
    r"^\[(?:task_sets|variants|prices)"
    r"(?:\.(?:(?:assistant_core|support_triage|alignment_probes)_v\d|cpu|h100"
    r"|prompting|few_shot|nf4|int8|support|overtrained|dpo)(?:\.\w+)*)?\]"
)
"""The tables of suites/modellab.toml that need no other model, no half of 30 layers, no minutes."""

MORE = """
[performance]
requests = 1
rounds = 1
concurrency = 1
max_tokens = 2

[models.smollm2]
source = "../models/base"

[models.damaged]
source = "../models/damaged"

[variants.rtn]
kind = "quantized"
base = "prompting"
method = "rtn"
bits = 8

"""

DECLARED = {
    "half": '[variants.half]\nkind = "lora"\nbase = "prompting"\n'
    'adapter = "adapters/overtrained"\nscale = 0.5\n',
    "broken": '[variants.broken]\nkind = "finetuned"\nbase = "prompting"\nmodel = "damaged"\n',
    "rtn4": table("docs/zoo.md", "variants.rtn4"),
    "rtn3": table("README.md", "variants.rtn3"),
}
"""Variants that a page speaks of: declared for the commands that name them."""

SMALLER = {
    "replay = 3000": "replay = 0",  # replies of a random model do not end
    "max_length = 256": "max_length = 2048",  # a token a byte
    "batch_size = 64": "batch_size = 8",
}
"""What is written otherwise in the copy of suites/modellab.toml."""

ACCEPTED = {
    "assistant_core_v2": (
        *("prompting", "few_shot", "nf4", "int8", "support", "overtrained", "dpo", "rtn"),
    ),
    "support_triage_v1": ("prompting", "support", "overtrained"),
    "alignment_probes_v1": ("prompting", "dpo"),
}
CAPABILITIES = {
    "assistant_core_v2": ("arithmetic", "instruction_following", "reading"),
    "support_triage_v1": ("entities", "reply"),
    "alignment_probes_v1": ("length", "format"),
}


def write_suites(folder: Path, model: Path) -> None:
    """Copy this repository's suites, without what needs other models, on small task sets."""
    suites = folder / "suites"
    shutil.copytree(ROOT / "suites" / "prompts", suites / "prompts")
    for name in ("prompted", "quantized", "finetuned", "aligned"):
        shutil.copy(ROOT / "suites" / f"test_{name}.py", suites)
    prompted = suites / "test_prompted.py"  # without its slow variants, which end the file
    prompted.write_text(prompted.read_text(encoding="utf-8").partition("\n\n\n@tried")[0] + "\n")
    text = (ROOT / "suites" / "modellab.toml").read_text(encoding="utf-8")
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    kept = [tables[0], *(one for one in tables if KEPT.match(one))]
    (suites / "modellab.toml").write_text("".join([*kept, MORE]), encoding="utf-8")
    for name, capabilities in CAPABILITIES.items():
        testing.write_task_set(suites / "tasks" / name, testing.choice_samples(capabilities, 10))
    train = (ROOT / "suites" / "tasks" / "support_triage_v1" / "train.jsonl").read_text()
    rows = "".join(train.splitlines(keepends=True)[:64])
    (suites / "tasks" / "support_triage_v1" / "train.jsonl").write_text(rows)
    for old, new in SMALLER.items():
        replace(suites / "modellab.toml", old, new)
    shutil.copytree(model, folder / "models" / "base")
    _damage(folder / "models" / "base", folder / "models" / "damaged")
    for name, scale in (("support", 0.003), ("overtrained", 0.15), ("dpo", 0.003)):
        write_adapter(suites / "adapters" / name, model, scale=scale)


def _damage(model: Path, folder: Path) -> None:
    """A copy of which one attention head is set to zero."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    made = LlamaForCausalLM.from_pretrained(model)
    size = made.config.hidden_size // made.config.num_attention_heads
    made.model.layers[1].self_attn.o_proj.weight.data[:, size : 2 * size] = 0.0
    made.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)


def write_score_files(folder: Path) -> None:
    """What other programs write, under the names that docs/gate-command.md has."""
    data = ROOT / "tests" / "data" / "scorefiles"
    rows = "".join(f"{number},{number % 2},{number % 3}\n" for number in range(60))
    for name in ("baseline", "candidate"):
        (folder / f"{name}.csv").write_text("id,score,capability\n" + rows)
    for name in ("base", "candidate"):
        shutil.copytree(data / f"lm_eval_{name}", folder / "runs" / name)
        text = (data / "promptfoo_one.json").read_text(encoding="utf-8")
        (folder / f"{name}.json").write_text(text.replace('"a": ', '"topic": '))
    (folder / "logs").mkdir()
    for name in ("BASE", "CANDIDATE"):
        shutil.copy(data / "inspect_base.eval", folder / "logs" / f"{name}.eval")
    text = (data / "deepeval_latest_test_run.json").read_text(encoding="utf-8")
    for place in ("base.json", ".deepeval/.latest_test_run.json"):
        path = folder / DEEPEVAL / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace('"Length"', '"Answer Relevancy"'))


DEEPEVAL = "deepeval"
"""Its own folder: docs/gate-command.md has a base.json of promptfoo, too."""


def commit(folder: Path) -> None:
    """Commit all that stands there, in a repository of its own."""
    for words in ("init -q -b main", "add -A", "commit -q -m all"):
        git(folder, *words.split())


def replace(path: Path, old: str, new: str) -> None:
    """Change a file's text, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def make_right(tasks: Path, baseline: Path) -> None:
    """What the model said, or how it began, becomes what is right.

    Args:
        tasks: the task set's folder.
        baseline: the run with what was said; it goes.
    """
    recorded = json.loads(baseline.read_text(encoding="utf-8"))["samples"]
    said = {one["id"]: one["output"] for one in recorded}
    path = tasks / "samples.jsonl"
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for one in samples:
        reply = said[one["id"]]
        if "choices" in one:
            one["target"] = one["choices"].index(reply)
        else:
            one |= {"scorer": "regex", "target": rf"^\s*{re.escape(reply.strip()[:2])}"}
    path.write_text("".join(json.dumps(one) + "\n" for one in samples), encoding="utf-8")
    baseline.unlink()
