"""From flags and TOML to a RunConfig: what is filled in, what is refused, and that it round-trips."""

from __future__ import annotations

import os
import tomllib

import msgspec
import pytest

from herd import limits
from herd.commands._options import config_from
from herd.config import Pin, RunConfig, cpus, parse, read, to_toml
from herd.errors import Unfit, UsageError

CPU = min(os.sched_getaffinity(0))

CONFIGS = {
    "nothing set": {},
    "everything set": {
        "strategy": "epoll-exclusive",
        "kernel": "6.1",
        "options": {},
        "batch": 4,
        "snapshot": True,
        "pool": "threads",
        "workers": 32,
        "connections": 17,
        "rate": 250.5,
        "pattern": "bursts",
        "pattern_options": {"burst": "5"},
        "duration_s": 1.5,
        "load_processes": 2,
        "backlog": 7,
        "family": "inet6",
        "host": "::1",
        "port": 8080,
        "work_us": 12.5,
        "hold_s": 0.25,
        "block_s": 0.125,
        "block_every": 40,
        "seed": 9,
        "probe": "none",
        "output": 'results/a "quoted" one',
        "timeout_s": 60.0,
        "pin": {"workers": str(CPU), "load": str(CPU)},
    },
    "half pinned": {"pin": {"load": str(CPU)}},
    "settled": {"rate": "settled"},
    "a whole number as rate": {"rate": 500},
    "a duration": {"duration_s": 2},
    "a unix socket": {"family": "unix"},
    "tokens": {"tokens": 500, "rate": "settled"},
    "a closed loop": {"pattern": "closed", "pattern_options": {"clients": "3"}},
}


# --- defaults and round trips


def test_nothing_asked_for_is_a_whole_run():
    config = parse({}).resolved()
    assert (config.strategy, config.workers, config.connections) == ("accept", 8, 1000)
    assert (config.family, config.host, config.port) == ("inet", "127.0.0.1", 0)
    assert config.backlog == 1024
    assert (config.probe, config.output, config.pin) == ("auto", None, Pin())
    assert isinstance(config.rate, float)
    assert config.timeout_s is not None


@pytest.mark.parametrize("values", CONFIGS.values(), ids=CONFIGS)
def test_toml_brings_back_the_same_config(values):
    config = parse(values)
    assert parse(tomllib.loads(to_toml(config))) == config
    resolved = config.resolved()
    assert parse(tomllib.loads(to_toml(resolved))) == resolved


@pytest.mark.parametrize("values", CONFIGS.values(), ids=CONFIGS)
def test_resolving_twice_changes_nothing(values):
    once = parse(values).resolved()
    assert once.resolved() == once


def test_what_was_asked_for_is_kept_when_defaults_are_filled_in():
    asked = CONFIGS["everything set"]
    resolved = msgspec.to_builtins(parse(asked).resolved())
    assert resolved == asked | {"tokens": None}  # these and connections exclude one another


