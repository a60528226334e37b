"""Recipes: every method on a random model for a few steps, and what they refuse."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.config import read as configuration
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.recipes import RECIPES, artefact, data, find, provenance, training
from pytest_modellab.recipes.provenance import Provenance
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import REQUIRED, Setting, at_least, resolve, share
from pytest_modellab.store import said
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt

if TYPE_CHECKING:
    from pytest_modellab.recipes.build import BuildJob

PROMPT = "{% block system %}Be brief.{% endblock %}{% block user %}Q: {{ input }}{% endblock %}"
ROWS = [
    {
        "input": f"What is {n} + 1?",
        "reply": f"It is {n + 1}.",
        "chosen": f"It is {n + 1}.",
        "rejected": "No.",
    }
    for n in range(4)
]
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
SHORT = {
    "seed": 1,
    "epochs": 2,
    "batch_size": 4,
    "max_length": 96,
    "learning_rate": 1e-2,
    "warmup": 0,
    "lora": LORA,
}
REINFORCED: Mapping[str, Any] = {
    **{key: value for key, value in SHORT.items() if key != "max_length"},
    "epochs": 1,
    "generations": 2,
    "max_new_tokens": 2,
    "reward": {"adapter": "rewards", "data": "rows.jsonl", "batch_size": 4, "lora": LORA},
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "sft": SHORT,
    "dpo": SHORT,
    "reward": SHORT,
    "grpo": REINFORCED,
    "rloo": REINFORCED,
    "distill": SHORT,
    "calibrate": {"seed": 1, "samples": 2},
}
"""Two steps of every method."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


