"""One device: its schedule, its window over the outbox, its answers, its clock and its power."""

from itertools import pairwise
from random import Random

import pytest

from firmware_sim.device import MAILBOX_MAX
from firmware_sim.device_clock import ClockSpec, TimeSource
from firmware_sim.device_spec import Publish
from firmware_sim.outbox import OUTBOX_BYTES_MIN, FullPolicy
from firmware_sim.phases import Phase
from firmware_sim.sender import BACKOFF_CAP_MS, Acknowledge, SenderSpec
from firmware_sim.supply import PowerState
from sensors.messages import LostRange, decode_state
from sensors.reading import Value
from sensors.senml import Encoding, decode
from sensors.topics import Kind
from tests.firmware_sim.worlds import (
    START_MS,
    BenchSupply,
    World,
    lost_ranges,
    readings_in,
    sent_readings,
    spec,
    states,
)


def linked(world: World) -> World:
    world.link(up=True)
    world.sent.clear()
    return world


def answer_all(world: World, messages: list[Publish], *, delivered: bool = True) -> list[Publish]:
    out: list[Publish] = []
    for message in messages:
        if message.token is not None:
            out += world.take(world.device.answered(message.token, delivered=delivered, now_ms=world.now_ms))
    return out


# --- sampling ---


def test_it_samples_once_per_interval_and_seqs_have_no_gaps() -> None:
    world = World()
    world.run(10_000)
    assert [(identity.boot, identity.seq) for identity in world.truth] == [(1, n) for n in range(10)]
    gaps = {b - a for a, b in pairwise(world.true_at_ms.values())}
    assert gaps == {1000}


def test_jitter_moves_each_sample_within_its_slot_and_does_not_add_up() -> None:
    world = World(spec(jitter_ms=400))
    world.run(100_000)
    times = list(world.true_at_ms.values())
    slots = [at_ms - n * 1000 for n, at_ms in enumerate(times)]
    assert max(slots) - min(slots) <= 400
    assert len(set(slots)) > 20


def test_the_same_seed_gives_the_same_messages_and_another_seed_others() -> None:
    def life(seed: int) -> list[Publish]:
        world = linked(World(spec(jitter_ms=400), seed=seed))
        for _ in range(20):
            world.run(1500)
        return world.sent

    assert life(1) == life(1)
    assert life(1) != life(2)


def test_sampling_does_not_wait_for_a_link() -> None:
    with_link, without = linked(World(spec(jitter_ms=300))), World(spec(jitter_ms=300))
    for _ in range(20):
        with_link.run(1000)
        without.run(1000)
    assert len(without.truth) == 20
    assert without.sent == []


def test_a_step_that_comes_late_catches_up_on_every_sample_at_its_own_time() -> None:
    late, prompt = World(), World()
    late.run(30_000)
    for _ in range(300):
        prompt.run(100)
    assert late.true_at_ms == prompt.true_at_ms


def test_send_on_delta_stores_only_what_left_the_band_or_is_due_by_heartbeat() -> None:
    world = World(spec(delta={"temperature": 0.5}, heartbeat_ms=20_000))
    levels = iter([20.0, 20.4, 20.6, 20.7, 20.1] + [20.1] * 40)
    world.device._measure = lambda _at_ms: (Value("temperature", next(levels), "Cel"),)
    world.run(25_000)
    assert [reading.values[0].value for reading in world.truth.values()] == [20.0, 20.6, 20.1, 20.1]
    assert [identity.seq for identity in world.truth] == [0, 1, 2, 3]
    assert world.device.counters.suppressed == 21


def test_send_on_delta_sees_a_state_change() -> None:
    world = World(spec(delta={"open": 1.0}))
    states_of_door = iter([True, True, False, False, True])
    world.device._measure = lambda _at_ms: (Value("open", next(states_of_door)),)
    world.run(5_000)
    assert [reading.values[0].value for reading in world.truth.values()] == [True, False, True]


