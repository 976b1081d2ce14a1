#!/usr/bin/env python3
"""FLT-05: the disk fills up, at forty levels: clear errors, nothing lost, reads and deletes go on, and no restart is needed."""
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import registry as r  # noqa: E402
import smalldisk  # noqa: E402
import tap  # noqa: E402
from tap import case, one_of, same  # noqa: E402

LEVELS = 40
REFUSED = (507, 503)


def push_image(s, rng, tag):
    """One image by its steps; returns (bytes of the manifest, None) or (bytes, status of the step that was refused)."""
    layer, config = rng.randbytes(rng.choice((200, 30_000, 200_000))), json.dumps({"n": rng.random()}).encode()
    manifest = json.dumps(r.image(config, [layer])).encode()
    for data in (config, layer):
        a = s.request("POST", f"/v2/full/blobs/uploads/?digest={r.sha256(data)}", data)
        if a.status != 201:
            return manifest, a
    a = s.put_manifest("full", tag, manifest, media=r.OCI_MANIFEST)
    return manifest, None if a.status == 201 else a


def check_whole(s, reference, manifest):
    a = s.request("GET", f"/v2/full/manifests/{reference}")
    same(f"manifest {reference}", (200, manifest), (a.status, a.body))
    document = json.loads(manifest)
    for d in [document["config"], *document["layers"]]:
        b = s.request("GET", f"/v2/full/blobs/{d['digest']}")
        same(f"blob of {reference}", (200, d["digest"]), (b.status, r.sha256(b.body)))


@case(f"the disk full at {LEVELS} levels: refused clearly, nothing acknowledged is lost, and it goes on when there is room")
def full():
    rng = random.Random(5)
    with smalldisk.SmallDisk(24 << 20) as disk, r.Daemon("--index.map_size=4M", root=disk.path / "root") as s:
        acked, tags, refused = {}, {}, 0
        for level in range(LEVELS):
            disk.leave(level * level * 300)
            for n in range(3):
                tag = rng.choice(("v1", "v2", f"t{level}-{n}"))
                manifest, failure = push_image(s, rng, tag)
                if failure is None:
                    acked[r.sha256(manifest)] = tags[tag] = manifest
                    continue
                refused += 1
                one_of(f"level {level}: {failure.body[:200]!r}", REFUSED, failure.status)
                same("an error document", True, bool(failure.codes()))
            for tag, manifest in rng.sample(sorted(tags.items()), min(3, len(tags))):
                check_whole(s, tag, manifest)  # a refused push moved no tag
            same("serves", 200, s.request("GET", "/v2/full/tags/list").status if acked else 200)
        same("something was refused", True, refused > LEVELS / 4)
        doomed = next(t for t in tags if t.startswith("t"))
        disk.leave(0)
        one_of("a delete on a full disk", (202, *REFUSED), (a := s.request("DELETE", f"/v2/full/manifests/{doomed}")).status)
        if a.status == 202:
            del tags[doomed]
        disk.release()
        manifest, failure = push_image(s, rng, "after")
        same("goes on without a restart", None, failure and (failure.status, failure.body))
        acked[r.sha256(manifest)] = tags["after"] = manifest
        same("SIGTERM", 0, s.stop())
        s.start()
        for digest, manifest in acked.items():
            check_whole(s, digest, manifest)
        for tag, manifest in tags.items():
            check_whole(s, tag, manifest)
        print(f"# {refused} requests refused, {len(acked)} images acknowledged and whole")


if __name__ == "__main__":
    tap.main()
