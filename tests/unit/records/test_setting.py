"""What a user declares: any table gives a record, or an error that names place, key and value."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers, tasksets, testing
from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.errors import ConfigError, TaskSetError
from pytest_modellab.recipes import RECIPES, build
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.setting import (
    NUMBER,
    OPTIONAL,
    Setting,
    at_least,
    check_options,
    count,
    positive,
    resolve,
    share,
)
from pytest_modellab.tasksets import beir, header, packages
from pytest_modellab.variants import ASKED, KINDS, make_plan
from pytest_modellab.variants.kinds import (
    embedding,
    endpoint,
    multimodal,
    prompted,
    rag,
    reader,
    transcriber,
)
from pytest_modellab.variants.methods import gguf_file, kv_cache, rtn
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt
from pytest_modellab.visible import LINE, shortened, visible

PLACE = "modellab.toml: t."

KNOWN = {
    "name": Setting(str, missing="say who it is"),
    "rows": at_least(int, 1, 3),
    "rate": share(0.5),
    "scale": positive(float, OPTIONAL),
    "mode": Setting(str, "fast", choices=("fast", "slow")),
    "names": Setting(list, ()),
    "anything": Setting(list, OPTIONAL, items=object),
    "amount": Setting(NUMBER, None, "small", lambda value: value < 10),
    "deep": Setting(dict, None, fields={"depth": count(3)}),
    "free": Setting(dict, OPTIONAL),
}

# a line that a CI service takes for a command (##vso[) is shown otherwise than it is written
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="#"), max_size=6)
SCALARS = st.one_of(
    *(st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), WORDS),
    st.sampled_from([2**63, -(2**63), 2**1500, "\0", "fast", "float32", "x.gguf"]),
    *(st.dates(), st.times(), st.datetimes(timezones=st.none() | st.just(dt.UTC))),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


def tables(known: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables under the known keys and some others, tables in them alike."""
    inner = {k: tables(s.fields) for k, s in known.items() if getattr(s, "fields", None)}
    pairs = [st.tuples(st.just(k), inner.get(k, VALUES) | VALUES) for k in known]
    return st.lists(st.one_of(*pairs, st.tuples(WORDS, VALUES)), max_size=4).map(dict)


def within(value: Any) -> Iterator[Any]:
    """A value and all that it holds."""
    yield value
    inner = value.values() if isinstance(value, dict) else value
    for one in inner if isinstance(value, dict | list) else ():
        yield from within(one)


def is_named(value: Any, message: str) -> bool:
    """Whether a message shows a value, or one within it."""
    for one in within(value):
        texts = {repr(one)}
        if isinstance(one, int):
            texts |= {hex(one), repr(float(one))} if abs(one) < 2**63 else {hex(one)}
        if any(text in message for text in texts):
            return True
    return False


