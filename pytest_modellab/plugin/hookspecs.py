"""What plugins and conftest files can add to pytest-modellab; docs/extending.md has the whole page.

A hook lives in a package's pytest plugin (entry point ``pytest11``), or in the ``conftest.py``
beside ``modellab.toml``; there the ``modellab`` command finds it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modellab.judging.assertions import Assertion
    from pytest_modellab.media.generators import Generator
    from pytest_modellab.observatory.added import Probe
    from pytest_modellab.recipes.recipe import Recipe
    from pytest_modellab.scorers.interface import Scorer, SetScorer
    from pytest_modellab.variants.plan import Kind


def pytest_modellab_assertions() -> Iterable[Assertion]:  # type: ignore[empty-body]
    """Return assertions, to be asked by ``gate.judge("…", candidate)`` in a test.

    Example:
        import dataclasses

        from pytest_modellab.extend import Assertion, Words

        def judge_length(question, *, limit):
            from pytest_modellab import gate

            ratio = gate.cost_ratio(
                [sample.tokens_out for sample in question.after.samples],
                [sample.tokens_out for sample in question.before.samples],
                limit=limit,
                clusters=question.clusters,
                alpha=question.budget.share,
                pass_alpha=question.budget.alpha,
            )
            return question.comparison(ratio=dataclasses.replace(ratio, name="reply length"))

        def pytest_modellab_assertions():
            return [
                Assertion(
                    "no_longer_replies",
                    judge=judge_length,
                    words=Words(
                        subject="reply length",
                        heading="reply length",
                        advice="{variant} replies at more length: {what}; if that is wanted, "
                        "raise limit",
                    ),
                )
            ]
    """


def pytest_modellab_kinds() -> Iterable[Kind]:  # type: ignore[empty-body]
    """Return kinds of variants, to be named by ``kind = "…"`` in modellab.toml.

    Example:
        import functools
        from pytest_modellab.extend import ConfigError, Kind, Step, check_options

        def prune(share, loaded):  # of the module, so that the plan pickles
            for weight in loaded.parameters():
                size = weight.detach().abs()
                least = size.flatten().kthvalue(max(1, int(share * size.numel()))).values
                weight.data[size <= least] = 0
            return loaded

        def plan_pruned(spec, base, model, root):
            check_options(spec.options, {"share": float})
            share = spec.options.get("share", 0.5)
            if base is None:
                raise ConfigError("base: missing; name the variant that is pruned")
            if not 0 < share < 1:
                raise ConfigError(f"share: {share} lies outside (0, 1)")
            apply = functools.partial(prune, share)
            return base.with_step(Step("pruned", {"share": share}, apply, packages=("torch",)))

        def pytest_modellab_kinds():
            return [Kind("pruned", strategy="pruning", marker="pruned", plan=plan_pruned)]
    """


def pytest_modellab_scorers() -> Iterable[Scorer | SetScorer]:  # type: ignore[empty-body]
    """Return scorers, to be named by ``"scorer": "…"`` in a task set.

    One that needs all samples at once, or has more than one figure a sample, is a
    :class:`~pytest_modellab.scorers.interface.SetScorer`.

    Example:
        class Contains:
            name = "contains"
            version = 1
            likelihood = False  # the reply is generated

            def check(self, sample):
                return None if isinstance(sample.target, str) else "target: expected a text"

            def score(self, sample, output):
                found = sample.target.casefold() in output.text.casefold()
                return float(found), output.text

        def pytest_modellab_scorers():
            return [Contains()]
    """


def pytest_modellab_recipes() -> Iterable[Recipe]:  # type: ignore[empty-body]
    """Return recipes, to be named by ``method = "…"`` in ``[variants.NAME.recipe]``.

    Example:
        from pytest_modellab.extend import Outcome, Recipe, at_least, positive

        def train_norms(order):
            import torch

            norms = [p for name, p in order.model.named_parameters() if "norm" in name]
            optimizer = torch.optim.AdamW(norms, lr=order.settings["learning_rate"])
            rows, losses = order.data.rows[: order.max_steps], []
            for step, row in enumerate(rows, start=1):
                reply = {"role": "assistant", "content": row["reply"]}
                chat = [*order.base.prompt.messages(row["input"]), reply]
                text = order.tokenizer.apply_chat_template(chat, tokenize=False)
                batch = order.tokenizer(text, add_special_tokens=False, return_tensors="pt")
                batch = batch.to(order.device)
                loss = order.model(**batch, labels=batch["input_ids"]).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append((step, loss.item()))
                order.progress(step, len(rows), loss.item())
            order.model.save_pretrained(order.output)
            order.tokenizer.save_pretrained(order.output)
            return Outcome(order.data, steps=len(rows), seconds=0.0, losses=tuple(losses))

        def pytest_modellab_recipes():
            return [
                Recipe(
                    name="norms",
                    packages=("torch",),
                    settings={
                        "seed": at_least(int, 0, 0),
                        "learning_rate": positive(float, 1e-3),
                    },
                    keys=("input", "reply"),
                    steps=lambda settings, rows: rows,
                    train=train_norms,
                    artefact="model",
                )
            ]
    """


def pytest_modellab_probes() -> Iterable[Probe]:  # type: ignore[empty-body]
    """Return probes: each looks at two models that are being diagnosed, while they are loaded.

    Example:
        from pytest_modellab.extend import Finding, Probe, Seen

        def examine_norms(examination):
            base, candidate = examination.base.model, examination.candidate.model
            findings = []
            for leaf in examination.leaves:
                if leaf.kind != "input_norm":
                    continue
                before = base.get_submodule(leaf.path).weight.detach().float()
                after = candidate.get_submodule(leaf.path).weight.detach().float()
                ratio = float(after.norm() / before.norm())
                if abs(ratio - 1) > 0.1:
                    detail = f"its weights are {ratio:.2f} times as long"
                    findings.append(Finding(leaf.site, f"scaled({ratio:.3g})", detail))
            return Seen(findings=tuple(findings))

        def pytest_modellab_probes():
            return [Probe("norms", examine=examine_norms)]
    """


def pytest_modellab_generators() -> Iterable[Generator]:  # type: ignore[empty-body]
    """Return generators of images or recordings, to be named with a seed by a task set's samples.

    Example:
        import io
        import random

        from pytest_modellab.extend import Generator

        def draw(seed, options):
            from PIL import Image, ImageDraw

            rng = random.Random(seed)
            image = Image.new("RGB", (64, 64), "white")
            pen = ImageDraw.Draw(image)
            for _ in range(options.get("dots", 1)):
                x, y = rng.randrange(8, 56), rng.randrange(8, 56)
                pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill="black")
            written = io.BytesIO()
            image.save(written, "PNG")
            return written.getvalue()

        def pytest_modellab_generators():
            return [Generator("dots", version=1, kind="image", make=draw)]

        # samples.jsonl: {"id": "d1", "image": {"generator": "dots", "seed": 7, "dots": 3}, …}
    """
