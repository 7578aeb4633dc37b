"""The pytest plugin, as its users meet it: marks, fixtures, folders, snapshots, and what a failure tells."""

import subprocess
import sys
from pathlib import Path

import pytest

import tidegate.testing.under  # noqa: F401  # before pytester looks: numpy can be loaded only once in a process
from edge.outages.recording import Recording
from tidegate.replay.run import run
from tidegate.replay.scenario import Scenario
from tidegate.replay.verdict import Verdict
from tidegate.replay_processes import engine

pytest_plugins = ["pytester"]

RECORDING = """{"format":"tidegate-outage","version":1,"links":[{"name":"uplink","kind":"uplink"}]}
{"event":"transition","at_us":0,"link":"uplink","status":"up"}
{"event":"transition","at_us":60000000,"link":"uplink","status":"down","cause":"refused"}
{"event":"transition","at_us":180000000,"link":"uplink","status":"up"}
{"event":"end","at_us":240000000}
"""
SITE = '{"fleet": {"devices": 2, "interval_s": 10}, "windows": {"sizes_s": []}}'
HOPELESS = '{"fleet": {"devices": 2, "interval_s": 10}, "windows": {"sizes_s": []}, "replay": {"converge_s": 1}}'
IMPORTS = """import pytest
from tidegate.replay import DeviceReset, GatewayCrash
RESET_OF_DEVICE_2 = DeviceReset(at_us=1, device=2)
"""
CUT = RECORDING.replace("180000000", "239900000")


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    (pytester.path / "tunnel.outage.jsonl").write_text(RECORDING)
    (pytester.path / "cut.outage.jsonl").write_text(CUT)
    return pytester


def lived(folder: pytest.Pytester, mark: str, body: str, *words: str) -> pytest.RunResult:
    folder.makepyfile(f"{IMPORTS}@pytest.mark.outage({mark})\ndef test_it({body}\n")
    return folder.runpytest_inprocess("-p", "no:cacheprovider", *words)


def test_the_fixtures_show_one_run(folder: pytest.Pytester) -> None:
    body = """gateway_under, cloud, fleet, ledger):
    gateway_under.assert_passed()
    assert cloud.readings() == fleet.measured() == fleet.acknowledged()
    assert len(cloud.readings("device-000")) == 24
    assert next(cloud.points("device-001")).fields["seq"] == 0
    assert ledger.totals["received"] == gateway_under.verdict.in_cloud == 48"""
    lived(folder, f'"tunnel.outage.jsonl", site={SITE}, speed="max", seed=3', body).assert_outcomes(passed=1)


def test_readings_are_found_under_the_name_that_the_site_gives_them(folder: pytest.Pytester) -> None:
    site = SITE.removesuffix("}") + ', "influx": {"measurement": "measured"}}'
    body = "gateway_under, cloud, fleet): assert cloud.readings() == fleet.measured() != []"
    lived(folder, f'"tunnel.outage.jsonl", site={site}', body).assert_outcomes(passed=1)


def test_a_folder_gives_one_test_for_each_recording(folder: pytest.Pytester) -> None:
    result = lived(folder, f'".", site={SITE}', "gateway_under): gateway_under.verdict", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_it?cut? PASSED*", "*test_it?tunnel? PASSED*"])


def test_a_failure_tells_its_story(folder: pytest.Pytester) -> None:
    result = lived(folder, f'"cut.outage.jsonl", site={HOPELESS}', "gateway_under): gateway_under.assert_passed()")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- outage -*", "broken promises:*", "*>>> broken: acknowledged arrives in the cloud*"]
    )


def test_a_failure_is_shown_at_the_line_of_the_test_and_not_within_the_plugin(folder: pytest.Pytester) -> None:
    result = lived(folder, f'"cut.outage.jsonl", site={HOPELESS}', "gateway_under): gateway_under.assert_passed()")
    result.stdout.fnmatch_lines(
        ["*def test_it(gateway_under): gateway_under.assert_passed()", "E *cut.outage.jsonl: FAILED*"]
    )
    result.stdout.no_fnmatch_line("*under.py*")


def test_a_fixture_of_the_test_that_fails_tells_the_story_too(folder: pytest.Pytester) -> None:
    folder.makeconftest("import pytest\n@pytest.fixture\ndef passed(gateway_under): gateway_under.assert_passed()\n")
    result = lived(folder, f'"cut.outage.jsonl", site={HOPELESS}', "passed): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*- outage -*", "broken promises:*"])


def test_faults_that_met_nothing_are_named(folder: pytest.Pytester) -> None:
    mark = f'"tunnel.outage.jsonl", site={SITE}, faults=[GatewayCrash(at_us=300_000_000)]'
    result = lived(folder, mark, "gateway_under):\n    gateway_under.verdict\n    raise AssertionError")
    result.stdout.fnmatch_lines(
        ["*1 met traffic, 1 did not*", "*met nothing: GatewayCrash(at_us=300000000, down_ms=2000)"]
    )


def test_a_mark_without_any_of_the_fixtures_is_no_green_test(folder: pytest.Pytester) -> None:
    result = lived(folder, '"tunnel.outage.jsonl"', "): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_it: outage: expected one of the fixtures gateway_under, cloud, fleet, ledger*"])


