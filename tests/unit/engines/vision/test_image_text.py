"""Language models that look at images: options behind one reading are as likely as each alone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sight
from ctranslate2_files import model_bin
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import testing
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model
from pytest_modellab.engines.tokens import encode_texts
from pytest_modellab.engines.vision import image_text, prepared, reading_options
from pytest_modellab.engines.vision.image_text import ImageTextEngine
from pytest_modellab.errors import MediaError, ModelError, ScoringError, VariantLoadError
from pytest_modellab.records.media import PLACE, Media
from pytest_modellab.records.runs import Output

for library in ("torch", "transformers", "PIL"):
    pytest.importorskip(library, reason="small models look at small pictures")

OPTIONS = ("the", "an a", "12 the an cat", "the an")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Media, ...]:
    folder = tmp_path_factory.mktemp("pictures")
    return tuple(sight.picture(folder, seed, 40, 20 + 10 * seed) for seed in range(3))


@pytest.fixture(scope="module", params=sight.FAMILIES)
def any_engine(tmp_path_factory: pytest.TempPathFactory, request: Any) -> ImageTextEngine:
    return image_text.load(sight.write(tmp_path_factory.mktemp("any"), request.param))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sight.write(tmp_path_factory.mktemp("sight"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> ImageTextEngine:
    return image_text.load(folder)


def asked(engine: ImageTextEngine, text: str, *media: Media, system: str = "") -> ScoringRequest:
    chat = [{"role": "system", "content": system}] if system else []
    chat.append({"role": "user", "content": text})
    return ScoringRequest(engine.render(chat), OPTIONS, media=media)


def scored(engine: ImageTextEngine, requests: Sequence[ScoringRequest]) -> list[Output]:
    found: dict[int, Output] = {}
    engine.score_options(requests, budget=64, skip=set(), done=found.update)
    return [dataclasses.replace(found[i], seconds=0.0) for i in range(len(requests))]


def written(engine: ImageTextEngine, requests: Sequence[ScoringRequest]) -> list[Output]:
    found: dict[int, Output] = {}
    wanted = [GenerationRequest(one.context, 4, media=one.media) for one in requests]
    engine.generate(wanted, budget=64, skip=set(), done=found.update)
    return [dataclasses.replace(found[i], seconds=0.0) for i in range(len(requests))]


def alone(engine: ImageTextEngine, request: ScoringRequest, option: str) -> float:
    """The option's log-likelihood by transformers itself, image and context read for it."""
    import torch

    made = prepared.prepare(engine.processor, request.context, request.media)
    tokens = engine.tokenizer(option, add_special_tokens=False).input_ids
    total = 0.0
    with torch.inference_mode():
        for token in tokens:
            logits = engine.model(**made).logits[0, -1].float()
            total += float(torch.log_softmax(logits, dim=-1)[token])
            more = {"input_ids": torch.tensor([[token]]), "attention_mask": torch.tensor([[1]])}
            for key, value in made.items():
                if value.shape == made["input_ids"].shape and key not in more:
                    more[key] = torch.zeros_like(more["input_ids"])
            made = {k: torch.cat([v, more[k]], dim=1) if k in more else v for k, v in made.items()}
    return total


# --- answers --------------------------------------------------------------------------------------


def test_options_behind_one_reading_are_as_likely_as_each_alone(
    any_engine: ImageTextEngine, pictures: Sequence[Media]
) -> None:
    first, second, third = pictures
    requests = [
        asked(any_engine, f"{PLACE}the cat", first, system="be brief"),
        asked(any_engine, f"one {PLACE} and {PLACE}", second, third),
        asked(any_engine, "no picture"),
    ]
    outputs = scored(any_engine, requests)
    for request, output in zip(requests, outputs, strict=True):
        expected = [alone(any_engine, request, option) for option in OPTIONS]
        assert output.option_logprobs == pytest.approx(expected, abs=1e-4)
        tokens = prepared.prepare(any_engine.processor, request.context, request.media)
        assert output.tokens_in == tokens["input_ids"].shape[1]


