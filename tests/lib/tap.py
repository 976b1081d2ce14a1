"""TAP for test programs: cases register themselves, run in order, and each failure says what was found."""
import sys
import traceback

_cases = []


class Skip(Exception):
    """Raised by a case that cannot run here; the message says why."""


def case(name):
    """Register a function as the test case `name`."""

    def add(function):
        _cases.append((name, function))
        return function

    return add


def same(what, want, got):
    if want != got:
        raise AssertionError(f"{what}: expected {want!r}, got {got!r}")


def one_of(what, wanted, got):
    if got not in wanted:
        raise AssertionError(f"{what}: expected one of {wanted!r}, got {got!r}")


def main(*args, after_each=None):
    """Run every case with `args`; exit status 1 if one failed."""
    failed = 0
    print(f"1..{len(_cases)}", flush=True)
    for number, (name, function) in enumerate(_cases, 1):
        try:
            try:
                function(*args)
            finally:
                if after_each:
                    after_each(*args)
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception:  # noqa: BLE001 - whatever it is, it is this case's failure
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line[:600]}", flush=True)
    sys.exit(1 if failed else 0)
