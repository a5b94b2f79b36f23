"""What `github-actions` makes of everything a run may come to, and of a GitHub that does not play along."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from core.errors import PermanentError, PortError, TransientError
from core.ports import DeploymentRef, DeploymentStatus, Outcome
from integrations.github.config import GitHubActionsTarget
from integrations.github.deployer import GitHubActionsDeployer
from tests.integrations.github.world import client, request
from tests.standins.github import HUNG, SECONDARY, Fault, StandIn
from tests.standins.github_world import WORKFLOW, Play, Run


@pytest.fixture(autouse=True)
def versions(github: StandIn) -> None:
    github.repository.refs |= {"v1": "a" * 40, "v2": "b" * 40}


def plays(github: StandIn, play: Play) -> None:
    github.repository.play = lambda inputs: play


@pytest.fixture
async def says_version() -> AsyncIterator[tuple[str, list[str]]]:
    """An address, and the words it answers one after the other; without words it fails."""
    words: list[str] = []

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=words.pop(0)) if words else web.Response(status=500)

    app = web.Application()
    app.router.add_get("/version", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/version", words
    await runner.cleanup()


async def over(deployer: GitHubActionsDeployer, ref: DeploymentRef) -> DeploymentStatus:
    for _ in range(20):
        status = await deployer.status(ref)
        if status.outcome.is_final:
            return status
    raise AssertionError("it is never over")


def only_run(github: StandIn) -> Run:
    (run,) = github.repository.runs.values()
    return run


# ---- what a run comes to --------------------------------------------------------------------------------------------


async def test_people_at_github_see_what_andon_does(github: StandIn) -> None:
    deployer = client(github, targets={"web": GitHubActionsTarget(environment="beta", url="https://beta.example.com")})
    await over(deployer, await deployer.start(request("shop:d1")))
    (made,) = github.repository.deployments.values()
    assert (made.given["environment"], made.given["ref"], made.sha) == ("beta", "v1", "a" * 40)
    assert (made.given["payload"]["release_id"], made.given["payload"]["andon"]["version"]) == ("shop:d1", "1")
    assert [status["state"] for status in made.statuses] == ["queued", "in_progress", "success"]
    assert made.statuses[1]["environment_url"] == "https://beta.example.com"
    assert made.statuses[1]["log_url"] == f"https://github.example/octo/shop/actions/runs/{only_run(github).id}"
    assert only_run(github).title == "Deploy 1 to web [shop:d1]"


async def test_a_workflow_is_told_what_it_wants_to_know_and_no_more(github: StandIn) -> None:
    github.repository.workflows["deploy.yml"] = WORKFLOW.replace(
        "      is_rollback:", "      region: {type: string}\n      artifact: {type: string}\n      is_rollback:"
    )
    deployer = client(github, targets={"web": GitHubActionsTarget(inputs={"region": "eu"})})
    await deployer.start(request("shop:d1", is_rollback=True))
    assert only_run(github).inputs == {
        "andon_key": "shop:d1",
        "version": "1",
        "digest": "sha256:1",
        "target": "web",
        "artifact": "shop@sha256:1",
        "is_rollback": "true",
        "region": "eu",
    }


async def test_what_it_does_now_is_said(github: StandIn) -> None:
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    queued, running = await deployer.status(ref), await deployer.status(ref)
    assert queued.message.startswith("it waits on GitHub for a runner: https://")
    assert (running.message, running.done_units, running.all_units) == ("deploy: Apply", 0, 1)


async def test_a_failure_names_job_and_step_and_shows_the_end_of_the_log(github: StandIn) -> None:
    plays(github, Play(conclusion="failure"))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    first, again = await over(deployer, ref), await deployer.status(ref)
    assert first == again
    assert first.outcome is Outcome.FAILED
    assert first.message.startswith("the job “deploy” failed at step “Apply”: https://github.example/octo/shop/actions")
    assert first.output == "connecting\n##[error]no database"
    assert github.mistakes == [], "no token goes to where logs are kept"


async def test_a_failure_whose_log_cannot_be_had_is_a_failure_all_the_same(github: StandIn) -> None:
    plays(github, Play(conclusion="timed_out"))
    github.fails("GET .*/logs", Fault(410, "Gone"))
    deployer = client(github)
    status = await over(deployer, await deployer.start(request("shop:d1")))
    assert (status.outcome, status.output) == (Outcome.FAILED, "")
    assert "ran out of time" in status.message


@pytest.mark.parametrize(
    ("conclusion", "outcome", "says"),
    [
        ("cancelled", Outcome.CANCELLED, "cancelled on GitHub"),
        ("skipped", Outcome.FAILED, "skipped every job"),
        ("stale", Outcome.FAILED, "gave the run up"),
        ("neutral", Outcome.UNKNOWN, "neither well nor badly"),
        ("action_required", Outcome.UNKNOWN, "somebody to allow the run"),
        ("quantum", Outcome.UNKNOWN, "GitHub calls the run quantum"),
    ],
)
async def test_every_conclusion_has_a_verdict(github: StandIn, conclusion: str, outcome: Outcome, says: str) -> None:
    plays(github, Play(steps=(), conclusion=conclusion))
    deployer = client(github)
    status = await deployer.status(await deployer.start(request("shop:d1")))
    assert status.outcome is outcome
    assert says in status.message
    assert "https://github.example/octo/shop/actions/runs/" in status.message


async def test_waiting_for_an_environment_says_for_whom(github: StandIn) -> None:
    plays(github, Play(steps=("waiting", "in_progress")))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    github.repository.tick(timedelta(days=2))
    status = await deployer.status(ref)
    assert status.outcome is Outcome.RUNNING
    assert status.message.startswith(
        "it waits on GitHub for approval by ann or Operations, because the environment production is protected: https:"
    )
    assert (await over(deployer, ref)).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("state", "says"), [("queued", "is a runner with its labels online and free?"), ("pending", "concurrency group")]
)
async def test_a_run_that_never_begins_is_unknown_until_it_does(github: StandIn, state: str, says: str) -> None:
    plays(github, Play(steps=(state, state, "in_progress")))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    assert (await deployer.status(ref)).outcome is Outcome.RUNNING
    github.repository.tick(timedelta(minutes=12))
    status = await deployer.status(ref)
    assert status.outcome is Outcome.UNKNOWN
    assert says in status.message
    assert (await over(deployer, ref)).outcome is Outcome.SUCCEEDED


async def test_a_newer_run_of_the_concurrency_group_cancels_ours(github: StandIn) -> None:
    plays(github, Play(steps=("pending",), conclusion="cancelled"))
    deployer = client(github)
    status = await over(deployer, await deployer.start(request("shop:d1")))
    assert (status.outcome, (await deployer.running_version("web")).digest) == (Outcome.CANCELLED, None)


async def test_a_deaf_run_is_cancelled_by_force_after_a_while(github: StandIn) -> None:
    plays(github, Play(is_endless=True, is_deaf=True))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    await deployer.cancel(ref)
    for _ in range(4):
        assert (await deployer.status(ref)).outcome is Outcome.RUNNING
    assert github.said("POST .*/force-cancel") == 0
    github.repository.tick(timedelta(minutes=6))
    assert (await over(client(github), ref)).outcome is Outcome.CANCELLED
    assert github.said("POST .*/force-cancel") == 1


# ---- a person runs it again -----------------------------------------------------------------------------------------


async def test_a_re_run_while_nobody_looked_is_followed(github: StandIn) -> None:
    plays(github, Play(steps=(), conclusion="failure"))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    only_run(github).look()
    github.repository.rerun(only_run(github).id, Play())
    await deployer.status(ref)
    assert (await deployer.status(ref)).message == "attempt 2, deploy: Apply"
    assert (await over(deployer, ref)).outcome is Outcome.SUCCEEDED


async def test_a_re_run_after_the_end_does_not_change_it_but_is_seen_to_run(github: StandIn) -> None:
    plays(github, Play(conclusion="failure"))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    await over(deployer, ref)
    github.repository.rerun(only_run(github).id, Play(steps=()))
    status = await deployer.status(ref)
    assert (status.outcome, status.message) == (Outcome.FAILED, "the job “deploy” failed at step “Apply”")
    assert (await deployer.running_version("web")).digest == "sha256:1"


# ---- what runs ------------------------------------------------------------------------------------------------------


async def test_a_half_finished_roll_out_does_not_pass_for_what_runs(github: StandIn) -> None:
    deployer = client(github)
    await over(deployer, await deployer.start(request("shop:d1")))
    plays(github, Play(conclusion="failure"))
    await over(deployer, await deployer.start(request("shop:d2", version="2")))
    seen = await deployer.running_version("web")
    assert (seen.digest, seen.version) == ("sha256:1", "1")


async def test_somebody_elses_newer_success_is_what_runs(github: StandIn) -> None:
    deployer = client(github)
    await over(deployer, await deployer.start(request("shop:d1")))
    theirs = github.repository.deploy({"ref": "main", "environment": "web"})
    assert (await deployer.running_version("web")).digest == "sha256:1", "it has not succeeded yet"
    github.repository.say(theirs, {"state": "success", "log_url": "https://github.example/octo/shop/actions/runs/5"})
    seen = await deployer.running_version("web")
    assert (seen.digest, seen.version) == (f"git:{theirs.sha}", f"main ({theirs.sha[:9]})")
    assert (await client(github, others="ignore").running_version("web")).digest == "sha256:1"


async def test_what_github_notes_of_our_own_run_is_ours(github: StandIn) -> None:
    deployer = client(github)
    await over(deployer, await deployer.start(request("shop:d1")))
    job = github.repository.deploy({"ref": "main", "environment": "web"})
    url = f"https://github.example/octo/shop/actions/runs/{only_run(github).id}/job/3"
    github.repository.say(job, {"state": "success", "log_url": url})
    assert (await deployer.running_version("web")).digest == "sha256:1"


async def test_targets_may_share_an_environment(github: StandIn) -> None:
    shared = GitHubActionsTarget(environment="production")
    deployer = client(github, targets={"web": shared, "jobs": shared})
    await over(deployer, await deployer.start(request("shop:d1")))
    await over(deployer, await deployer.start(request("shop:d2", version="2", target="jobs")))
    seen = [(await deployer.running_version(target)).version for target in ("web", "jobs")]
    assert seen == ["1", "2"]


async def test_an_address_that_says_what_runs_is_believed_before_github(
    github: StandIn, says_version: tuple[str, list[str]]
) -> None:
    url, words = says_version
    deployer = client(github, targets={"web": GitHubActionsTarget.model_validate({"running": url})})
    words[:] = ['{"digest": "sha256:1", "version": "1"}', "sha256:9"]
    assert (await deployer.running_version("web")).version == "1"
    assert (await deployer.running_version("web")).digest == "sha256:9"
    with pytest.raises(TransientError):
        await deployer.running_version("web")
    assert github.calls == []


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["GET .*/contents/.*", "POST .*/deployments", "POST .*/dispatches"])
@pytest.mark.parametrize(
    "fault",
    [Fault(401, "Bad credentials"), Fault(403, "Resource not accessible"), Fault(404, "Not Found"), Fault(409, "No")],
)
async def test_refused_it_has_not_begun_and_can_be_begun_again(github: StandIn, call: str, fault: Fault) -> None:
    github.fails(call, fault)
    deployer = client(github, certain_after=timedelta(minutes=2))
    with pytest.raises(PermanentError) as caught:
        await deployer.start(request("shop:d1"))
    assert "GitHub would not" in caught.value.message
    assert await deployer.find("shop:d1") is None
    assert github.repository.runs == {}
    assert (await over(deployer, await deployer.start(request("shop:d1")))).outcome is Outcome.SUCCEEDED
    assert len(github.repository.deployments) == 1


@pytest.mark.parametrize("call", ["GET .*", "POST .*/deployments", "POST .*/statuses", "POST .*/dispatches"])
@pytest.mark.parametrize("fault", [Fault(500), Fault(503, is_late=True), SECONDARY, Fault(429, "Slow down")])
async def test_trouble_is_unknown_and_ends_in_one_run(github: StandIn, call: str, fault: Fault) -> None:
    github.fails(call, fault)
    deployer = client(github)
    with pytest.raises(TransientError):
        await deployer.start(request("shop:d1"))
    ref = await deployer.find("shop:d1") or await deployer.start(request("shop:d1"))
    assert (await over(deployer, ref)).outcome is Outcome.SUCCEEDED
    assert len(github.repository.runs) == 1


async def test_a_refusal_after_the_run_began_does_not_pass_for_one_before(github: StandIn) -> None:
    github.fails(r"POST .*/dispatches", Fault(503, is_late=True))
    with pytest.raises(TransientError):
        await client(github).start(request("shop:d1"))
    with pytest.raises(TransientError, match="may have expired"):
        await client(github, token="old").find("shop:d1")
    github.permissions["deployments"] = "read"
    with pytest.raises(TransientError, match="needs the permission deployments: write"):
        await client(github).find("shop:d1")
    github.permissions["deployments"] = "write"
    assert await client(github).find("shop:d1") is not None
    assert len(github.repository.runs) == 1


async def test_a_success_counts_when_github_shows_it(github: StandIn) -> None:
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    (made,) = github.repository.deployments.values()
    for _ in range(2):
        await deployer.status(ref)
    github.hides_statuses = 1
    assert (await deployer.status(ref)).outcome is Outcome.RUNNING
    assert [status["state"] for status in made.statuses] == ["queued", "in_progress", "success"]
    assert (await deployer.status(ref)).outcome is Outcome.SUCCEEDED
    assert len(made.statuses) == 3, "it is written down once"


async def test_whether_a_lost_request_began_is_not_guessed(github: StandIn) -> None:
    github.fails("POST .*/dispatches", HUNG)
    with pytest.raises(TransientError):
        await client(github, timeout=0.2).start(request("shop:d1"))
    careful = client(github, certain_after=timedelta(minutes=2))
    with pytest.raises(TransientError, match="whether it began shows within two minutes"):
        await careful.find("shop:d1")
    github.repository.tick(timedelta(minutes=3))
    assert await careful.find("shop:d1") is None
    await careful.start(request("shop:d1"))
    assert len(github.repository.runs) == 1


async def test_a_list_that_lags_is_waited_for(github: StandIn) -> None:
    github.knows_run_details, github.repository.lag = False, 3
    assert (await client(github).start(request("shop:d1"))).url.endswith(str(only_run(github).id))
    github.repository.lag = 99
    with pytest.raises(TransientError, match="does not list the run yet"):
        await client(github).start(request("shop:d2"))


async def test_a_key_that_only_begins_like_ours_is_another(github: StandIn) -> None:
    github.fails("POST .*/dispatches", HUNG)
    with pytest.raises(TransientError):
        await client(github, timeout=0.2).start(request("shop:d1"))
    await client(github).start(request("shop:d12"))
    assert await client(github).find("shop:d1") is None


async def test_a_cancel_that_is_refused_says_so(github: StandIn) -> None:
    plays(github, Play(is_endless=True))
    deployer = client(github)
    ref = await deployer.start(request("shop:d1"))
    github.fails("POST .*/cancel", Fault(403, "Must have admin rights to Repository."))
    with pytest.raises(PermanentError, match="would not cancel run"):
        await deployer.cancel(ref)


@pytest.mark.parametrize(
    ("workflow", "says"),
    [
        (WORKFLOW.replace("run-name", "description"), "give it the line `run-name: Deploy"),
        (WORKFLOW.replace("andon_key: {", "key: {"), "does not take the input `andon_key`"),
        (WORKFLOW.replace("digest: {", "image: {"), "does not take the input `digest`"),
        (WORKFLOW.replace("workflow_dispatch", "push"), "add `workflow_dispatch` to its `on`"),
        ("on: [push]", "add `workflow_dispatch` to its `on`"),
        ("{", "is no workflow that can be read"),
        ("", "add `workflow_dispatch`"),
    ],
)
async def test_a_workflow_that_will_not_do_is_refused_first(github: StandIn, workflow: str, says: str) -> None:
    github.repository.workflows["deploy.yml"] = workflow
    with pytest.raises(PermanentError) as caught:
        await client(github).start(request("shop:d1"))
    assert says in caught.value.message
    assert github.repository.deployments == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"workflow": "gone.yml"}, "show the workflow gone.yml of octo/shop at main (404"),
        ({"ref": "gone"}, "at gone (404"),
        ({"repository": "octo/other"}, "octo/other"),
        ({"inputs": {"versoin": "1"}}, "does not take the input `versoin`; did you mean `version`?"),
    ],
)
async def test_wrong_names_are_refused_by_name(github: StandIn, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(PermanentError) as caught:
        await client(github, **settings).start(request("shop:d1"))
    assert says in caught.value.message


async def test_a_missing_permission_is_named(github: StandIn) -> None:
    github.permissions["deployments"] = "read"
    with pytest.raises(PermanentError, match="needs the permission deployments: write"):
        await client(github).start(request("shop:d1"))
    github.permissions["deployments"], github.permissions["actions"] = "write", "read"
    with pytest.raises(PermanentError, match="needs the permission actions: write"):
        await client(github).start(request("shop:d2"))


async def test_a_target_that_is_gone_is_said_and_its_run_still_followed(github: StandIn) -> None:
    ref = await client(github).start(request("shop:d1"))
    after = client(github, targets={"jobs": GitHubActionsTarget()})
    with pytest.raises(PermanentError, match="web is not among those"):
        await after.running_version("web")
    with pytest.raises(PermanentError, match="web is not among those"):
        await after.start(request("shop:d2"))
    assert await after.find("shop:d1") == ref
    assert (await over(after, ref)).outcome is Outcome.SUCCEEDED


async def test_a_token_that_expires_on_the_way_loses_nothing(github: StandIn) -> None:
    ref = await client(github).start(request("shop:d1"))
    with pytest.raises(PortError, match="may have expired"):
        await client(github, token="old").status(ref)
    assert (await over(client(github), ref)).outcome is Outcome.SUCCEEDED


async def test_a_key_of_another_andon_is_not_taken_for_ours(github: StandIn) -> None:
    await client(github).start(request("shop:d1"))
    with pytest.raises(PermanentError, match="give this one a `namespace` of its own"):
        await client(github).start(request("shop:d1", version="2"))
    other = client(github, namespace="second")
    assert await other.find("shop:d1") is None


async def test_what_is_no_reference_of_ours_is_refused(github: StandIn) -> None:
    for value in ("", "5", "5/../7", "a/b"):
        with pytest.raises(PermanentError, match="not a reference"):
            await client(github).status(DeploymentRef("k", value))


def test_settings_that_are_wrong_are_named(github: StandIn) -> None:
    with pytest.raises(PermanentError) as caught:
        GitHubActionsDeployer.from_settings({"repository": "shop", "workflw": "deploy.yml"}, {"web": {}})
    assert "repository" in caught.value.message
    assert "did you mean `workflow`?" in caught.value.message
