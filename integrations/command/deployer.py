"""The deployer `command`: a client of the directory of runs; all it remembers itself are counts of good answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

from core.errors import PermanentError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from core.releases.problems import path_text
from integrations.command import probes
from integrations.command.config import CommandConfig, CommandTarget, read
from integrations.command.placeholders import VALUES, arguments
from integrations.command.probes import Health
from integrations.command.runs import Good, Order, Phase, Run, Runs, Verdict
from integrations.intake import clean, line

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SSH_AUTH_SOCK")
"""All that a program gets of Andon's own environment, which holds Andon's secrets, beside what `env_from` names."""
LOOK_EVERY = 0.05
LAST_WORDS = 200
MARGIN = timedelta(seconds=30)
"""At most so long before Andon itself would ask for people, a program that takes too long is ended."""


class CommandDeployer:
    """Runs a program for each deployment; `environment` is Andon's own, `patience` in seconds for a runner to begin."""

    def __init__(
        self,
        config: CommandConfig,
        targets: Mapping[str, CommandTarget],
        *,
        environment: Mapping[str, str] | None = None,
        patience: float = 20.0,
    ) -> None:
        self._config, self._targets = config, dict(targets)
        self._environment, self._patience = os.environ if environment is None else environment, patience
        self._runs = Runs(Path(config.state))
        self._good_answers: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"CommandDeployer({PurePath(self._config.run[0]).name} for {len(self._targets)} targets)"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> CommandDeployer:
        """Build it from a definition's `with:`; raises PermanentError naming what is wrong."""
        config, known, problems = read(settings, targets)
        if config is None or problems:
            said = "; ".join(
                f"{path_text(p.path)}: {p.sentence}{f' ({p.mend})' if p.mend else ''}" for p in problems[:5]
            )
            raise PermanentError(f"The deployer command cannot use its settings: {said}.")
        return cls(config, known)

    # ---- the port ---------------------------------------------------------------------------------------------------

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin, or return the run that has this key.

        Raises PermanentError where the program, its directory or a variable it needs is missing, or a value could be
        taken for an option: nothing was begun then.
        """
        environment = self._lent(self._target(request.target).env)
        name = await asyncio.to_thread(
            self._runs.begin,
            request.key,
            request.target,
            lambda before: self._order(request, before, environment),
            environment,
            self._patience,
        )
        return DeploymentRef(request.key, name)

    async def find(self, key: str) -> DeploymentRef | None:
        """The run begun under this key; the last thousand are remembered."""
        is_there = await asyncio.to_thread(self._runs.has, key)
        return DeploymentRef(key, self._runs.name_of(key)) if is_there else None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands: what the program's end and, where one is asked, its health say."""
        run = await asyncio.to_thread(self._runs.look, _name(ref))
        match run.phase:
            case Phase.ALIVE:
                return DeploymentStatus(Outcome.RUNNING, all_units=1)
            case Phase.NEVER:
                if run.is_cancelled:
                    return DeploymentStatus(Outcome.CANCELLED, "It was called off before its program began.")
                await asyncio.to_thread(self._runs.give_up, run.name)
                return DeploymentStatus(Outcome.RUNNING, all_units=1)
            case Phase.ORPHAN:
                await asyncio.to_thread(self._runs.end_orphan, run)
                return DeploymentStatus(Outcome.UNKNOWN, _orphaned(run))
            case Phase.LOST:
                return _lost(run)
            case Phase.OVER:
                return await self._over(run)

    async def wait(self, ref: DeploymentRef, seconds: float) -> DeploymentStatus:
        """How it stands when it is over, or after so many seconds."""
        name, loop = _name(ref), asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            if self._runs.is_over(name) or loop.time() >= until:
                status = await self.status(ref)
                if status.outcome is not Outcome.RUNNING or loop.time() >= until:
                    return status
            elif not self._runs.is_attended(name):
                return await self.status(ref)
            is_probed = self._runs.is_over(name) and self._config.health is not None
            pause = self._config.health.every.total_seconds() if is_probed and self._config.health else LOOK_EVERY
            await asyncio.sleep(min(pause, max(0.0, until - loop.time())))

    async def cancel(self, ref: DeploymentRef) -> None:
        """Have the program's whole process group ended; `status` says when nothing of it is left."""
        await asyncio.to_thread(self._runs.cancel, _name(ref))

    async def running_version(self, target: str) -> RunningVersion:
        """What the running probe says; without one, the last version that was put there from here."""
        probe = self._config.running
        if probe is None:
            good, is_mixed = await asyncio.to_thread(self._runs.running, target)
            return RunningVersion(good.digest if good else None, good.version if good else None, is_mixed)
        own = self._target(target)
        values = {"target": target, **_values(own)}
        environment = {**self._lent(own.env), "ANDON_TARGET": target}
        if probe.token_env is not None:
            environment[probe.token_env] = self._environment.get(probe.token_env, "")
        digest, version, is_mixed = await probes.running(probe, values, environment)
        if bool(version) != bool(digest):
            named = await asyncio.to_thread(lambda: self._runs.named(target, digest=digest, version=version))
            digest, version = named.digest, named.version
        return probes.shown_running(digest, version, is_mixed=is_mixed)

    # ---- beginning --------------------------------------------------------------------------------------------------

    def _order(self, request: DeploymentRequest, before: Good | None, environment: Mapping[str, str]) -> Order:
        facts = {**_facts(request, before), **_values(self._target(request.target))}
        if odd := next((name for name, value in facts.items() if "\0" in value), ""):
            raise PermanentError(f"The {odd} holds a character that no program can be given.")
        config = self._config
        template = config.rollback if request.is_rollback and config.rollback is not None else config.run
        argv = arguments(template, facts)
        _refuse_missing(argv[0], config.cwd, environment)
        limit = min(config.timeout or request.timeout, request.timeout)
        if config.timeout is None:
            limit -= min(MARGIN, limit / 10)
        return Order(
            key=request.key,
            target=request.target,
            version=request.version,
            digest=request.digest,
            is_rollback=request.is_rollback,
            facts=facts,
            argv=argv,
            cwd=config.cwd,
            hidden=list(config.env_from),
            limit=limit.total_seconds(),
            grace=config.grace.total_seconds(),
            previous=before,
            has_health=config.health is not None,
        )

    def _target(self, name: str) -> CommandTarget:
        if name not in self._targets:
            raise PermanentError(f"The definition gives the deployer command no target {line(name, 60)} any more.")
        return self._targets[name]

    def _lent(self, own: Mapping[str, str]) -> dict[str, str]:
        """The environment of a program or probe; raises PermanentError where a variable it is promised is not set."""
        missing = [name for name in self._config.env_from if not self._environment.get(name)]
        if missing:
            raise PermanentError(
                f"The program is promised {', '.join(missing)}, which Andon does not have; "
                "set it where Andon is started."
            )
        kept = {name: self._environment[name] for name in INHERITED if name in self._environment}
        secrets = {name: self._environment[name] for name in self._config.env_from}
        return {**kept, **self._config.env, **own, **secrets}

    # ---- judging ----------------------------------------------------------------------------------------------------

    async def _over(self, run: Run) -> DeploymentStatus:
        assert run.result is not None
        output = await asyncio.to_thread(self._runs.output, run.name)
        printed = self._hidden(clean(output, 2 * len(output) + 1))
        program = f"`{line(PurePath(run.order.argv[0]).name, 60)}`"
        code, shown = run.result.code, DeploymentStatus(Outcome.FAILED, all_units=1, output=printed)
        match run.result.how:
            case "cancelled":
                return _said(shown, Outcome.CANCELLED, f"{program} was stopped.")
            case "not_run":
                return _said(shown, Outcome.FAILED, f"{program} could not be run: {run.result.error}.")
            case "late":
                limit = timedelta(seconds=round(run.order.limit, 1))
                return _said(shown, Outcome.FAILED, f"{program} did not end within {limit} and was stopped.")
        if code:
            how = f"ended with status {code}" if code > 0 else f"was ended by {_signal(-code)}"
            last = line(printed.rstrip().rpartition("\n")[2], LAST_WORDS)
            return _said(shown, Outcome.FAILED, f"{program} {how}" + (f": {last}" if last else "."))
        verdict = await self._judged(run)
        if verdict.outcome is Outcome.SUCCEEDED and self._config.output == "failures":
            shown = DeploymentStatus(Outcome.SUCCEEDED, all_units=1)
        return _said(shown, verdict.outcome, verdict.message)

    async def _judged(self, run: Run) -> Verdict:
        """What a program's good end came to: its health decides where it is asked."""
        if run.verdict is not None:
            return run.verdict
        probe = self._config.health
        if not run.order.has_health:
            return Verdict(outcome=Outcome.SUCCEEDED, message="")
        if probe is None:
            # The definition changed while it ran.
            return await self._decided(run, Outcome.SUCCEEDED, "")
        assert run.result is not None
        own = self._targets.get(run.order.target, CommandTarget())
        environment = {**self._lent(own.env), **run.order.told()}
        if probe.token_env is not None:
            environment[probe.token_env] = self._environment.get(probe.token_env, "")
        felt = await probes.healthy(probe, run.order.facts, environment)
        good = self._good_answers[run.name] = (
            self._good_answers.get(run.name, 0) + 1 if felt.health is Health.GOOD else 0
        )
        if good >= probe.times:
            return await self._decided(run, Outcome.SUCCEEDED, "")
        where, why = run.order.target, f": {self._hidden(felt.why)}" if felt.why else ""
        if time.time() - run.result.at < probe.within.total_seconds() or felt.health is Health.GOOD:
            return Verdict(
                outcome=Outcome.RUNNING, message=f"Its program is done; {where} is not known to be healthy{why}."
            )
        if felt.health is Health.UNKNOWN:
            return Verdict(outcome=Outcome.UNKNOWN, message=f"Nobody can tell whether {where} is healthy{why}.")
        return await self._decided(run, Outcome.FAILED, f"its program ended well, but {where} is not healthy{why}")

    async def _decided(self, run: Run, outcome: Outcome, message: str) -> Verdict:
        self._good_answers.pop(run.name, None)
        return await asyncio.to_thread(self._runs.decide, run.name, Verdict(outcome=outcome, message=message))

    def _hidden(self, text: str) -> str:
        """Text without secrets; the runner hid them already, but a probe may say them too."""
        for name in self._config.env_from:
            secret = self._environment.get(name, "")
            if len(secret) >= 4:
                text = text.replace(secret, "•••")
        return text


