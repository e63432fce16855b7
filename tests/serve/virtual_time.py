"""An event loop whose time jumps to the next timer as soon as nothing else is to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time stands still while anything is ready.

    Before it jumps, what is in `before_jumps` is called; one that has started something says True.
    What would run in another thread runs at once, for such a thread has no virtual time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._jump  # type: ignore[attr-defined]
        self.before_jumps: list[Callable[[], bool]] = []

    def time(self) -> float:
        return self._now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        del executor
        future = self.create_future()
        future.set_result(func(*args))
        return future

    def _jump(self, timeout: float | None) -> Any:
        if timeout == 0.0:
            return self._select(0)
        if any(settled() for settled in self.before_jumps):
            return self._select(0)
        assert timeout is not None, "everything waits and nothing will ever happen"
        self._now_s += timeout
        return self._select(0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)
