"""The one model that is loaded, and the variant that it answers for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.engines import state
from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.engines.turns import Turns
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.records.progress import Advance, Watch
from pytest_modellab.store import said

if TYPE_CHECKING:
    from pytest_modellab.endpoints.served import Served
    from pytest_modellab.records.canary import Canary
    from pytest_modellab.variants.loading import Loadable
    from pytest_modellab.variants.sharing import Shared


class Loaded:
    """Holds at most one loaded model, and the engine of at most one variant.

    The next variant is run on the model that is loaded where the two share it, as adapters of one
    base and prompts of one model do. An engine that was handed out before answers no more then.
    As long as a model is loaded, its device is held against other workers of the session.

    Args:
        cache: the store's root.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._held: tuple[Source, Engine] | None = None
        self._shared: Shared | None = None
        self._same: list[Source] = []
        self._canaries: list[tuple[Source, Served, Canary]] = []
        self._turns = Turns.of_this_process(self.release)
        self._turn = contextlib.ExitStack()

    def turn(self, sources: Iterable[Source]) -> contextlib.AbstractContextManager[None]:
        """Hold the devices of sources against other workers, before any lock of the store is.

        What is opened meanwhile, here or by the source itself, finds its device held.

        Raises:
            VariantLoadError: a device is not there.
        """
        from pytest_modellab.variants import loading

        plans = [one.plan for one in sources if isinstance(one, loading.Loadable)]
        return self._turns.on(*(plan.device for plan in plans))

    def watched(self, watch: Watch) -> Watch:
        """Return what also shows workers that wait for this one that it goes on."""

        def seen(advance: Advance) -> None:
            self._turns.seen()
            watch(advance)

        return seen

    def pass_on(self) -> None:
        """Free what is loaded on a device that other workers may wait for; keep all else."""
        if self._turns.held:
            self.release()

    def engine(self, source: Source) -> Engine:
        """Return the engine of a source; another model is freed before one is loaded.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing.
        """
        if self._held is None or self._held[0] is not source:
            self._make_way(source)
            try:
                self._turn.enter_context(self.turn([source]))
                self._held = (source, self._open(source))
            except BaseException:
                self.release()  # an adapter may be half on
                raise
        return self._held[1]

    def again(self, source: Source) -> Engine:
        """Return the engine of a source, loaded anew and found to be the same model, once.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing, or another model was loaded.
        """
        if not any(one is source for one in self._same):
            first = state.of(self.engine(source))
            if first:
                self.release()
                _check_same(first, state.of(self.engine(source)))
            self._same.append(source)
        return self.engine(source)

    def beside(self, source: Source) -> Engine:
        """Return an engine that is not held here: it is closed by whoever asks for it.

        Raises:
            ModelError: its files cannot be read, or its server is not to be believed.
            VariantLoadError: a library is missing.
        """
        from pytest_modellab.variants import loading

        if isinstance(source, loading.Loadable) and any(one.canary for one in source.plan.servers):
            return self._proved(source)
        return source.open(self._cache)

    def keep(self, source: Source) -> None:
        """Free the engine of any other source, and the model that it shares with this one."""
        if self._held is not None and self._held[0] is not source:
            self.release()

    def release(self) -> None:
        """Free what is loaded, if anything is."""
        held, shared = self._held, self._shared
        self._held = self._shared = None
        with self._turn:
            if shared is not None:
                shared.close()
            elif held is not None:
                held[1].close()

    def _make_way(self, source: Source) -> None:
        """Leave the model that a source shares, as it was loaded; free any other."""
        if self._shared is not None and self._shared.fits(source) and self._shared.undress():
            self._held = None
        else:
            self.release()

    def _open(self, source: Source) -> Engine:
        from pytest_modellab.variants import loading, sharing

        if not isinstance(source, loading.Loadable):
            return source.open(self._cache)
        if any(one.canary for one in source.plan.servers):
            return self._proved(source)
        if (bare := sharing.bare(source)) is None:
            return source.open(self._cache)
        if self._shared is None:
            self._shared = sharing.Shared(bare, self._cache)
        return self._shared.dress(source)

    def _proved(self, source: Loadable) -> Engine:
        """Open the engine of a served model, once a canary has proved its servers."""
        from pytest_modellab.lab import proved

        engine = source.open(self._cache)
        try:
            for served in source.plan.servers:
                if served.canary:
                    proved.believe(engine, self._examined(source, engine, served))
        except BaseException:
            engine.close()
            raise
        return engine

    def _examined(self, source: Loadable, engine: Engine, served: Served) -> Canary:
        """Ask a server of a variant, once."""
        from pytest_modellab.lab import proved

        for one, asked, found in self._canaries:
            if one is source and asked is served:
                return found
        said.begin("asking the server what it can …")
        found = proved.examine(source, engine, self._cache, served)
        self._canaries.append((source, served, found))
        return found


def _check_same(first: state.State, second: state.State) -> None:
    differs = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if differs:
        more = f" and {len(differs) - 1} more" if len(differs) > 1 else ""
        raise VariantLoadError(
            f"loaded twice, it is not the same model: {differs[0]!r}{more} of {len(first)} tensors "
            "differ. A part of it is drawn at random, or computed anew, whenever it is loaded: "
            "save the whole model as it is to be judged, and declare that"
        )
