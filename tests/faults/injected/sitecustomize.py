"""Faults that a test asks for by words in a prompt.

Python imports this module at the start of every process of a server whose PYTHONPATH names this
folder. What happens once happens in one process only: it is claimed by a file in $FAULTS_FOLDER.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import threading
from pathlib import Path

BREAKS_ONCE, BREAKS_ALWAYS, HANGS_ONCE, LOST_ONCE = "zbonce", "zbalways", "zhang", "zlost"


def claimed(name):
    """Whether this process is the first to claim a fault."""
    try:
        (Path(os.environ["FAULTS_FOLDER"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def words(prompt):
    return prompt.split()


def asked(prompt, word):
    """The fault's own name if the prompt asks for it: the word and what follows it."""
    return next((one for one in words(prompt) if one.startswith(word)), None)


def patch_batches(module):
    from pipelines.execution import Denoiser

    step_rows, call = module.step_rows, Denoiser.__call__
    broken = threading.Event()

    def breaking(bank, first, last, *args):
        for job in bank.jobs[first:last]:
            prompt = job.request.prompt
            once = asked(prompt, BREAKS_ONCE)
            if asked(prompt, BREAKS_ALWAYS) or (once and claimed(once)):
                broken.set()
            hang = asked(prompt, HANGS_ONCE)
            if hang and job.steps_run > 0 and claimed(hang):
                threading.Event().wait()
        return step_rows(bank, first, last, *args)

    def sticky(self, *args, **kwargs):
        if broken.is_set():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return call(self, *args, **kwargs)

    module.step_rows, Denoiser.__call__ = breaking, sticky


def patch_engine(module):
    generate = module.EngineServer.generate

    async def losing(self, order, grant):
        lost = asked(order.prompt, LOST_ONCE)
        async with contextlib.aclosing(generate(self, order, grant)) as told:
            async for word in told:
                yield word
                if lost and claimed(lost):
                    return

    module.EngineServer.generate = losing


PATCHES = {"pipelines.batches": patch_batches, "serve.engine": patch_engine}


class Patching(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        patch = PATCHES.get(name)
        if patch is None:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        load = spec.loader.exec_module

        def load_and_patch(module):
            load(module)
            patch(module)

        spec.loader.exec_module = load_and_patch
        return spec


sys.meta_path.insert(0, Patching())