def check_message(message: str, known: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    """The message begins with a key, and shows its value unless that is what is missing."""
    for key in {*known, *table}:
        rest = message[len(visible(key)) :]
        if not message.startswith(visible(key)) or not rest.startswith((":", ".")):
            continue
        if key not in table:
            assert rest.startswith(": missing")
        elif key in known and ": unknown key; " not in rest and ": missing" not in rest:
            assert is_named(table[key], rest)
        return
    raise AssertionError(f"no key is named: {message}")


@given(tables(KNOWN))
def test_any_table_gives_settings_or_an_error(table: dict[str, Any]) -> None:
    try:
        found = resolve(KNOWN, table, PLACE)
    except ConfigError as error:
        message = str(error)
    else:
        assert set(found) - set(table) == {
            key for key, one in KNOWN.items() if one.default is not OPTIONAL and key not in table
        }
        assert found["mode"] in ("fast", "slow")
        assert type(found["rows"]) is int
        assert found["rows"] >= 1
        assert type(found["rate"]) is float
        return
    assert message.startswith(PLACE)
    check_message(message.removeprefix(PLACE), KNOWN, table)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "name: missing; say who it is"),
        ({"name": "a\0"}, "name: 'a\\x00' holds a NUL character"),
        ({"free": {"a": [{"b": "\0"}]}}, "free.a.b: '\\x00' holds a NUL character"),
        ({"rows": 2**63}, "rows: 0x8000000000000000 does not fit into 64 bits"),
        ({"free": {"a": -(16**9999)}}, f"free.a: -0x1{'0' * 9999} does not fit into 64 bits"),
        ({"scale": float("inf")}, "scale: inf is not a finite number"),
        ({"scale": 0}, "scale: 0.0 is not above 0"),
        ({"rate": float("nan")}, "rate: nan is not in [0, 1]"),
        ({"amount": "1"}, "amount: '1' is str, expected int or float"),
        ({"amount": 10}, "amount: 10 is not small"),
        ({"amount": True}, "amount: True is bool, expected int or float"),
        ({"names": ["a", 1]}, "names: ['a', 1]: expected a list of strings"),
        ({"mode": "fats"}, "mode: unknown 'fats'; did you mean 'fast'? Known: fast, slow"),
        ({"deep": {"depht": 1}}, "deep.depht: unknown key; did you mean 'depth'? Known: depth"),
        ({"deep": {"depth": 0}}, "deep.depth: 0 must be at least 1"),
        ({"a\n\tb": 1}, f"a\\n\\tb: unknown key; Known: {', '.join(sorted(KNOWN))}"),
        ({"free": {"\n": "\0"}}, "free.\\n: '\\x00' holds a NUL character"),
    ],
)
def test_message(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(KNOWN, {"name": "a", **table} if table else {}, PLACE)
    assert str(caught.value) == shortened(PLACE + said, LINE)


def test_a_required_choice_names_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"^mode: missing; Known: fast, slow$"):
        resolve({"mode": Setting(str, choices=("fast", "slow"))}, {})


def test_options_of_a_kind() -> None:
    known: dict[str, type | Setting] = {
        "share": float,
        "any": list,
        "table": dict,
        "passages": count(3),
    }
    given = {"share": 1, "any": [1, "a"], "table": {"a": 1}}
    found = check_options(given, known)
    assert found == {"share": 1.0, "any": [1, "a"], "table": {"a": 1}, "passages": 3}
    assert type(found["share"]) is float
    assert check_options({}, {"share": float}) == {}
    with pytest.raises(ConfigError, match=r"^share: True is bool, expected float$"):
        check_options({"share": True}, known)
    with pytest.raises(ConfigError, match=r"^shares: unknown key; did you mean 'share'\?"):
        check_options({"shares": 1}, known)


# --- every reader of declared tables --------------------------------------------------------------


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool | float):
        return str(value).lower()
    return str(value if isinstance(value, int) else value.isoformat())


SECTIONS = {
    "models": read.MODEL,
    "task_sets": read.TASK_SET,
    "variants": read.VARIANT,
    "prices": read.PRICE,
    "scenarios": read.SCENARIO,
}
NAMES = st.sampled_from(["a", "b", "prototype", "a-b"])
FILES = st.fixed_dictionaries(
    {},
    optional={
        **{
            key: st.dictionaries(NAMES, tables(known) | VALUES, max_size=2)
            for key, known in SECTIONS.items()
        },
        "performance": tables(read.PERFORMANCE),
        "mlflow": tables(read.MLFLOW),
        "baselines": VALUES,
    },
)
QUICK = settings(max_examples=150)


@QUICK
@given(FILES)
def test_any_file_gives_a_configuration_or_an_error(tmp_path: Path, tree: dict[str, Any]) -> None:
    file = tmp_path / FILE_NAME
    file.write_text("".join(f"{k} = {toml(v)}\n" for k, v in tree.items()), encoding="utf-8")
    try:
        found = read.load(file).with_kinds(KINDS)
    except ConfigError as error:
        message = str(error)
    else:
        assert set(found.task_sets) == set(tree.get("task_sets", ()))
        return
    assert message.startswith(f"{file}: ")
    rest = message.removeprefix(f"{file}: ")
    if rest.startswith("malformed TOML: "):
        return
    key = next(key for key in tree if rest.startswith((f"{key}.", f"{key}:")))
    assert key in tree