def test_a_batch_is_stored_reading_by_reading_and_sent_together() -> None:
    world = linked(World(spec(batch=3)))
    sent = [sent_readings(world.run(1000)) for _ in range(7)]
    assert [batch for batch in sent if batch] == [[(1, 0), (1, 1), (1, 2)], [(1, 3), (1, 4), (1, 5)]]
    assert len(world.device.outbox) == 7


def test_cbor_readings_decode_to_what_was_measured() -> None:
    world = linked(World(spec(encoding=Encoding.CBOR, clock=ClockSpec(source=TimeSource.RTC))))
    message = next(m for m in world.run(1000) if m.kind is Kind.READING)
    assert decode(message.payload, device="d", received_at_ms=0) == list(world.truth.values())


# --- sending ---


def test_the_window_limits_messages_that_the_gateway_has_not_acknowledged() -> None:
    world = linked(World())
    sent = [sent_readings(world.run(1000)) for _ in range(4)]
    assert sent == [[(1, 0)], [(1, 1)], [], []]
    assert sent_readings(world.ack(1, 0)) == [(1, 2), (1, 3)]


def test_a_puback_frees_nothing_and_opens_no_window() -> None:
    world = linked(World())
    out = [message for _ in range(2) for message in world.run(1000)]
    assert answer_all(world, out) == []
    assert len(world.device.outbox) == 2
    assert world.device.counters.delivered_messages == 2


def test_an_unanswered_window_is_sent_again_from_the_last_acknowledged_after_the_time_out() -> None:
    world = World(spec(interval_ms=3_600_000))
    world.run_until_sampled(3)
    world.link(up=True)
    answer_all(world, world.sent)
    world.ack(1, 0)
    sent = sent_readings(world.run(5_000 + 1_000))
    assert sent == [(1, 1), (1, 2)]
    assert world.device.counters.resent == 2


def test_what_the_broker_has_not_answered_is_not_queued_again() -> None:
    world = linked(World(spec(interval_ms=10**9)))
    world.run_until_sampled(1)
    assert world.run(3_600_000) == []
    answer_all(world, world.sent)
    assert sent_readings(world.run(10_000)) == [(1, 0)]


def test_time_outs_back_off_exponentially_with_full_jitter_and_progress_resets_them() -> None:
    world = World(spec(interval_ms=10**9))
    world.run(10**9)
    world.link(up=True)
    waits: list[int] = []
    last_ms = world.now_ms
    for _ in range(12):
        answer_all(world, world.sent)
        while not world.run_until_next():
            assert world.now_ms - last_ms <= 5_000 + BACKOFF_CAP_MS
        waits.append(world.now_ms - last_ms - 5_000)
        last_ms = world.now_ms
    for n, wait_ms in enumerate(waits):
        assert wait_ms <= min(BACKOFF_CAP_MS, 1_000 << n)
    assert max(waits) > 10_000, "it never backed off"
    assert len(set(waits)) > 6, "no jitter"
    assert world.device._sender._attempt > 0
    world.ack(1, 0)
    assert world.device._sender._attempt == 0


def test_the_tail_of_an_old_boot_that_was_lost_is_sent_again_while_the_new_boot_makes_progress() -> None:
    world = linked(World())
    world.run(1000)
    answer_all(world, world.take(world.device.reset(world.now_ms)))
    world.sent.clear()
    for n in range(30):
        answer_all(world, world.run(1000))
        if n > 2:
            answer_all(world, world.ack(2, world.device.outbox.next_seq - 1))
    assert sent_readings(world.sent).count((1, 0)) >= 3


def test_a_refused_publish_counts_as_not_sent_and_is_sent_again_soon() -> None:
    world = linked(World(spec(interval_ms=10**6)))
    out = world.run_until_sampled(1)
    assert answer_all(world, out, delivered=False) == []
    assert world.device.counters.refused_messages == 1
    assert sent_readings(world.run(1_001)) == [(1, 0)]


def test_everything_acknowledged_means_silence() -> None:
    world = linked(World(spec(interval_ms=10**6)))
    world.run_until_sampled(1)
    world.ack(1, 0)
    assert world.run(900_000) == []


