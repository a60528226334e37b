"""How a recording becomes text, as declared."""

from __future__ import annotations

import dataclasses
from typing import Literal

Runtime = Literal["ctranslate2", "transformers"]

SAMPLE_RATE = 16000
"""What speech models have heard in training, in Hz."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides about a transcript beside the model.

    Attributes:
        runtime: what runs the model.
        compute_type: what CTranslate2 holds and multiplies weights in, or transformers' dtype.
        sample_rate: what recordings are resampled to before features are made of them. Features
            take it for :data:`SAMPLE_RATE` in any case: another rate is a mistake to be seen.
        vad: whether silence is cut out first.
        language: of the speech, as ISO 639-1 has it; None to have a multilingual model tell.
        beam_size: hypotheses that are followed at once.
        condition_on_previous_text: whether a window begins with what was heard in the one before.
    """

    runtime: Runtime = "ctranslate2"
    compute_type: str = "float32"
    sample_rate: int = SAMPLE_RATE
    vad: bool = False
    language: str | None = None
    beam_size: int = 5
    condition_on_previous_text: bool = False
