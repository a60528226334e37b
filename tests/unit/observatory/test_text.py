"""What is different in front of a model is named by what it does, and only by that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny

from pytest_modellab.observatory import text
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.text import TextResult
from pytest_modellab.records.diagnosis import Side, Sides
from pytest_modellab.testing import CHAT_TEMPLATE

pytest.importorskip("torch")
pytest.importorskip("transformers")

TEXTS = ("the other one costs 12 euros", "a man and a van")


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.llama()


@pytest.fixture(scope="module")
def compare(model: Any) -> Callable[..., TextResult]:
    """Compare a tokenizer with the plain one, in front of one model."""
    base = Subject(Side("base"), model, tiny.tokenizer())

    def against(tokenizer: Any, *messages: Any, candidate: Any = None) -> TextResult:
        other = Subject(Side("candidate"), candidate or model, tokenizer)
        return text.compare(base, other, TEXTS, messages)

    return against


def _swapped(content: dict[str, Any]) -> None:
    ids = content["model"]["vocab"]
    ids["a"], ids["o"] = ids["o"], ids["a"]


def _merge_lost(content: dict[str, Any]) -> None:
    content["model"]["merges"].pop(2)


def _merge_added(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["ow"] = len(content["model"]["vocab"])
    content["model"]["merges"].append(["o", "w"])


def _special_lost(content: dict[str, Any]) -> None:
    content["added_tokens"].pop()


def _normalized(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "Lowercase"}


def _digits(content: dict[str, Any]) -> None:
    digits = {"type": "Digits", "individual_digits": True}
    parts = [digits, content["pre_tokenizer"]]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}


def _no_decoder(content: dict[str, Any]) -> None:
    content["decoder"] = None


def _bos(content: dict[str, Any]) -> None:
    name = tiny.SPECIAL[0]
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": name, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [0], "tokens": [name]}},
    }


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (_swapped, {}, "2 tokens with another id ('a' 66 → 80, 'o' 80 → 66)"),
        (_merge_lost, {}, "1 merge lost ('Ġ + the')"),
        (_merge_added, {}, "1 token added ('ow'); 1 merge added ('o + w')"),
        (_special_lost, {"eos_token": None}, "1 special token lost ('<|im_end|>')"),
        (_normalized, {}, "normalizer: Lowercase, the base has none"),
        (_digits, {}, "pre_tokenizer: Sequence(Digits, ByteLevel), the base has ByteLevel"),
        (_no_decoder, {}, "texts do not come back from its ids, as 'the other one costs"),
        (_bos, {}, "it puts <|im_start|> around a text where special tokens are asked for"),
    ],
)
def test_a_tokenizer_with_another_effect_is_named(
    compare: Callable[..., TextResult], change: Any, options: dict[str, Any], said: str
) -> None:
    found = compare(tiny.tokenizer(change, **options))

    assert [one.site for one in found.findings] == ["tokenizer"]
    assert said in found.findings[0].detail


def test_both_splits_are_shown_and_marked(compare: Callable[..., TextResult]) -> None:
    picture = compare(tiny.tokenizer(_merge_lost)).picture

    assert picture is not None
    assert "texts become other tokens, which costs the base's model" in picture.sentence
    (panel,) = picture.panels
    assert isinstance(panel, Sides)
    base = [(one.text, one.differs) for one in panel.base if one.differs]
    candidate = [(one.text, one.differs) for one in panel.candidate if one.differs]
    assert (base, candidate) == ([(" the", True)], [(" ", True), ("the", True)])


def test_other_ids_of_the_same_text_are_shown_as_such(compare: Callable[..., TextResult]) -> None:
    picture = compare(tiny.tokenizer(_swapped)).picture

    assert picture is not None
    (panel,) = picture.panels
    assert isinstance(panel, Sides)
    assert "".join(one.text for one in panel.candidate).startswith("the o⟨66⟩ther o⟨66⟩ne")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{% for message in messages %}",
            "{% for message in messages if message['role'] != 'system' %}",
            "it leaves the system message out",
        ),
        ("<|im_end|>\n", "<|im_end|>", "only white space is different; behind"),
        (
            "{{ message['role'] }}",
            "{{ message['role'] | replace('user', 'human') }}",
            "behind '<|im_start|>' the base writes 'user', it writes 'human'",
        ),
        (
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
            "",
            "it writes no generation prompt",
        ),
    ],
)
def test_a_template_that_writes_something_else_is_named(
    compare: Callable[..., TextResult], old: str, new: str, said: str
) -> None:
    assert old in CHAT_TEMPLATE
    found = compare(tiny.tokenizer(chat_template=CHAT_TEMPLATE.replace(old, new)))

    assert [(one.site, one.fault) for one in found.findings] == [("chat_template", "template")]
    assert said in found.findings[0].detail
    assert found.text_costs is not None
    assert found.picture is not None
    assert found.picture.panels[0].title.startswith("Rendering of a question")


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE,
        CHAT_TEMPLATE.replace("{% for", "{%-  for").replace("['role']", ".role"),
        CHAT_TEMPLATE.replace("{% if", "\n   {# a comment #}\n{%- if"),
    ],
)
def test_a_template_that_writes_the_same_is_not(
    compare: Callable[..., TextResult], template: str
) -> None:
    found = compare(tiny.tokenizer(chat_template=template))

    assert (found.findings, found.picture, found.text_costs) == ((), None, None)


def test_what_is_different_inside_without_effect_is_a_note(
    compare: Callable[..., TextResult],
) -> None:
    def renamed(content: dict[str, Any]) -> None:
        content["normalizer"] = {"type": "Replace", "pattern": {"String": "\x7f"}, "content": ""}

    found = compare(tiny.tokenizer(renamed))

    assert found.findings == ()
    assert "tokenizers differ without an effect on" in found.notes[0]
    assert "normalizer: Replace, the base has none" in found.notes[0]


def test_a_chat_of_the_task_set_shows_what_built_in_ones_do_not(
    compare: Callable[..., TextResult],
) -> None:
    template = CHAT_TEMPLATE.replace(
        "<|im_end|>\n{% endfor", "{{ '!' if loop.length > 4 }}<|im_end|>\n{% endfor"
    )
    chat = [{"role": "user", "content": "12?"}, {"role": "assistant", "content": "12"}] * 3

    found = compare(tiny.tokenizer(chat_template=template), chat)

    assert found.findings[0].detail.startswith("1 of 11 chats are rendered differently")


def test_special_tokens_that_a_template_is_given_are_the_tokenizers(model: Any) -> None:
    template = CHAT_TEMPLATE.replace("<|im_end|>", "{{ eos_token }}")
    base = Subject(Side("base"), model, tiny.tokenizer(chat_template=template))
    other = tiny.tokenizer(chat_template=template, eos_token=tiny.SPECIAL[0])

    found = text.compare(base, Subject(Side("candidate"), model, other), TEXTS, [])

    assert [one.site for one in found.findings] == ["tokenizer"]
    assert "chats get other special tokens" in found.findings[0].detail
    assert "eos_token: '<|im_start|>', the base has '<|im_end|>'" in found.findings[0].detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chat_template": None}, "there is no chat template"),
        ({"chat_template": "{% for a in range(9999999999) %}{% endfor %}"}, "Range too big"),
        ({"chat_template": "{{ 'x' * 300000 }}"}, "1 of 1 chats are rendered differently"),
        ({"chat_template": "\x1b[2J\u202e{{ messages[0].content }}"}, "\\x1b[2J\\u202e"),
    ],
)
def test_hostile_templates_are_bounded_and_visible(
    compare: Callable[..., TextResult], options: dict[str, Any], said: str
) -> None:
    (finding,) = compare(tiny.tokenizer(**options)).findings

    assert finding.site == "chat_template"
    assert said in finding.detail
    assert len(finding.detail) < 2000
    assert finding.detail.isprintable()


def test_a_normalizer_that_explodes_is_not_asked(compare: Callable[..., TextResult]) -> None:
    def bomb(content: dict[str, Any]) -> None:
        content["normalizer"] = {
            "type": "Replace",
            "pattern": {"Regex": "."},
            "content": "x" * 10**6,
        }

    found = compare(tiny.tokenizer(bomb))

    assert "its Replace writes 1,000,000 characters at once: not asked" in found.findings[0].detail
    assert found.text_costs is None


def test_a_tokenizer_with_a_part_of_python_code_is_compared_by_what_it_does(
    compare: Callable[..., TextResult],
) -> None:
    from tokenizers import pre_tokenizers

    class Halves:
        def pre_tokenize(self, text: Any) -> None:
            text.split(lambda _number, one: [one[:3], one[3:]] if len(str(one)) > 3 else [one])

    custom = tiny.tokenizer()
    custom.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.PreTokenizer.custom(Halves()), custom.backend_tokenizer.pre_tokenizer]
    )

    (finding,) = compare(custom).findings

    assert finding.site == "tokenizer"
    assert "texts become other ids" in finding.detail


def test_ids_beyond_the_models_vocabulary_cost_most(compare: Callable[..., TextResult]) -> None:
    def shifted(content: dict[str, Any]) -> None:
        ids = content["model"]["vocab"]
        content["model"]["vocab"] = {one: ids[one] + 200 * (ids[one] > 1) for one in ids}

    found = compare(tiny.tokenizer(shifted))

    assert (found.text_costs, found.model_costs) == (None, 0.0)
    assert found.costs_more


def test_text_and_model_are_weighed_in_the_same_unit(model: Any) -> None:
    replies = [({"role": "user", "content": "to the"}, {"role": "assistant", "content": "the man"})]
    base = Subject(Side("base"), model, tiny.tokenizer())
    broken = tiny.llama(seed=5)
    other = Subject(Side("candidate"), broken, tiny.tokenizer(_merge_lost))

    found = text.compare(base, other, (), replies)

    import torch

    def nats(one: Any, tokenizer: Any) -> float:
        prompt = "<|im_start|>user\nto the<|im_end|>\n<|im_start|>assistant\n"
        ids, reply = tokenizer(prompt).input_ids, tokenizer("the man").input_ids
        with torch.no_grad():
            logits = one(torch.tensor([ids + reply])).logits[0, len(ids) - 1 : -1]
        rows = torch.log_softmax(logits, dim=-1)
        return float(sum(rows[i, token] for i, token in enumerate(reply))) / len("the man")

    usual = nats(model, tiny.tokenizer())
    assert found.text_costs == pytest.approx(
        usual - nats(model, tiny.tokenizer(_merge_lost)), abs=1e-4
    )
    assert found.model_costs == pytest.approx(usual - nats(broken, tiny.tokenizer()), abs=1e-4)
    assert found.own == pytest.approx(
        nats(broken, tiny.tokenizer(_merge_lost)) - nats(broken, tiny.tokenizer()), abs=1e-4
    )


def test_generation_and_configuration_are_compared(
    model: Any, compare: Callable[..., TextResult]
) -> None:
    other = tiny.llama(
        rms_norm_eps=0.01, rope_parameters={"rope_type": "default", "rope_theta": 5e5}
    )
    other.generation_config.eos_token_id = [1, 7]
    other.generation_config.repetition_penalty = 1.3
    other.generation_config.temperature = 0.3  # nothing is drawn

    found = compare(tiny.tokenizer(), candidate=other)

    (finding,) = found.findings
    assert (finding.site, finding.fault) == ("generation_config", "generation_config")
    assert finding.detail == (
        "eos_token_id: [1, 7], the base has [1], repetition_penalty: 1.3, the base has 1.0; "
        "replies end elsewhere"
    )
    assert found.explains == {
        "rms_norm_eps": ("1e-06", "0.01"),
        "rope_parameters.rope_theta": ("10000.0", "500000.0"),
    }


def test_without_tokenizers_only_models_are_compared(model: Any) -> None:
    side = Subject(Side("base"), model, None)

    found = text.compare(side, side, TEXTS, [])

    assert found.findings == ()
    assert found.notes == ("texts were not compared: there is no tokenizer on both sides",)


def test_a_text_side_that_touches_no_reply_costs_nothing(
    compare: Callable[..., TextResult],
) -> None:
    chat = [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]

    found = compare(tiny.tokenizer(_merge_lost), chat)

    assert (found.text_costs, found.model_costs, found.costs_more) == (0.0, None, False)


def test_a_text_side_that_the_candidate_was_made_for_is_no_fault(model: Any) -> None:
    import torch

    changed = tiny.tokenizer(chat_template=CHAT_TEMPLATE.replace("assistant\n", "model\n"))
    chat = [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    trained = tiny.llama()
    prompt = "<|im_start|>user\nb<|im_end|>\n<|im_start|>model\n"
    ids = torch.tensor([[*changed(prompt).input_ids, *changed("c").input_ids]])
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        logits = trained(ids).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits[-1:], ids[0, -1:]).backward()
        optimizer.step()
    base = Subject(Side("base"), model, tiny.tokenizer())

    found = text.compare(base, Subject(Side("candidate"), trained, changed), TEXTS, [chat])

    assert found.fits
    assert not found.costs_more
    assert found.findings[0].likely.endswith("nats a byte better with it: it was made for it")