def test_a_resend_brings_what_is_held_and_says_why_the_rest_is_gone() -> None:
    world = linked(World(spec(sender=SenderSpec(window=2, pack=3, ack_timeout_ms=10**9))))
    world.run(10_000)
    world.ack(1, 1)
    world.sent.clear()
    out = world.ask((1, 0, 5))
    assert sent_readings(out)[:4] == [(1, 2), (1, 3), (1, 4), (1, 5)]
    assert lost_ranges(out) == [LostRange(1, 0, 1, "acked")]


def test_a_full_window_does_not_hold_back_the_answer_to_a_resend() -> None:
    world = linked(World(spec(sender=SenderSpec(window=1, pack=1, ack_timeout_ms=10**9))))
    world.run(3_000)
    assert sent_readings(world.ask((1, 0, 0))) == [(1, 0)]


def test_a_resend_for_readings_that_are_still_to_come_is_not_answered_with_a_loss() -> None:
    world = linked(World())
    world.run(2_000)
    assert lost_ranges(world.ask((1, 0, 100))) == []


def test_an_eviction_is_reported_without_being_asked() -> None:
    world = linked(World(bytes_max=OUTBOX_BYTES_MIN))
    world.run(200_000)
    world.sent.clear()
    world.run(1_000)
    (lost,) = lost_ranges(world.sent)
    assert (lost.boot, lost.first, lost.reason) == (1, 0, "evicted")
    assert lost.last + 1 + len(world.device.outbox) == len(world.truth)


def test_under_stop_sampling_a_full_outbox_measures_nothing_and_loses_nothing() -> None:
    world = World(bytes_max=OUTBOX_BYTES_MIN, policy=FullPolicy.STOP_SAMPLING)
    world.run(200_000)
    assert len(world.truth) == len(world.device.outbox) < 200
    assert world.device.counters.refused == 200 - len(world.truth)
    linked(world)
    world.ack(1, 10)
    world.run(1_000)
    assert max(identity.seq for identity in world.truth) == len(world.truth) - 1


def test_against_a_plain_broker_the_puback_frees_the_flash_in_order() -> None:
    world = linked(World(spec(sender=SenderSpec(window=2, pack=1, acknowledge=Acknowledge.BROKER))))
    first, second = [m for _ in range(2) for m in world.run(1000) if m.token is not None]
    answer_all(world, [second])
    assert len(world.device.outbox) == 2
    answer_all(world, [first])
    assert len(world.device.outbox) == 0
    assert world.device.counters.acked == 2


def test_a_bad_message_of_the_gateway_harms_nothing() -> None:
    world = linked(World())
    world.run(1000)
    assert world.take(world.device.receive(Kind.ACK, b'{"acks":', world.now_ms)) == []
    assert world.device.counters.bad_messages == 1
    assert len(world.device.outbox) == 1


def test_without_a_link_it_tries_with_growing_pauses_and_keeps_everything() -> None:
    supply = BenchSupply()
    world = World(supply=supply)
    world.run(600_000)
    tries = [now_ms for phase, duration_ms, now_ms in supply.drawn if phase is Phase.CONNECT]
    assert 10 < len(tries) < 100, "a try for every sample would empty the battery"
    assert len(world.device.outbox) == 600
    world.link(up=True)
    assert sent_readings(world.sent)[:2] == [(1, 0), (1, 1)]


# --- a radio that sleeps ---


def test_between_contacts_mail_waits_and_is_read_at_the_next_contact() -> None:
    world = World(spec(receive_window_ms=300))
    world.link(up=True)
    world.run(1000)
    world.run(999)
    assert world.device.phase is Phase.SLEEP
    world.ack(1, 0)
    assert len(world.device.outbox) > 0
    held = len(world.device.outbox)
    world.run(1000)
    assert len(world.device.outbox) == held


def test_in_its_receive_window_it_hears_the_ack_and_goes_on() -> None:
    world = World(spec(receive_window_ms=300, sender=SenderSpec(window=1, pack=1)))
    world.run(3000)
    world.link(up=True)
    while not sent_readings(world.sent):
        world.run(10)
    assert world.device.phase == "receive"
    assert sent_readings(world.ack(1, 0)) == [(1, 1)]
    world.run(600)
    assert world.device.phase == "sleep"