class Workshop:
    """A folder with a configuration of one variant, ``new``, which is written for each build."""

    def __init__(self, root: Path, model: Path) -> None:
        pytest.importorskip("trl")
        pytest.importorskip("peft")
        self.root, self.model = root, model
        self.cache = root / "cache"
        (root / "prompt.jinja").write_text(PROMPT, encoding="utf-8")
        (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        self._built: dict[str, Provenance] = {}

    def build(self, method: str, out: str, *, base: str = "plain", **changes: Any) -> Provenance:
        """Make ``root / out``; ``changes`` are settings, or arguments of ``build``."""
        from pytest_modellab.recipes import build

        names = ("progress", "force", "fresh", "max_steps")
        arguments = {name: changes.pop(name) for name in names if name in changes}
        lab, job = self.job(method, out, base, {**SETTINGS.get(method, SHORT), **changes})
        plan, files = lab.variant(base).plan, lab.variant(base).files
        return build.build(job, plan, files, self.cache, **arguments)

    def job(
        self, method: str, out: str, base: str, settings: Mapping[str, Any]
    ) -> tuple[Lab, BuildJob]:
        from pytest_modellab.recipes import build

        settings = {"method": method, "data": "rows.jsonl", **settings}
        whole = settings.get("lora") is None
        adapted = "qlora" if base == "nf4" else "lora"
        kind = "finetuned" if whole else "distilled" if method == "distill" else adapted
        options: dict[str, Any] = {"model": "own"} if whole else {"adapter": "out"}
        if method == "distill":
            options["layers"] = [1]
        lines = [
            f"[models.tiny]\nsource = {json.dumps(str(self.model))}",
            '[models.own]\nsource = "out"',
            '[variants.plain]\nkind = "prompted"\nmodel = "tiny"\nprompt = "prompt.jinja"',
            '[variants.nf4]\nkind = "quantized"\nbase = "plain"\nmethod = "bitsandbytes-nf4"',
            f'[variants.new]\nkind = "{kind}"\nbase = "{base}"',
            *(f"{key} = {_toml(value)}" for key, value in options.items()),
            "[variants.new.recipe]",
            *(f"{key} = {_toml(value)}" for key, value in settings.items() if value is not None),
        ]
        (self.root / "modellab.toml").write_text("\n".join(lines), encoding="utf-8")
        config = configuration.load(self.root / "modellab.toml")
        lab = Lab(config, Settings(self.cache))
        return lab, build.check(lab.config, lab.spec("new"), self.root / out)

    def built(self, method: str) -> Provenance:
        """Build a method once, to the folder of its name."""
        if method not in self._built:
            self._built[method] = self.build(method, method)
        return self._built[method]

    def weights(self, out: str) -> dict[str, Any]:
        """Return an artefact's tensors."""
        from safetensors.torch import load_file

        (file,) = (self.root / out).glob("*.safetensors")
        return dict(load_file(file))

    def same(self, one: str, two: str) -> bool:
        """Whether two artefacts hold the same tensors, bit for bit."""
        first, second = self.weights(one), self.weights(two)
        return first.keys() == second.keys() and all(
            first[name].equal(second[name]) for name in first
        )


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Workshop:
    """One workshop for all tests: what one has built, another looks at."""
    return Workshop(tmp_path_factory.mktemp("workshop"), model_folder)


# --- every method -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SETTINGS)
def test_the_same_seed_makes_the_same_artefact(shop: Workshop, method: str) -> None:
    made = shop.built(method)
    again = shop.build(method, "again", force=True)
    assert shop.same(method, "again")
    assert dataclasses.replace(again, seconds=0.0) == dataclasses.replace(made, seconds=0.0)
    assert made.method == method
    assert made.steps == 2
    assert provenance.read(shop.root / method) == made
    assert not list(shop.cache.glob("recipes/*/"))  # no checkpoints are left


def test_another_seed_makes_another_artefact(shop: Workshop) -> None:
    shop.built("sft")
    shop.build("sft", "other", seed=2)
    assert not shop.same("sft", "other")


def test_an_adapter_and_its_provenance(shop: Workshop, model_folder: Path) -> None:
    made = shop.built("sft")
    folder = shop.root / "sft"
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "provenance.json",
    ]
    adapter = json.loads((folder / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(model_folder)  # as declared
    assert adapter["target_modules"] == ["q_proj", "v_proj"]
    assert {str(tensor.dtype) for tensor in shop.weights("sft").values()} == {"torch.bfloat16"}
    assert [step for step, _ in made.loss] == [1, 2]
    assert (made.seed, made.device) == (1, "cpu")
    assert made.data == {
        "name": "rows.jsonl",
        "sha256": hashlib.sha256((shop.root / "rows.jsonl").read_bytes()).hexdigest(),
        "rows": len(ROWS),
    }
    assert {key: value for key, value in made.base.items() if key[0] in "vq"} == {
        "variant": "plain",
        "quantization": {},
    }
    assert (len(made.base["weights"]), len(made.base["fingerprint"])) == (64, 16)
    assert made.settings["lora"] == {**LORA, "alpha": 16.0, "dropout": 0.0}
    assert made.settings["scheduler"] == "cosine"
    assert set(made.versions) == {"python", *training.PACKAGES}


def test_a_killed_build_goes_on_from_its_checkpoint(shop: Workshop) -> None:
    made = shop.built("sft")

    def kill(done: int, *_: Any, **__: Any) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.build("sft", "resumed", progress=kill, checkpoint_steps=1)
    assert not list(shop.root.glob("*resumed*"))
    seen: list[int] = []

    def note(done: int, *_: Any, **__: Any) -> None:
        seen.append(done)

    resumed = shop.build("sft", "resumed", progress=note, checkpoint_steps=1)
    assert seen == [2]
    assert shop.same("sft", "resumed")
    assert resumed.loss == made.loss
    with pytest.raises(KeyboardInterrupt):
        shop.build("sft", "fresh", progress=kill, checkpoint_steps=1)
    shop.build("sft", "fresh", progress=note, checkpoint_steps=1, fresh=True)
    assert seen == [2, 1, 2]


@pytest.mark.parametrize("damage", ["cut off", "another bit", "unfinished"])
def test_a_checkpoint_that_is_not_what_was_written_is_not_taken_up(
    shop: Workshop, damage: str
) -> None:
    made = shop.built("sft")
    checkpoints: list[Path] = []

    def kill(done: int, *_: Any, **__: Any) -> None:
        if done == 2:
            checkpoints.extend(shop.cache.rglob("checkpoint-1"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.build("sft", damage, progress=kill, checkpoint_steps=1)
    (checkpoint,) = checkpoints
    weights = checkpoint / "adapter_model.safetensors"
    content = weights.read_bytes()
    if damage == "cut off":
        weights.write_bytes(content[:-1])
    elif damage == "another bit":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (checkpoint / "trainer_state.json").unlink()
        (checkpoint / "manifest.json").unlink()
    seen: list[int] = []
    resumed = shop.build(
        "sft", damage, progress=lambda done, *_, **__: seen.append(done), checkpoint_steps=1
    )
    assert seen == [1, 2], "from the beginning"
    assert shop.same("sft", damage)
    assert resumed.loss == made.loss


def test_without_lora_the_whole_model_is_trained(shop: Workshop) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shop.build("sft", "whole", lora=None)
    model = AutoModelForCausalLM.from_pretrained(shop.root / "whole")
    assert AutoTokenizer.from_pretrained(shop.root / "whole").chat_template
    assert str(model.dtype) == "torch.bfloat16"
    text = (shop.root / "whole" / "config.json").read_text()
    assert str(shop.model) not in text  # no path of this machine


def test_quantized_weights_take_an_adapter_only(shop: Workshop) -> None:
    pytest.importorskip("bitsandbytes")
    made = shop.build("sft", "qlora", base="nf4")
    assert made.base["quantization"] == {"method": "bitsandbytes-nf4"}
    with pytest.raises(ConfigError, match="'nf4' is quantized, and quantized weights cannot be"):
        shop.build("sft", "never", base="nf4", lora=None)


def test_preferences_are_learned(shop: Workshop) -> None:
    made = shop.built("dpo")
    assert made.loss[-1][1] < made.loss[0][1]
    assert made.notes == ("pairs ranked as labelled: 0 in the first tenth, 1 in the last",)


def test_a_reward_model_that_was_made_otherwise_is_refused(shop: Workshop) -> None:
    shop.built("grpo")
    settings = SETTINGS["grpo"]["reward"]
    with pytest.raises(ConfigError, match="was made with another learning_rate than is declared"):
        shop.build("grpo", "other_judge", reward={**settings, "learning_rate": 0.5})


def test_a_folder_that_no_build_has_made_is_not_replaced(shop: Workshop) -> None:
    (shop.root / "mine").mkdir()
    (shop.root / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds no provenance\.json, so modellab build has not"):
        shop.build("sft", "mine", force=True)
    assert (shop.root / "mine" / "thesis.txt").exists()


def test_kind_and_base_are_checked_before_training(shop: Workshop) -> None:
    lab, job = shop.job("sft", "never", "plain", SHORT)
    qlora = dataclasses.replace(job, spec=dataclasses.replace(job.spec, kind="qlora"))
    from pytest_modellab.recipes import build

    plan, files = lab.variant("plain").plan, lab.variant("plain").files
    with pytest.raises(ConfigError, match="new: base: 'plain' is not quantized"):
        build.build(qlora, plan, files, shop.cache)
    elsewhere = dataclasses.replace(plan, engine="llamacpp-1", open=lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'plain' is run by llamacpp-1, which trains nothing"):
        build.build(job, elsewhere, files, shop.cache)


def test_a_base_is_trained_as_transformers_computes_it(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused kernels and another attention are for answers; on a CPU there are none of them."""
    from pytest_modellab.recipes import build
    from pytest_modellab.variants import loading

    lab, job = shop.job("sft", "never", "plain", SHORT)
    loaded: list[Plan] = []

    def load(plan: Plan, *_: Any) -> None:
        loaded.append(plan)
        raise ModellabError("far enough")

    monkeypatch.setattr(loading, "load", load)
    asked = dataclasses.replace(lab.variant("plain").plan, attention="eager")
    with pytest.raises(ModellabError, match="far enough"):
        build.build(job, asked, lab.variant("plain").files, shop.cache)
    assert [(plan.kernels, plan.attention) for plan in loaded] == [("", "")]


def test_a_reward_model_is_built_where_it_is_missing(shop: Workshop) -> None:
    made = shop.built("grpo")
    rewarded = provenance.read(shop.root / "rewards")
    assert rewarded is not None
    assert rewarded.method == "reward"
    config = json.loads((shop.root / "rewards" / "adapter_config.json").read_text())
    assert config["task_type"] == "SEQ_CLS"
    first, second = made.notes
    assert first == f"reward model: rewards, trained on rows.jsonl ({made.data['sha256']})"
    assert second.startswith("mean reward: ")


def test_a_build_cut_short_leaves_no_reward_model_behind(shop: Workshop) -> None:
    reward = {**REINFORCED["reward"], "adapter": "cut_short"}
    made = shop.build("grpo", "short", reward=reward, max_steps=1)
    assert made.steps == 1
    assert not (shop.root / "cut_short").exists()


def test_what_is_no_reward_model_is_refused(shop: Workshop) -> None:
    shop.built("sft")
    with pytest.raises(ConfigError, match=r"sft is no reward model of this base .method 'sft'"):
        shop.build("grpo", "never", reward={"adapter": "sft"})
    with pytest.raises(ConfigError, match=r"recipe.reward.data: missing, and there is no reward"):
        shop.build("grpo", "never", reward={"adapter": "nowhere"})


def test_a_student_keeps_the_named_layers(shop: Workshop) -> None:
    made = shop.built("distill")
    assert made.loss[-1][1] < made.loss[0][1]
    layers = {name.split(".")[4] for name in shop.weights("distill")}
    assert layers == {"0"}  # one is left of two


def test_a_student_may_write_the_replies_itself(shop: Workshop) -> None:
    shop.built("distill")
    shop.build("distill", "on_policy", on_policy=1.0, max_new_tokens=4)
    assert not shop.same("distill", "on_policy")


def test_the_base_may_write_the_data(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_modellab.recipes import magpie

    asked: list[tuple[list[str], int, float | None]] = []
    turns = iter(["How?", "", "Why?", "How?", "When?", "Where?", *"abcdefghij"])

    def complete(
        order: Any, texts: list[str], tokens: int, temperature: float | None = None
    ) -> list[str]:
        asked.append((list(texts), tokens, temperature))
        return [next(turns) if temperature else "Because." for _ in texts]

    monkeypatch.setattr(magpie, "_complete", complete)
    changes: dict[str, Any] = {"data": None, "generate": 4, "max_new_tokens": 8}
    made = shop.build("distill", "written", **changes)
    opening = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ: "
    assert asked[0] == ([opening] * 16, magpie.INPUT_TOKENS, 1.0)
    assert asked[1][0][0] == f"{opening}How?<|im_end|>\n<|im_start|>assistant\n"
    assert asked[1][1:] == (8, None)
    (file,) = shop.cache.glob("recipes/generated-*/generated-*.jsonl")
    inputs = [json.loads(line)["input"] for line in file.read_text().splitlines()]
    assert inputs == ["How?", "Why?", "When?", "Where?"]  # no blank one, none twice
    assert (made.data["name"], made.data["rows"]) == (file.name, 4)
    replayed = shop.build("sft", "replayed", replay=4, max_new_tokens=8, epochs=1)
    assert (made.data["sha256"] in replayed.notes[0], replayed.data["rows"]) == (True, 4)
    assert replayed.steps == 2  # 4 rows and the same 4 of the base: the turns are used up


def test_data_of_the_base_that_was_edited_is_written_anew(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_modellab.recipes import magpie

    def complete(
        order: Any, texts: list[str], tokens: int, temperature: float | None = None
    ) -> list[str]:
        return [f"{k}?" if temperature else "Because." for k in range(len(texts))]

    monkeypatch.setattr(magpie, "_complete", complete)
    changes: dict[str, Any] = {"data": None, "generate": 3, "max_new_tokens": 8}
    first = shop.build("distill", "edited", **changes)
    (file,) = shop.cache.glob(f"recipes/*/{first.data['name']}")
    file.write_text(file.read_text().replace("Because", "Perhaps"))
    notes: list[str] = []
    with said.listening(notes.append):
        again = shop.build("distill", "edited_anew", **changes)
    assert again.data["sha256"] == first.data["sha256"]
    assert "Because." in file.read_text()
    assert notes == [
        f"the data that the base writes is made anew: recipes/{file.stem} is damaged: {file.name} "
        "was changed, its digest does not match"
    ]


def test_a_base_that_never_ends_its_turn_is_named(shop: Workshop) -> None:
    with pytest.raises(ModellabError, match="the base wrote 0 of 2 rows in 8 tries: too few that"):
        shop.build("distill", "never", data=None, generate=2, max_new_tokens=1)


def test_a_calibrated_model_loads_again(shop: Workshop) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    assert shop.built("calibrate").loss == ()
    model = AutoModelForCausalLM.from_pretrained(shop.root / "calibrate")
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert weight.qdata.dtype == torch.int8
    assert not torch.all(weight.act_pre_scale == 1)  # measured on the rows


def test_a_loss_that_is_not_finite_is_no_artefact(shop: Workshop) -> None:
    with pytest.raises(
        ModellabError, match="the loss is not finite at step 2: lower learning_rate"
    ):
        shop.build("sft", "never", learning_rate=1e38, warmup=0, scheduler="constant")
    assert not list(shop.root.glob("*never*"))


# --- an artefact appears whole or not at all ----------------------------------------------------


def _words(word: str) -> Recipe:
    """As CONTRIBUTING says: a name, settings, the keys of a row, and a function."""

    def train(order: Order) -> Outcome:
        assert order.data is not None
        (order.output / "words.txt").write_text(word)
        if word == "bad":
            raise OSError("the disk is full")
        return Outcome(order.data, steps=1, seconds=0.0)

    return Recipe("words", (), {"seed": at_least(int, 0, 0)}, ("input",), lambda *_: 1, train)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(
        spec=VariantSpec("words", "lora", "fine-tuning"),
        base=Plan(ModelSource("tiny", "tiny"), Prompt(PROMPT)),
        origin={"weights": "w" * 64},
        source="tiny",
        model=None,
        tokenizer=None,
        settings={"seed": 0},
        data=data.Data("rows.jsonl", "0" * 64, ({"input": "a"},)),
        root=tmp_path,
        output=tmp_path,
        work=tmp_path / "work",
    )


def test_an_artefact_is_replaced_after_success_only(tmp_path: Path, order: Order) -> None:
    folder = tmp_path / "deep" / "words"
    artefact.make(_words("one"), order, folder)
    with pytest.raises(ModellabError, match=r"the disk is full; checkpoints are kept in .*work"):
        artefact.make(_words("bad"), order, folder)
    assert (folder / "words.txt").read_text() == "one"
    artefact.make(_words("two"), order, folder)
    assert (folder / "words.txt").read_text() == "two"
    assert [path.name for path in folder.parent.iterdir()] == ["words"]
    assert provenance.read(folder) is not None


def test_the_leftovers_of_a_kill_are_removed(tmp_path: Path, order: Order) -> None:
    (tmp_path / ".words.abc.build").mkdir()
    artefact.make(_words("one"), order, tmp_path / "words")
    assert not (tmp_path / ".words.abc.build").exists()


# --- settings -----------------------------------------------------------------------------------

KNOWN = {
    "rows": at_least(int, 1),
    "rate": share(0.5),
    "mode": Setting(str, "fast", choices=("fast", "slow")),
    "names": Setting(list, ()),
    "table": Setting(dict, None, fields={"depth": at_least(int, 1, 3)}),
}


def test_settings_get_their_defaults() -> None:
    assert resolve(KNOWN, {"rows": 2, "rate": 1, "table": {}}) == {
        "rows": 2,
        "rate": 1.0,
        "mode": "fast",
        "names": (),
        "table": {"depth": 3},
    }
    assert resolve(KNOWN, {"rows": 2})["table"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "rows: missing; a value is at least 1"),
        ({"rows": 0}, "rows: 0 is not at least 1"),
        ({"rows": True}, "rows: True is bool, expected int"),
        ({"rows": 1, "rate": 1.5}, "rate: 1.5 is not in .0, 1."),
        ({"rows": 1, "rate": "1"}, "rate: '1' is str, expected float"),
        ({"rows": 1, "rat": 1}, "rat: unknown key; did you mean 'rate'"),
        ({"rows": 1, "mode": "fsat"}, "mode: unknown 'fsat'; did you mean 'fast'"),
        ({"rows": 1, "names": [1]}, "names: .1.: expected a list of strings"),
        ({"rows": 1, "table": {"dept": 1}}, "table.dept: unknown key; did you mean 'depth'"),
        ({"rows": 1, "table": 1}, "table: 1 is int, expected dict"),
    ],
)
def test_a_wrong_setting_is_named(given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        resolve(KNOWN, given)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ConfigError, match=r"recipe.method: unknown 'dop'; did you mean 'dpo'"):
        find("dop")
    with pytest.raises(ConfigError, match=r"recipe.method: missing; Known: calibrate, distill"):
        find(None)


def test_every_recipe_is_seeded_and_says_what_it_reads() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert "seed" in recipe.settings
        assert recipe.keys[0] == "input"
        assert not {"method", "data"} & set(recipe.settings)
        required = {key for key, s in recipe.settings.items() if s.default is REQUIRED}
        assert required <= {"reward", "pictures"}


# --- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", 'rows.jsonl: holds no row; expected lines of {"input": …, "reply": …}'),
        ('{"input": "a"\n', "rows.jsonl:1: malformed JSON"),
        ("[]\n", "rows.jsonl:1: expected .* found list"),
        ('\n{"input": "a", "repyl": "b"}\n', "rows.jsonl:2: 'reply' is missing: .* 'repyl'"),
        ('{"input": "a", "reply": 1}\n', "rows.jsonl:1: reply: 1 is int, expected a text"),
        ('{"input": " ", "reply": "b"}\n', "rows.jsonl:1: input: is blank"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=f"^data: .*{message}"):
        data.read(tmp_path, "rows.jsonl", ("input", "reply"))


def test_a_missing_file_and_equal_answers_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rows.jsonl: cannot be read: No such file"):
        data.read(tmp_path, "rows.jsonl", ("input",))
    (tmp_path / "rows.jsonl").write_text('{"input": "a", "chosen": "b", "rejected": "b"}\n')
    with pytest.raises(ConfigError, match=r"rows.jsonl:1: 'chosen' and 'rejected' are equal"):
        data.read(tmp_path, "rows.jsonl", ("input", "chosen", "rejected"))
    (tmp_path / "rows.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"rows.jsonl: line 1: not UTF-8 \(invalid start byte\)"):
        data.read(tmp_path, "rows.jsonl", ("input",))


def test_rows_are_put_into_the_prompt_that_will_be_asked() -> None:
    prompt = Prompt(PROMPT, shots=(("1 + 1?", "2"),))
    rows = data.Data("rows.jsonl", "", ({"input": "2 + 2?", "chosen": "4", "rejected": "5"},))
    (row,) = data.conversations(rows, prompt)
    assert row["prompt"] == prompt.messages("2 + 2?")
    assert [message["role"] for message in row["prompt"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert row["chosen"] == [{"role": "assistant", "content": "4"}]
    assert row["rejected"] == [{"role": "assistant", "content": "5"}]


# --- provenance ---------------------------------------------------------------------------------


@pytest.fixture
def made() -> Provenance:
    return Provenance(
        schema=1,
        method="sft",
        settings={"seed": 1},
        seed=1,
        data={"name": "rows.jsonl", "sha256": "0" * 64, "rows": 8},
        base={"variant": "plain"},
        versions={"trl": "1.16.0"},
        device="cpu",
        steps=2,
        seconds=1.5,
        loss=((1, 2.5), (2, 2.0)),
        notes=("a note",),
        date="2026-01-01",
    )


def test_provenance_is_read_as_it_was_written(tmp_path: Path, made: Provenance) -> None:
    assert provenance.read(tmp_path) is None
    provenance.write(tmp_path, made)
    assert provenance.read(tmp_path) == made
    text = (tmp_path / "provenance.json").read_text()
    assert '"loss": [[1, 2.5], [2, 2.0]],\n' in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2, expected 1"),
        ({"extra": 1}, "extra: unknown key"),
        ({"steps": None}, "steps: missing"),
        ({"loss": [1]}, r"loss\[0\]: 1: expected a list"),
        ({"loss": [[1, "2"]]}, r"loss\[0\]\[1\]: '2': expected a finite number"),
        ({"seconds": "long"}, "seconds: 'long': expected a finite number"),
        ({"seconds": True}, "seconds: True: expected a finite number"),
        ({"device": ["cpu"]}, r"device: \['cpu'\]: expected a string"),
        ({"base": []}, r"base: \[\]: expected an object"),
        ({"notes": [1]}, r"notes\[0\]: 1: expected a string"),
    ],
)
def test_damaged_provenance_is_named(
    tmp_path: Path, made: Provenance, change: Mapping[str, Any], message: str
) -> None:
    values = {**dataclasses.asdict(made), **change}
    values = {key: value for key, value in values.items() if value is not None}
    (tmp_path / "provenance.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=f"provenance.json: {message}.*build the artefact again"):
        provenance.read(tmp_path)
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(ConfigError, match=r"provenance.json: cannot be read"):
        provenance.read(tmp_path)
