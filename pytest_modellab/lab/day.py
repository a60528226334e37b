"""The day that chat templates are told: that of a run that was accepted, for all variants."""

from __future__ import annotations

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ModellabError
from pytest_modellab.lab.settings import Settings


def pinned(config: LabConfig, settings: Settings, variant: str, tokenizer: str) -> tuple[str, str]:
    """Find the day that a variant's chat template is told where it asks for the date.

    It is one for all variants, so that they can be compared: the day of the first declared
    variant's accepted run that has one. Accepting that variant with a new anchor moves it.

    Args:
        config: names the variants, the task sets and where their accepted runs are.
        settings: of the session.
        variant: the name of the one that is asked.
        tokenizer: the hash of its tokenizer and chat template: an accepted run with the same one
            that is older than this rule was told the day that it was made.

    Returns:
        The day, and in words whose it is.
    """
    from pytest_modellab.baselines import file

    for name in config.variants:
        for task_set in config.task_sets:
            try:
                found = settings.read(file.path_of(config.baselines, task_set, name))
            except ModellabError:  # who asks for this run is told
                continue
            if found is None:
                continue
            run = found.run
            day = run.fingerprint.settings.get("date")
            if day is None and run.fingerprint.tokenizer == tokenizer:
                day = run.environment.get("recorded")
            if day is None:
                continue
            if settings.new_anchor and name == variant:
                return settings.today, "today, of its new anchor"
            return str(day), f"the day of the accepted run of {name!r} on {task_set!r}"
    return settings.today, "today; the first run that is accepted pins it"
