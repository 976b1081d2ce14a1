"""Certificates for tests, made with the openssl command line: an authority, what it signs, what it revokes."""
import pathlib
import ssl
import subprocess


def openssl(*args, **more):
    subprocess.run(["openssl", *map(str, args)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


class Authority:
    """A directory with ca.pem, ca.key and ca.crl; each make() adds NAME.pem and NAME.key."""

    def __init__(self, directory, name="test authority"):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "index").write_text("")
        (self.dir / "serial").write_text("1000\n")
        (self.dir / "conf").write_text(
            "[ca]\ndefault_ca = own\n[own]\n"
            f"dir = {self.dir}\ndatabase = $dir/index\nserial = $dir/serial\nnew_certs_dir = $dir\ncertificate = $dir/ca.pem\n"
            "private_key = $dir/ca.key\ndefault_md = sha256\ndefault_crl_days = 30\npolicy = any\nunique_subject = no\n"
            "copy_extensions = none\n[any]\ncommonName = optional\n")
        openssl("req", "-x509", *self.key_args("ca"), "-days", 30, "-subj", f"/CN={name}", "-out", self.dir / "ca.pem",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.write_crl()

    @property
    def ca(self):
        return str(self.dir / "ca.pem")

    @property
    def crl(self):
        return str(self.dir / "ca.crl")

    def key_args(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.dir / f"{name}.key"]

    def make(self, name, san=None, use="serverAuth", subject=None, start=None, end=None, ca=False, into=None):
        """Returns (certificate, key).  start, end: YYYYMMDDHHMMSSZ.  san: "DNS:x,URI:y"; use None: no extended key usage."""
        base = pathlib.Path(into or self.dir) / name
        lines = [f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}"]
        if san:
            lines.append(f"subjectAltName={san}")
        if use:
            lines.append(f"extendedKeyUsage={use}")
        base.with_suffix(".ext").write_text("\n".join(lines) + "\n")
        openssl("req", *self.key_args(name)[:-1], base.with_suffix(".key"), "-subj", subject or f"/CN={name}",
                "-out", base.with_suffix(".csr"))
        span = ["-startdate", start or "20200101000000Z", "-enddate", end or "20990101000000Z"]
        openssl("ca", "-batch", "-config", self.dir / "conf", "-in", base.with_suffix(".csr"), "-out", base.with_suffix(".pem"),
                "-extfile", base.with_suffix(".ext"), "-notext", *span)
        return str(base.with_suffix(".pem")), str(base.with_suffix(".key"))

    def revoke(self, certificate):
        openssl("ca", "-config", self.dir / "conf", "-revoke", certificate)
        self.write_crl()

    def write_crl(self):
        openssl("ca", "-config", self.dir / "conf", "-gencrl", "-out", self.crl)

    def context(self, pair=None, **more):
        """A client's view: trusts this authority, shows a certificate if one is given."""
        c = ssl.create_default_context(cafile=self.ca)
        if pair:
            c.load_cert_chain(*pair)
        for key, value in more.items():
            setattr(c, key, value)
        return c
