"""F42: an update that is killed anywhere leaves the old version running; bad signatures and downgrades are refused.

The stateful test plays any schedule of chunks that are lost, repeated, reordered or forged, resets, and power losses in
the middle of any flash operation. The device always boots, runs only images that were signed and whole, and gets to the
new version once nothing disturbs it any more.
"""

from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware_sim.device_spec import FirmwareSpec
from firmware_sim.update.bootloader import TRIALS_MAX
from firmware_sim.update.states import TRANSITIONS, IllegalUpdateStep, UpdateEvent, UpdatePhase, next_update_phase
from firmware_sim.update.updater import ASK_TIMEOUT_CAP_MS, SELF_TEST_FAILS, Updater
from sensors.firmware import Chunk, Manifest, sign
from tests.examples import examples
from tests.firmware_sim.update.bench import KEY, PUBLIC_KEY, TYPE, FragileFlash, PowerLoss, image_of

SPEC = FirmwareSpec("1.0.0", TYPE, PUBLIC_KEY, 4096)


def chunk_of(manifest: Manifest, image: bytes, number: int) -> Chunk:
    at = number * manifest.chunk_bytes
    return Chunk(manifest.image, number, image[at : at + manifest.chunk_bytes])


def pull(updater: Updater, manifest: Manifest, image: bytes, now_ms: int = 0) -> None:
    """A good link and a gateway that answers."""
    while (ask := updater.ask(now_ms)) is not None:
        for number in range(ask.first, ask.first + ask.count):
            if updater.wants(chunk := chunk_of(manifest, image, number)):
                updater.take(chunk)


def test_an_update_is_downloaded_verified_tried_and_confirmed() -> None:
    flash, (manifest, image) = FragileFlash(), image_of("1.1.0")
    updater = Updater(flash, SPEC)
    assert (updater.version, updater.refusal(manifest)) == ("1.0.0", None)
    updater.start(manifest)
    pull(updater, manifest, image)
    assert updater.finish()
    assert updater.version == "1.0.0", "until it is reset"
    updater = Updater(flash, SPEC)
    assert (updater.version, updater.is_trial) == ("1.1.0", True)
    assert updater.self_test()
    updater = Updater(flash, SPEC)
    assert (updater.version, updater.is_trial) == ("1.1.0", False)
    report = updater.report()
    assert report is not None
    assert (report.version, report.phase) == ("1.1.0", "confirmed")


def test_a_download_goes_on_where_a_reset_cut_it_off() -> None:
    flash, (manifest, image) = FragileFlash(), image_of("1.1.0", size=4000)
    updater = Updater(flash, SPEC)
    updater.start(manifest)
    for number in range(7):
        updater.take(chunk_of(manifest, image, number))
    again = Updater(flash, SPEC)
    ask = again.ask(0)
    assert ask is not None
    assert ask.first == 7
    again.start(manifest)
    assert len(flash.slots[1]) == 7, "told the same once more, it goes on, too"


def test_an_image_that_fails_its_self_test_is_rolled_back() -> None:
    flash, (manifest, image) = FragileFlash(), image_of("1.1.0", marker=SELF_TEST_FAILS)
    updater = Updater(flash, SPEC)
    updater.start(manifest)
    pull(updater, manifest, image)
    assert updater.finish()
    assert not Updater(flash, SPEC).self_test()
    after = Updater(flash, SPEC)
    report = after.report()
    assert report is not None
    assert (after.version, report.phase, report.detail) == ("1.0.0", "rolled-back", "the self-test failed")


def test_an_image_that_never_confirms_itself_is_given_up_after_a_few_boots() -> None:
    flash, (manifest, image) = FragileFlash(), image_of("1.1.0")
    updater = Updater(flash, SPEC)
    updater.start(manifest)
    pull(updater, manifest, image)
    updater.finish()
    versions = [Updater(flash, SPEC).version for _ in range(TRIALS_MAX + 2)]
    assert versions == ["1.1.0"] * TRIALS_MAX + ["1.0.0"] * 2


def test_an_image_whose_bytes_rot_after_the_download_is_not_started() -> None:
    flash, (manifest, image) = FragileFlash(), image_of("1.1.0")
    updater = Updater(flash, SPEC)
    updater.start(manifest)
    pull(updater, manifest, image)
    assert updater.finish()
    flash.slots[1][3] = bytes(100)
    after = Updater(flash, SPEC)
    report = after.report()
    assert report is not None
    assert (after.version, report.phase) == ("1.0.0", "failed")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signature": "0" * 128}, "signature"),
        ({"version": "1.2.0"}, "signature"),
        ({"device_types": ("other",)}, "this device is a node"),
        ({"version": "1.0.0"}, "not newer than 1.0.0"),
        ({"version": "0.9.9"}, "not newer than 1.0.0"),
        ({"size": 5000}, "a slot has 4096"),
    ],
)
def test_what_may_not_be_installed_is_refused_before_anything_is_erased(change: dict[str, Any], words: str) -> None:
    flash, (manifest, _) = FragileFlash(), image_of("1.1.0")
    changed = msgspec.structs.replace(manifest, **change)
    if words != "signature":
        changed = sign(changed, KEY)
    refusal = Updater(flash, SPEC).refusal(changed)
    assert refusal is not None
    assert words in refusal
    assert flash.operations == 0


def test_a_device_without_a_key_takes_no_update() -> None:
    manifest, _ = image_of("1.1.0")
    assert Updater(FragileFlash(), FirmwareSpec("1.0.0", TYPE)).refusal(manifest) is not None


