"""A video signed with a certificate made for the test says whose it is, that AI made it, and that nobody changed it."""

from __future__ import annotations

import datetime
import json
import sys

import pytest
import torch

from sadtalker_core.compose.signature import AI_MADE, Signature
from sadtalker_core.compose.video import VideoWriter
from sadtalker_core.errors import OptionError, SigningError
from tests.compose.test_video import read_metadata


@pytest.fixture(scope="module")
def signature(tmp_path_factory) -> Signature:
    """A studio's certificate, vouched for by a root of its own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(who):
        words = ((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, who), (NameOID.COMMON_NAME, who))
        return x509.Name([x509.NameAttribute(which, text) for which, text in words])

    def certificate(who, public, by, by_key, root):
        now = datetime.datetime.now(datetime.timezone.utc)
        uses = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        made = x509.CertificateBuilder().subject_name(name(who)).issuer_name(name(by)).public_key(public)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        made = made.not_valid_after(now + datetime.timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        use = x509.KeyUsage(digital_signature=not root, key_cert_sign=root, crl_sign=root, **uses)
        made = made.add_extension(use, critical=True)
        if not root:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key())
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        return made.add_extension(above, critical=False).sign(by_key, hashes.SHA256())

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = [
        certificate("Studio", key.public_key(), "Root", root_key, root=False),
        certificate("Root", root_key.public_key(), "Root", root_key, root=True),
    ]
    folder = tmp_path_factory.mktemp("certificates \u00fc")
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(b"".join(one.public_bytes(pem) for one in chain))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Signature(folder / "chain.pem", folder / "key.pem")


def write(path, signature=None):
    """A grey clip of five frames with a tone."""
    tone = torch.sin(torch.arange(3200) / 10)
    with VideoWriter(
        path, (64, 48), 25.0, audio=(tone, 16_000), metadata={"workflow": "{}"}, signature=signature
    ) as video:
        video.write(torch.full((5, 48, 64, 3), 0.5))
    return path


def manifest_of(path):
    """-> the active manifest, and what the reader says about its truth."""
    import c2pa

    with c2pa.Reader(path) as reader:
        report = json.loads(reader.json())
    return report["manifests"][report["active_manifest"]], report["validation_results"]["activeManifest"]


def test_a_signed_video_names_its_owner_and_that_ai_made_it(tmp_path, signature):
    manifest, _ = manifest_of(write(tmp_path / "a.mp4", signature))
    assert manifest["signature_info"]["issuer"] == "Studio"
    assert manifest["claim_generator_info"][0]["name"] == "SadTalker Nodes"
    (actions,) = (one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions"))
    assert [(one["action"], one["digitalSourceType"]) for one in actions] == [("c2pa.created", AI_MADE)]
    assert AI_MADE.endswith("/trainedAlgorithmicMedia")


def test_the_signature_holds_until_somebody_changes_the_video(tmp_path, signature):
    path = write(tmp_path / "a.mp4", signature)
    _, report = manifest_of(path)
    # The root was made for this test, so nobody trusts it; everything else is as it should be.
    assert [one["code"] for one in report["failure"]] == ["signingCredential.untrusted"]
    assert {"claimSignature.validated", "assertion.bmffHash.match"} <= {one["code"] for one in report["success"]}
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    _, report = manifest_of(path)
    assert "assertion.bmffHash.mismatch" in {one["code"] for one in report["failure"]}


def test_a_signed_video_still_carries_its_graph(tmp_path, signature):
    path = write(tmp_path / "a.mp4", signature)
    assert read_metadata(path)["workflow"] == "{}"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_nobody_signs_unless_asked(tmp_path):
    import c2pa

    with pytest.raises(c2pa.C2paError, match="ManifestNotFound"):
        c2pa.Reader(write(tmp_path / "a.mp4"))


def test_what_cannot_sign_is_reported_before_the_first_frame(tmp_path, signature):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate", encoding="utf-8")
    with pytest.raises(SigningError, match="broken.pem.*must belong to the key"):
        VideoWriter(tmp_path / "a.mp4", (64, 48), 25.0, signature=Signature(broken, signature.private_key))
    with pytest.raises(SigningError, match="no file with the private key at .*gone.pem"):
        Signature(signature.certificates, tmp_path / "gone.pem")
    with pytest.raises(OptionError, match="es256, es384"):
        Signature(signature.certificates, signature.private_key, "rsa")


def test_without_the_package_one_sentence_explains_what_to_install(tmp_path, signature, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(SigningError, match="pip install c2pa-python"):
        VideoWriter(tmp_path / "a.mp4", (64, 48), 25.0, signature=signature)
    write(tmp_path / "a.mp4")
