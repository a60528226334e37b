"""Method ``vision``: a language model learns to see, by an encoder and a connector of its own.

What is made is Idefics3 (Laurençon et al. 2024), as transformers has it: a vision transformer from
nothing, a connector that turns its patches into a few tokens, and an adapter on the language model.
The pictures are drawn by a file of the repository, which also says what each shows. First the
encoder and the connector learn to tell that, then all three learn to answer, as LLaVA does in two
stages (Liu et al. 2023). The artefact holds only what is new: ``[models.NAME] language`` names the
model that it is put on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.models import joined
from pytest_modellab.recipes import gallery, provenance, training
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import Setting, at_least, positive, share

ENCODER = MappingProxyType(
    {
        "hidden": at_least(int, 8, 192),
        "layers": at_least(int, 1, 6),
        "heads": at_least(int, 1, 6),
        "image": at_least(int, 8, 96),
        "patch": at_least(int, 1, 6),
        "shuffle": at_least(int, 1, 4),
    }
)
"""Width, depth and heads of the vision transformer; pixels of a side of the picture and of a patch;
``shuffle * shuffle`` patches become one token of the language model."""


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "seed": at_least(int, 0, 0),
        "pictures": Setting(str),
        "begin": Setting(str, None),
        "count": at_least(int, 1, 500_000),
        "encoder": Setting(
            dict, {key: one.default for key, one in ENCODER.items()}, fields=ENCODER
        ),
        "lessons": at_least(int, 0, 6000),
        "lesson_size": at_least(int, 1, 1024),
        "lesson_rate": positive(float, 1e-3),
        "steps": at_least(int, 1, 4000),
        "batch_size": at_least(int, 1, 256),
        "learning_rate": positive(float, 5e-4),
        "warmup": share(0.05),
        "weight_decay": at_least(float, 0, 0.01),
        "save_dtype": Setting(str, "bfloat16", choices=("bfloat16", "float16", "float32")),
        "lora": Setting(dict, None, fields=training.LORA),
    }
)
"""``pictures`` is a Python file with ``training(seed, index)`` and ``LABELS``; ``count`` of them
are drawn. ``begin`` is a folder of parts that were made before, from which to go on. ``lessons``
are the optimizer steps of the first stage, ``steps`` those of the second."""


EYES = "eyes.pt"
"""The first stage's result, kept in the work folder of a killed build."""


def check(settings: Mapping[str, Any], spec: VariantSpec) -> None:
    """Check that patches, tokens and heads come out even, and that an adapter is trained.

    Raises:
        ConfigError: they do not; the message begins with the key.
    """
    encoder = settings["encoder"]
    sides, rest = divmod(encoder["image"], encoder["patch"])
    if rest or sides % encoder["shuffle"]:
        raise ConfigError(
            f"recipe.encoder: a picture of {encoder['image']} pixels is no whole number of patches "
            f"of {encoder['patch']}, {encoder['shuffle']} of which make a token; change one of them"
        )
    if encoder["hidden"] % encoder["heads"]:
        raise ConfigError(
            f"recipe.encoder: hidden = {encoder['hidden']} cannot be shared by "
            f"{encoder['heads']} heads"
        )
    if settings["lora"] is None:
        raise ConfigError(
            "recipe.lora: missing; the language model learns to read the new tokens by an "
            "adapter: lora = { r = 8 }"
        )
    if not isinstance(spec.options.get("prompt"), str):
        raise ConfigError('recipe: the variant needs a prompt file: prompt = "prompts/NAME.jinja"')


def configuration(settings: Mapping[str, Any], text: Mapping[str, Any], image_token: int) -> Any:
    """Return the whole model's configuration.

    Args:
        settings: of the recipe.
        text: the language model's configuration.
        image_token: id of the token whose places the picture takes.
    """
    from transformers import Idefics3Config

    encoder = settings["encoder"]
    vision = {
        "hidden_size": encoder["hidden"],
        "intermediate_size": 4 * encoder["hidden"],
        "num_hidden_layers": encoder["layers"],
        "num_attention_heads": encoder["heads"],
        "image_size": encoder["image"],
        "patch_size": encoder["patch"],
    }
    return Idefics3Config(
        vision_config=vision,
        text_config=dict(text),
        scale_factor=encoder["shuffle"],
        image_token_id=image_token,
        tie_word_embeddings=bool(text["tie_word_embeddings"]),
        pad_token_id=text["pad_token_id"],
    )