def test_a_wrong_image_under_a_good_manifest_is_not_started() -> None:
    flash, (manifest, image) = FragileFlash(), image_of("1.1.0")
    updater = Updater(flash, SPEC)
    updater.start(manifest)
    pull(updater, manifest, image[:-1] + b"!")
    assert not updater.finish()
    assert Updater(flash, SPEC).version == "1.0.0"


def test_lost_chunks_are_asked_for_again_ever_more_rarely() -> None:
    updater, (manifest, _) = Updater(FragileFlash(), SPEC), image_of("1.1.0")
    updater.start(manifest)
    asked_ms = [at_ms for at_ms in range(0, 3_000_000, 1000) if updater.ask(at_ms) is not None]
    pauses_ms = [later - earlier for earlier, later in pairwise(asked_ms)]
    assert pauses_ms[:5] == [15_000, 30_000, 60_000, 120_000, 240_000]
    assert max(pauses_ms) <= ASK_TIMEOUT_CAP_MS


@pytest.mark.parametrize("marker", [b"", SELF_TEST_FAILS])
def test_power_that_goes_in_any_single_flash_operation_leaves_a_bootable_device(marker: bytes) -> None:
    manifest, image = image_of("1.1.0", size=400, marker=marker)
    wanted = "1.1.0" if not marker else "1.0.0"
    for at in range(40):
        flash = FragileFlash()
        flash.fails_in = at
        for _ in range(6):
            try:
                updater = Updater(flash, SPEC)
                assert updater.version in {"1.0.0", "1.1.0"}
                if updater.is_trial and not updater.self_test():
                    continue
                if updater.version == "1.1.0" or (marker and updater.report() and not updater.is_downloading):
                    break
                updater.start(manifest)
                pull(updater, manifest, image)
                updater.finish()
            except PowerLoss:
                continue
        assert Updater(flash, SPEC).version == wanted, f"after a power loss in operation {at}"


class AnyUpdate(RuleBasedStateMachine):
    """Updates to 1.1.0 and 1.2.0 under every disturbance."""

    IMAGES: ClassVar = {version: image_of(version, size=350) for version in ("1.1.0", "1.2.0")}

    def __init__(self) -> None:
        super().__init__()
        self.flash = FragileFlash()
        self.now_ms = 0

    @initialize()
    def power_on(self) -> None:
        self.updater = Updater(self.flash, SPEC)

    def guarded(self, action: Any) -> None:
        """Do it; a power loss in it is followed by a boot, in which the power may go as well."""
        try:
            action()
        except PowerLoss:
            self.boot()

    def boot(self) -> None:
        for _ in range(2):
            try:
                self.updater = Updater(self.flash, SPEC)
                if self.updater.is_trial and not self.updater.self_test():
                    self.updater = Updater(self.flash, SPEC)
            except PowerLoss:
                continue
            return

    @rule(in_operations=st.integers(0, 8))
    def weaken(self, in_operations: int) -> None:
        self.flash.fails_in = in_operations

    @rule()
    def reset(self) -> None:
        self.boot()

    @rule(version=st.sampled_from(["1.1.0", "1.2.0"]))
    def start(self, version: str) -> None:
        manifest, _ = self.IMAGES[version]
        if self.updater.refusal(manifest) is None:
            self.guarded(lambda: self.updater.start(manifest))

    @rule(version=st.sampled_from(["1.1.0", "1.2.0"]), number=st.integers(0, 4), forged=st.booleans())
    def chunk(self, version: str, number: int, forged: bool) -> None:
        manifest, image = self.IMAGES[version]
        chunk = chunk_of(manifest, bytes(350) if forged else image, number)
        if self.updater.wants(chunk):
            self.guarded(lambda: self.updater.take(chunk))

    @rule(pause_ms=st.integers(0, 1_000_000))
    def ask(self, pause_ms: int) -> None:
        self.now_ms += pause_ms
        self.updater.ask(self.now_ms)

    @rule(version=st.sampled_from(["1.1.0", "1.2.0"]))
    def download(self, version: str) -> None:
        self.guarded(lambda: pull(self.updater, *self.IMAGES[version], self.now_ms))

    @rule()
    def finish(self) -> None:
        if self.updater.is_whole:
            self.guarded(self._finish)

    def _finish(self) -> None:
        if self.updater.finish():
            self.boot()

    @invariant()
    def runs_what_is_whole_and_signed(self) -> None:
        assert self.updater.version in {"1.0.0", "1.1.0", "1.2.0"}
        record = self.flash.boot_record
        if record is not None and record.phase in {UpdatePhase.STAGED, UpdatePhase.TRIAL}:
            assert record.manifest is not None
            _, image = self.IMAGES[record.manifest.version]
            assert self.flash.image(record.other, record.manifest.chunks) == image

    def teardown(self) -> None:
        """Nothing disturbs it any more: the newest version comes, stays, and was never older than what ran."""
        self.flash.fails_in = None
        manifest, image = self.IMAGES["1.2.0"]
        for _ in range(4):
            self.boot()
            if self.updater.version == "1.2.0":
                break
            self.updater.start(manifest)
            pull(self.updater, manifest, image)
            self.updater.finish()
        assert Updater(self.flash, SPEC).version == "1.2.0"


AnyUpdate.TestCase.settings = settings(max_examples=examples(50), stateful_step_count=25, deadline=None)
TestAnyUpdate = AnyUpdate.TestCase


@given(phase=st.sampled_from(UpdatePhase), event=st.sampled_from(UpdateEvent))
def test_a_step_is_in_the_table_or_an_error(phase: UpdatePhase, event: UpdateEvent) -> None:
    if event in TRANSITIONS[phase]:
        assert next_update_phase(phase, event) is TRANSITIONS[phase][event]
    else:
        with pytest.raises(IllegalUpdateStep, match=f"update in state {phase}: got {event}"):
            next_update_phase(phase, event)