def test_a_reply_is_the_likeliest_token_after_token(
    any_engine: ImageTextEngine, pictures: Sequence[Media]
) -> None:
    import torch

    request = asked(any_engine, f"{PLACE}the cat", pictures[0])
    (output,) = written(any_engine, [request])
    made = prepared.prepare(any_engine.processor, request.context, request.media)
    with torch.inference_mode():
        plain = any_engine.model.generate(**made, max_new_tokens=4, do_sample=False)
    tokens = plain[0, output.tokens_in :]
    assert output.text == any_engine.tokenizer.decode(tokens, skip_special_tokens=True)


def test_it_looks_at_its_own_picture(
    any_engine: ImageTextEngine, pictures: Sequence[Media]
) -> None:
    requests = [asked(any_engine, f"{PLACE}the cat", one) for one in pictures]
    told = [output.option_logprobs for output in scored(any_engine, requests)]
    assert len(set(told)) == len(pictures)


@settings(max_examples=8)
@given(st.permutations(range(4)), st.integers(1, 4), st.integers(1, 400))
def test_an_answer_depends_on_no_other(
    engine: ImageTextEngine,
    pictures: Sequence[Media],
    order: list[int],
    count: int,
    budget: int,
) -> None:
    requests = [asked(engine, f"{PLACE}{'the ' * k}", pictures[k % 3]) for k in range(4)]
    whole = scored(engine, requests)
    found: dict[int, Output] = {}
    some = [requests[k] for k in order[:count]]
    engine.score_options(some, budget=budget, skip=set(), done=found.update)
    for place, k in enumerate(order[:count]):
        assert found[place].option_logprobs == whole[k].option_logprobs


def test_what_needs_no_answer_gets_none(engine: ImageTextEngine, pictures: Sequence[Media]) -> None:
    requests = [asked(engine, f"{PLACE}{k}", pictures[0]) for k in range(3)]
    found: dict[int, Output] = {}
    engine.score_options(requests, budget=1, skip={0, 2}, done=found.update)
    assert list(found) == [1]
    assert found[1].seconds > 0
    replies: dict[int, Output] = {}
    wanted = [GenerationRequest(one.context, 2, media=one.media) for one in requests]
    engine.generate(wanted, budget=1, skip={1}, done=replies.update)
    assert sorted(replies) == [0, 2]


def test_text_alone_is_read_as_by_the_engine_of_language_models(engine: ImageTextEngine) -> None:
    requests = [asked(engine, "the cat"), asked(engine, "an " * 9)]
    plain = torch_model.TransformersEngine(engine.model, engine.tokenizer)
    assert scored(engine, requests) == scored(plain, requests)  # type: ignore[arg-type]
    assert written(engine, requests) == written(plain, requests)  # type: ignore[arg-type]


def test_what_stands_before_the_image_is_read_once(
    engine: ImageTextEngine, pictures: Sequence[Media]
) -> None:
    requests = [
        asked(engine, f"{PLACE}{word}", one, system="be brief")
        for word, one in zip(("the", "an", "er"), pictures, strict=True)
    ]
    before = len(engine.tokenizer(requests[0].context.split("<image>")[0]).input_ids) + 2
    lengths = [output.tokens_in for output in scored(engine, requests)]
    with passes(engine) as read:
        engine.score_options(
            [dataclasses.replace(one, options=("the",)) for one in requests],
            budget=64,
            skip=set(),
            done=lambda _: None,
        )
    tried = [lengths[0], before, lengths[0] - before]  # alone, and as all are read
    assert read == [*tried, *(length - before for length in sorted(lengths, reverse=True))]


