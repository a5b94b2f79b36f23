"""`andon check`: every mistake with its line and mend; or the line as a picture anybody can read."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import jsonschema
import pytest

from bot.check import SCHEMAS, check, main, schema_text
from bot.definitions import load_directory
from bot.located_yaml import read_yaml
from core.releases.definition import PipelineFile
from core.releases.organisation import read_organisation, unknown_to_organisation
from core.releases.organisation_file import OrganisationFile
from core.releases.soundness import read_pipeline

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop" / "andon"

CHECKOUT = """\
service: checkout
team: payments
channel: "#checkout"
deployer: {use: processes, with: {root: x, front: {name: main, port: 9000}}}
stages:
  - {name: beta, targets: [{name: b, with: {share: 10}}]}
  - {name: gamma, targets: [{name: g, with: {share: 10}}]}
  - {name: one-box, group: production, targets: [{name: w1, with: {share: 10}}]}
  - {name: wave-1, group: production, targets: [{name: w2, with: {share: 30}}]}
  - {name: wave-2, group: production, targets: [{name: w3, with: {share: 40}}]}
"""
COMPANY = """\
people: {ann: Ann, bob: Bob, carol: Carol}
groups: {callers: [carol]}
teams:
  payments: {members: [ann, bob], on_call: callers}
"""


def place(tmp_path: Path, **texts: str) -> Path:
    """A configuration directory with these pipelines; `org` is the organisation file."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "org.yaml").write_text(texts.pop("org", COMPANY), encoding="utf-8")
    for name, text in texts.items():
        (tmp_path / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def told(path: Path) -> tuple[int, list[str]]:
    """The exit code and the lines, with file names short."""
    out = io.StringIO()
    code = check([path], out)
    return code, out.getvalue().replace(f"{path}/", "").splitlines()


def problems(tmp_path: Path, text: str, **others: str) -> list[str]:
    """What is said of one file, without its name and without warnings."""
    code, lines = told(place(tmp_path, checkout=text, **others))
    found = [line for line in lines if line.startswith(("pipelines/", "org.yaml")) and "warning: " not in line]
    assert code == bool(found)
    return [line.removeprefix("pipelines/checkout.yaml:") for line in found]


# ---- right ----------------------------------------------------------------------------------------------------------


def test_ten_lines_are_a_whole_pipeline(tmp_path: Path):
    assert len(CHECKOUT.splitlines()) == 10
    code, lines = told(place(tmp_path, checkout=CHECKOUT))
    assert code == 0
    assert "From announcement to done: at least 15 h 15 min" in "\n".join(lines)
    assert sum("warning: " in line for line in lines) == 2


def test_the_shops_line_is_shown_as_a_picture():
    code, lines = told(SHOP)
    assert code == 0
    text = "\n".join(lines)
    order = [
        "● beta",
        "▼ gamma",
        "┌─ production",
        "approval by 1 of shop-approvers",
        "▼ one-box",
        "▼ wave-1",
        "▼ wave-2",
    ]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)
    assert "bake     3 s and 10 data points; people are asked after 1 min" in text
    assert "canary: rolls back" in text
    assert "warning" not in text
    assert max(map(len, lines)) <= 100


def test_the_samples_are_right():
    out = io.StringIO()
    assert check([ROOT / "pipelines" / "checkout.yaml"], out) == 0
    (line,) = [line for line in out.getvalue().splitlines() if "warning" in line]
    assert "there is no organisation file" in line


def test_a_line_of_long_names_and_many_targets_keeps_to_100_columns(tmp_path: Path):
    targets = ", ".join(
        f"{{name: a-target-with-a-long-name-{n}, with: {{share: {5 if n < 20 else 0}}}}}" for n in range(30)
    )
    head = "\n".join(CHECKOUT.splitlines()[:4])
    stage = f"{{name: beta, group: a-group-of-a-very-long-name-indeed, production: true, targets: [{targets}]}}"
    code, lines = told(place(tmp_path, checkout=f"{head}\nstages: [{stage}]\n"))
    assert code == 0
    picture = [line for line in lines if "warning: " not in line]
    assert max(map(len, picture)) <= 100
    assert any("and 22 more" in line for line in picture)