def test_the_mailbox_of_a_sleeping_device_is_bounded() -> None:
    world = World(spec(receive_window_ms=300))
    for _ in range(MAILBOX_MAX + 10):
        world.ack(1, 0)
    assert len(world.device._mailbox) == MAILBOX_MAX


def test_after_the_last_sample_it_listens_until_all_is_acknowledged() -> None:
    world = World(spec(receive_window_ms=300, batch=100))
    world.run(5000)
    world.link(up=True)
    out = world.take(world.device.stop_sampling(world.now_ms))
    assert sent_readings(out) == [(1, n) for n in range(5)]
    assert world.device.phase is Phase.RECEIVE
    world.ack(1, 4)
    assert len(world.device.outbox) == 0
    assert world.device.next_wake_ms is None


# --- words about itself ---


def test_it_introduces_itself_at_each_connection_with_what_it_has_lost() -> None:
    world = World(bytes_max=OUTBOX_BYTES_MIN, supply=BenchSupply())
    world.run(100_000)
    out = world.link(up=True)
    (state,) = states(out)
    assert (state.online, state.boot, state.battery_mv) == (True, 1, 3123)
    assert out[0].retain
    assert state.lost[0].first == 0
    world.link(up=False)
    assert len(states(world.link(up=True))) == 1


def test_its_farewell_is_retained_and_says_offline() -> None:
    farewell = World().device.farewell()
    assert (farewell.kind, farewell.retain, decode_state(farewell.payload).online) == (Kind.STATE, True, False)


def test_battery_values_ride_on_every_kth_reading() -> None:
    world = World(spec(battery_every=3), supply=BenchSupply())
    world.run(7_000)
    with_battery = [identity.seq for identity, reading in world.truth.items() if len(reading.values) == 3]
    assert with_battery == [0, 3, 6]
    assert world.truth[next(iter(world.truth))].values[1:] == (
        Value("battery_voltage", 3.123, "V"),
        Value("battery_level", 100.0, "%EL"),
    )


def test_a_low_battery_stretches_the_interval() -> None:
    supply = BenchSupply()
    supply.level = 9.0
    world = World(spec(low_battery_percent=10.0, low_battery_stretch=5), supply=supply)
    world.run(50_000)
    assert len(world.truth) == 10


# --- restarts and power ---


def test_a_restart_keeps_the_flash_counts_the_boot_and_starts_seqs_again() -> None:
    world = linked(World())
    world.run(2_000)
    out = world.take(world.device.reset(world.now_ms))
    assert sent_readings(out) == [(1, 0), (1, 1)]
    assert states(out)[0].boot == 2
    world.run(2_000)
    assert {(2, 0), (2, 1)} <= {(identity.boot, identity.seq) for identity in world.truth}


def test_a_sag_in_the_radio_pulse_restarts_the_device_and_what_it_sent_counts_as_unsent() -> None:
    supply = BenchSupply()
    world = linked(World(supply=supply))
    supply.fail_in[Phase.TRANSMIT] = PowerState.SAG
    assert world.run(1_000) == []
    assert (world.device.phase, world.device.powered) == (Phase.BROWN_OUT, False)
    assert world.device.counters.brown_outs == 1
    out = world.run(4_000)
    assert world.device.outbox.boot == 2
    assert sent_readings(out)[0] == (1, 0)


def test_a_sag_while_booting_is_a_reboot_loop_that_counts_no_boot() -> None:
    supply = BenchSupply()
    world = World(supply=supply)
    for _ in range(5):
        supply.fail_in[Phase.BOOT] = PowerState.SAG
        if world.device.powered:
            world.take(world.device.reset(world.now_ms))
        else:
            world.run(3_000)
    assert world.device.counters.brown_outs == 5
    assert world.device.outbox.boot == 1