def tokens(settings: Mapping[str, Any]) -> int:
    """Return how many tokens a picture takes."""
    encoder = settings["encoder"]
    return int((encoder["image"] // encoder["patch"] // encoder["shuffle"]) ** 2)


def scaled(pixels: Any) -> Any:
    """Return uint8 pictures ``(…, height, width, 3)`` as the encoder takes them: in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def eyes(order: Order, drawn: gallery.Gallery, made: Any) -> tuple[tuple[int, float], ...]:
    """Teach the encoder and the connector to tell what a picture shows; keeps them in the work.

    Each label is read from the connector's tokens by one query of its own and a linear layer, which
    are forgotten afterwards.

    Args:
        order: settings, device and work folder.
        drawn: the pictures.
        made: with ``vision_model`` and ``connector``, changed in place.

    Returns:
        ``(step, loss)`` of some steps.
    """
    import torch
    from torch import nn

    settings, device = order.settings, order.device
    place = order.work / EYES
    parts = nn.ModuleList([made.vision_model, made.connector])
    if place.exists():
        kept = torch.load(place, weights_only=True, map_location=device)
        parts.load_state_dict(kept["parts"])
        return tuple((int(step), float(loss)) for step, loss in kept["losses"])
    width = made.connector.modality_projection.proj.out_features
    heads = nn.ModuleDict(
        {name: nn.Linear(width, classes) for name, classes in drawn.classes.items()}
    ).to(device)
    queries = nn.Parameter(torch.randn(len(heads), width, device=device) * width**-0.5)
    keys, values = (nn.Linear(width, width).to(device) for _ in range(2))
    learned = [*parts.parameters(), *heads.parameters(), *keys.parameters(), *values.parameters()]
    wanted = settings["lessons"]
    if order.max_steps is not None:
        wanted = min(wanted, order.max_steps)
    if not wanted:
        return ()
    optimizer, schedule = _optimizer(
        [{"params": [*learned, queries], "lr": settings["lesson_rate"]}], settings, wanted
    )
    losses = []
    for step in range(1, wanted + 1):
        rows = drawn.batch(settings["lesson_size"], step)
        pixels = scaled(drawn.pixels[rows])
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            seen = made.connector(made.vision_model(pixel_values=pixels).last_hidden_state)
            asked = torch.einsum("lw,btw->blt", queries, keys(seen)).softmax(-1)
            found = torch.einsum("blt,btw->blw", asked, values(seen))
            found = nn.functional.gelu(found)
            loss = torch.zeros((), device=device)
            for number, head in enumerate(heads.values()):
                labels = drawn.labels[rows, number]
                told = nn.functional.cross_entropy(
                    head(found[:, number]).float(), labels, ignore_index=-1, reduction="sum"
                )
                loss = loss + told / (labels >= 0).sum().clamp(min=1)
            loss = loss / len(heads)
        _step(optimizer, schedule, loss, learned)
        if step in (1, wanted) or step % max(wanted // 50, 1) == 0:
            losses.append((step, float(f"{loss.item():.4g}")))
            order.progress(step, wanted, losses[-1][1], what="lesson")
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"parts": parts.state_dict(), "losses": losses}, place)
    return tuple(losses)


def _optimizer(groups: list[dict[str, Any]], settings: Mapping[str, Any], steps: int) -> Any:
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=settings["weight_decay"])
    rising = max(int(settings["warmup"] * steps), 1)
    return optimizer, get_cosine_schedule_with_warmup(optimizer, rising, steps)


def _step(optimizer: Any, schedule: Any, loss: Any, learned: list[Any]) -> None:
    import torch

    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(learned, 1.0)
    optimizer.step()
    schedule.step()


def train(order: Order) -> Outcome:
    """Draw the pictures, teach the encoder, then all parts together, and write what is new."""
    import torch
    from peft import get_peft_model
    from transformers import Idefics3ForConditionalGeneration

    settings, start = order.settings, time.perf_counter()
    torch.manual_seed(settings["seed"])
    drawn = gallery.draw(order.root / settings["pictures"], settings, order.device, order.progress)
    chat = gallery.Chat.of(order, tokens(settings))
    text = order.model.config.to_dict()
    made = Idefics3ForConditionalGeneration(configuration(settings, text, chat.image_token)).model
    made.text_model = None  # the order's own is used
    made.to(order.device).train()
    language = get_peft_model(order.model, training.lora(order))
    notes = [f"{drawn.count} pictures, and {drawn.questions} questions about them, were drawn"]
    if settings["begin"] is not None:
        notes.append(_begin(order, made, language))
    if told := eyes(order, drawn, made):
        first, last = (f"{loss:.3g}" for _, loss in (told[0], told[-1]))
        notes.append(f"the encoder's own lessons, {told[-1][0]} steps: loss {first}, then {last}")
    for parameter in language.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    losses = _answers(order, drawn, chat, made, language)
    if not all(loss == loss for _, loss in losses):
        raise ModellabError(
            f"{order.spec.name}: the loss is not finite: lower learning_rate in its recipe"
        )
    _save(order, made, language, chat)
    return Outcome(
        Data(settings["pictures"], _sha256(order.root / settings["pictures"]), ({},) * drawn.count),
        settings["steps"] if order.max_steps is None else order.max_steps,
        time.perf_counter() - start,
        losses,
        tuple(notes),
    )


def _answers(
    order: Order, drawn: gallery.Gallery, chat: gallery.Chat, made: Any, language: Any
) -> tuple[tuple[int, float], ...]:
    """Train encoder, connector and adapter on questions; the loss is on the answers alone."""
    import torch

    settings, device = order.settings, order.device
    wanted = settings["steps"] if order.max_steps is None else order.max_steps
    eyes_ = [*made.vision_model.parameters(), *made.connector.parameters()]
    adapter = [parameter for parameter in language.parameters() if parameter.requires_grad]
    rate = settings["learning_rate"]
    optimizer, schedule = _optimizer(
        [{"params": eyes_, "lr": rate}, {"params": adapter, "lr": rate}], settings, wanted
    )
    inner = language.get_base_model()
    losses: list[tuple[int, float]] = []
    recent: list[Any] = []
    for step in range(1, wanted + 1):
        rows = drawn.batch(settings["batch_size"], step)
        ids, mask, answers = chat.batch([drawn.asked[row] for row in rows], device)
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            seen = made.connector(
                made.vision_model(pixel_values=scaled(drawn.pixels[rows])).last_hidden_state
            )
            embedded = inner.model.embed_tokens(ids)
            before, after = chat.first, chat.first + seen.shape[1]
            embedded = torch.cat(
                [embedded[:, :before], seen.to(embedded.dtype), embedded[:, after:]], dim=1
            )
            hidden = inner.model(
                inputs_embeds=embedded, attention_mask=mask, use_cache=False
            ).last_hidden_state
            wants = answers[:, 1:] >= 0
            logits = inner.lm_head(hidden[:, :-1][wants])
            loss = torch.nn.functional.cross_entropy(logits.float(), answers[:, 1:][wants])
        _step(optimizer, schedule, loss, [*eyes_, *adapter])
        recent.append(loss.detach())
        if step in (1, wanted) or step % max(wanted // 100, 1) == 0:
            losses.append((step, float(f"{torch.stack(recent).mean().item():.4g}")))
            recent.clear()
            order.progress(step, wanted, losses[-1][1])
    return tuple(losses)


def _begin(order: Order, made: Any, language: Any) -> str:
    """Take over parts that were made before; returns a note of how."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    folder = order.root / order.settings["begin"]
    before = provenance.read(folder)
    if before is None:
        raise ConfigError(f"recipe.begin: {folder} holds no parts that modellab build has made")
    new = load_file(folder / joined.NEW)
    made.load_state_dict({name.removeprefix("model."): one for name, one in new.items()})
    set_peft_model_state_dict(language, load_file(folder / "adapter_model.safetensors"))
    return (
        f"began with parts of {before.date} ({before.data['rows']} pictures of sha256 "
        f"{before.data['sha256'][:16]}…, {before.steps} steps to a loss of {before.loss[-1][1]}; "
        f"{'; '.join(before.notes)})"
    )


def _save(order: Order, made: Any, language: Any, chat: gallery.Chat) -> None:
    """Write the new parts, the adapter, and what the processor of the whole model needs."""
    import torch
    from safetensors.torch import save_file

    dtype = getattr(torch, order.settings["save_dtype"])
    state = {
        f"model.{name}": value.detach().to(dtype).cpu().contiguous()
        for name, value in made.state_dict().items()
        if not name.startswith("text_model")
    }
    save_file(state, order.output / joined.NEW, {"format": "pt"})
    training.save(order, language)
    config = configuration(order.settings, order.model.config.to_dict(), chat.image_token)
    config.architectures = ["Idefics3ForConditionalGeneration"]
    values = config.to_dict()
    del values["text_config"]  # the language model's own, as long as it is that model
    gallery.write_json(order.output / "config.json", values)
    gallery.write_json(
        order.output / joined.LANGUAGE,
        {"weights": order.origin["weights"], "tokens": dict(chat.names)},
    )
    side = order.settings["encoder"]["image"]
    gallery.write_processor(order.output, side, tokens(order.settings))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def steps(settings: Mapping[str, Any], rows: int) -> int:
    """Return the optimizer steps of both stages; the number of pictures does not change them."""
    return int(settings["steps"])


RECIPE = Recipe(
    name="vision",
    packages=("torch", "transformers", "peft"),
    settings=SETTINGS,
    keys=("input", "reply"),
    steps=steps,
    train=train,
    artefact="model",
    generates="count",
    check=check,
)