def test_branches_are_named_and_the_longest_way_counts(tmp_path: Path):
    text = CHECKOUT.replace("{name: gamma,", "{name: gamma, after: [], bake: 20h,").replace(
        "{name: one-box,", "{name: one-box, after: [beta, gamma],"
    )
    _, lines = told(place(tmp_path, checkout=text))
    assert any("● gamma   a first stage: follows nothing" in line for line in lines)
    assert any("▼ one-box   after beta and gamma" in line for line in lines)
    assert any("at least 1 day 11 h (gamma 20 h," in line for line in lines)


def test_data_points_can_take_longer_than_the_bake(tmp_path: Path):
    alarm = 'alarms: [{name: c, source: canary, with: {url: "http://127.0.0.1/", every: 10s}}]\n'
    text = CHECKOUT.replace("{name: gamma,", "{name: gamma, bake: {for: 1m, points: 12},")
    _, lines = told(place(tmp_path, checkout=text + alarm))
    assert any("gamma 2 min" in line for line in lines)


def test_for_programs(tmp_path: Path):
    out = io.StringIO()
    assert check([place(tmp_path, checkout=CHECKOUT)], out, as_json=True) == 0
    answer = json.loads(out.getvalue())
    (pipeline,) = answer["pipelines"]
    assert answer["is_good"]
    assert pipeline["minimum_seconds"] == 15.25 * 3600
    assert [stage["name"] for stage in pipeline["stages"]] == ["beta", "gamma", "one-box", "wave-1", "wave-2"]
    assert {problem["is_warning"] for problem in answer["problems"]} == {True}


# ---- wrong ----------------------------------------------------------------------------------------------------------


def test_all_problems_of_all_files_are_listed_in_order(tmp_path: Path):
    first = CHECKOUT.replace("team: payments", "team: paymnts").replace("wave-1, group:", "wave-1, grup:")
    second = CHECKOUT.replace("service: checkout", "service: Cart").replace("share: 40", "shares: 40")
    org = COMPANY.replace("[carol]", "[karol]")
    code, lines = told(place(tmp_path, a=first, b=second, org=org))
    assert code == 1
    assert [line.partition(": ")[0] for line in lines[:-2]][:2] == ["org.yaml:2:19", "pipelines/a.yaml:2:7"]
    assert any(line.startswith("pipelines/b.yaml:1:10: service: `Cart` cannot be a name") for line in lines)
    assert lines[-1].endswith("Nothing was applied.")


def at(text: str, word: str) -> str:
    """Where a word stands, as `line:column`."""
    before = text[: text.index(word)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def test_a_key_spelled_wrong_is_found_to_the_column(tmp_path: Path):
    text = CHECKOUT.replace("{name: gamma,", "{name: gamma, bake: {for: 15m, ceilling: 1h},")
    assert problems(tmp_path, text) == [
        f"{at(text, 'ceilling')}: stages[1].bake.ceilling: `ceilling` is no key of this place — did you mean `ceiling`?"
    ]


def test_what_is_missing_is_shown_where_it_should_be(tmp_path: Path):
    text = CHECKOUT.replace("{name: gamma, targets: [{name: g, with: {share: 10}}]}", "{name: gamma}").replace(
        "40", "50"
    )
    assert problems(tmp_path, text) == [
        f"{at(text, '{name: gamma}')}: stages[1].targets: `targets` is missing — add `targets: [web-1]`"
    ]


def test_a_number_that_should_be_text_keeps_its_digits(tmp_path: Path):
    text = CHECKOUT.replace("{name: g,", "{name: g, zone: 1.10,")
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"{at(text, '1.10')}: stages[1].targets[0].zone: this must be text, not the number 1.1")
    assert line.endswith('write it in quotes: "1.10"')


def test_a_channel_that_became_a_comment(tmp_path: Path):
    text = CHECKOUT.replace('"#checkout"', "#checkout")
    assert problems(tmp_path, text) == [
        '3:1: channel: `channel` is empty — write it in quotes, because # begins a comment: "#checkout"'
    ]


def test_yes_is_no_truth(tmp_path: Path):
    text = CHECKOUT.replace("{name: gamma,", "{name: gamma, one_box: yes,")
    (line,) = problems(tmp_path, text)
    assert "`true` or `false`, not the text `yes`" in line