@pytest.mark.parametrize("phase", [Phase.SLEEP, Phase.SENSE, Phase.PROCESS, Phase.CONNECT, Phase.BROWN_OUT])
def test_an_empty_battery_ends_everything(phase: Phase) -> None:
    supply = BenchSupply()
    world = World(supply=supply)
    if phase is Phase.BROWN_OUT:
        supply.fail_in[Phase.SENSE] = PowerState.SAG
    supply.fail_in[phase] = PowerState.EMPTY
    world.run(60_000)
    assert world.device.phase is Phase.DEAD
    assert world.device.next_wake_ms is None
    assert world.link(up=True) == []
    assert world.take(world.device.reset(world.now_ms)) == []
    assert world.take(world.device.stop_sampling(world.now_ms)) == []


def test_the_draws_cover_all_time_once() -> None:
    supply = BenchSupply()
    world = World(spec(receive_window_ms=200), supply=supply)
    world.run(20_000)
    world.link(up=True)
    world.run(100_000)
    end_ms = START_MS
    for _, duration_ms, now_ms in supply.drawn:
        assert now_ms - duration_ms == end_ms
        end_ms = now_ms
    assert 119_000 < end_ms - START_MS <= 120_500
    spent = {phase: sum(d for p, d, _ in supply.drawn if p is phase) for phase in Phase}
    assert spent[Phase.SENSE] == 15 * 120
    assert spent[Phase.SLEEP] > 30_000
    assert spent[Phase.RECEIVE] > 0


# --- time ---


def test_times_before_the_first_contact_become_wall_time_when_they_are_sent() -> None:
    world = World()
    world.run(3_000)
    assert not any(reading.synced for reading in world.truth.values())
    message = next(m for m in world.link(up=True) if m.kind is Kind.READING)
    readings = decode(message.payload, device="d", received_at_ms=0)
    assert all(reading.synced for reading in readings)
    assert [reading.taken_at_ms for reading in readings] == [world.true_at_ms[reading.identity] for reading in readings]


def test_a_correction_outlives_a_power_cut() -> None:
    world = World(spec(sender=SenderSpec(window=1, pack=1)))
    world.run(3_000)
    world.link(up=True)
    world.run(1_000)
    world.power_on()
    world.sent.clear()
    world.now_ms += 3_600_000
    world.link(up=True)
    message = next(m for m in world.sent if m.kind is Kind.READING)
    (reading,) = decode(message.payload, device="d", received_at_ms=0)
    assert (reading.synced, reading.taken_at_ms) == (True, world.true_at_ms[reading.identity])


def test_a_device_that_never_learns_the_time_sends_ages() -> None:
    world = World(spec(clock=ClockSpec(source=TimeSource.NONE)))
    world.run(3_000)
    message = next(m for m in world.link(up=True) if m.kind is Kind.READING)
    for reading in decode(message.payload, device="d", received_at_ms=world.now_ms):
        assert not reading.synced
        assert reading.taken_at_ms == world.true_at_ms[reading.identity]


def test_an_absurd_age_is_still_a_reading() -> None:
    world = World(spec(clock=ClockSpec(source=TimeSource.NONE)))
    world.run(1_000)
    world.now_ms += 20 * 365 * 86_400_000
    world.device._sampling, world.device._sample_due_ms = False, None
    message = next(m for m in world.link(up=True) if m.kind is Kind.READING)
    assert readings_in(message) == [(1, 0)]


@pytest.mark.no_cover
def test_a_drifting_clock_is_off_by_its_ppm_until_the_next_synchronisation() -> None:
    world = World(spec(interval_ms=3_600_000, clock=ClockSpec(ppm=10.0)))
    world.link(up=True)
    for _ in range(47):
        world.run(3_600_000)
        world.ack(1, world.device.outbox.next_seq - 1)
    errors = [reading.taken_at_ms - world.true_at_ms[identity] for identity, reading in world.truth.items()]
    assert 828 <= max(errors) <= 900, "10 ppm are 0.864 s a day, 0.036 s an hour"
    assert abs(errors[25]) < 80, "and after a day it asks again"


def test_the_jitter_of_a_generator_is_the_only_randomness() -> None:
    first, second = World(seed=5), World(seed=5)
    first.run(5_000)
    assert Random(5).random() == Random(5).random()
    second.run(5_000)
    assert first.truth == second.truth
