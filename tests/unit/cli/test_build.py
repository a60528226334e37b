"""``modellab build``: what it refuses before anything is loaded, what it shows, where it writes."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab import cli
from pytest_modellab.recipes import provenance

ROWS = [{"input": f"What is {n} + 1?", "reply": f"It is {n + 1}."} for n in range(4)]
RECIPE = """method = "sft"
data = "rows.jsonl"
batch_size = 2
max_length = 64
lora = { r = 2, target_modules = ["q_proj"] }
"""


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare the variant ``new``, here: ``declare(recipe, options, source=…)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def write(
        recipe: str | None = RECIPE,
        options: str = 'kind = "lora"\nbase = "plain"\nadapter = "adapters/new"',
        *,
        source: Path | str = "nowhere/at/all",
    ) -> None:
        table = f"[variants.new.recipe]\n{recipe}" if recipe is not None else ""
        Path("modellab.toml").write_text(
            f"[models.tiny]\nsource = {json.dumps(str(source))}\n"
            '[models.own]\nsource = "own"\n'
            '[models.packed]\nsource = "package:some/file.gguf"\n'
            '[variants.plain]\nkind = "prompted"\nmodel = "tiny"\nprompt = "prompt.jinja"\n'
            f"[variants.new]\n{options}\n{table}"
        )

    return write


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["build", *arguments]) == 2
    return capsys.readouterr().err


def _with(**changes: str) -> str:
    """The recipe with keys replaced, added, or (an empty text) left out."""
    lines = dict(line.split(" = ", maxsplit=1) for line in RECIPE.splitlines())
    lines.update(changes)
    return "".join(f"{key} = {value}\n" for key, value in lines.items() if value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (None, "recipe: missing, so that nothing says how to build 'new'; variants with a recipe"),
        (_with(method=""), "recipe.method: missing; Known: calibrate, distill, dpo, grpo"),
        (_with(method='"stf"'), "recipe.method: unknown 'stf'; did you mean 'sft'"),
        (_with(epoch="2"), "recipe.epoch: unknown key; did you mean 'epochs'"),
        (_with(epochs="0"), "recipe.epochs: 0.0 is not above 0"),
        (_with(batch_size='"2"'), "recipe.batch_size: '2' is str, expected int"),
        (_with(lora="{ rank = 2 }"), "recipe.lora.rank: unknown key"),
        (_with(lora=""), "recipe.lora: missing, and the variant ships an adapter"),
        (_with(save_dtype='"int4"'), "recipe.save_dtype: unknown 'int4'; "),
        (_with(data=""), 'recipe.data: missing; name a file of lines {"input": …, "reply": …}'),
        (_with(data="3"), "recipe.data: 3 is int, expected str"),
        (_with(data='"row.jsonl"'), "row.jsonl: cannot be read: No such file"),
        (_with(method='"dpo"'), "rows.jsonl:1: 'chosen' is missing"),
        (
            _with(method='"grpo"', max_length="", generations="3", reward='{ adapter = "r" }'),
            "recipe.generations: 3 does not divide the 2 replies of a step",
        ),
        (_with(method='"grpo"', max_length=""), "recipe.reward: missing; a value is a table"),
        (_with(method='"distill"'), "layers: missing; name the base's layers"),
        (
            _with(method='"calibrate"', batch_size="", lora=""),
            "model: missing; calibration writes a whole model",
        ),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_loaded(
    declare: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    recipe: str | None,
    message: str,
) -> None:
    declare(recipe)
    error = _fails(capsys, "new")
    assert error.startswith(f"modellab: {tmp_path / 'modellab.toml'}: variants.new.")
    assert message in error
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "recipe", "message"),
    [
        ('kind = "lora"\nmodel = "own"', RECIPE, "base: missing; a recipe adapts the variant"),
        (
            'kind = "finetuned"\nbase = "plain"\nmodel = "own"',
            RECIPE,
            "recipe.lora: makes an adapter, and the variant ships a whole model",
        ),
        ('kind = "finetuned"\nbase = "plain"', _with(lora=""), "adapter: missing; say where the"),
        (
            'kind = "finetuned"\nbase = "plain"\nmodel = "packed"',
            _with(lora=""),
            "model: 'packed' is the file of a package (package:some/file.gguf)",
        ),
        (
            'kind = "distilled"\nbase = "plain"\nlayers = [0]\nadapter = "a"',
            _with(method='"distill"', generate="5"),
            "recipe.data: stands beside generate; give one of them",
        ),
        (
            'kind = "distilled"\nbase = "plain"\nlayers = [0]\nadapter = "a"',
            _with(method='"distill"', data=""),
            "or let the base write it: generate = 1000",
        ),
    ],
)
def test_a_recipe_must_fit_its_variant(
    declare: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    options: str,
    recipe: str,
    message: str,
) -> None:
    declare(recipe, options)
    assert message in _fails(capsys, "new")


def test_a_missing_library_is_named_with_the_command(
    declare: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declare()
    version = importlib.metadata.version

    def without_trl(name: str) -> str:
        if name == "trl":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("importlib.metadata.version", without_trl)
    error = _fails(capsys, "new")
    assert (
        "recipe.method: 'sft': trl is not installed: pip install 'pytest-modellab[recipes]'"
        in error
    )


def test_arguments_are_checked(
    declare: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    declare()
    assert "unknown variant 'nwe'; did you mean 'new'" in _fails(capsys, "nwe")
    assert "--output: one folder for 2 variants" in _fails(capsys, "new", "plain", "--output", "x")
    with pytest.raises(SystemExit):
        cli.main(["build", "new", "--max-steps", "0"])
    assert "'0' is not a number of at least 1" in capsys.readouterr().err


def test_a_dry_run_without_the_model_still_says_what_would_be_done(
    declare: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl")
    declare(source="./nowhere")
    assert cli.main(["build", "new", "--dry-run"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "new: sft on plain, 4 rows of rows.jsonl, 2 steps -> adapters/new"
    assert second.startswith("  not measured, the base cannot be loaded: model 'tiny'")


def test_dry_run_build_and_force(
    declare: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model_folder: Path,
) -> None:
    pytest.importorskip("trl")
    declare(source=model_folder)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert cli.main(["build", "new", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "2 steps -> adapters/new\n  measured on cpu: " in text
    assert " s a step, " in text
    assert " GB" in text
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before

    assert cli.main(["build", "new", "--max-steps", "1", "--output", "elsewhere"]) == 0
    shown = capsys.readouterr()
    assert "4 rows of rows.jsonl, 1 step -> elsewhere" in shown.out
    assert "new: wrote elsewhere after 1 steps in " in shown.out
    assert "new: step 1/1" in shown.err
    made = provenance.read(tmp_path / "elsewhere")
    assert made is not None
    assert made.steps == 1

    assert "elsewhere: exists; --force replaces it" in _fails(
        capsys, "new", "--output", "elsewhere"
    )
    assert cli.main(["build", "new", "--output", "elsewhere", "--force"]) == 0
    made = provenance.read(tmp_path / "elsewhere")
    assert made is not None
    assert made.steps == 2
