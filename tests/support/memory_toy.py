"""A toy agent of the memory family in one file: RL² (Duan et al. 2016) on a handful of numbers.

A trial is `adaptation_steps + 1` episodes of one task, through which a recurrent network carries
its hidden state; it sees what it did last, what that paid, and whether an episode has ended.
REINFORCE on the whole trial, by Adam. Nothing else of the project knows of it.
"""

import gymnasium as gym
import numpy as np
import torch
from torch.nn import functional

from metarl.agent.outer_steps import adam_step, mean_over_tasks
from metarl.agent.protocol import AgentState, Family
from metarl.config.plugins import AgentSpec
from metarl.config.settings import NoSettings
from metarl.foundation.seeding import Purpose, Split, integer_seed, stream
from metarl.learning.adaptation import flatten, unflatten
from metarl.learning.trajectories import TaskStatistics
from metarl.workers.shards import on_own_tasks, starts_anew

HIDDEN = 12
LEARNING_RATE = 0.02
STD = 0.5
"""Of continuous actions, whose means the last layer gives."""


def is_discrete(policy):
    return isinstance(policy.action_space, gym.spaces.Discrete)


def outputs_of(policy):
    return int(policy.action_space.n if is_discrete(policy) else policy.action_space.shape[0])


def initial_parameters(policy, config):
    """A gated recurrent unit (Cho et al. 2014) on what was seen and done last, and logits."""
    choices = outputs_of(policy)
    inputs = policy.observation_space.shape[0] + choices + 2
    shapes = {
        "gru.weight_ih": (3 * HIDDEN, inputs),
        "gru.weight_hh": (3 * HIDDEN, HIDDEN),
        "gru.bias": (3 * HIDDEN,),
        "logits.weight": (choices, HIDDEN),
        "logits.bias": (choices,),
    }
    generator = np.random.default_rng(integer_seed(config.seed, Purpose.INITIALISATION))
    kind = getattr(torch, config.dtype)
    return {
        name: torch.tensor(generator.uniform(-0.5, 0.5, shape), dtype=kind)
        for name, shape in shapes.items()
    }


def step(theta, hidden, inputs):
    """The next hidden state, and the logits of the action."""
    ours = inputs @ theta["gru.weight_ih"].T + theta["gru.bias"]
    before = hidden @ theta["gru.weight_hh"].T
    (r1, z1, n1), (r2, z2, n2) = ours.chunk(3, -1), before.chunk(3, -1)
    update = torch.sigmoid(z1 + z2)
    new = torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2)
    hidden = update * hidden + (1 - update) * new
    return hidden, hidden @ theta["logits.weight"].T + theta["logits.bias"]


class MemoryActor:
    """Its memory: the hidden state, and the last action, reward and end."""

    def __init__(self, policy, config, state):
        template = initial_parameters(policy, config)
        self._theta = unflatten(torch.tensor(state.theta), template)
        self._choices, self._discrete = outputs_of(policy), is_discrete(policy)
        self._like = next(iter(template.values()))
        self._start = (
            state.others.get("hidden", np.zeros(HIDDEN)),
            state.others.get("last", np.zeros(self._choices + 2)),
        )

    def begin(self, rows):
        return tuple(np.repeat(part[None], rows, axis=0) for part in self._start)

    @torch.no_grad()
    def act(self, observations, memory, generator=None):
        noise = None if generator is None else draw(generator, self._discrete, len(observations))
        return self.choose(observations, memory, noise)

    @torch.no_grad()
    def choose(self, observations, memory, noise):
        hidden, last = memory
        inputs = np.concatenate([observations, last], axis=1)
        numbers = [torch.tensor(part, dtype=self._like.dtype) for part in (hidden, inputs)]
        following, logits = step(self._theta, *numbers)
        last = np.zeros_like(last)
        if not self._discrete:
            chosen = logits.double().numpy() + (0.0 if noise is None else STD * noise[:, None])
            last[:, :-2] = chosen
        else:
            chosen = logits.argmax(-1).numpy()
            if noise is not None:
                cumulative = torch.softmax(logits, -1).cumsum(-1)[:, :-1].double().numpy()
                chosen = (cumulative <= noise[:, None]).sum(-1)
            last[np.arange(len(chosen)), chosen] = 1.0
        return chosen, (following.double().numpy(), last)

    def observe(self, memory, rewards, ended):
        hidden, last = memory
        return hidden, np.column_stack([last[:, :-2], rewards, ended])

    @property
    def plain_policy(self):
        return None


def draw(generator, discrete, count):
    return generator.random(count) if discrete else generator.standard_normal(count)


@starts_anew
def meet(shard, state, tasks, key):
    """Play whole trials side by side, each in a slot of its own, on the shard's tasks."""
    return on_own_tasks(shard, tasks, key, lambda: play_trials(shard, state, key))


