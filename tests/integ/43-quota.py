#!/usr/bin/env python3
"""Quotas: exact under concurrency, told in the answer, given back by deletes, the same after a restart and a rebuild."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

KB = 1000
AT_ONCE = ("--gc.enabled=false", "--gc.lease=0s", "--gc.untagged_keep=0s", "--gc.max_share=100", "--trash.keep=0s")


def quotas(*rules):
    return "--quotas=" + json.dumps(list(rules))


def upload(s, repo, data):
    return s.request("POST", f"/v2/{repo}/blobs/uploads/?digest={r.sha256(data)}", data, {"Content-Type": "application/octet-stream"})


@case("32 pushes at once into a quota for ten blobs: ten get in, the others get 403 DENIED that says what is used and allowed")
def exact():
    with r.Daemon(quotas({"repositories": "team/**", "bytes": 10 * KB})) as s:
        blobs = [os.urandom(KB) for _ in range(32)]
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda i: upload(s, f"team/r{i % 3}", blobs[i]), range(32)))
        same("accepted", 10, sum(a.status == 201 for a in answers))
        refused = next(a for a in answers if a.status != 201)
        same("refused", (403, ["DENIED"]), (refused.status, refused.codes()))
        same("says how much", True, "10000 of 10000 bytes" in refused.json()["errors"][0]["message"])
        same("elsewhere there is room", 201, upload(s, "other/r", blobs[0]).status)
        same("no session is left of what was refused", 0, len(list((s.root / "uploads").iterdir())))
        same("what is there may be pushed again", 201, next(
            upload(s, f"team/r{i % 3}", blobs[i]).status for i, a in enumerate(answers) if a.status == 201))
        same("faults", 0, s.admin("fsck")[-1]["faults"])


@case("tags and repositories are counted; moving a tag, deleting and collecting give back")
def counts():
    rules = quotas({"repositories": "t/*", "tags": 2}, {"repositories": "n/*", "count": 1}, {"repositories": "b/*", "bytes": 1500})
    with r.Daemon(rules, *AT_ONCE) as s:
        s.push_blob("t/a", b"{}")
        manifests = [json.dumps(r.image(b"{}", n=n)).encode() for n in range(4)]

        def tag(name, n):
            return s.put_manifest("t/a", name, manifests[n], media=r.OCI_MANIFEST).status

        same("two tags", (201, 201), (tag("one", 0), tag("two", 1)))
        same("a third", 403, tag("three", 2))
        same("a tag that moves is no new one", 201, tag("two", 2))
        same("without a tag", 201, tag(r.sha256(manifests[3]), 3))
        same("deleted", 202, s.request("DELETE", "/v2/t/a/manifests/one").status)
        same("room again", 201, tag("three", 3))
        same("the first repository", 201, upload(s, "n/a", b"x").status)
        same("the second", 403, upload(s, "n/b", b"x").status)
        same("one that is there", 201, upload(s, "n/a", b"y").status)
        same("bytes", (201, 403), (upload(s, "b/a", b"a" * KB).status, upload(s, "b/b", b"b" * KB).status))
        mount = s.request("POST", f"/v2/b/a/blobs/uploads/?mount={r.sha256(b'x')}&from=n/a", b"")
        same("a mount counts", 201, mount.status)
        same("collected", True, s.admin("gc")[-1]["blobs"] > 0)
        same("room again", 201, upload(s, "b/b", b"b" * KB).status)
        same("faults", 0, s.admin("fsck")[-1]["faults"])


@case("what is used is known after a restart, a SIGKILL and a rebuild; a warning comes before the limit; metrics tell")
def remembered():
    with r.Daemon(quotas({"repositories": "q/*", "bytes": 10 * KB, "warn": "80%"})) as s:
        for n in range(8):
            same("pushed", 201, upload(s, "q/r", bytes([n]) * KB).status)
        same("no warning yet", False, "quota.near" in s.log_text())
        same("pushed", 201, upload(s, "q/r", b"nine" * (KB // 4)).status)
        r.wait_until("the warning", lambda: "quota.near" in s.log_text())
        for end in ("stop", "kill", "rebuild"):
            if end == "rebuild":
                same("SIGTERM", 0, s.stop())
                shutil.rmtree(s.root / "index")
                s.admin("rebuild")
            else:
                getattr(s, end)()
            s.start()
            text = s.request("GET", "/metrics").body.decode()
            same(end, True, 'berthd_quota_used_bytes{rule="0",repositories="q/*"} 9000\n' in text)
            same("too much", 403, upload(s, "q/r", b"t" * (KB + 1)).status)
        same("just enough", 201, upload(s, "q/r", b"t" * KB).status)


@case("rules that are wrong are refused with the line")
def wrong():
    for rule, message in (({"bytes": "1G"}, "repositories"), ({"repositories": "a", "bytes": "much"}, "bytes"),
                          ({"repositories": "a", "tags": "-1"}, "tags"), ({"repositories": "a", "size": "1"}, "size")):
        s = r.Daemon(quotas(rule))
        try:
            s.start()
            raise AssertionError(f"started with {rule}")
        except AssertionError as e:
            same(f"{rule}: {e}", True, "does not start" in str(e) and message in str(e))
        finally:
            s.process.wait()
            s.process = None
            s.close()


if __name__ == "__main__":
    tap.main()
