"""Random but repeatable work on a registry, and all that can be seen of one through its API."""
import json

import registry as r


class History:
    """Pushes, tags, mounts and deletes in a few repositories; answers must be as the history so far says."""

    def __init__(self, rng):
        self.rng = rng
        self.repos = {f"h/{n}": {"blobs": {}, "manifests": {}} for n in "abcd"}  # digest -> bytes
        self.n = 0

    def run(self, s, steps):
        c = s.connect()
        for _ in range(steps):
            self.n += 1
            repo = self.rng.choice(sorted(self.repos))
            self.rng.choices((self.image, self.index, self.referrer, self.retag, self.delete_tag, self.delete_manifest,
                              self.delete_blob, self.mount), (5, 1, 2, 2, 1, 2, 1, 2))[0](s, c, repo)
        c.close()

    def blob(self, s, c, repo):
        known = self.repos[repo]["blobs"]
        if known and self.rng.random() < 0.4:
            return known[self.rng.choice(sorted(known))]
        data = self.rng.randbytes(self.rng.choice((1, 100, 3000)))
        s.push_blob(repo, data, c)
        known[r.sha256(data)] = data
        return data

    def put(self, s, c, repo, document, tag=None):
        data = json.dumps({**document, "annotations": {"n": str(self.n)}}).encode()
        a = s.put_manifest(repo, tag or r.sha256(data), data, c, document["mediaType"])
        assert a.status == 201, f"manifest: {a.status} {a.body!r}"
        self.repos[repo]["manifests"][r.sha256(data)] = data

    def image(self, s, c, repo):
        tag = self.rng.choice((None, "latest", f"v{self.rng.randrange(6)}"))
        self.put(s, c, repo, r.image(self.blob(s, c, repo), [self.blob(s, c, repo)]), tag)

    def some_manifest(self, repo):
        known = self.repos[repo]["manifests"]
        return known[self.rng.choice(sorted(known))] if known else None

    def index(self, s, c, repo):
        child = self.some_manifest(repo)
        if child:
            self.put(s, c, repo, r.index([(json.loads(child)["mediaType"], child)]), "multi")

    def referrer(self, s, c, repo):
        subject = self.some_manifest(repo) or b"{\"gone\": true}"
        self.put(s, c, repo, r.image(self.blob(s, c, repo), [], artifactType=f"application/vnd.t{self.rng.randrange(2)}",
                                     subject=r.descriptor(r.OCI_MANIFEST, subject)))

    def retag(self, s, c, repo):
        data = self.some_manifest(repo)
        if data:
            a = s.put_manifest(repo, f"v{self.rng.randrange(6)}", data, c, json.loads(data)["mediaType"])
            assert a.status in (201, 400), f"tag: {a.status} {a.body!r}"  # 400: a part of it was deleted since

    def delete_tag(self, s, c, repo):
        s.request("DELETE", f"/v2/{repo}/manifests/v{self.rng.randrange(6)}", None, None, c)

    def delete_manifest(self, s, c, repo):
        data = self.some_manifest(repo)
        if data:
            a = s.request("DELETE", f"/v2/{repo}/manifests/{r.sha256(data)}", None, None, c)
            if a.status == 202:
                del self.repos[repo]["manifests"][r.sha256(data)]

    def delete_blob(self, s, c, repo):
        known = self.repos[repo]["blobs"]
        if known:
            digest = self.rng.choice(sorted(known))
            if s.request("DELETE", f"/v2/{repo}/blobs/{digest}", None, None, c).status == 202:
                del known[digest]

    def mount(self, s, c, repo):
        source = self.rng.choice(sorted(self.repos))
        known = self.repos[source]["blobs"]
        if known:
            digest = self.rng.choice(sorted(known))
            a = s.request("POST", f"/v2/{repo}/blobs/uploads/?mount={digest}&from={source}", b"", None, c)
            assert a.status in (201, 202), f"mount: {a.status} {a.body!r}"
            if a.status == 201:
                self.repos[repo]["blobs"][digest] = known[digest]
            else:
                s.request("DELETE", a.header("Location"), None, None, c)


def pages(s, path, member, c=None):
    found = []
    while path:
        a = s.request("GET", path, connection=c)
        if a.status == 404:
            return found
        assert a.status == 200, f"{path}: {a.status} {a.body!r}"
        found += a.json()[member] or []
        link = a.header("Link")
        path = link.split(">")[0].lstrip("<") if link else None
    return found


def view(s, digests):
    """What clients can see: catalog, tags with what they point to, and of each digest in each repository what it is."""
    seen, c = {}, s.connect()
    for repo in pages(s, "/v2/_catalog", "repositories", c):
        tags = {}
        for tag in pages(s, f"/v2/{repo}/tags/list", "tags", c):
            a = s.request("GET", f"/v2/{repo}/manifests/{tag}", connection=c)
            tags[tag] = (a.status, r.sha256(a.body), a.header("Content-Type"))
        things = {}
        for digest in sorted(digests):
            manifest = s.request("GET", f"/v2/{repo}/manifests/{digest}", connection=c)
            blob = s.request("GET", f"/v2/{repo}/blobs/{digest}", connection=c)
            referrers = pages(s, f"/v2/{repo}/referrers/{digest}", "manifests", c)
            things[digest] = (manifest.status, r.sha256(manifest.body) if manifest.status == 200 else None,
                              blob.status, r.sha256(blob.body) if blob.status == 200 else None,
                              sorted(json.dumps(d, sort_keys=True) for d in referrers))
        seen[repo] = (tags, things)
    c.close()
    return seen
