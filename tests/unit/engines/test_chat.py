"""Chat templates: what transformers writes, to the byte, and no template hangs an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import testing
from pytest_modellab.engines.language import chat
from pytest_modellab.engines.language.base import load_tokenizer
from pytest_modellab.errors import ModelError

LLAMA = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%Y") %}{%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" + date_string + system_message }}
{%- if tools is not none %}{{ tools | tojson(indent=4) }}{% endif %}
{%- for message in messages %}
    {%- if message.tool_calls is defined %}{% continue %}{% endif %}
    {{- '<|start|>' + message['role'] + '<|end|>\\n\\n'+ message['content'] | trim + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
"""
QWEN = """\
{%- set ns = namespace(last=messages|length - 1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and message.content is string %}
        {%- set ns.found = true %}{%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{% for message in messages %}
    {% set content = message.content if message.content is string else '' %}
    {%- if '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {% generation %}{{ '<|im_start|>' + message.role + '\\n' + content }}
    {{ '<|im_end|>' + '\\n' }}{% endgeneration %}
    {% if loop.index0 > ns.last %}{% break %}{% endif %}
{% endfor %}
{{ {'role': messages[0].role, 'é': [1, none, '<&']} | tojson }}{{ dict(a=1) }}
"""
CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": " Hello <b>\n\u2028 "}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "<think>one, two</think>\n2"},
        {"role": "user", "content": "'\"{{ 2 }}"},
    ],
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = testing.write_random_model(tmp_path_factory.mktemp("m") / "model")
    return load_tokenizer(folder, trust_remote_code=False)


@pytest.mark.parametrize("source", [testing.CHAT_TEMPLATE, LLAMA, QWEN])
@pytest.mark.parametrize("messages", CHATS)
@pytest.mark.parametrize("reply", [True, False])
def test_as_transformers(
    tokenizer: Any, source: str, messages: list[dict[str, str]], reply: bool
) -> None:
    tokenizer.chat_template = source
    wanted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply)
    assert chat.render(tokenizer, messages, reply=reply) == wanted


def test_several_templates(tokenizer: Any) -> None:
    tokenizer.chat_template = {"default": "{{ messages[0].content }}", "tool_use": "{{ 1 }}"}
    assert chat.render(tokenizer, [{"role": "user", "content": "x"}]) == "x"
    tokenizer.chat_template = {"a": "1", "b": "2"}
    with pytest.raises(ModelError, match="chat template: This model has multiple chat templates"):
        chat.render(tokenizer, CHATS[0])


def test_a_tokenizer_that_writes_by_code_of_its_own(tokenizer: Any) -> None:
    class Own(type(tokenizer)):  # type: ignore[misc]
        def apply_chat_template(self, messages: Any, **options: Any) -> str:
            return f"{len(messages)} {options}"

    own = Own(tokenizer_object=tokenizer.backend_tokenizer)
    wanted = "1 {'tokenize': False, 'add_generation_prompt': True}"
    assert chat.render(own, CHATS[0]) == wanted


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}",
            "chat template: does more than 200,000,000 units of work",
        ),
        ("{{ messages[0].content * 10**9 }}", "chat template: makes a value of more than"),
        ("{{ raise_exception('no system role') }}", "chat template: TemplateError: no system role"),
        ("{{ dict.update(messages[0], role='x') }}", "chat template: UndefinedError"),
    ],
)
def test_a_template_that_fails(tokenizer: Any, source: str, told: str) -> None:
    tokenizer.chat_template = source
    with pytest.raises(ModelError) as caught:
        chat.render(tokenizer, CHATS[0])
    assert str(caught.value).startswith(f"{tokenizer.name_or_path}: {told}")


def test_a_template_that_cannot_be_compiled_fails_where_the_model_is_loaded(tmp_path: Path) -> None:
    folder = testing.write_random_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{% for x in %}")
    with pytest.raises(ModelError, match=r"chat template: TemplateSyntaxError: .*got 'end"):
        load_tokenizer(folder, trust_remote_code=False)


@pytest.mark.parametrize(
    ("template", "shown"),
    [(7, "7"), (True, "True"), ({"default": {"b": 2}}, "{'b': 2}")],
    ids=["a number", "a truth value", "an object"],
)
def test_a_template_that_is_no_text(tokenizer: Any, template: object, shown: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(ModelError) as caught:
        chat.render(tokenizer, CHATS[0])
    assert str(caught.value) == (
        f"{tokenizer.name_or_path}: chat template: {shown} is no text; add chat_template.jinja"
    )


DATED = "{{ strftime_now('%d %b %Y %H:%M:%S') }} {{ messages[0].content }}"


def test_a_day_that_is_told(tokenizer: Any) -> None:
    tokenizer.chat_template = DATED
    messages = [{"role": "user", "content": "x"}]
    assert chat.render(tokenizer, messages, day="2026-11-29") == "29 Nov 2026 12:00:00 x"
    assert chat.moves(tokenizer)
    tokenizer.chat_template = f"{{% if tools %}}{DATED}{{% endif %}}same"
    assert not chat.moves(tokenizer)
    tokenizer.chat_template = LLAMA.replace("strftime_now", "other")
    assert not chat.moves(tokenizer)


def test_a_text_at_random_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ ['Hello', 'Hi'] | random }}"
    with pytest.raises(ModelError, match="TemplateError: 'random' writes another text each time"):
        chat.render(tokenizer, CHATS[0])