@contextlib.contextmanager
def passes(engine: ImageTextEngine) -> Iterator[list[int]]:
    """How many tokens each pass of the model was given."""
    read: list[int] = []

    def note(_module: Any, _given: Any, named: Any) -> None:
        read.append(named["input_ids"].shape[1])

    hook = engine.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield read
    finally:
        hook.remove()


def test_distributions_of_texts_are_those_of_the_language_model(engine: ImageTextEngine) -> None:
    texts = encode_texts(engine.tokenizer, [ScoringRequest("the cat", ("an",))] * 2)
    plain = torch_model.TransformersEngine(engine.model, engine.tokenizer)
    for one, other in zip(
        engine.predict(texts, budget=64, skip=set()),
        plain.predict(texts, budget=64, skip=set()),
        strict=True,
    ):
        assert one[0] == other[0]
        assert (one[1] == other[1]).all()


def test_a_model_that_cannot_go_on_behind_a_cache_reads_each_option(
    engine: ImageTextEngine, pictures: Sequence[Media], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(engine, f"{PLACE}the cat", pictures[0])
    (expected,) = scored(engine, [request])
    plain = reading_options.together

    def wrong(*given: Any) -> list[float]:
        return [value + 1 for value in plain(*given)]

    monkeypatch.setattr(reading_options, "together", wrong)
    (found,) = scored(engine, [request])
    assert found.option_logprobs == pytest.approx(expected.option_logprobs, abs=1e-4)
    monkeypatch.setattr(reading_options, "_ROWS", frozenset())
    assert scored(engine, [request]) == [found]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(folder: Path, pictures: Sequence[Media], dtype: str) -> None:
    half = image_text.load(folder, dtype=dtype)
    request = asked(half, f"{PLACE}the cat", pictures[0])
    (output,) = scored(half, [request])
    expected = [alone(image_text.load(folder), request, option) for option in OPTIONS]
    assert output.option_logprobs == pytest.approx(expected, rel=0.1)
    assert written(half, [request])[0].tokens_out > 0


@pytest.mark.parametrize("where", ["longer options", "behind a beginning"])
def test_a_way_is_tried_where_it_can_be_wrong_whatever_comes_first(
    engine: ImageTextEngine,
    pictures: Sequence[Media],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    import transformers

    first = ScoringRequest(f"{engine._token}the", ("the",), media=(pictures[0],))
    second = asked(engine, f"{PLACE}the cat", pictures[1], system="be brief")
    expected = [alone(engine, second, option) for option in OPTIONS]
    plain = reading_options.together

    def wrong(model: Any, read: Any, inputs: Any, options: Sequence[list[int]]) -> list[float]:
        values = plain(model, read, inputs, options)
        return [value + (len(one) > 1) for value, one in zip(values, options, strict=True)]

    if where == "longer options":
        monkeypatch.setattr(reading_options, "together", wrong)
    else:
        nothing = lambda _: transformers.DynamicCache(config=engine.model.config)  # noqa: E731
        monkeypatch.setattr(reading_options, "continued", nothing)
    _, found = scored(engine, [first, second])
    assert found.option_logprobs == pytest.approx(expected, abs=1e-4)


def test_nan_is_told(folder: Path, pictures: Sequence[Media]) -> None:
    import torch

    broken = image_text.load(folder)
    with torch.no_grad():
        broken.model.model.connector.modality_projection.proj.weight[0, 0] = math.nan
    request = asked(broken, f"{PLACE}the cat", pictures[0])
    assert all(map(math.isnan, scored(broken, [request])[0].option_logprobs))
    assert written(broken, [request])[0].failed == "the model's logits are NaN"


# --- prompts --------------------------------------------------------------------------------------


def test_an_images_place_becomes_its_token(engine: ImageTextEngine) -> None:
    chat = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": f"one {PLACE} and{PLACE}"},
    ]
    assert engine.render(chat) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\none <image> and<image><|im_end|>"
        "\n<|im_start|>assistant\n"
    )


