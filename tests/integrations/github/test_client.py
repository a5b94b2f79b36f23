"""Speaking to GitHub: who asks, what an unwilling answer means, and that the token shows nowhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.errors import PermanentError, PortError, TransientError
from core.releases.problems import validated
from integrations.github.access import Access, AppAccess
from integrations.github.client import GitHub, Refused
from tests.standins.github import HUNG, SECONDARY, Fault, StandIn

DEPLOYMENTS = "/repos/octo/shop/deployments"


def asked(place: StandIn, *, token: str = "open-sesame", timeout: float = 5.0) -> GitHub:
    return GitHub(Access(api=place.url, token_env="GITHUB_TOKEN"), environment={"GITHUB_TOKEN": token}, timeout=timeout)


async def list_deployments(github: GitHub) -> object:
    async with github.open() as api:
        return await api.get("list deployments", DEPLOYMENTS)


async def trouble(github: GitHub) -> PortError:
    with pytest.raises(PortError) as caught:
        await list_deployments(github)
    assert "open-sesame" not in f"{caught.value!r} {caught.value.__cause__!r}"
    return caught.value


async def test_it_asks_as_github_wants_to_be_asked(github: StandIn) -> None:
    assert await list_deployments(asked(github)) == []
    assert github.mistakes == []


async def test_what_did_not_change_costs_nothing_of_the_hourly_limit(github: StandIn) -> None:
    client = asked(github)
    await list_deployments(client)
    left = github.left
    assert await list_deployments(client) == []
    assert (github.left, len(github.calls)) == (left, 2)


async def test_a_long_list_is_read_page_by_page(github: StandIn) -> None:
    for number in range(7):
        github.repository.deploy({"ref": "main", "task": str(number)})
    async with asked(github).open() as api:
        found = await api.items("list deployments", DEPLOYMENTS + "{?per_page}", per_page="3", most=5)
    assert [one["task"] for one in found] == ["6", "5", "4", "3", "2"]
    assert len(github.calls) == 2


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(401, "Bad credentials"), "does not accept the token in GITHUB_TOKEN"),
        (Fault(403, "Resource not accessible", {"x-accepted-github-permissions": "deployments=read"}), "deployments: "),
        (Fault(403, "Resource not accessible by personal access token"), "lacks a permission"),
        (Fault(404, "Not Found"), "that is not there, or the token in GITHUB_TOKEN may not see it"),
        (Fault(409, "Conflict: it is merging"), "Conflict: it is merging"),
        (Fault(422, "No ref found for: main"), "No ref found for: main"),
        (Fault(307, "Moved"), "it has moved"),
    ],
)
async def test_a_refusal_says_what_would_help(github: StandIn, fault: Fault, says: str) -> None:
    github.fails(".*", fault)
    error = await trouble(asked(github))
    assert isinstance(error, Refused)
    assert says in error.message
    assert error.message.endswith(".")
    assert error.status == fault.status


async def test_a_change_is_not_sent_on_to_where_a_redirect_points(github: StandIn) -> None:
    github.fails("POST .*", Fault(307, "Moved Permanently", {"location": f"{github.url}{DEPLOYMENTS}"}))
    async with asked(github).open() as api:
        with pytest.raises(Refused, match="it has moved"):
            await api.post("make a deployment", DEPLOYMENTS, {"ref": "main"})
    assert len(github.calls) == 1


@pytest.mark.parametrize("fault", [Fault(500), Fault(502), Fault(520, "Web Server Returned an Unknown Error")])
async def test_trouble_of_githubs_own_is_no_refusal(github: StandIn, fault: Fault) -> None:
    github.fails(".*", fault)
    assert isinstance(await trouble(asked(github)), TransientError)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (SECONDARY, 60),
        (Fault(429, "Too many requests", {"retry-after": "17"}), 17),
        (Fault(403, "You have exceeded a secondary rate limit."), 60),
        (Fault(429, "API rate limit exceeded", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}), 1),
        (
            Fault(403, "API rate limit exceeded", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999999999"}),
            3600,
        ),
    ],
)
async def test_a_wish_for_a_pause_is_heard(github: StandIn, fault: Fault, seconds: int) -> None:
    github.fails(".*", fault)
    error = await trouble(asked(github))
    assert isinstance(error, TransientError)
    assert error.retry_after == timedelta(seconds=seconds)


async def test_silence_and_a_closed_door_are_no_refusal(github: StandIn) -> None:
    github.fails(".*", HUNG)
    assert isinstance(await trouble(asked(github, timeout=0.05)), TransientError)
    await github.end()
    assert isinstance(await trouble(asked(github)), TransientError)


async def test_without_a_token_nothing_is_asked(github: StandIn) -> None:
    error = await trouble(asked(github, token=" "))
    assert isinstance(error, PermanentError)
    assert error.message == "The environment variable GITHUB_TOKEN holds no GitHub token; set it."
    assert github.calls == []


# ---- a GitHub App ---------------------------------------------------------------------------------------------------


def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


async def test_an_app_proves_itself_once_for_many_questions(github: StandIn, tmp_path: Path) -> None:
    private, github.app_key = key_pair()
    path = tmp_path / "app.pem"
    path.write_text(private)
    client = GitHub(Access(api=github.url, app=AppAccess(id=7, installation=99, key_file=str(path))), environment={})
    await list_deployments(client)
    await list_deployments(client)
    assert github.said("POST /app/.*") == 1
    assert github.mistakes == []
    github.token = "another-word"
    assert "does not accept the GitHub App 7" in (await trouble(client)).message
    await list_deployments(client)
    assert github.said("POST /app/.*") == 2, "a token that ended early is replaced"


@pytest.mark.parametrize(("kept", "says"), [("", "APP_KEY holds no key"), ("no key at all", "is no RSA private key")])
async def test_an_app_without_a_key_says_so(github: StandIn, kept: str, says: str) -> None:
    app = AppAccess(id=7, installation=99, key_env="APP_KEY")
    error = await trouble(GitHub(Access(api=github.url, app=app), environment={"APP_KEY": kept}))
    assert isinstance(error, PermanentError)
    assert says in error.message
    assert "no key at all" not in error.message


async def test_an_app_that_is_not_installed_says_so(github: StandIn) -> None:
    private, github.app_key = key_pair()
    app = AppAccess(id=7, installation=98, key_env="APP_KEY")
    error = await trouble(GitHub(Access(api=github.url, app=app), environment={"APP_KEY": private}))
    assert "would not give the app a token for installation 98 (404" in error.message


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"app": {"id": 7, "installation": 99}}, "a GitHub App needs its private key from one place"),
        ({"app": {"id": 7, "installation": 99, "key_env": "A"}, "token_env": "B"}, "not both"),
        ({}, "asked by somebody"),
        ({"token": "x"}, "no key of this place"),
    ],
)
def test_an_identity_is_one_and_never_the_secret_itself(given: dict[str, object], sentence: str) -> None:
    _, problems = validated(Access, given)
    assert any(sentence in problem.sentence for problem in problems), problems