def test_a_shorthand_is_pointed_at_as_a_whole(tmp_path: Path):
    text = CHECKOUT.replace("{name: gamma,", "{name: gamma, bake: soon,")
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"{at(text, 'soon')}: stages[1].bake: `soon` is no duration — write `90s`")


def test_a_deployers_settings_are_checked_by_the_deployer(tmp_path: Path):
    text = CHECKOUT.replace("port: 9000", "prt: 9000").replace("share: 40", "share: forty")
    lines = problems(tmp_path, text)
    assert [line.split(" ")[0] for line in lines] == [
        f"{at(text, '{name: main')}:",
        f"{at(text, 'prt')}:",
        f"{at(text, 'forty')}:",
    ]
    assert "did you mean `port`?" in lines[1]
    assert "stages[4].targets[0].with.share" in lines[2]


def test_a_tests_settings_are_checked_by_the_test(tmp_path: Path):
    text = CHECKOUT.replace(
        "name: beta,", "name: beta, tests: [{name: smoke, use: http, with: {url: x, expct_text: y}}],"
    )
    lines = problems(tmp_path, text.replace("name: gamma,", "name: gamma, tests: [{name: load, use: htp}],"))
    assert [line.split(" ")[1] for line in lines] == [
        "stages[0].tests[0].with.url:",
        "stages[0].tests[0].with.expct_text:",
        "stages[1].tests[0].use:",
    ]
    assert lines[1].endswith("did you mean `expect_text`?")


def test_shares_of_one_front_that_are_not_whole(tmp_path: Path):
    text = CHECKOUT.replace("share: 40", "share: 50")
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"{at(text, '{name: main')}: deployer.with.front:")
    assert "add up to 110 %" in line


def test_a_stages_own_deployer_is_pointed_at_there(tmp_path: Path):
    text = CHECKOUT.replace("{name: gamma,", "{name: gamma, deployer: proceses,").replace("share: 40", "share: 50")
    (line,) = problems(tmp_path, text)
    assert line.startswith(
        f"{at(text, 'proceses')}: stages[1].deployer: there is no deployer `proceses` — did you mean"
    )


def test_two_files_for_one_pipeline(tmp_path: Path):
    place(tmp_path, a=CHECKOUT, b=CHECKOUT, c=CHECKOUT.replace("team:", "pipeline: configuration\nteam:"))
    definitions = load_directory(tmp_path)
    (finding,) = [finding for finding in definitions.findings if not finding.is_warning]
    assert (Path(finding.file).name, finding.line, finding.column, finding.path) == ("b.yaml", 1, 10, "service")
    assert list(definitions.pipelines) == ["checkout", "checkout/configuration"]
    assert definitions.files["checkout"].endswith("a.yaml")


def test_one_wrong_file_leaves_the_others_usable(tmp_path: Path):
    definitions = load_directory(place(tmp_path, a=CHECKOUT, b="service: [\n"))
    assert list(definitions.pipelines) == ["checkout"]
    assert not definitions.is_good


