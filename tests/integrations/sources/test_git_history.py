"""What git tells of real repositories: ancestry, changes and people; and what a hostile one cannot make it do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import PermanentError, TransientError
from core.releases.source_parts import RepositoryPart
from integrations.git_history import GitHistory
from tests.integrations.sources.repositories import ANN, BOB, Repository

ABSENT = "d" * 40


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    return Repository.made(tmp_path / "code")


def history(tmp_path: Path, url: object, **more: str) -> GitHistory:
    part = RepositoryPart.model_validate({"url": str(url), **more})
    return GitHistory(part, tmp_path / "cache", {"CODE_TOKEN": "code-token"})


async def test_a_branch_is_not_contained_until_it_is_merged(tmp_path: Path, code: Repository) -> None:
    first, second = code.line_of(["One", "Two"])
    code.git("checkout", "--quiet", "-b", "fix", first)
    fix = code.commit("Mend", author=BOB)
    code.git("checkout", "--quiet", "main")
    git = history(tmp_path, code.path)
    assert await git.contained(second, [first, fix, ABSENT, "no commit\nat all"]) == {
        first: True, fix: False, ABSENT: None, "no commit\nat all": None,
    }  # fmt: skip
    code.git("merge", "--quiet", "--no-ff", "--message", "Merge fix", "fix")
    merged = code.git("rev-parse", "HEAD")
    assert await git.contained(merged, [fix, merged]) == {fix: True, merged: True}, "it fetches what is new"
    changed = await git.between(second, merged, 100)
    assert [one.message for one in changed] == ["Merge fix", "Mend"]
    assert [one.authors for one in changed] == [((ANN,),), ((BOB,),)]


async def test_co_authors_and_mergers_are_known_by_all_their_names(tmp_path: Path, code: Repository) -> None:
    base = code.commit()
    trailers = "Co-authored-by: Bob <bob@example.com>\nco-authored-by:Eve <eve@x.example>"
    message = f"Round half to even\n\nBecause banks do.\n\n{trailers}"
    head = code.commit(message, author="7+ann-codes@users.noreply.github.com", committer="merger@example.com")
    (one,) = await history(tmp_path, code.path).between(base, head, 100)
    assert one.id == head
    assert one.message == message
    assert one.authors == (
        ("7+ann-codes@users.noreply.github.com", "ann-codes"), ("bob@example.com",), ("eve@x.example",),
    )  # fmt: skip
    assert one.merger == ("merger@example.com",)
    pressed = code.commit(author=BOB, committer="noreply@github.com")
    (one,) = await history(tmp_path, code.path).between(head, pressed, 100)
    assert one.merger == (), "a press of a button in the browser is nobody"


async def test_without_something_to_start_from_only_the_commit_itself_is_told(tmp_path: Path, code: Repository) -> None:
    *_, head = code.line_of(["One", "Two", "Three"])
    git = history(tmp_path, code.path)
    assert [one.message for one in await git.between("", head, 100)] == ["Three"]
    assert [one.message for one in await git.between(ABSENT, head, 100)] == ["Three"]
    assert len(await git.between(await git.commit_of("v0"), head, 100)) == 1


async def test_a_tag_leads_to_its_commit_also_when_it_was_moved_or_deleted(tmp_path: Path, code: Repository) -> None:
    first, second = code.line_of(["One", "Two"])
    code.git("tag", "--annotate", "--message", "The first", "v1", first)
    code.git("tag", "light", first)
    git = history(tmp_path, code.path)
    assert await git.commit_of("v1") == first
    assert await git.commit_of("light") == first
    code.git("tag", "--force", "light", second)
    assert await git.commit_of("light") == second
    code.git("tag", "--delete", "v1")
    assert await git.commit_of("v1") == ""
    for odd in ("", "-v", "a..b", "v1^{tree}", "x y", "/etc", "v1:file", "@{-1}"):
        assert await git.commit_of(odd) == ""


async def test_a_commit_that_is_nowhere_is_told_so(tmp_path: Path, code: Repository) -> None:
    code.commit()
    git = history(tmp_path, code.path)
    with pytest.raises(PermanentError, match="has no commit dddddddddddd"):
        await git.contained(ABSENT, [])
    with pytest.raises(PermanentError, match="`--all` is no commit"):
        await git.between("", "--all", 100)


async def test_the_cache_is_enough_while_the_repository_is_away(tmp_path: Path, code: Repository) -> None:
    first, second = code.line_of(["One", "Two"])
    git = history(tmp_path, code.path)
    assert await git.contained(second, [first]) == {first: True}
    shutil.move(code.path, tmp_path / "elsewhere")
    assert await git.contained(second, [first]) == {first: True}
    with pytest.raises((PermanentError, TransientError)):
        await git.contained(ABSENT, [])


async def test_what_is_no_repository_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nothing"):
        with pytest.raises(PermanentError, match="is no repository"):
            await history(tmp_path, place).contained(ABSENT, [])
    assert not any(path.name.endswith(".new") for path in (tmp_path / "cache").iterdir()), "nothing is left behind"


async def test_one_that_was_killed_while_fetching_is_made_anew(tmp_path: Path, code: Repository) -> None:
    first = code.commit()
    git = history(tmp_path, code.path)
    await git.contained(first, [])
    second = code.commit()
    (cache,) = (tmp_path / "cache").iterdir()
    (cache / "refs" / "heads" / "main.lock").touch()
    with pytest.raises(TransientError):
        await git.contained(second, [first])
    assert await git.contained(second, [first]) == {first: True}


async def test_no_hook_is_heeded(tmp_path: Path, code: Repository) -> None:
    first, second = code.line_of(["One", "Two"])
    git = history(tmp_path, code.path)
    await git.contained(first, [])
    third = code.commit("Three")
    (cache,) = (tmp_path / "cache").iterdir()
    trap = tmp_path / "sprung"
    (cache / "hooks").mkdir(exist_ok=True)
    hook = cache / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    assert await git.contained(third, [second]) == {second: True}
    assert not trap.exists()


async def test_credentials_stand_in_no_argument_and_no_error(tmp_path: Path) -> None:
    git = history(tmp_path, "https://127.0.0.1:1/checkout.git", token_env="CODE_TOKEN")
    with pytest.raises(TransientError) as away:
        await git.contained(ABSENT, [])
    assert "code-token" not in f"{away.value.message}{git!r}"
    assert "code-token" not in " ".join(
        value for name, value in git._git_environment(is_far=False).items() if name.startswith("GIT")
    ), "nor where only the cache is looked at"
    lost = history(tmp_path, "https://127.0.0.1:1/checkout.git", token_env="NO_SUCH_TOKEN")
    with pytest.raises(PermanentError, match="NO_SUCH_TOKEN is not set"):
        await lost.contained(ABSENT, [])


def test_people_see_a_comparison_where_the_definition_says_where(tmp_path: Path) -> None:
    git = history(tmp_path, "/srv/x.git", web="https://code.example.com/x/compare/{base}...{head}")
    assert git.compare_link("a" * 40, ABSENT) == f"https://code.example.com/x/compare/{'a' * 40}...{ABSENT}"
    assert git.compare_link("main", ABSENT) == ""
    assert history(tmp_path, "/srv/x.git").compare_link("a" * 40, ABSENT) == ""
