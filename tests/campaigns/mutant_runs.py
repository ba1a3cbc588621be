"""Tests on a mutant, in a fork of a process that has imported what they need."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from contextlib import redirect_stdout
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType
from typing import NoReturn

import hypothesis
import pytest

from tests.campaigns.mutant_sources import Mutant

OWN = ("instune", "stages", "tests", "tools")  # folders whose modules are imported anew
OPTIONS = ("-x", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception")
MOST_MEMORY = 6 << 30  # bytes
PATIENCE = 10  # seconds on the clock for each of the processor's
POLL = 0.02  # s


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Gives one module another source."""

    def __init__(self, root: Path, mutant: Mutant) -> None:
        self.path, self.source = root / mutant.module, mutant.source
        self.name = mutant.module.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return spec_from_file_location(fullname, self.path, loader=_Loader(fullname, str(self.path), self.source))


class _FirstFailure:
    """A pytest plugin that tells which test failed first, and ends with the last test: what would follow only takes time."""

    def __init__(self, out: int) -> None:
        self.out = out

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self.out, report.nodeid.encode())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        os._exit(exitstatus)


def _forget(root: Path) -> None:
    """Take the repository's own modules out of memory, this campaign's apart."""
    for name, module in list(sys.modules.items()):
        path = Path(vars(module).get("__file__") or os.devnull)
        own = path.is_relative_to(root) and path.relative_to(root).parts[0] in OWN
        if name.split(".")[0] == "instune" or (own and "campaigns" not in path.parts):
            del sys.modules[name]


class Runner:
    """Runs test files on one mutant after the other.

    Raises:
        RuntimeError: the tests fail on the code as it is.
    """

    def __init__(self, root: Path, files: list[Path]) -> None:
        self.root, self.folder = root, TemporaryDirectory()
        self.arguments = [*OPTIONS, f"--basetemp={self.folder.name}/tests", *map(str, files)]
        # a failure is enough: no smaller example is looked for, nothing is kept
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, database=None, derandomize=True, deadline=None)
        hypothesis.settings.load_profile("mutants")
        sys.pycache_prefix, sys.dont_write_bytecode = self.folder.name, False  # compiled once, not in every fork
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            pytest.main(["--collect-only", *self.arguments])
        _forget(root)
        gc.collect()
        gc.freeze()  # what is in memory now is not searched in every fork
        self.seconds = 600
        started = os.times().children_user
        outcome, failed = self.outcome(None)
        if outcome != "survived":
            raise RuntimeError(f"tests fail on the code as it is: {failed or self.arguments}")
        self.seconds = int(10 + 4 * (os.times().children_user - started))

    def outcome(self, mutant: Mutant | None) -> tuple[str, str]:
        """`killed`, `limit` (of time or memory) or `survived`, and the test that failed first; None: the code as it is."""
        incoming, out = os.pipe()
        child = os.fork()
        if not child:
            os.close(incoming)
            self._run(mutant, out)
        os.close(out)
        status = self._wait(child)
        with open(incoming, encoding="utf-8") as reader:
            failed = reader.read()
        if status == 0:
            return "survived", ""
        return "killed" if status > 0 else "limit", failed

    def _run(self, mutant: Mutant | None, out: int) -> NoReturn:
        status = 3
        try:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (self.seconds, self.seconds))
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
            if mutant:
                sys.meta_path.insert(0, _Finder(self.root, mutant))
            status = int(pytest.main(self.arguments, plugins=[_FirstFailure(out)]))
        finally:
            os._exit(status)

    def _wait(self, child: int) -> int:
        """The exit status, below 0 where a signal ended it."""
        until = time.monotonic() + PATIENCE * self.seconds
        while True:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
            time.sleep(POLL)