def test_a_template_that_takes_texts_alone_gets_texts(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "chat_template.jinja").write_text(testing.CHAT_TEMPLATE)
    engine = image_text.load(tmp_path / "copy")
    said = engine.render([{"role": "user", "content": f"one {PLACE} more"}])
    assert "one <image> more" in said


def test_a_text_that_holds_the_images_token_is_refused(engine: ImageTextEngine) -> None:
    with pytest.raises(ModelError) as caught:
        engine.render([{"role": "user", "content": "what does <image> mean?"}])
    assert str(caught.value) == (
        "the prompt holds 1 times '<image>', which stands for an image, and 0 images: take "
        "'<image>' out of the text, or mend the chat template"
    )


def test_images_count_among_what_a_model_sees(
    engine: ImageTextEngine, pictures: Sequence[Media]
) -> None:
    fits = asked(engine, f"{PLACE}the cat", pictures[0])
    long = asked(engine, f"{PLACE}{'<|im_end|>' * 485}", pictures[0])
    found = engine.overlong([fits, long, GenerationRequest(fits.context, 490, media=fits.media)])
    assert found == {
        1: "its images have 7 tokens, the rest of its prompt 502 and its answer may have 8, "
        "together more than the 512 that the model sees at once",
        2: "its images have 7 tokens, the rest of its prompt 22 and its answer may have 490, "
        "together more than the 512 that the model sees at once",
    }


# --- the processor --------------------------------------------------------------------------------


