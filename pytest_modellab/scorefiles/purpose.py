"""What these tables are read for: one score a sample."""

from __future__ import annotations

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import HASHES, IDS, SCORES
from pytest_modellab.tables.purpose import Purpose

PURPOSE = Purpose(
    error=ScoreFileError,
    what="file of scores",
    smaller="leave out the texts, or cut it into parts",
    wanted="hand in one score a sample",
    row="the sample's id and score",
    header="id,score",
    known=(*IDS, *SCORES, *HASHES),
)
