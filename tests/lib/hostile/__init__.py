"""Hostile and awkward layers, made here byte by byte: each case says what a safe unpacker does with it.

Verdicts: "reject" (exit 1, nothing outside touched), "contain" (either way, nothing outside touched), "accept" (exit 0 and
the tree that `check` wants).  A case is made when it is asked for, since some are large.
"""
import dataclasses
from typing import Callable, Optional

CASES = []


@dataclasses.dataclass
class Case:
    id: str
    what: str
    verdict: str
    layers: Callable  # of a Where, gives a list of layers, bytes each
    check: Optional[Callable] = None  # of the rootfs (pathlib.Path) and the Where
    seconds: float = 20
    disk: int = 64 << 20  # bytes that it may leave below the rootfs


@dataclasses.dataclass
class Where:
    """Absolute paths outside of the rootfs that a layer may aim at."""
    canary: str  # a directory with a file "secret"
    cwd: str  # where the unpacker is started

    @property
    def secret(self):
        return self.canary + "/secret"


def group(name):
    """A decorator for cases of one group, numbered as they stand."""
    count = 0

    def case(verdict, what, **more):
        nonlocal count
        count += 1
        number = f"{name}-{count:02}"

        def add(build):
            def layers(where):
                made = build(where)
                return made if isinstance(made, list) else [made]
            CASES.append(Case(number, what, verdict, layers, more.pop("check", None), **more))
            return build
        return add
    return case


def all_cases():
    from . import compress, formats, hardlinks, others, paths, runtime, special, symlinks, whiteouts  # noqa: F401
    return CASES
