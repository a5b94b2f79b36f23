"""Inside a cluster: the account of the pod, whose token is renewed while Andon runs, over TLS with the cluster's CA."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from integrations.contract import over
from integrations.kubernetes.cluster import Cluster
from integrations.kubernetes.config import read
from integrations.kubernetes.deployer import KubernetesDeployer
from tests.integrations.kubernetes.api import TOKEN, Api
from tests.integrations.kubernetes.rig import Shop, order, workload


def certificate(path: Path) -> ssl.SSLContext:
    """Make a certificate of this host that is its own CA; what a server needs to show it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.mkdir()
    (path / "ca.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (path / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "ca.crt", path / "key")
    return context


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A shop whose API server is found as a pod finds it; its account is in `account`."""
    account = tmp_path / "account"
    async with Api().running(certificate(account)) as api:
        (account / "token").write_text(TOKEN)
        (account / "namespace").write_text("andon")
        host, _, port = api.url.removeprefix("https://").partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        yield Shop(api, tmp_path, workload())


def deployer_of(shop: Shop) -> KubernetesDeployer:
    config, targets = read({"namespace": "shop"}, {"checkout": {}})
    return KubernetesDeployer(config, targets, cluster=Cluster(config, shop.path / "account"))


async def test_the_account_of_the_pod_is_enough(inside: Shop) -> None:
    deployer = deployer_of(inside)
    assert (await over(inside, deployer, await deployer.start(order("k-1")))).outcome is Outcome.SUCCEEDED
    assert TOKEN not in repr(deployer)


async def test_a_token_that_was_renewed_is_read_again(inside: Shop) -> None:
    deployer = deployer_of(inside)
    ref = await deployer.start(order("k-1"))
    inside.api.token = "another-word"
    with pytest.raises(PermanentError, match="401"):
        await deployer.status(ref)
    (inside.path / "account/token").write_text("another-word")
    assert (await over(inside, deployer, ref)).outcome is Outcome.SUCCEEDED
    inside.api.token = "third-word"
    (inside.path / "account/token").write_text("third-word")
    assert (await deployer.status(ref)).outcome is Outcome.SUCCEEDED, "at once, without a refusal"


async def test_another_certificate_is_not_trusted(inside: Shop) -> None:
    certificate(inside.path / "other")
    (inside.path / "account/ca.crt").write_bytes((inside.path / "other/ca.crt").read_bytes())
    with pytest.raises(TransientError, match="its certificate is not trusted"):
        await deployer_of(inside).start(order("k-1"))


async def test_a_pod_without_its_account_says_so(inside: Shop) -> None:
    (inside.path / "account/token").unlink()
    with pytest.raises(PermanentError, match="no credentials for the cluster that Andon runs in"):
        await deployer_of(inside).start(order("k-1"))