def test_a_file_is_read_and_flags_win(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('strategy = "epoll"\nworkers = 5\nrate = "settled"\n')
    config, _ = config_from(file, (("load", str(CPU)),), workers=6, strategy=None)
    assert (config.strategy, config.workers, config.rate) == ("epoll", 6, "settled")
    assert config.pin == Pin(load=str(CPU))


def test_an_option_belongs_to_a_strategy_and_has_its_choices():
    assert parse({"strategy": "accept-lock"}).resolved().options == {"lock": "fcntl"}
    chosen = parse({"strategy": "accept-lock", "options": {"lock": "futex"}}).resolved()
    assert chosen.options == {"lock": "futex"}
    assert parse(msgspec.to_builtins(chosen)) == chosen
    with pytest.raises(UsageError, match="unknown --lock 'flok'; did you mean 'flock'"):
        parse({"strategy": "accept-lock", "options": {"lock": "flok"}}).resolved()
    with pytest.raises(UsageError, match="strategy accept 'lock'") as refused:
        parse({"options": {"lock": "futex"}}).resolved()
    assert refused.value.hint == "--lock is for accept-lock"


def test_a_rate_that_is_left_open_knows_what_was_chosen_about_the_strategy():
    herd = {"strategy": "sigio", "workers": 1024}
    one = parse(herd | {"options": {"owner": "one"}}).resolved()
    assert one.rate > parse(herd).resolved().rate
    assert one.rate == parse({"strategy": "accept", "workers": 1024}).resolved().rate


def test_an_option_without_choices_takes_any_text_that_the_strategy_can_use():
    ours = parse({"strategy": "fcgi"}).resolved()
    assert ours.options == {"program": ""}
    assert parse(tomllib.loads(to_toml(ours))).resolved() == ours
    config, _ = config_from(None, (), strategy="fcgi", of_strategy_program="/bin/true")
    assert config.resolved().options == {"program": "/bin/true"}
    with pytest.raises(UsageError, match="there is no program '/no/such'"):
        parse({"strategy": "fcgi", "options": {"program": "/no/such"}}).resolved()


def test_a_file_can_hold_a_commands_own_keys_as_words_or_as_a_list(tmp_path):
    file = tmp_path / "compare.toml"
    file.write_text('strategies = "all"\nkernels = ["6.1", "host"]\nworkers = 5\n')
    config, swept = config_from(file, (), also=("strategies", "kernels"))
    assert config.workers == 5
    assert swept == {"strategies": "all", "kernels": "6.1,host"}
    with pytest.raises(UsageError, match="unknown config key 'strategies'"):
        config_from(file, ())
    file.write_text("kernels = 6.1\n")
    with pytest.raises(UsageError, match="kernels: expected a name or a list of names"):
        config_from(file, (), also=("kernels",))


def test_a_file_that_is_missing_or_is_not_toml_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*none\.toml: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("workers: 5")
    with pytest.raises(UsageError, match=r"bad\.toml is not TOML"):
        read(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"binary\.toml is not TOML"):
        read(tmp_path / "binary.toml")


# --- what is refused


@pytest.mark.parametrize(
    ("key", "nearest"), [("worker", "workers"), ("stratgy", "strategy"), ("hold", "hold_s")]
)
def test_an_unknown_key_names_the_nearest(key, nearest):
    with pytest.raises(UsageError, match=f"{key}'; did you mean '{nearest}'") as refused:
        parse({key: 1})
    assert "load_processes" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"workers": 0}, "workers: expected `?int`? >= 1"),
        ({"workers": 1025}, "workers: expected int <= 1024"),
        ({"workers": "8"}, "workers: expected int, got str"),
        ({"connections": 0}, "connections: "),
        ({"connections": 10_000_001}, "connections: "),
        ({"rate": 0}, "rate: "),
        ({"rate": -1.0}, "rate: "),
        ({"rate": 1e7}, "rate: "),
        ({"rate": float("nan")}, "rate: "),
        ({"rate": True}, "rate: "),
        ({"duration_s": 0}, "duration_s: "),
        ({"load_processes": 65}, "load_processes: "),
        ({"backlog": 0}, "backlog: "),
        ({"backlog": 65536}, "backlog: "),
        ({"port": -1}, "port: "),
        ({"port": 65536}, "port: "),
        ({"work_us": -1}, "work_us: "),
        ({"hold_s": 3601}, "hold_s: "),
        ({"timeout_s": 0}, "timeout_s: "),
        ({"pin": {"worker": "0"}}, "pin: .*unknown field worker"),
    ],
)
def test_a_value_out_of_range_names_its_key(values, says):
    with pytest.raises(UsageError, match=f"config: {says}"):
        parse(values)


@pytest.mark.parametrize("key", ["duration_s", "timeout_s"])
def test_a_time_without_end_is_refused_since_run_json_cannot_hold_it(key):
    with pytest.raises(UsageError, match=key):
        parse({key: float("inf")}).resolved()


def test_a_whole_number_as_rate_counts_as_a_number():
    config = parse({"rate": 500}).resolved()
    assert type(config.rate) is float
    assert (config.pattern, config.rate_number) == ("constant", 500.0)