def play_trials(shard, state, key):
    config = shard.config
    units = config.test_adaptation_steps if key[0] == Split.TEST else config.adaptation_steps
    episodes = units + (not shard.adapts_alone)
    shard.experience, shard.adapted, statistics = [], [], []
    at_once, slots = shard.environments.tasks_at_once, shard.slots_per_task
    for first in range(0, len(shard.tasks), at_once):
        positions = range(first, min(first + at_once, len(shard.tasks)))
        actor = MemoryActor(shard.spec.policy, config, state)
        memories = [actor.begin(slots) for _ in positions]
        trials = [{"inputs": [], "actions": [], "rewards": []} for _ in positions]
        after = [[memory] for memory in memories]
        owners = [shard.tasks[position] for position in positions for _ in range(slots)]
        for episode in range(episodes):
            names = [
                (*key, episode, shard.task_indices[position], slot)
                for position in positions
                for slot in range(slots)
            ]
            seeds = [integer_seed(config.seed, Purpose.RESET, *name) for name in names]
            discrete = is_discrete(shard.spec.policy)
            streams = [stream(config.seed, Purpose.ACTION, *name) for name in names]
            draws = np.stack([draw(each, discrete, config.horizon) for each in streams])
            observation = shard.environments.reset(owners, seeds)
            for time in range(config.horizon):
                chosen = []
                for number, rows in enumerate(np.split(np.arange(len(owners)), len(positions))):
                    inputs = np.concatenate([observation[rows], memories[number][1]], axis=1)
                    own, memories[number] = actor.choose(
                        observation[rows], memories[number], draws[rows, time]
                    )
                    trials[number]["inputs"].append(inputs)
                    trials[number]["actions"].append(own)
                    chosen.append(own)
                action = shard.action_map(np.concatenate(chosen))
                active = np.ones(len(owners), dtype=bool)
                observation, reward, _ = shard.environments.step(action, active)
                last_step = np.full(slots, float(time == config.horizon - 1))
                for number, own in enumerate(np.split(reward, len(positions))):
                    trials[number]["rewards"].append(own)
                    memories[number] = actor.observe(memories[number], own, last_step)
            for number, memory in enumerate(memories):
                after[number].append(memory)
        for number in range(len(positions)):
            trial = {name: np.stack(parts) for name, parts in trials[number].items()}
            per_episode = trial["rewards"].reshape(episodes, config.horizon, slots).sum(1)
            shard.experience.append(trial)
            shard.adapted.append(after[number][: units + 1])
            statistics.append(
                TaskStatistics(
                    tuple(per_episode.mean(1).tolist()), (config.horizon * slots,) * episodes
                )
            )
    return statistics


def adapted(shard, state):
    """What the first trial of each task remembers after each episode."""
    return [
        [AgentState(state.theta, others={"hidden": h[0], "last": last[0]}) for h, last in memories]
        for memories in shard.adapted
    ]


def trial_gradient(shard, theta):
    """Each task's gradient of REINFORCE's loss on its trials, backwards through the whole trial."""
    template = initial_parameters(shard.spec.policy, shard.config)
    discrete = is_discrete(shard.spec.policy)
    gradients = []
    for trial in shard.experience:
        leaves = {
            name: value.requires_grad_()
            for name, value in unflatten(torch.tensor(theta), template).items()
        }
        like = next(iter(leaves.values()))
        rewards = torch.tensor(trial["rewards"], dtype=like.dtype)
        to_go = rewards.flip(0).cumsum(0).flip(0)  # credit runs over the ends of episodes
        advantages = to_go - to_go.mean(1, keepdim=True)
        hidden, loss = torch.zeros(rewards.shape[1], HIDDEN, dtype=like.dtype), 0.0
        for inputs, actions, advantage in zip(
            trial["inputs"], trial["actions"], advantages, strict=True
        ):
            hidden, logits = step(leaves, hidden, torch.tensor(inputs, dtype=like.dtype))
            if discrete:
                log_probs = -functional.cross_entropy(
                    logits, torch.tensor(actions), reduction="none"
                )
            else:
                log_probs = -(((torch.tensor(actions) - logits) / STD) ** 2).sum(-1) / 2
            loss = loss - (log_probs * advantage).mean()
        slopes = torch.autograd.grad(loss, tuple(leaves.values()))
        gradients.append(flatten(dict(zip(leaves, slopes, strict=True))).numpy())
    return gradients


class MemoryToy:
    """REINFORCE on whole trials."""

    family = Family("memory", "episode", initial_parameters, meet, adapted, MemoryActor)

    def __init__(self, settings, config):
        pass

    def initial_state(self, theta):
        return AgentState(theta)

    def improve(self, workers, state):
        gradient = mean_over_tasks(workers.map(trial_gradient, state.theta))
        theta, memory = adam_step(state.theta, gradient, state.optimiser, LEARNING_RATE)
        return AgentState(theta, memory), {"gradient_norm": float(gradient.norm())}


SPEC = AgentSpec(
    "memory_toy:MemoryToy",
    NoSettings,
    "a toy with a memory",
    "Duan et al. 2016",
    family="memory",
)
