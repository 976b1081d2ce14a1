"""A slapd of one's own: an organisation with people and groups, plain, StartTLS and ldaps, on ports of this machine."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pki

SUFFIX = "dc=test"
ADMIN = f"cn=admin,{SUFFIX}"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
WAIT_S = 30

CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {work}/pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
{more}
database mdb
suffix {suffix}
rootdn {admin}
rootpw admin-secret
directory {work}/db
maxsize 16777216
index uid eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,{suffix}" read by anonymous auth by * none
"""


def entry(dn, *classes, **attributes):
    lines = [f"dn: {dn}", *(f"objectClass: {c}" for c in classes)]
    for name, values in attributes.items():
        lines += [f"{name}: {v}" for v in (values if isinstance(values, list) else [values])]
    return "\n".join(lines) + "\n\n"


def person(uid, password, ou=PEOPLE):
    return entry(f"uid={uid},{ou}", "inetOrgPerson", uid=uid, cn=uid, sn=uid, userPassword=password)


def group(name, *uids):
    return entry(f"cn={name},{GROUPS}", "groupOfNames", cn=name, member=[f"uid={u},{PEOPLE}" for u in uids])


class Slapd:
    """Starts at once.  Passwords of people are their names and "-secret"; cn=reader may search."""

    def __init__(self, people, groups, more=""):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="berth-slapd-"))
        (self.work / "db").mkdir()
        self.ca = pki.Authority(self.work / "ca")
        certificate, key = self.ca.make("ldap", "DNS:localhost,IP:127.0.0.1")
        (self.work / "conf").write_text(CONF.format(work=self.work, ca=self.ca.ca, certificate=certificate, key=key, suffix=SUFFIX,
                                                    admin=ADMIN, more=more))
        base = entry(SUFFIX, "dcObject", "organization", dc="test", o="test") + "".join(
            entry(f"ou={ou},{SUFFIX}", "organizationalUnit", ou=ou) for ou in ("people", "groups"))
        base += entry(f"cn=reader,{SUFFIX}", "person", cn="reader", sn="reader", userPassword="reader-secret")
        base += "".join(person(p, f"{p}-secret") for p in people)
        base += "".join(group(name, *members) for name, members in groups.items())
        (self.work / "ldif").write_text(base)
        subprocess.run(["slapadd", "-f", self.work / "conf", "-l", self.work / "ldif"], check=True, capture_output=True)
        (self.work / "reader").write_text("reader-secret\n")
        self.ports = [self._free_port() for _ in range(2)]
        self.process = None
        self.start()

    @staticmethod
    def _free_port():
        with socket.create_server(("127.0.0.1", 0)) as s:
            return s.getsockname()[1]

    @property
    def plain(self):
        return f"ldap://127.0.0.1:{self.ports[0]}"

    @property
    def tls(self):
        return f"ldaps://127.0.0.1:{self.ports[1]}"

    def start(self):
        self.log = open(self.work / "log", "ab")
        self.process = subprocess.Popen(
            ["slapd", "-d", "256", "-f", self.work / "conf", "-h", f"{self.plain}/ {self.tls}/"], stdout=self.log, stderr=self.log)
        end = time.monotonic() + WAIT_S
        for port in self.ports:
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise AssertionError(f"slapd does not start: {self.log_text()[-2000:]}")
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=WAIT_S)
        self.log.close()
        self.process = None

    def pause(self, on):
        self.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def modify(self, ldif):
        subprocess.run(["ldapmodify", "-x", "-H", self.plain, "-D", ADMIN, "-w", "admin-secret"], input=ldif.encode(), check=True,
                       capture_output=True)

    def log_text(self):
        return (self.work / "log").read_text(errors="replace")

    def options(self, url=None):
        """Of a berthd that asks it."""
        return (f"--auth.ldap.url={url or self.tls}", f"--auth.ldap.ca={self.ca.ca}", f"--auth.ldap.users={PEOPLE}",
                f"--auth.ldap.groups={GROUPS}", f"--auth.ldap.bind_dn=cn=reader,{SUFFIX}",
                f"--auth.ldap.bind_password={self.work / 'reader'}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.pause(False)
            self.stop()
        shutil.rmtree(self.work, ignore_errors=True)


def is_there():
    return bool(shutil.which("slapd") and shutil.which("ldapmodify")) or os.path.exists("/usr/sbin/slapd")
