#!/usr/bin/env python3
"""People of an LDAP directory, against a real slapd; by the ids of the attack list (AUTH-20..22, AUTH-28)."""
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

os.environ["PATH"] += ":/usr/sbin"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pki  # noqa: E402
import registry as r  # noqa: E402
import slapd as ldap  # noqa: E402
import tap  # noqa: E402
from tap import case, same  # noqa: E402

ACCESS = ("--access=[{who: \"group:dev\", repositories: team/**, allow: [pull, push]}, "
          "{who: authenticated, repositories: \"home/${user}/**\", allow: [pull, push]}, "
          "{who: \"group:barred\", repositories: \"**\", deny: push}]")


def daemon(server, *options, url=None, **more):
    return r.Daemon(*server.options(url), ACCESS, "--auth.password_cache=0s", "--auth.ldap.timeout=1s", "--auth.throttle.failures=500",
                    *options, **more)


def push(d, repo, name, password):
    return d.request("POST", f"/v2/{repo}/blobs/uploads/?digest={r.sha256(b'x')}", b"x",
                     {"Authorization": r.basic(f"{name}:{password}"), "Content-Type": "application/octet-stream"}).status


def searches(server):
    return server.log_text().count("SRCH base")


@case("a password binds over ldaps, and groups decide")
def binds(server):
    with daemon(server) as d:
        same("in the group", 201, push(d, "team/a", "alice", "alice-secret"))
        same("not in it", 403, push(d, "team/a", "bob", "bob-secret"))
        same("its own place", 201, push(d, "home/bob/a", "bob", "bob-secret"))
        same("the name as the directory has it", 201, push(d, "home/bob/a", "BOB", "bob-secret"))
        same("a wrong password", 401, push(d, "team/a", "alice", "bob-secret"))
        same("nobody", 401, push(d, "team/a", "mallory", "x"))
        same("passwords are not in the log", False, "-secret" in d.log_text())


@case("over StartTLS as well, and over nothing plain but this machine")
def start_tls(server):
    with daemon(server, "--auth.ldap.start_tls", url=server.plain) as d:
        same("in the group", 201, push(d, "team/a", "alice", "alice-secret"))
    same("TLS was begun", True, "STARTTLS" in server.log_text())
    d = r.Daemon(*server.options("ldap://ldap.example.org"), ACCESS)
    try:
        d.start()
        raise AssertionError("it starts")
    except AssertionError as e:
        same("why not", True, "ldaps://HOST" in str(e))
    finally:
        d.close()


@case("docker's way: a token for a person in a group, and no refresh token")
def tokens(server):
    with daemon(server) as d:
        a = d.request("GET", "/token?service=berthd&scope=repository:team/a:pull,push&offline_token=true",
                      headers={"Authorization": r.basic("alice:alice-secret")})
        same("token", 200, a.status)
        same("no refresh: a new password would not be seen", False, "refresh_token" in a.json())
        bearer = {"Authorization": f"Bearer {a.json()['token']}", "Content-Type": "application/octet-stream"}
        same("it pushes", 201, d.request("POST", f"/v2/team/a/blobs/uploads/?digest={r.sha256(b'x')}", b"x", bearer).status)
        same("and not elsewhere", 401, d.request("POST", "/v2/home/alice/a/blobs/uploads/", b"", bearer).status)


@case("AUTH-20: what a name says in a filter is a name")
def injection(server):
    with daemon(server) as d:
        for name in ("*)(uid=*))(|(uid=*", "al*", "*", "alice)(objectClass=*", "\\61lice", "alice\\00", "uid=alice,ou=people", "alice ",
                     "(|(uid=alice", "\u0430lice", "a" * 4000):
            same(name, 401, push(d, "team/a", name, "alice-secret"))
        same("still", 201, push(d, "team/a", "alice", "alice-secret"))


@case("AUTH-21: an empty password is refused before anything is asked")
def empty(server):
    with daemon(server) as d:
        before = server.log_text().count("BIND")
        same("right name", 401, push(d, "team/a", "alice", ""))
        same("no bind", before, server.log_text().count("BIND"))