def test_a_rate_is_a_number_or_one_of_two_words():
    assert parse({"rate": "settled"}).resolved().rate == "settled"
    assert isinstance(parse({"rate": "auto"}).resolved().rate, float)
    with pytest.raises(UsageError, match="'fast' is not a rate") as refused:
        parse({"rate": "fast"}).resolved()
    assert "settled" in (refused.value.hint or "")


def test_unknown_strategies_and_probes_name_the_nearest():
    with pytest.raises(UsageError, match="'acept'; did you mean 'accept'"):
        parse({"strategy": "acept"}).resolved()
    with pytest.raises(UsageError, match="'tracepoint'; did you mean 'tracepoints'"):
        parse({"probe": "tracepoint"}).resolved()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1"])
def test_loopback_addresses_are_taken(host):
    assert parse({"host": host}).resolved().host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "localhost", ""])
def test_other_addresses_and_names_are_refused(host):
    with pytest.raises(UsageError, match="not a loopback address"):
        parse({"host": host}).resolved()


@pytest.mark.parametrize(
    ("asked", "family", "host"),
    [
        ({"family": "inet"}, "inet", "127.0.0.1"),
        ({"family": "inet6"}, "inet6", "::1"),
        ({"family": "unix"}, "unix", None),
        ({"host": "::1"}, "inet6", "::1"),  # as before there was a family
        ({"host": "127.0.0.3"}, "inet", "127.0.0.3"),
        ({"family": "inet6", "host": "0:0:0:0:0:0:0:1"}, "inet6", "0:0:0:0:0:0:0:1"),
    ],
)
def test_host_and_family_follow_from_one_another(asked, family, host):
    config = parse(asked).resolved()
    assert (config.family, config.host) == (family, host)


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ({"family": "inet", "host": "::1"}, "::1 is not an address of --family inet", "leave one"),
        ({"family": "inet6", "host": "127.0.0.1"}, "not an address of --family inet6", "leave one"),
        ({"family": "unix", "host": "127.0.0.1"}, "neither host nor port", "leave out --host"),
        ({"family": "unix", "port": 80}, "neither host nor port", "leave out --port"),
        (
            {"family": "unx"},
            "unknown family 'unx'; did you mean 'unix'",
            "known: inet, inet6, unix",
        ),
        (
            {"family": "unix", "strategy": "reuseport-ebpf"},
            "strategy reuseport-ebpf cannot wait on unix sockets: .*SO_REUSEPORT",
            "another --family",
        ),
    ],
)
def test_a_family_that_does_not_go_with_the_rest_is_refused(asked, message, hint):
    with pytest.raises(UsageError, match=message) as refused:
        parse(asked).resolved()
    assert hint in (refused.value.hint or "")


def test_settled_takes_one_load_process():
    with pytest.raises(UsageError, match="takes one load process") as refused:
        parse({"rate": "settled", "load_processes": 2}).resolved()
    assert "--load-processes" in (refused.value.hint or "")
    assert parse({"rate": 100.0, "load_processes": 2}).resolved().load_processes == 2


@pytest.mark.parametrize("strategy", ["fcgi", "sigio", "accept-lock"])
def test_what_threads_cannot_do_is_refused_with_the_reason(strategy):
    with pytest.raises(Unfit, match=f"{strategy} cannot run in threads: .") as refused:
        parse({"strategy": strategy, "pool": "threads"}).resolved()
    assert refused.value.exit_code == 2
    assert parse({"strategy": strategy}).resolved().pool == "processes"


def test_a_lock_of_the_thread_is_fit_for_threads():
    asked = {"strategy": "accept-lock", "pool": "threads", "options": {"lock": "flock"}}
    assert parse(asked).resolved().label == "accept-lock-n8-threads"


def test_a_pool_of_something_else_is_refused():
    with pytest.raises(UsageError, match="pool: invalid enum value 'fibres'"):
        parse({"pool": "fibres"})


# --- CPU lists


@pytest.fixture
def eight_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("text", "found"),
    [("", []), ("3", [3]), ("0-2", [0, 1, 2]), ("5,0-1", [0, 1, 5]), ("1-2,2-3", [1, 2, 3])],
)
def test_cpu_lists_read_as_taskset_reads_them(text, found, eight_cpus):
    assert cpus(text) == found