def test_another_mean_makes_other_pixels(folder: Path, pictures: Sequence[Media]) -> None:
    plain = image_text.load(folder)
    other = image_text.load(folder, processor={"image_mean": [0.0, 0.0, 0.0]})
    request = asked(plain, f"{PLACE}the cat", pictures[0])
    before, after = (
        prepared.prepare(one.processor, request.context, request.media)["pixel_values"]
        for one in (plain, other)
    )
    assert after.numpy() == pytest.approx(before.numpy() + 1, abs=1e-5)  # 0.5 / 0.5
    assert scored(plain, [request]) != scored(other, [request])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"crop_size": 3},
            "processor.crop_size: Idefics3ImageProcessorPil has no such field; it has "
            "do_convert_rgb, do_image_splitting, do_normalize, do_pad, do_rescale, do_resize, "
            "image_mean, image_std, max_image_size, resample, rescale_factor, size",
        ),
        (
            {"size": {"wide": 3}},
            "processor: Idefics3ImageProcessorPil refuses {'size': {'wide': 3}}: ",
        ),
    ],
)
def test_a_field_that_the_processor_lacks(folder: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(folder, processor=changes)
    assert str(caught.value).startswith(said)


def test_a_size_that_the_model_was_not_made_for(folder: Path, pictures: Sequence[Media]) -> None:
    engine = image_text.load(
        folder, processor={"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 64}}
    )
    with pytest.raises(ScoringError) as caught:
        scored(engine, [asked(engine, f"{PLACE}the cat", pictures[0])])
    assert str(caught.value).startswith(
        "0-40x20.png: the model does not make as many vectors of it as its processor keeps places "
        "for (Image features and image tokens do not match"
    )
    assert str(caught.value).endswith("set 'size' as the model was trained with it")


def test_a_picture_of_zeros_is_seen(folder: Path, tmp_path: Path) -> None:
    """Idefics3 takes it for padding."""
    from PIL import Image

    from pytest_modellab.media import images

    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    black = images.inspect(tmp_path / "black.png")
    engine = image_text.load(folder, processor={"image_mean": [0.0, 0.0, 0.0]})
    (output,) = scored(engine, [asked(engine, f"{PLACE}the cat", black)])
    assert len(output.option_logprobs) == len(OPTIONS)


def test_a_picture_that_has_changed(engine: ImageTextEngine, tmp_path: Path) -> None:
    seen = sight.picture(tmp_path, 5)
    Path(seen.path).write_bytes(Path(sight.picture(tmp_path, 6).path).read_bytes())
    with pytest.raises(MediaError, match=r"5-40x30\.png"):
        scored(engine, [asked(engine, f"{PLACE}the cat", seen)])


# --- loading --------------------------------------------------------------------------------------


def test_a_folder_of_another_kind(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(VariantLoadError) as caught:
        torch_model.load(folder)
    assert str(caught.value) == (
        f'{folder}: Idefics3 is a language model with images: declare it by kind = "multimodal"'
    )
    plain = testing.write_random_model(tmp_path)
    for file in ("processor_config.json", "chat_template.jinja"):
        shutil.copy(folder / file, plain / file)
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(plain)
    assert str(caught.value) == (
        f'{plain}: Llama is a language model that reads text alone: declare it by kind = "prompted"'
    )


def test_a_model_that_takes_no_images(tmp_path: Path) -> None:
    plain = testing.write_random_model(tmp_path)
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(plain)
    assert str(caught.value) == (
        f'{plain}: Llama is a language model that reads text alone: declare it by kind = "prompted"'
    )
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps({**config, "model_type": "whisper"}))
    hears = {"feature_extractor_type": "WhisperFeatureExtractor"}
    (plain / "preprocessor_config.json").write_text(json.dumps(hears))
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(plain)
    assert str(caught.value) == (
        f'{plain}: Whisper writes down what it hears: declare it by kind = "transcriber"'
    )
    (plain / "model.bin").write_bytes(model_bin())
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(plain)
    assert str(caught.value) == (
        f"{plain} is for CTranslate2, of a model that writes down what it hears: declare it by "
        'kind = "transcriber"'
    )


def test_a_processor_without_a_token_for_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "token", lambda _: "")
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(folder)
    assert str(caught.value) == (
        f"{folder}: its Idefics3Processor prepares no images: save the model's own processor there "
        "with save_pretrained()"
    )


def test_a_damaged_processor(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    told = json.loads((copy / "processor_config.json").read_text())
    told["image_processor"]["size"] = {"wide": 3}
    (copy / "processor_config.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match="transformers cannot load its processor"):
        image_text.load(copy)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            3,
            "config.json has image_token_id = 3, which its processor does not write: of an image "
            "it makes the tokens [265, 266, 268]; save both as they were trained together",
        ),
        (
            None,
            "of an image its processor makes the token 268, and the model has embeddings for 100: "
            "save tokenizer and model as they were trained together",
        ),
    ],
)
def test_tokens_that_the_model_does_not_know(
    folder: Path, tmp_path: Path, number: int | None, said: str
) -> None:
    model: Any = sight.model()
    if number is None:
        model.resize_token_embeddings(100)
    else:
        model.config.image_token_id = number
    shutil.copytree(folder, tmp_path / "copy")
    model.save_pretrained(tmp_path / "copy")
    with pytest.raises(ModelError) as caught:
        image_text.load(tmp_path / "copy")
    assert str(caught.value) == f"{tmp_path / 'copy'}: {said}"


def test_without_pillow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(VariantLoadError) as caught:
        image_text.load(folder)
    assert str(caught.value) == (
        "looking at images needs PIL: pip install 'pytest-modellab[vision]'"
    )


def test_it_can_be_saved_shared_and_closed(
    engine: ImageTextEngine, tmp_path: Path, pictures: Sequence[Media]
) -> None:
    request = asked(engine, f"{PLACE}the cat", pictures[0])
    expected = scored(engine, [request])
    beside = engine.beside()
    assert scored(beside, [request]) == expected
    beside.let_go()
    with pytest.raises(ModelError, match="this engine was let go"):
        scored(beside, [request])
    engine.save(tmp_path)
    again = image_text.load(tmp_path)
    assert scored(again, [request]) == expected
    assert again.state() == engine.state()
    assert again.parameter_bytes() == engine.parameter_bytes() > 0
    again.close()
    assert again.parameter_bytes() == 0