def test_an_approver_nobody_knows(tmp_path: Path):
    text = CHECKOUT + "groups: {production: {approval: caller}}\n"
    assert problems(tmp_path, text) == [
        "11:33: groups.production.approval: no person, group or team is called `caller` — did you mean `callers`?"
    ]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 10)}]\n" for before, after in ("ab", "bc", "cd", "de", "ef", "fg")
)
BROKEN = {
    "a tab": ("service: a\n\tteam: b\n", "2:1", "a tab stands", "indent with spaces"),
    "a second colon": ("service: a: b\n", "1:11", "a `:` stands where none can", "quotes"),
    "an open bracket": ("stages: [a, b\nteam: c\n", "2:5", "", ""),
    "columns": ("stages:\n  - name: a\n    x: 1\n   y: 2\n", "4:4", "does not line up", "one column"),
    "a key twice": ("service: a\nteam: b\nservice: c\n", "3:1", "is here twice, first in line 1", "take one"),
    "a tag": ("service: !!python/object:os.system x\n", "1:10", "is not read", "take the tag out"),
    "a merge": ("a: &a {b: 1}\nc: {<<: *a}\n", "2:5", "merging", "write the keys out"),
    "no anchor": ("a: *b\n", "1:4", "no anchor", "quotes"),
    "a loop": ("a: &a [*a]\n", "1:4", "without end", "write it out"),
    "two documents": ("a: 1\n---\nb: 2\n", "2:1", "a second document", "own"),
    "nothing": ("# only a comment\n", "1:1", "is empty", "docs/definition.md"),
    "a key of many words": ("{[a, b]: c}\n", "1:2", "a key must be one word", "key: value"),
    "half a character": ('a: "\\ud800"\n', "1:4", "half a character", "UTF-8"),
    "a bell": ("a: b\nc: \x07\n", "2:4", "cannot be printed", "take it out"),
    "an at": ("channel: @ann\n", "1:10", "no text can begin", "quotes"),
    "an abyss": ("[" * 40_000, "1:31", "nested", "simpler"),
    "a bomb": (BOMB, "1:24", "aliases make this grow", "write it out"),
    "too large": ("a: " + "x" * 1_000_001, "1:1", "larger than 1 MB", "split"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_text_that_is_no_plain_yaml(broken: str):
    text, where, what, how = BROKEN[broken]
    flaw = read_yaml(text).flaws[0]
    assert f"{flaw.place.line}:{flaw.place.column}" == where
    assert what in flaw.sentence
    assert how in flaw.mend


def test_words_mean_what_editors_show():
    located = read_yaml(
        "on: off\nno: yes\ntime: 10:30\nmode: 0777\nday: 2030-01-01\nn: 12\nv: 1.10\nt: true\ne:\nsha: 12e45\n"
    )
    assert located.flaws == []
    assert located.value == {
        "on": "off",
        "no": "yes",
        "time": "10:30",
        "mode": "0777",
        "day": "2030-01-01",
        "n": 12,
        "v": 1.1,
        "t": True,
        "e": None,
        "sha": "12e45",
    }


def test_an_anchor_may_be_used_twice():
    located = read_yaml("a: &x {b: 1}\nc: *x\n")
    assert located.value == {"a": {"b": 1}, "c": {"b": 1}}
    assert located.flaws == []


def test_a_file_that_is_no_text(tmp_path: Path):
    root = place(tmp_path)
    (root / "pipelines" / "checkout.yaml").write_bytes(b"service: shop\nteam: \xff\n")
    (finding,) = load_directory(root).findings
    assert (finding.line, finding.column, finding.sentence) == (2, 7, "this is no UTF-8")


def test_a_file_of_one_endless_word(tmp_path: Path):
    lines = problems(tmp_path, CHECKOUT.replace("service: checkout", f"service: {'x' * 40_000}"))
    assert len(lines) == 1
    assert len(lines[0]) < 400


# ---- the command ----------------------------------------------------------------------------------------------------


def test_nothing_to_check(tmp_path: Path):
    out = io.StringIO()
    assert check([tmp_path], out) == 2
    assert check([tmp_path / "checkout.yml"], out) == 2
    assert check([], out) == 2
    assert "name a pipeline file" in out.getvalue()


def test_a_pipelines_directory_means_what_holds_it(tmp_path: Path):
    out = io.StringIO()
    assert check([place(tmp_path, checkout=CHECKOUT) / "pipelines"], out) == 0
    assert "there is no organisation file" not in out.getvalue()


def test_a_directory_without_pipelines(tmp_path: Path):
    (finding,) = load_directory(tmp_path).findings
    assert finding.sentence == "there is no pipeline here"
    assert not finding.is_warning


def test_a_company_that_is_broken_does_not_hide_its_pipelines(tmp_path: Path):
    lines = problems(tmp_path, CHECKOUT.replace("share: 40", "share: 50"), org="people: [\n")
    assert lines[0].startswith("org.yaml:2:1:")
    assert "add up to 110 %" in lines[1]


def test_a_file_that_is_too_large_or_cannot_be_read(tmp_path: Path):
    root = place(tmp_path)
    (root / "pipelines" / "a.yaml").write_bytes(b"#" * 1_000_001)
    (root / "pipelines" / "b.yaml").mkdir()
    large, unreadable = load_directory(root).findings
    assert large.sentence == "this file is larger than 1 MB"
    assert unreadable.sentence == "this file cannot be read: is a directory"


def test_schemas_are_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--schema", str(tmp_path / "schema")]) == 0
    assert [Path(name).name for name in capsys.readouterr().out.split()] == [f"{name}.schema.json" for name in SCHEMAS]
    assert (
        json.loads((tmp_path / "schema" / "pipeline.schema.json").read_text(encoding="utf-8"))["title"]
        == "PipelineFile"
    )


def test_windows_and_alarms_of_every_kind_are_in_the_picture(tmp_path: Path):
    text = CHECKOUT.replace("{name: wave-1,", "{name: wave-1, windows: office,") + (
        "groups: {production: {windows: office}}\n"
        "alarms:\n"
        "  - {name: quiet, source: webhook, match: {a: b}, silence_is: ok}\n"
        "  - {name: beating, source: alertmanager, match: {a: c}, heartbeat: {alertname: Watchdog}}\n"
        "  - {name: chatty, source: webhook, match: {a: d}, stale_after: 5m}\n"
    )
    _, lines = told(place(tmp_path, checkout=text, org=f"{COMPANY}calendars: {{office: {{zone: UTC}}}}\n"))
    shown = "\n".join(lines)
    assert shown.count("only while office is open") == 2
    assert "Windows\n  office: always, UTC time\n" in shown
    assert "quiet: webhook a=b of the whole service; silence is ok\n" in shown
    assert "silence is ok while alertname=Watchdog is heard" in shown
    assert "chatty: webhook a=d of the whole service; silence is unknown after 5 min" in shown


def test_an_organisation_alone(tmp_path: Path):
    out = io.StringIO()
    assert check([place(tmp_path) / "org.yaml"], out) == 0
    assert out.getvalue() == "The organisation file is right.\n"


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--json", str(place(tmp_path, checkout="service: 1\n"))]) == 1
    assert not json.loads(capsys.readouterr().out)["is_good"]


# ---- schemas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schemas_are_those_of_the_models(name: str):
    published = (ROOT / "docs" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(SCHEMAS[name]), "run: python -m bot.check --schema docs/schema"


def judge(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads((ROOT / "docs" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.mark.parametrize("path", [SHOP / "pipelines" / "shop.yaml", ROOT / "pipelines" / "checkout.yaml"])
def test_samples_are_right_in_an_editor_too(path: Path):
    text = path.read_text(encoding="utf-8")
    judge("pipeline").validate(read_yaml(text).value)
    _, _, schema = text.splitlines()[0].partition("$schema=")
    assert (path.parent / schema).resolve() == ROOT / "docs" / "schema" / "pipeline.schema.json"


def test_the_organisation_is_right_in_an_editor_too():
    judge("organisation").validate(read_yaml((SHOP / "org.yaml").read_text(encoding="utf-8")).value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("team:", "teem:"),
        ("wave-1", "Wave 1"),
        ("[{name: g, with: {share: 10}}]", "[]"),
        ("{name: gamma,", "{name: gamma, bake: 15,"),
        ("{name: gamma,", "{name: gamma, approval: ,"),
    ],
)
def test_an_editor_underlines_mistakes(wrong: str, right: str):
    assert judge("pipeline").is_valid(read_yaml(CHECKOUT).value)
    assert not judge("pipeline").is_valid(read_yaml(CHECKOUT.replace(wrong, right)).value)


def test_every_key_is_in_the_reference():
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", (ROOT / "docs" / "definition.md").read_text(encoding="utf-8"))
    said = set(re.findall(r"\w+", " ".join(spans)))
    for model in (PipelineFile, OrganisationFile):
        schema = model.model_json_schema(by_alias=True)
        for part in [schema, *schema["$defs"].values()]:
            whole = next((choice for choice in part.get("anyOf", []) if "properties" in choice), part)
            for key in whole.get("properties", {}):
                assert key in said, f"docs/definition.md says nothing of `{key}`"


def test_the_files_in_the_reference_are_right():
    text = (ROOT / "docs" / "definition.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    pipeline, hours, about, organisation = (read_yaml(block).value for block in blocks)
    assert isinstance(pipeline, dict)
    assert isinstance(hours, dict)
    assert isinstance(about, dict)
    reading, company = read_pipeline({**pipeline, **hours, **about}), read_organisation(organisation)
    assert reading.pipeline is not None
    assert reading.file is not None
    assert company.organisation is not None
    assert company.file is not None
    assert list(unknown_to_organisation(reading.file, company.file)) == []
