#!/usr/bin/env python3
"""berthd rebuild: the index is lost, and everything is back from the files and the reflog."""
import json
import pathlib
import random
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import history  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

STEPS = 1000


def lose_index(s):
    shutil.rmtree(s.root / "index")



@case(f"after {STEPS} random operations the index is lost: rebuilt, all is as before through the API, and fsck finds nothing")
def whole():
    rng = random.Random(11)
    work = history.History(rng)
    with r.Daemon("--gc.enabled=false") as s:
        work.run(s, STEPS)
        digests = s.blob_files()
        before = history.view(s, digests)
        tags = sum(len(tags) for tags, _ in before.values())
        same("SIGTERM", 0, s.stop())
        lose_index(s)
        *lost, result = s.admin("rebuild")
        same("nothing is lost", [], lost)
        same("repositories and tags", (len(before), tags), (result["repositories"], result["tags"]))
        s.start()
        same("the view of clients", before, history.view(s, digests))
        same("faults", 0, s.admin("fsck")[-1]["faults"])
        work.run(s, 100)  # and it goes on
        same("faults later", 0, s.admin("fsck")[-1]["faults"])
        print(f"# {len(digests)} files, {tags} tags, {result['records']} records")


@case("after SIGKILL the reflog's end is torn at 60 places: rebuilt with all that was acknowledged")
def torn():
    rng = random.Random(12)
    with r.Daemon("--gc.enabled=false") as s:
        for n in range(20):
            s.push_blob("torn", config := json.dumps({"n": n}).encode())
            assert s.put_manifest("torn", f"t{n}", r.image(config)).status == 201
        s.kill()
        log = s.root / "reflog/1.jsonl"
        acknowledged = log.read_bytes()
        next_line = acknowledged.splitlines(keepends=True)[-1].replace(b'"t19"', b'"t20"').replace(b'"seq":40', b'"seq":41')
        for cut in sorted(rng.sample(range(len(next_line)), 60)):
            log.write_bytes(acknowledged + next_line[:cut])  # what a power cut leaves of a record nobody was told of
            lose_index(s)
            same(f"cut at {cut}: tags", 20, s.admin("rebuild")[-1]["tags"])
        s.start()
        same("tags", 20, len(history.pages(s, "/v2/torn/tags/list", "tags")))
        same("goes on", 201, s.put_manifest("torn", "more", r.image(config)).status)
        same("SIGTERM", 0, s.stop())
        lose_index(s)
        same("and again", 21, s.admin("rebuild")[-1]["tags"])


@case("what cannot be restored is said, by name: a manifest and its tag, a blob, a file that nobody names")
def losses():
    with r.Daemon("--gc.enabled=false") as s:
        s.push_blob("lost", b"{}")
        old, new = (json.dumps(r.image(b"{}", n=n)).encode() for n in (1, 2))
        for data in (old, new):
            same("pushed", 201, s.put_manifest("lost", "latest", data, media=r.OCI_MANIFEST).status)
        s.push_blob("lost", layer := b"layer")
        same("SIGTERM", 0, s.stop())
        lose_index(s)
        s.blob_file(r.sha256(new)).unlink()
        s.blob_file(r.sha256(layer)).unlink()
        stray = s.blob_file(r.sha256(b"stray"))
        stray.write_bytes(b"stray")
        *lost, result = s.admin("rebuild", want=1)
        same("losses", sorted([("manifest", f"lost@{r.sha256(new)}"), ("tag", "lost:latest"), ("blob", f"lost@{r.sha256(layer)}"),
                               ("unnamed", r.sha256(b"stray"))]), sorted((i["lost"], i["name"]) for i in lost))
        same("their number", 4, result["losses"])
        s.start()
        same("the tag is not left at an older manifest", 404, s.request("GET", "/v2/lost/manifests/latest").status)
        same("which is still there", 200, s.request("GET", f"/v2/lost/manifests/{r.sha256(old)}").status)


@case("what was deleted can still be restored from the trash afterwards")
def trash():
    with r.Daemon() as s:
        s.push_blob("bin", b"{}")
        data = json.dumps(r.image(b"{}")).encode()
        same("pushed", 201, s.put_manifest("bin", "v1", data, media=r.OCI_MANIFEST).status)
        same("deleted", 202, s.request("DELETE", f"/v2/bin/manifests/{r.sha256(data)}").status)
        same("SIGTERM", 0, s.stop())
        lose_index(s)
        s.admin("rebuild")
        s.start()
        same("gone", 404, s.request("GET", "/v2/bin/manifests/v1").status)
        s.admin("trash", "restore", "bin:v1")
        same("back", (200, data), ((a := s.request("GET", "/v2/bin/manifests/v1")).status, a.body))


@case("not beside a daemon, not of what is no store; an old index is kept")
def refused():
    with r.Daemon() as s:
        s.push_blob("x", b"{}")
        s.admin("rebuild", want=1)
        same("SIGTERM", 0, s.stop())
        s.admin("rebuild")
        same("the old index", True, (s.root / "index.old/data.mdb").exists())
        s.admin("rebuild")
        s.start()
        same("served", 200, s.request("HEAD", f"/v2/x/blobs/{r.sha256(b'{}')}").status)
    other = r.Daemon()
    other.root.mkdir()
    other.admin("rebuild", want=1)
    same("nothing was made", [], list(other.root.iterdir()))
    other.close()


if __name__ == "__main__":
    tap.main()
