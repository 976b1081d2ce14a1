"""Tokens and key sets made with the openssl command line, so that tests can sign what no provider would."""
import base64
import json
import pathlib
import re
import subprocess


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


class RsaKey:
    def __init__(self, directory, kid, bits=2048):
        self.kid = kid
        self.path = pathlib.Path(directory) / f"{kid}.rsa"
        subprocess.run(["openssl", "genrsa", "-out", self.path, str(bits)], check=True, capture_output=True)

    def jwk(self):
        text = subprocess.run(["openssl", "rsa", "-in", self.path, "-noout", "-modulus"], check=True, capture_output=True,
                              text=True).stdout
        n = bytes.fromhex(re.search("Modulus=([0-9A-F]+)", text)[1])
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": b64(n), "e": "AQAB"}

    def sign(self, payload, **header):
        body = f"{b64({'alg': 'RS256', 'typ': 'JWT', 'kid': self.kid, **header})}.{b64(payload)}"
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.path], input=body.encode(), check=True,
                                   capture_output=True).stdout
        return f"{body}.{b64(signature)}"


def key_set(*keys):
    return json.dumps({"keys": [k.jwk() for k in keys]})