@case("AUTH-22: StartTLS refused, a certificate of nobody we know, two entries, silence: each is a no")
def wrong_servers(server):
    def refuse_tls(listener):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4096)
                    # an extended response with the result "protocol error", as one without StartTLS gives
                    peer.sendall(bytes.fromhex("300c02010178070a010204000400"))
                    seen.append(peer.recv(4096))

    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse_tls, args=(listener,), daemon=True).start()
        with daemon(server, "--auth.ldap.start_tls", url=f"ldap://127.0.0.1:{listener.getsockname()[1]}") as d:
            same("stripped", 503, push(d, "team/a", "alice", "alice-secret"))
        same("no password went out", False, any(b"secret" in x for x in seen))
    other = pki.Authority(server.work / "other")
    with r.Daemon(*server.options(), f"--auth.ldap.ca={other.ca}", ACCESS) as d:
        same("unknown authority", 503, push(d, "team/a", "alice", "alice-secret"))
    with daemon(server, "--auth.ldap.user_filter=(|(uid=${user})(uid=bob))") as d:
        same("two entries", 401, push(d, "team/a", "alice", "alice-secret"))
    with daemon(server) as d:
        server.pause(True)
        try:
            began = time.monotonic()
            same("silence", 503, push(d, "team/a", "alice", "alice-secret"))
            same("not for ever", True, time.monotonic() - began < 20)
        finally:
            server.pause(False)
        same("and again", 201, push(d, "team/a", "alice", "alice-secret"))


@case("connections are used again, and replaced after the server was away")
def reuse(server):
    with daemon(server) as d:
        push(d, "team/a", "alice", "alice-secret")
        before = server.log_text().count("ACCEPT from")
        for _ in range(20):
            same("again", 201, push(d, "team/a", "alice", "alice-secret"))
        same("no new connection", before, server.log_text().count("ACCEPT from"))
        server.stop()
        same("away", 503, push(d, "team/a", "alice", "alice-secret"))
        server.start()
        same("back", 201, push(d, "team/a", "alice", "alice-secret"))


@case("a right password costs one look within auth.password_cache")
def cached(server):
    with r.Daemon(*server.options(), ACCESS) as d:
        push(d, "team/a", "alice", "alice-secret")
        before = searches(server)
        for _ in range(10):
            same("again", 201, push(d, "team/a", "alice", "alice-secret"))
        same("no search", before, searches(server))


@case("AUTH-28: who left a group has its rights no more")
def leaves(server):
    with daemon(server) as d:
        same("in the group", 201, push(d, "team/a", "carol", "carol-secret"))
        server.modify(f"dn: cn=dev,{ldap.GROUPS}\nchangetype: modify\ndelete: member\nmember: uid=carol,{ldap.PEOPLE}\n")
        same("out of it", 403, push(d, "team/a", "carol", "carol-secret"))
        server.modify(f"dn: cn=barred,{ldap.GROUPS}\nchangetype: modify\nadd: member\nmember: uid=carol,{ldap.PEOPLE}\n")
        same("barred", 403, push(d, "home/carol/a", "carol", "carol-secret"))


@case("a user's key has the groups of now, and ends with the person")
def keys(server):
    with daemon(server) as d:
        key = subprocess.run([r.BERTHD, "key", "add", "dave", "--user", "--root", str(d.root)], capture_output=True, text=True,
                             check=True).stdout.strip()
        r.wait_until("the key counts", lambda: push(d, "team/a", "dave", key) == 201)
        server.modify(f"dn: uid=dave,{ldap.PEOPLE}\nchangetype: delete\n")
        same("gone", 401, push(d, "team/a", "dave", key))


@case("an account of the file is not taken over by one of the directory")
def both(server):
    users = server.work / "users"
    subprocess.run([r.BERTHD, "user", "add", "alice", f"--auth.htpasswd={users}", "--cost=5"], input=b"file", check=True,
                   stdout=subprocess.DEVNULL)
    with daemon(server, f"--auth.htpasswd={users}") as d:
        same("the file's", 201, push(d, "home/alice/a", "alice", "file"))
        same("the directory's", 401, push(d, "home/alice/a", "alice", "alice-secret"))
        same("in another spelling", 401, push(d, "home/alice/a", "ALICE", "alice-secret"))
        same("only in the directory", 201, push(d, "home/bob/a", "bob", "bob-secret"))


def main():
    if not ldap.is_there():
        print("1..0 # SKIP slapd or ldapmodify is not installed")
        return
    with ldap.Slapd(["alice", "bob", "carol", "dave"], {"dev": ["alice", "carol", "dave"], "barred": ["nobody"]}) as server:
        tap.main(server)


main()