BASE = Plan(model=NO_MODEL, prompt=Prompt(testing.CHAT_TEMPLATE))
OPTIONS: dict[str, Mapping[str, Any]] = {
    "prompted": prompted.OPTIONS,
    "embedding": embedding.OPTIONS,
    "endpoint": endpoint.OPTIONS,
    "rag": rag.OPTIONS,
    "multimodal": {**prompted.OPTIONS, **multimodal.OPTIONS},
    "quantized": {**kv_cache.OPTIONS, **gguf_file.OPTIONS, **rtn.OPTIONS},
    "lora": {"adapter": str, "merge": bool},
    "qlora": {"adapter": str, "merge": bool},
    "aligned": {"adapter": str, "merge": bool},
    "distilled": {"layers": list, "adapter": str, "merge": bool},
    "finetuned": {},
    "lexical": {},
    "reader": reader.OPTIONS,
    "transcriber": transcriber.OPTIONS,
}
METHODS = st.sampled_from([{}, {"method": "rtn"}, {"method": "kv-cache"}, {"method": "gguf"}])


@QUICK
@given(st.data(), st.sampled_from(sorted(KINDS)), METHODS, st.booleans())
def test_any_options_give_a_plan_or_an_error(
    tmp_path: Path, data: st.DataObject, kind: str, method: dict[str, str], on_a_base: bool
) -> None:
    known = {
        **OPTIONS[kind],
        **(ASKED if ASKED.items() <= (KINDS[kind].options or {}).items() else {}),
    }
    table = {**data.draw(tables(known)), **(method if kind == "quantized" else {})}
    file = tmp_path / FILE_NAME
    spec = VariantSpec("v", kind, "any", base="b" if on_a_base else None, options=table)
    model = ModelSource("m", "some/model")
    try:
        plan = make_plan(KINDS[kind], spec, BASE if on_a_base else None, model, file)
    except ConfigError as error:
        message = str(error)
    else:
        assert isinstance(plan, Plan)
        return
    assert message.startswith(f"{file}: variants.v.")
    rest = message.removeprefix(f"{file}: variants.v.")
    keys = {"base", "model", "index", "scoring", *OPTIONS[kind], *map(visible, table)}
    assert any(rest.startswith((f"{key}:", f"{key}.")) for key in keys)


@QUICK
@given(st.data(), st.sampled_from(sorted(RECIPES)))
def test_any_recipe_gives_a_job_or_an_error(
    tmp_path: Path, data: st.DataObject, method: str
) -> None:
    known = {**RECIPES[method].settings, "data": str}
    file = tmp_path / FILE_NAME
    file.write_text('[models.m]\nsource = "x"\n[variants.b]\nkind = "prompted"\nmodel = "m"\n')
    table = {"method": method, **data.draw(tables(known))}
    spec = VariantSpec("v", "lora", "any", base="b", recipe=table, options={"adapter": "a"})
    with pytest.raises(ConfigError) as caught:
        build.check(read.load(file), spec)  # there is no data, whatever the settings
    message = str(caught.value)
    assert message.startswith(f"{file}: variants.v.")
    rest = message.removeprefix(f"{file}: variants.v.")
    keys = {"method", *known, *map(visible, table)}
    assert rest.startswith(("model:", "layers:", *(f"recipe.{key}" for key in keys)))


HEADERS = {**header.HEADER, **beir.SETTINGS, "package": Setting(dict, fields=packages.PACKAGE)}


@QUICK
@given(tables(HEADERS), st.booleans())
def test_any_header_gives_a_task_set_or_an_error(
    tmp_path: Path, table: dict[str, Any], named: bool
) -> None:
    table = {**({"name": "n", "version": "1"} if named else {}), **table}
    place = tmp_path / header.NAME
    place.write_text("".join(f"{toml(k)} = {toml(v)}\n" for k, v in table.items()), "utf-8")
    with pytest.raises(TaskSetError) as caught:
        tasksets.read(tmp_path, scorers.check, tmp_path / "cache")  # there is no other file
    message = str(caught.value)
    if message.startswith(f"{place}: "):
        keys = {"malformed TOML", *HEADERS, *map(visible, table)}
        rest = message.removeprefix(f"{place}: ")
        assert any(rest.startswith((f"{key}:", f"{key}.", f"{key} and")) for key in keys)
    else:
        assert ": missing; " in message or ": cannot be read: " in message