def test_a_class_may_be_marked_that_has_other_tests_as_well(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        f"""import pytest
@pytest.mark.outage("tunnel.outage.jsonl", site={SITE})
class TestBoth:
    def test_other(self): pass
    def test_it(self, cloud): assert cloud.readings()
"""
    )
    folder.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_tests_of_one_name_in_two_classes_have_a_snapshot_each(folder: pytest.Pytester) -> None:
    tests = "".join(
        f"""
@pytest.mark.outage("{name}.outage.jsonl", site={SITE})
class Test{name.title()}:
    def test_it(self, gateway_under): gateway_under.assert_snapshot()
"""
        for name in ("cut", "tunnel")
    )
    folder.makepyfile(test_two=f"import pytest\n{tests}")
    for mode in ("new", "none"):
        folder.runpytest_inprocess("-p", "no:cacheprovider", f"--outage-record={mode}").assert_outcomes(passed=2)
    written = sorted(path.name for path in (folder.path / "test_two.verdicts").iterdir())
    assert written == ["TestCut.test_it.json", "TestTunnel.test_it.json"]


def test_recordings_of_one_beginning_keep_their_names_apart(folder: pytest.Pytester) -> None:
    for night in ("night.2026-11-28", "night.2026-11-29"):
        (folder.path / "nights").mkdir(exist_ok=True)
        (folder.path / "nights" / f"{night}.outage.jsonl").write_text(RECORDING)
    result = lived(folder, f'"nights", site={SITE}', "gateway_under): gateway_under.verdict", "-v")
    result.stdout.fnmatch_lines(["*test_it?night.2026-11-28? PASSED*", "*test_it?night.2026-11-29? PASSED*"])


def test_a_snapshot_is_asked_for_then_written_then_compared(folder: pytest.Pytester) -> None:
    mark, body = f'"tunnel.outage.jsonl", site={SITE}', "gateway_under): gateway_under.assert_snapshot()"
    missing = lived(folder, mark, body)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*--outage-record=new*"])
    lived(folder, mark, body, "--outage-record=new").assert_outcomes(passed=1)
    lived(folder, mark, body).assert_outcomes(passed=1)
    (snapshot,) = folder.path.glob("*.verdicts/*.json")
    snapshot.write_text(snapshot.read_text().replace('"produced": 48', '"produced": 47'))
    changed = lived(folder, mark, body, "--outage-record=new")
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(['*-  "produced": 47*', '*+  "produced": 48*'])
    lived(folder, mark, body, "--outage-record=all").assert_outcomes(passed=1)
    lived(folder, mark, body).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("", "*expected the name of a recording*"),
        ('"gone.outage.jsonl"', "*recording: expected a file*"),
        ('"tunnel.outage.jsonl", sped=1', "*sped: expected one of speed, site, seed, faults*"),
        ('"tunnel.outage.jsonl", speed="fast"', "*speed: expected 'max' *, or a number *, found 'fast'*"),
        (f'"tunnel.outage.jsonl", site={SITE}, speed=1000', "*speed: expected a number above 0 and up to 100*"),
        ('"tunnel.outage.jsonl", seed="x"', "*seed: expected an integer*"),
        ('"tunnel.outage.jsonl", site="gone.toml"', "*site: *gone.toml*"),
        (
            '"tunnel.outage.jsonl", site={"fleet": {"device": 1}}',
            "*site: fleet.device: unknown key; did you mean 'devices'[?]",
        ),
        ('"tunnel.outage.jsonl", faults=7', "*faults: expected a list of faults*found 7*"),
        (
            '"tunnel.outage.jsonl", faults=["crash"]',
            "*faults[[]0]: expected a fault such as GatewayCrash*found 'crash'*",
        ),
        (
            f'"tunnel.outage.jsonl", site={SITE}, faults=[RESET_OF_DEVICE_2]',
            "*faults[[]0]: *device below*(2), found 2*",
        ),
        ('"test_a_mark_that_cannot_be_used_says_why.py"', "*recording: *line 1*"),
    ],
)
def test_a_mark_that_cannot_be_used_says_why(folder: pytest.Pytester, mark: str, said: str) -> None:
    result = lived(folder, mark, "gateway_under): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


def test_a_number_as_speed_asks_real_processes_and_leaves_a_verdict(
    folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def processes(_recording: Recording, scenario: Scenario, *, speed: float) -> Verdict:
        asked.append(speed)
        return run(scenario)

    monkeypatch.setattr(engine, "replay_processes", processes)
    body = """gateway_under):
    gateway_under.assert_passed()
    for ask in (lambda: gateway_under.cloud, lambda: gateway_under.ledger, gateway_under.assert_snapshot):
        with pytest.raises(AssertionError, match="speed='max'"): ask()"""
    lived(folder, f'"tunnel.outage.jsonl", site={SITE}, speed=10', body).assert_outcomes(passed=1)
    assert asked == [10.0]


def test_a_fixture_without_a_mark_says_what_is_missing(folder: pytest.Pytester) -> None:
    folder.makepyfile("def test_it(cloud): pass")
    result = folder.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*expected the mark @pytest.mark.outage*"])


def test_it_is_there_once_the_package_is_installed_and_loads_no_gateway(tmp_path: Path) -> None:
    (tmp_path / "tunnel.outage.jsonl").write_text(RECORDING)
    (tmp_path / "test_user.py").write_text(
        "import sys, pytest\n"
        "def test_it_is_light(): assert not {'edge', 'tidegate.replay'} & set(sys.modules)\n"
        f"@pytest.mark.outage('tunnel.outage.jsonl', site={SITE})\n"
        "def test_it(gateway_under): gateway_under.assert_passed()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "test_user.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
