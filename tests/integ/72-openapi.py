#!/usr/bin/env python3
"""etc/openapi.yaml against the table of routes, and the server against etc/openapi.yaml (schemathesis)."""
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import Skip, case, same  # noqa: E402

DOCUMENT = r.TOP / "etc/openapi.yaml"
ST = pathlib.Path(os.environ.get("BERTH_TOOLS", r.TOP / "build/tools")) / "python/bin/st"
EXAMPLES = 4 if os.environ.get("BERTH_SLOW") else 15
LIMIT_S = 540
# Answers of each operation must be among those of the document, with their schema and headers; what the document allows must
# be taken, and what it forbids refused.
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,negative_data_rejection,positive_data_acceptance,missing_required_header,unsupported_method")
ACCESS = "--access=[{who: root, repositories: '**', allow: admin}]"


def fill(s):
    for data in (b"{}", b"layer"):
        s.push_blob("team/app", data)
    for n in range(3):
        same("push", 201, s.put_manifest("team/app", "v1", r.image(b"{}", [b"layer"], annotations={"n": str(n)})).status)
    config = json.dumps({"os": "linux", "architecture": "amd64", "created": "2026-01-02T03:04:05Z"}).encode()
    s.push_blob("team/app", config)
    same("push", 201, s.put_manifest("team/app", "v2", r.image(config)).status)


def check(s, *options):
    """Every operation by its examples, its limits, and random values; the daemon's store must be whole afterwards."""
    if not ST.exists():
        raise Skip(f"{ST.relative_to(r.TOP) if ST.is_relative_to(r.TOP) else ST} is not there: make deps-test")
    fill(s)
    got = subprocess.run([ST, "run", DOCUMENT, "--url", f"http://{s.host}:{s.port}", "--phases", "examples,coverage,fuzzing",
                          "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic", "--checks", CHECKS,
                          "--request-timeout", "60", "--no-color", *options],
                         cwd=s.work, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    cases = re.search(r"(\d+) generated", got.stdout)
    print(f"# {cases[0] if cases else 'nothing generated'}")
    if got.returncode != 0:
        raise AssertionError(f"status {got.returncode}\n{got.stdout[-6000:]}{got.stderr[-2000:]}")
    same("many requests were made", True, int(cases[1]) > 100)
    same("it lives", True, s.alive())
    same("faults", 0, s.admin("fsck")[-1]["faults"])


@case("the document has each route of /api/v1, and no other")
def routes():
    patterns = dict(re.findall(r'X\((API_\w+), "([^"]+)"\)', (r.TOP / "server/path.h").read_text()))
    rows = re.findall(r"M\((\w+)\),\s+PATH_(API_\w+)", (r.TOP / "server/route.c").read_text())
    served = sorted((patterns[path], method.lower()) for method, path in rows)
    path, described = None, []
    for line in DOCUMENT.read_text().splitlines():
        if found := re.match(r"  (/api/\S+):$", line):
            path = found[1]
        elif re.match(r"\S", line):
            path = None
        elif path and (found := re.match(r"    (get|put|post|patch|delete|head|options|trace):$", line)):
            described.append((path, found[1]))
    same("routes", True, len(served) > 0)
    same("operations", served, sorted(described))


@case("without accounts the server answers as the document says")
def without_accounts():
    with r.Daemon("--gc.enabled=false") as s:
        check(s)


@case("with accounts it does as well, to an administrator")
def with_accounts():
    s = r.Daemon("--gc.enabled=false", ACCESS, user="root:secret")
    subprocess.run([r.BERTHD, "user", "add", "root", f"--auth.htpasswd={s.work / 'users'}", "--cost=5"], input=b"secret", check=True,
                   capture_output=True)
    s.options += (f"--auth.htpasswd={s.work / 'users'}",)
    with s:
        check(s, "--header", f"Authorization: {r.basic('root:secret')}")


tap.main()
