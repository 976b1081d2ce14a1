#!/usr/bin/env python3
"""TLS: versions, names, reloads without a break, client certificates; by the ids of the attack list (AUTH-23..25, HTTP-43)."""
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import registry as r  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

NAMES = "DNS:localhost,DNS:reg.test,IP:127.0.0.1"


class World:
    """An authority, a server certificate, an account, and options for a berthd that uses them."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-tls-"))
        self.ca = pki.Authority(self.work / "ca")
        self.cert, self.key = self.ca.make("server", NAMES)
        self.users = self.work / "users"
        subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={self.users}", "--cost=5"], input=b"secret", check=True)

    def certificates(self, *pairs):
        return "--tls.certificates=[%s]" % ", ".join("{certificate: '%s', key: '%s'}" % p for p in pairs or ((self.cert, self.key),))

    def accounts(self):
        return (f"--auth.htpasswd={self.users}", "--access=[{who: alice, repositories: '**', allow: [pull, push, delete]}, "
                "{who: 'cert:spiffe://x/ci', repositories: 'ci/**', allow: [pull, push]}]")

    def daemon(self, *options, **more):
        more.setdefault("ssl", self.ca.context())
        more.setdefault("user", "alice:secret")
        return r.Daemon(self.certificates(), *self.accounts(), *options, **more)


def s_client(d, *args, input=b""):
    """What openssl s_client says of a handshake."""
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{d.port}", *args], input=input, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=r.WAIT_S, env={**os.environ, "OPENSSL_CONF": "/dev/null"})
    return p.stdout.decode(errors="replace")


def shakes_hands(d, *args):
    """(version, cipher) or None."""
    found = re.search(r"^New, (\S+), Cipher is (\S+)", s_client(d, *args), re.M)
    return (found[1], found[2]) if found and found[2] != "(NONE)" else None


def subject_for(d, name, ca):
    context = ca.context()
    context.check_hostname = False
    with socket.create_connection(("127.0.0.1", d.port), timeout=r.WAIT_S) as s, context.wrap_socket(s, server_hostname=name) as t:
        return dict(x[0] for x in t.getpeercert()["subject"])["commonName"]


@case("AUTH-24 TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, nothing else")
def versions(w):
    with w.daemon() as d:
        same("1.3", "TLSv1.3", shakes_hands(d, "-tls1_3")[0])
        same("1.2", "TLSv1.2", shakes_hands(d, "-tls1_2")[0])
        for args in (["-tls1"], ["-tls1_1"], ["-tls1_2", "-cipher", "RC4:3DES:NULL:EXPORT:aNULL:@SECLEVEL=0"],
                     ["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA256:@SECLEVEL=0"], ["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"],
                     ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
                     ["-tls1_2", "-no_etm", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
                     ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "DHE:@SECLEVEL=0"]):
            same(" ".join(args), None, shakes_hands(d, *args))
        text = s_client(d, "-tls1_2", "-comp")
        same("no compression", True, "Compression: NONE" in text)
        same("no ticket", False, "TLS session ticket" in text)
        same("serves on", 200, d.request("GET", "/v2/").status)


@case("AUTH-24 renegotiation by the client ends its connection")
def renegotiation(w):
    with w.daemon() as d:
        for _ in range(5):
            text = s_client(d, "-tls1_2", "-legacy_renegotiation", input=b"R\n" * 20)
            same("refused", True, "RENEGOTIATING" in text and text.count("verify return:1") <= 8)
        same("serves on", 200, d.request("GET", "/v2/").status)


@case("ALPN: http/1.1")
def alpn(w):
    with w.daemon() as d:
        same("chosen", True, "ALPN protocol: http/1.1" in s_client(d, "-alpn", "h2,http/1.1"))
        same("h2 only is not fatal", True, shakes_hands(d, "-alpn", "h2") is not None)


@case("the name that the client asks for chooses among certificates; without one it is the first")
def sni(w):
    other = w.ca.make("other", "DNS:other.test,DNS:*.wild.test")
    with r.Daemon(w.certificates((w.cert, w.key), other), *w.accounts()) as d:
        d.ssl = w.ca.context()
        same("first", "server", subject_for(d, None, w.ca))
        same("own name", "server", subject_for(d, "reg.test", w.ca))
        same("other name", "other", subject_for(d, "other.test", w.ca))
        same("wildcard", "other", subject_for(d, "x.wild.test", w.ca))
        same("unknown", "server", subject_for(d, "unknown.test", w.ca))


@case("RSA and ECDSA certificates for one name")
def two_kinds(w):
    base = w.work / "rsa"
    pki.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 30, "-subj", "/CN=rsa", "-addext", f"subjectAltName={NAMES}",
                "-keyout", f"{base}.key", "-out", f"{base}.pem")
    with r.Daemon(w.certificates((w.cert, w.key), (f"{base}.pem", f"{base}.key")), *w.accounts()) as d:
        same("ECDSA", True, "ECDSA" in shakes_hands(d, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")[1])
        same("RSA", True, "RSA" in shakes_hands(d, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")[1])


@case("blobs go both ways through TLS, in ranges as well")
def blobs(w):
    with w.daemon() as d:
        data = os.urandom(5 << 20)
        d.push_blob("tls", data)
        where = d.open_session("tls")
        same("patch", 202, d.request("PATCH", where, data[:1 << 20]).status)
        same("put", 201, d.request("PUT", f"{where}?digest={r.sha256(data)}", data[1 << 20:]).status)
        same("whole", True, d.request("GET", f"/v2/tls/blobs/{r.sha256(data)}").body == data)
        a = d.request("GET", f"/v2/tls/blobs/{r.sha256(data)}", headers={"Range": "bytes=1000000-2999999"})
        same("part", (206, True), (a.status, a.body == data[1000000:3000000]))


@case("a new certificate is served as soon as its files are there, and after SIGHUP")
def reload(w):
    cert, key = w.work / "live.pem", w.work / "live.key"
    first, second, third = (w.ca.make(f"gen{i}", NAMES) for i in range(3))
    shutil.copy(first[0], cert), shutil.copy(first[1], key)
    with r.Daemon(w.certificates((cert, key)), *w.accounts()) as d:
        same("first", "gen0", subject_for(d, None, w.ca))
        shutil.copy(second[1], key), shutil.copy(second[0], cert)
        r.wait_until("the second", lambda: subject_for(d, None, w.ca) == "gen1")
        os.utime(cert, (1, 1))  # what SIGHUP is for: files that look as before
        for source, to in zip(third, (cert, key)):
            os.replace(shutil.copy(source, w.work / "tmp"), to)
        d.process.send_signal(signal.SIGHUP)
        r.wait_until("the third", lambda: subject_for(d, None, w.ca) == "gen2")


@case("AUTH-25 half of a pair, then SIGHUP: the old pair stays, and the log says so")
def torn(w):
    cert, key = w.work / "torn.pem", w.work / "torn.key"
    first, second = w.ca.make("torn0", NAMES), w.ca.make("torn1", NAMES)
    shutil.copy(first[0], cert), shutil.copy(first[1], key)
    with r.Daemon(w.certificates((cert, key)), *w.accounts()) as d:
        for spoil in (lambda: shutil.copy(second[0], cert), lambda: cert.write_bytes(pathlib.Path(first[0]).read_bytes()[:300]),
                      lambda: cert.write_text(""), lambda: key.write_text("no key"), lambda: cert.unlink()):
            failures = d.log_text().count("ev=tls.certificates")
            spoil()
            d.process.send_signal(signal.SIGHUP)
            r.wait_until("it is said", lambda: d.log_text().count("ev=tls.certificates") > failures)
            same("level", True, "level=error ev=tls.certificates" in d.log_text())
            same("the old pair", "torn0", subject_for(d, None, w.ca))
        shutil.copy(second[0], cert), shutil.copy(second[1], key)
        r.wait_until("the new pair", lambda: subject_for(d, None, w.ca) == "torn1")


@case("certificates and accounts change under load: no request fails")
def swap_under_load(w):
    cert, key, users = w.work / "swap.pem", w.work / "swap.key", w.work / "swap-users"
    pairs = [w.ca.make(f"swap{i}", NAMES) for i in range(2)]
    shutil.copy(pairs[0][0], cert), shutil.copy(pairs[0][1], key), shutil.copy(w.users, users)
    with r.Daemon(w.certificates((cert, key)), f"--auth.htpasswd={users}", w.accounts()[1], "--log.access=false") as d:
        d.ssl, d.user = w.ca.context(), "alice:secret"
        blob = os.urandom(1 << 20)
        d.push_blob("load", blob)
        failures, counts, stop = [], [0, 0], threading.Event()

        def pull(number, fresh):
            connection = None
            while not stop.is_set():
                try:
                    connection = connection if connection and not fresh else d.connect()
                    a = d.request("GET", f"/v2/load/blobs/{r.sha256(blob)}", connection=connection)
                    if a.status != 200 or a.body != blob:
                        failures.append(f"{a.status} {a.body[:200]!r}")
                    counts[number % 2] += 1
                    if fresh:
                        connection.close()
                except Exception as e:  # noqa: BLE001 - any is a failure here
                    failures.append(repr(e))
                    return

        threads = [threading.Thread(target=pull, args=(i, i % 2 == 1)) for i in range(4)]
        for t in threads:
            t.start()
        for generation in range(8):
            before = list(counts)
            for source, to in zip(pairs[generation % 2], (cert, key)):
                os.replace(shutil.copy(source, w.work / "swap.tmp"), to)
            subprocess.run([r.BERTHD, "user", "passwd", "alice", f"--auth.htpasswd={users}", "--cost=5"], input=b"secret", check=True)
            d.process.send_signal(signal.SIGHUP)
            r.wait_until("more requests", lambda: failures or all(now > then + 10 for now, then in zip(counts, before)))
        stop.set()
        for t in threads:
            t.join()
        same("failures", [], failures[:3])
        same("reloads", True, d.log_text().count("ev=tls.certificates") >= 8 and d.log_text().count("ev=auth.htpasswd") >= 8)


@case("HTTP-43 handshakes that never end are closed, and nobody waits for them")
def half_handshakes(w):
    with w.daemon("--http.head_timeout=2s") as d:
        hello = bytes.fromhex("16030100c8010000c40303") + b"x" * 20
        open_ones = []
        for part in (b"", hello[:3], hello, b"\x16\x03\x01\x40\x00" + b"z" * 100) * 25:
            s = socket.create_connection(("127.0.0.1", d.port), timeout=r.WAIT_S)
            s.sendall(part)
            open_ones.append((s, part))
        same("served meanwhile", 200, d.request("GET", "/v2/").status)
        for s, part in open_ones:
            if part:
                while s.recv(4096):
                    pass  # up to the end
            s.close()
        same("serves on", 200, d.request("GET", "/v2/").status)


@case("what is no TLS gets no answer of ours and harms nobody")
def not_tls(w):
    with w.daemon() as d:
        for data in (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 1000, b"\x80\x2e\x01\0\x02" + b"a" * 50):
            with socket.create_connection(("127.0.0.1", d.port), timeout=r.WAIT_S) as s:
                s.sendall(data)
                with contextlib.suppress(ConnectionResetError):
                    same("no HTTP", False, s.recv(4096).startswith(b"HTTP"))
        same("serves on", 200, d.request("GET", "/v2/").status)


# client certificates

def mtls(w, *options):
    return w.daemon(f"--tls.client_ca={w.ca.ca}", *options, user=None)


def status_with(d, ca, pair, path="/v2/ci/x/tags/list", **more):
    """The status that a client with this certificate gets; "TLS" if there is no handshake."""
    try:
        c = http.client.HTTPSConnection("127.0.0.1", d.port, timeout=r.WAIT_S, context=ca.context(pair))
        return d.request("GET", path, connection=c, **more).status
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return "TLS"


@case("a client certificate is a login: allowed what rules say, denied the rest; a password still works beside it")
def client_certificates(w):
    good = w.ca.make("good", "URI:spiffe://x/ci,DNS:ci.test", "clientAuth")
    with mtls(w) as d:
        same("its own", 404, status_with(d, w.ca, good))
        same("another's", 403, status_with(d, w.ca, good, "/v2/else/tags/list"))
        same("without one", 401, status_with(d, w.ca, None))
        same("password", 404, status_with(d, w.ca, None, "/v2/else/tags/list", headers={"Authorization": r.basic("alice:secret")}))
        same("password and certificate", 404, status_with(d, w.ca, good, "/v2/else/tags/list", headers={"Authorization": r.basic("alice:secret")}))
        same("wrong password and certificate", 401, status_with(d, w.ca, good, headers={"Authorization": r.basic("alice:wrong")}))
        c = http.client.HTTPSConnection("127.0.0.1", d.port, timeout=r.WAIT_S, context=w.ca.context(good))
        for _ in range(3):  # one connection, one login
            same("push", 202, d.request("POST", "/v2/ci/x/blobs/uploads/", b"", connection=c).status)
        same("in the log", True, "who=cert:spiffe://x/ci" in d.log_text())


@case("AUTH-23 certificates that do not count: a TLS alert or 401, never another's rights")
def bad_certificates(w):
    evil = pki.Authority(w.work / "evil", "test authority")  # the same name
    uri = "URI:spiffe://x/ci"
    now = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400))
    leaf_ca = w.ca.make("leafca", uri, "clientAuth", ca=True)
    pki.openssl("req", "-x509", *w.ca.key_args("self"), "-days", 3, "-subj", "/CN=self", "-addext", f"subjectAltName={uri}",
                "-addext", "extendedKeyUsage=clientAuth", "-out", w.ca.dir / "self.pem")
    sub = pki.Authority(w.work / "sub")  # signed by a leaf that is none
    plain_leaf = w.ca.make("plainleaf", uri, "clientAuth")
    shutil.copy(plain_leaf[0], sub.dir / "ca.pem"), shutil.copy(plain_leaf[1], sub.dir / "ca.key")
    below = sub.make("below", uri, "clientAuth")
    chain = w.work / "below-chain.pem"
    chain.write_bytes(pathlib.Path(below[0]).read_bytes() + pathlib.Path(plain_leaf[0]).read_bytes())
    revoked = w.ca.make("revoked", uri, "clientAuth")
    w.ca.revoke(revoked[0])
    bad = {
        "no key usage": w.ca.make("nouse", uri, None), "for servers": w.ca.make("srvuse", uri, "serverAuth"),
        "expired": w.ca.make("expired", uri, "clientAuth", end="20210101000000Z"), "not yet": w.ca.make("early", uri, "clientAuth", start=now),
        "self-signed": (str(w.ca.dir / "self.pem"), str(w.ca.dir / "self.key")), "an authority's": leaf_ca,
        "another authority of the same name": evil.make("good", uri, "clientAuth"), "below a leaf": (str(chain), below[1]),
        "revoked": revoked, "no name but the subject's": w.ca.make("spiffe-cn", None, "clientAuth", subject="/CN=spiffe:\\/\\/x\\/ci"),
        "only a common name": w.ca.make("alice", None, "clientAuth", subject="/CN=alice"),
        "wildcard": w.ca.make("wild", "DNS:*.test", "clientAuth"), "blank in the name": w.ca.make("blank", "URI:spiffe://x/c i", "clientAuth"),
    }
    with mtls(w, f"--tls.client_crl={w.ca.crl}") as d:
        for what, pair in bad.items():
            tap.one_of(what, (401, "TLS"), status_with(d, w.ca, pair))
            tap.one_of(f"{what}, with a password", (401, "TLS"),
                       status_with(d, w.ca, pair, headers={"Authorization": r.basic("alice:secret")}))
        same("a good one", 404, status_with(d, w.ca, w.ca.make("good", uri, "clientAuth")))


@case("AUTH-23 a NUL in a name ends nothing")
def nul_in_name(w):
    """DNS "ci.test\\0.evil": made by hand, since tools refuse to."""
    conf = w.work / "nul.cnf"
    name = b"ci.test\0.evil"
    san = bytes([0x30, 2 + len(name), 0x82, len(name)]) + name
    conf.write_text(f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=DER:{san.hex(':')}\n")
    base = w.work / "nul"
    pki.openssl("req", *w.ca.key_args("nul")[:-1], f"{base}.key", "-subj", "/CN=nul", "-out", f"{base}.csr")
    pki.openssl("ca", "-batch", "-config", w.ca.dir / "conf", "-in", f"{base}.csr", "-out", f"{base}.pem", "-extfile", conf, "-notext", "-days", 30)
    with w.daemon(f"--tls.client_ca={w.ca.ca}", "--tls.client_name=dns", user=None) as d:
        tap.one_of("NUL", (401, "TLS"), status_with(d, w.ca, (f"{base}.pem", f"{base}.key"), "/v2/"))
        same("whole", 200, status_with(d, w.ca, w.ca.make("dns", "DNS:ci.test", "clientAuth"), "/v2/"))


@case("which name counts is an option; the common name only where it says so")
def name_option(w):
    all_names = w.ca.make("all", "DNS:d.test,email:e@x.test,URI:spiffe://x/u", "clientAuth", subject="/CN=common")
    for option, who in (("san", "spiffe://x/u"), ("uri", "spiffe://x/u"), ("email", "e@x.test"), ("dns", "d.test"), ("cn", "common")):
        with mtls(w, f"--tls.client_name={option}") as d:
            same(option, 200, status_with(d, w.ca, all_names, "/v2/"))
            r.wait_until(f"log of {option}", lambda: f"who=cert:{who} " in d.log_text())


@case("a certificate that is revoked stops counting on open connections too")
def revoked_while_open(w):
    pair = w.ca.make("later", "URI:spiffe://x/ci", "clientAuth")
    crl = w.work / "live.crl"
    shutil.copy(w.ca.crl, crl)
    with mtls(w, f"--tls.client_crl={crl}") as d:
        c = http.client.HTTPSConnection("127.0.0.1", d.port, timeout=r.WAIT_S, context=w.ca.context(pair))
        same("before", 404, d.request("GET", "/v2/ci/x/tags/list", connection=c).status)
        w.ca.revoke(pair[0])
        os.replace(shutil.copy(w.ca.crl, w.work / "tmp.crl"), crl)
        r.wait_until("after", lambda: d.request("GET", "/v2/ci/x/tags/list", connection=c).status == 401)


# where it may listen

def starts(*options):
    d = r.Daemon(*options)
    try:
        with d:
            return True
    except AssertionError as e:
        same("the reason", True, "is not loopback" in str(e))
        d.close()
        return False


@case("another address than loopback: with TLS and accounts, or with the flag")
def beyond_loopback(w):
    everywhere = "--listen=0.0.0.0:0"
    same("TLS and accounts", True, starts(everywhere, w.certificates(), *w.accounts()))
    same("TLS and client certificates", True, starts(everywhere, w.certificates(), f"--tls.client_ca={w.ca.ca}", w.accounts()[1]))
    same("TLS alone", False, starts(everywhere, w.certificates()))
    same("accounts alone", False, starts(everywhere, *w.accounts()))
    same("neither, with the flag", True, starts(everywhere, "--http.insecure"))


@case("what is wrong with certificates stops the start, and says where")
def bad_options(w):
    other = w.ca.make("unfit", NAMES)
    junk = w.work / "junk.pem"
    junk.write_text("junk")
    for options, text in (((w.certificates((w.cert, other[1])),), "server.pem with"), ((w.certificates((junk, w.key)),), "junk.pem"),
                          ((w.certificates(("/nowhere", w.key)),), "/nowhere"), (("--tls.certificates=[{certificate: x}]",), "tls.certificates, line 1: key must be"),
                          (("--tls.certificates=[{certificate: x, key: y, z: z}]",), "there is no \"z\" here"),
                          (("--tls.client_ca=" + w.ca.ca,), "needs tls.certificates"), ((w.certificates(), f"--tls.client_crl={w.ca.crl}"), "of no use without"),
                          ((w.certificates(), f"--tls.client_ca={junk}", w.accounts()[1]), "junk.pem")):
        p = subprocess.run([r.BERTHD, "serve", "--root", str(w.work / "root"), "--listen", "127.0.0.1:0", *options],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=r.WAIT_S)
        same(f"status of {text}", True, p.returncode in (1, 2))
        same(f"message of {text}: {p.stderr[-300:]!r}", True, text in p.stderr.decode())


if __name__ == "__main__":
    world = World()
    try:
        tap.main(world)
    finally:
        shutil.rmtree(world.work, ignore_errors=True)