@pytest.mark.parametrize("text", ["x", "0-x", "-1", "0-", "3-1", "0;1"])
def test_what_is_no_cpu_list_is_refused(text, eight_cpus):
    with pytest.raises(UsageError, match="is not a CPU list"):
        cpus(text)


def test_a_cpu_that_is_not_there_is_named_with_those_that_are(eight_cpus):
    with pytest.raises(UsageError, match=r"no such CPU: 8 .*0,1,2,3,4,5,6,7"):
        cpus("6-9")
    with pytest.raises(UsageError, match="no such CPU: 9"):
        parse({"pin": {"load": "9"}}).resolved()


# --- the default rate, connections and timeout


def rate(**values) -> float:
    found = parse(values).resolved().rate
    assert isinstance(found, float)
    return found


def test_the_default_rate_falls_with_the_size_of_the_herd():
    rates = [rate(strategy="epoll", workers=n) for n in (16, 128, 512, 1024)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 4
    assert rate(strategy="accept", workers=1024) == rate(strategy="accept", workers=1)


@pytest.mark.parametrize(
    ("values", "busy_us"),
    [({}, 200), ({"work_us": 5000.0}, 5000), ({"hold_s": 0.1}, 100_000), ({"workers": 1024}, 200)],
)
def test_the_default_rate_leaves_at_least_half_the_time_idle(values, busy_us):
    assert rate(**values) * busy_us * 1e-6 <= 0.51


@pytest.mark.parametrize(
    ("values", "connections"),
    [
        ({}, 1000),
        ({"duration_s": 2.0, "rate": 100.0}, 201),
        ({"duration_s": 2.0, "rate": "settled"}, 20_001),
        ({"duration_s": 1e6, "rate": 1e6}, 10_000_000),
        ({"duration_s": 2.0, "rate": 100.0, "connections": 5}, 5),
    ],
)
def test_a_duration_bounds_the_connections(values, connections):
    assert parse(values).resolved().connections == connections


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({"rate": 10.0, "connections": 1000}, 100),
        ({"rate": 10.0, "connections": 10, "hold_s": 500.0}, 500),
        ({"rate": 1e5, "duration_s": 300.0}, 300),
        ({"rate": "settled", "hold_s": 1.0, "connections": 100}, 100),
    ],
)
def test_the_default_timeout_is_longer_than_the_run_needs(values, seconds):
    timeout = parse(values).resolved().timeout_s
    assert timeout is not None
    assert timeout > 1.5 * seconds or timeout > seconds + 30


def test_the_pattern_follows_the_rate():
    settled, paced = RunConfig(rate="settled").resolved(), RunConfig(rate=5.0).resolved()
    assert (settled.pattern, settled.rate_number) == ("settled", 0.0)
    assert (paced.pattern, paced.rate_number) == ("constant", 5.0)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pattern": "closed", "rate": 5.0}, "--pattern closed has no --rate"),
        ({"pattern": "poisson", "rate": "settled"}, "settled is a pattern, and so is poisson"),
        ({"pattern": "poison"}, "did you mean 'poisson'"),
        ({"pattern_options": {"clients": "3"}}, "unknown option of arrival pattern constant"),
        ({"pattern": "settled", "load_processes": 2}, "takes one load process"),
    ],
)
def test_a_pattern_that_does_not_fit_is_refused(values, says):
    with pytest.raises(UsageError, match=says):
        parse(values).resolved()


def test_what_a_pattern_asks_for_is_what_the_run_has(tmp_path):
    times = tmp_path / "times"
    times.write_text("0\n1\n2\n")
    replay = parse({"pattern": "replay", "pattern_options": {"times": str(times)}}).resolved()
    assert (replay.connections, replay.rate_number) == (3, 0.0)
    config, _ = config_from(None, (), pattern="closed", of_pattern_clients="3")
    assert limits.open_at_once(config.resolved()) == 3
    assert parse({"pattern": "settled"}).resolved().rate == "settled"