def _facts(request: DeploymentRequest, before: Good | None) -> dict[str, str]:
    return {
        "service": request.service,
        "pipeline": request.pipeline,
        "stage": request.stage,
        "target": request.target,
        "version": request.version,
        "digest": request.digest,
        "artifact": request.artifact,
        "key": request.key,
        "previous_version": before.version if before else "",
        "previous_digest": before.digest if before else "",
        "batch_percent": str(request.batch_percent),
        "healthy_percent": str(request.healthy_percent),
        "is_rollback": "true" if request.is_rollback else "false",
    }


def _values(target: CommandTarget) -> dict[str, str]:
    return {f"{VALUES}{name}": value for name, value in target.values.items()}


def _refuse_missing(program: str, cwd: str, environment: Mapping[str, str]) -> None:
    if not Path(cwd).is_dir():
        raise PermanentError(f"`cwd` {line(cwd, 120)} is no directory here.")
    place = str(Path(cwd, program)) if "/" in program else program
    if shutil.which(place, path=environment.get("PATH", os.defpath)) is None:
        raise PermanentError(f"There is no program {line(program, 120)} here that Andon may run.")


def _name(ref: DeploymentRef) -> str:
    if len(ref.value) != 40 or not ref.value.isalnum():
        raise PermanentError("This is not a reference of the deployer `command`.")
    return ref.value


def _said(shown: DeploymentStatus, outcome: Outcome, message: str) -> DeploymentStatus:
    done = int(outcome is Outcome.SUCCEEDED)
    return DeploymentStatus(outcome, message, done, shown.all_units, shown.output if outcome.is_final else "")


def _orphaned(run: Run) -> str:
    if run.is_cancelled:
        return f"Its runner is gone; its program, process {run.pid}, is being stopped."
    return (
        f"Its runner was killed, so nobody will know how its program, process {run.pid}, ends. It still runs; "
        "cancelling stops it."
    )


def _lost(run: Run) -> DeploymentStatus:
    if not run.can_be_seen:
        return DeploymentStatus(
            Outcome.UNKNOWN, "Its runner is gone, and from here nobody can see whether its program still runs."
        )
    if run.is_cancelled:
        return DeploymentStatus(Outcome.CANCELLED, "Nothing of it runs any more.", all_units=1)
    return DeploymentStatus(
        Outcome.UNKNOWN,
        "Its runner was killed or the machine restarted, so nobody saw how its program ended. It does not run any "
        "more; look at the target, then cancel it or try again.",
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
