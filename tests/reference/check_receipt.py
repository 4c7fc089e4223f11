"""Checks erasure receipts with other people's COSE, CBOR, Ed25519 and BLAKE3.

Run as

    UNLEARN_RECEIPTS=/tmp/receipts cargo test --test receipts -- --ignored write_receipts
    python tests/reference/check_receipt.py /tmp/receipts

at the root of the repository. Needs pycose, cbor2 below 6 (pycose 1.1 wants its
lists), cryptography and blake3. The folder holds receipts
(`N.receipt`), the public key (`device.key`), and `N.nonce` and `N.name` of the subject of each. Checked
are: the envelope and its signature, twice (pycose; and by hand with cbor2 and cryptography), the key id,
the digest that each receipt names, that canonical JSON gives the same payload, and the commitments.
"""

import json
import pathlib
import sys

import cbor2
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pycose.keys import OKPKey
from pycose.messages import Sign1Message

AAD = b"unlearn erasure receipt, version 1"
CONTENT = "application/vnd.unlearn.receipt-v1+json"
COMMITMENT = "unlearn 2026-11 erasure receipt, commitment to a subject, version 1"


def commit(nonce, name):
    """The commitment to a subject, as the room's documentation defines it."""
    hasher = blake3(derive_key_context=COMMITMENT)
    for part in (nonce, name):
        hasher.update(len(part).to_bytes(8, "little") + part)
    return hasher.hexdigest()


def by_hand(data, key):
    """Payload of an envelope whose signature holds, from RFC 9052 section 4.4."""
    tagged = cbor2.loads(data)
    assert tagged.tag == 18, "no COSE_Sign1"
    protected, unprotected, payload, signature = tagged.value
    header = cbor2.loads(protected)
    assert dict(header) == {1: -8, 3: CONTENT, 4: blake3(key).digest()[:8]}, header
    assert not unprotected, unprotected
    signed = cbor2.dumps(["Signature1", protected, AAD, payload])
    Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    return payload


def by_pycose(data, key):
    """Whether pycose finds the signature right."""
    message = Sign1Message.decode(data)
    message.external_aad = AAD
    message.key = OKPKey(crv="Ed25519", x=key)
    return message.verify_signature()


def main():
    folder = pathlib.Path(sys.argv[1])
    text = (folder / "device.key").read_text().strip()
    key = bytes.fromhex(text.removeprefix("unlearn-key-v1:"))
    files = sorted(folder.glob("*.receipt"), key=lambda path: int(path.stem))
    assert files, "no receipts"
    before = None
    for number, path in enumerate(files, 1):
        data = path.read_bytes()
        payload = by_hand(data, key)
        assert by_pycose(data, key), "pycose finds the signature wrong"
        receipt = json.loads(payload)
        again = json.dumps(receipt, separators=(",", ":"), ensure_ascii=False).encode()
        assert again == payload, "Python spells the payload otherwise"
        assert (receipt["sequence"], receipt["previous"]) == (number, before)
        before = blake3(data).hexdigest()
        nonce = bytes.fromhex(path.with_suffix(".nonce").read_text())
        name = path.with_suffix(".name").read_bytes()
        assert receipt["requests"][0]["subject"] == commit(nonce, name), "the commitment differs"
        changed = payload.replace(b'"restarts":2', b'"restarts":0')
        forged = data.replace(payload, changed)
        assert forged != data and not by_pycose(forged, key), "pycose takes a forgery"
        try:
            by_hand(forged, key)
        except InvalidSignature:
            pass
        else:
            raise AssertionError("a forgery passes")
        print(f"{path.name}: holds, {len(data)} bytes, {receipt['method']['guarantee']}")


main()
