"""OCI image layouts, and the roots of other registries, made by hand: what no real program would write included."""
import json
import os
import pathlib

import registry as r

REF_NAME = "org.opencontainers.image.ref.name"


class Layout:
    """A layout under `path`; blobs are added one by one, then tag() or add() lists what index.json has."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.entries = []
        self.write()

    def write(self):
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))

    def file(self, digest):
        return self.path / "blobs" / digest.replace(":", "/")

    def blob(self, data, digest=None):
        digest = digest or r.sha256(data)
        self.file(digest).parent.mkdir(exist_ok=True)
        self.file(digest).write_bytes(data)
        return digest

    def image(self, layers, **more):
        """Stores an image of these layers; returns the manifest's bytes."""
        config = json.dumps({"layers": [r.sha256(x) for x in layers]}).encode()
        for data in (config, *layers):
            self.blob(data)
        data = json.dumps(r.image(config, layers, **more)).encode()
        self.blob(data)
        return data

    def index(self, manifests, **more):
        data = json.dumps(r.index([(json.loads(m)["mediaType"], m) for m in manifests], **more)).encode()
        self.blob(data)
        return data

    def add(self, manifest, name=None):
        media = json.loads(manifest).get("mediaType", r.OCI_MANIFEST)
        self.entries.append(r.descriptor(media, manifest, **({"annotations": {REF_NAME: name}} if name else {})))
        self.write()


def disk_use(*trees):
    """Bytes of disk that these trees take together; a file with several names counts once."""
    seen = {}
    for tree in trees:
        for path, _, names in os.walk(tree):
            for name in names:
                s = os.lstat(os.path.join(path, name))
                seen[s.st_dev, s.st_ino] = s.st_blocks * 512
    return sum(seen.values())
