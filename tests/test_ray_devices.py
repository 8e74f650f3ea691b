"""A GPU for each worker on Ray: asked of a real cluster, which only says that it has two.

Ray counts GPUs and shows each actor its own, whether there is a card or not; the actors compute on
the CPU here.
"""

from dataclasses import replace

import pytest
from building import first_state, pool, run, tiny_config, without_times
from shard_functions import ask_for_cards

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError, WorkerError
from metarl.training import train
from metarl.workers.ray_resources import gpus_of_worker, on_own_card, room_for_workers

pytest.importorskip("ray")
import ray
from ray_clusters import ray_cluster

pytestmark = pytest.mark.whole_runs

CONFIG = tiny_config(tasks_per_batch=5, iterations=2, gpus_per_worker=1.0)


@pytest.fixture(scope="module")
def cluster():
    """A node of four CPUs and, as it says, two GPUs."""
    with ray_cluster(num_cpus=4, num_gpus=2) as started:
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
        yield started


def test_each_worker_has_a_gpu_of_its_own_and_numbers_are_those_of_one_process(cluster):
    experiment = build_experiment(CONFIG)
    with pool(experiment, cluster.address) as workers:
        cards = workers.map(ask_for_cards)
        assert workers.count == 2
        workers.take_profile()
        states, records = zip(*train(experiment, workers, first_state(experiment)), strict=True)
    assert sorted({*cards}) == ["0", "1"]
    assert cards[0] == cards[1] == cards[2] != cards[3] == cards[4]
    expected, expected_records = run(CONFIG, 0)
    assert states[-1].agent.theta.tobytes() == expected.agent.theta.tobytes()
    assert without_times(list(records)) == without_times(expected_records)


def test_a_part_of_a_gpu_lets_several_workers_share_it(cluster):
    config = replace(CONFIG, gpus_per_worker=0.5, tasks_per_batch=3)
    with pool(build_experiment(config), cluster.address) as workers:
        cards = workers.map(ask_for_cards)
        assert workers.count == 3
    assert sorted({*cards}) == ["0", "1"]


def test_a_worker_that_needs_no_gpu_is_given_none(cluster):
    config = replace(CONFIG, gpus_per_worker=0.0, tasks_per_batch=1)
    with pool(build_experiment(config), cluster.address) as workers:
        assert {*workers.map(ask_for_cards)} <= {None, ""}


def test_a_lost_gpu_ends_the_run_instead_of_waiting_for_another(cluster, monkeypatch):
    with pool(build_experiment(CONFIG), cluster.address) as workers:
        nodes = [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}]
        monkeypatch.setattr(ray, "nodes", lambda: nodes)
        ray.kill(workers._actors[1])
        with pytest.raises(WorkerError, match=r"worker 1 .* was lost with its GPU.*--resume"):
            workers.map(ask_for_cards)


def test_a_cluster_without_gpus_is_told_in_a_line(cluster, monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}])
    with (
        pytest.raises(ConfigError, match=r"each worker is to have 1 GPUs .*see `ray status`"),
        pool(build_experiment(CONFIG), cluster.address),
    ):
        pass


def node(cpus, gpus, alive=True):
    return {"Alive": alive, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}}


def test_there_is_room_for_as_many_workers_as_machines_have_cpus_and_gpus_for():
    nodes = [node(16, 2), node(1, 8), node(4, 0), node(16, 8, alive=False)]
    assert room_for_workers(nodes, 1.0) == 2 + 1
    assert room_for_workers(nodes, 0.5) == 4 + 1
    assert room_for_workers(nodes, 1 / 3) == 6 + 1
    assert room_for_workers(nodes, 0.4) == 4 + 1
    assert room_for_workers(nodes, 0.0) == 16 + 1 + 4


def test_a_worker_has_one_gpu_where_the_policy_is_on_one_and_calls_it_the_first_it_sees():
    on_cpu = tiny_config()
    on_card = replace(on_cpu, device="cuda:3")
    assert gpus_of_worker(on_cpu) == 0
    assert gpus_of_worker(on_card) == 1
    assert gpus_of_worker(replace(on_card, gpus_per_worker=0.25)) == 0.25
    spec = build_experiment(on_cpu).shards(3, 1)
    assert on_own_card(spec) is spec
    assert on_own_card(replace(spec, config=on_card)).config.device == "cuda"


@pytest.mark.parametrize("gpus", [-1.0, 2.0, float("nan")])
def test_a_worker_takes_one_gpu_at_most(gpus):
    with pytest.raises(ConfigError, match=r"gpus_per_worker = .* must lie between 0 and 1"):
        tiny_config(gpus_per_worker=gpus)
