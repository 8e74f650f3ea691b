"""Measure a supervised training step beside the same step in plain PyTorch, written by hand.

The step is a whole meta-iteration on fixed batches: inner steps, second-order meta-gradient, Adam.
By hand it is written twice: all tasks of a meta-batch in one call (batched matrix products, and
grouped convolutions whose groups are tasks), and one task after the other. Rounds of all
three alternate; the ratio is that of the medians, with the faster one by hand. Time is the
processor's, on one thread, which other work on the machine changes less than a clock's. The
gradients are checked, in float64, to be the same before anything is timed.

    python scripts/benchmark_supervised.py --rounds 5
"""

import dataclasses
import os
import time

import numpy as np
import torch
from shared import BENCHMARKS, command, parse, parser, write
from torch.nn import functional

from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.experiments.problem_learner import (
    OuterOptimiser,
    initial_state,
    loss_of,
    query_losses,
)
from metarl.foundation.versions import versions
from metarl.learning.adaptation import flatten
from metarl.tasks.problems import Episodes, training_episodes

FULLY_CONNECTED = {"network": "fully-connected", "hidden_sizes": (256, 128, 64, 64)}
CASES = {
    "sinusoid, 2 × 40": ("sinusoid", {}, 100),
    "5-way 1-shot, convolutional": ("characters-5-way-1-shot", {}, 3),
    "5-way 1-shot, fully connected": ("characters-5-way-1-shot", FULLY_CONNECTED, 5),
    "5-way 5-shot, convolutional": ("characters-5-way-5-shot", {}, 1),
}
SMALL = {"tasks_per_batch": 2}


class ByHand:
    """One step in plain autograd; parameters are a list of tensors, Adam torch's own."""

    def __init__(self, learner):
        self.config, self.mse = learner.config, learner.problem.loss == "mse"
        self.conv = learner.config.network == "convolutional"
        self.theta = [value.clone().requires_grad_() for value in learner.initial.values()]
        self.adam = torch.optim.Adam(self.theta, lr=self.config.outer_learning_rate)

    def layers(self, parameters):
        """Group the flat list: (weight, bias) or (weight, scale, shift) per hidden layer."""
        each = 3 if self.config.batch_norm else 2
        hidden = parameters[:-2]
        return [hidden[at : at + each] for at in range(0, len(hidden), each)], parameters[-2:]

    def step(self, support, query):
        """Take one outer step."""
        self.adam.zero_grad(set_to_none=True)
        self.backward(support, query)
        self.adam.step()


class OneByOne(ByHand):
    """One task after the other."""

    def outputs(self, parameters, x):
        """Give the outputs."""
        hidden, (weight, bias) = self.layers(parameters)
        x = x if self.conv else x.flatten(1)
        for first, *rest in hidden:
            own = None if self.config.batch_norm else rest[0]
            if self.conv:
                x = functional.conv2d(x, first, own, stride=2, padding=1)
            else:
                x = functional.linear(x, first, own)
            if self.config.batch_norm:
                x = functional.batch_norm(x, None, None, *rest, training=True)
            x = x.relu()
        return functional.linear(x.mean((2, 3)) if self.conv else x, weight, bias)

    def loss(self, parameters, x, y):
        """Give one task's mean loss."""
        outputs = self.outputs(parameters, x)
        return functional.mse_loss(outputs, y) if self.mse else functional.cross_entropy(outputs, y)

    def backward(self, support, query):
        """Add the meta-gradient to the parameters' own."""
        tasks = len(support[0])
        for task in range(tasks):
            adapted = self.theta
            for _ in range(self.config.adaptation_steps):
                slope = torch.autograd.grad(
                    self.loss(adapted, support[0][task], support[1][task]),
                    adapted,
                    create_graph=True,
                )
                rate = self.config.inner_learning_rate
                adapted = [p - rate * g for p, g in zip(adapted, slope, strict=True)]
            (self.loss(adapted, query[0][task], query[1][task]) / tasks).backward()


class AllAtOnce(ByHand):
    """All tasks in one call: parameters have a first axis for the task."""

    def outputs(self, parameters, x):
        """Give the outputs."""
        hidden, (weight, bias) = self.layers(parameters)
        tasks, examples = x.shape[:2]
        if self.conv:  # tasks side by side in the channels
            x = x.transpose(0, 1).flatten(1, 2)
            for first, scale, shift in hidden:
                kernel = first.flatten(0, 1)
                x = functional.conv2d(x, kernel, stride=2, padding=1, groups=tasks)
                flat = scale.flatten(), shift.flatten()
                x = functional.batch_norm(x, None, None, *flat, training=True).relu()
            x = x.mean((2, 3)).view(examples, tasks, -1).transpose(0, 1)
        else:
            x = x.flatten(2)
            for first, *rest in hidden:
                if self.config.batch_norm:
                    x = x @ first.transpose(1, 2)
                    wide = x.transpose(0, 1).flatten(1)
                    flat = (part.flatten() for part in rest)
                    wide = functional.batch_norm(wide, None, None, *flat, training=True)
                    x = wide.view(examples, tasks, -1).transpose(0, 1).relu()
                else:
                    x = torch.baddbmm(rest[0][:, None], x, first.transpose(1, 2)).relu()
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))

    def loss(self, parameters, x, y):
        """Sum the tasks' mean losses."""
        outputs = self.outputs(parameters, x)
        if self.mse:
            return ((outputs - y) ** 2).mean((1, 2)).sum()
        total = functional.cross_entropy(outputs.flatten(0, 1), y.flatten(), reduction="sum")
        return total / y.shape[1]

    def backward(self, support, query):
        """Add the meta-gradient to the parameters' own."""
        tasks = len(support[0])
        adapted = [value.expand(tasks, *value.shape) for value in self.theta]
        for _ in range(self.config.adaptation_steps):
            slope = torch.autograd.grad(self.loss(adapted, *support), adapted, create_graph=True)
            rate = self.config.inner_learning_rate
            adapted = [p - rate * g for p, g in zip(adapted, slope, strict=True)]
        (self.loss(adapted, *query) / tasks).backward()


class Ours:
    """The step of `metarl.experiments.problem_learner.outer_steps`."""

    def __init__(self, learner):
        self.config = learner.config
        self.loss = loss_of(learner.model, learner.problem.loss)
        self.outer = OuterOptimiser(learner, initial_state(learner))

    def mean_loss(self, support, query):
        """Give the mean query loss after adaptation."""
        theta, rate = self.outer.parameters()
        steps = self.config.adaptation_steps
        return query_losses(self.loss, theta, rate, support, query, steps).mean()

    def step(self, support, query):
        """Take one outer step."""
        self.outer.step(self.mean_loss(support, query), iteration=1)


def batches(learner):
    """A meta-batch; of images random ones, since only the time counts."""
    config, problem = learner.config, learner.problem
    if problem.loss == "mse":
        episodes = training_episodes(
            problem, 1, 1, config.tasks_per_batch, config.shots, config.queries
        )
    else:
        generator = np.random.default_rng(0)
        parts = {}
        for name, each in (("support", config.shots), ("query", config.queries)):
            labels = np.tile(np.arange(problem.ways).repeat(each), (config.tasks_per_batch, 1))
            shape = (*labels.shape, *problem.input_shape)
            parts[f"{name}_inputs"] = generator.random(shape, dtype=np.float32)
            parts[f"{name}_targets"] = labels
        episodes = Episodes(**parts)
    return learner.batches(episodes)


def check(learner, support, query, tolerance=1e-9):
    """Raise AssertionError unless all three give one gradient."""
    ours = Ours(learner)
    (wanted,) = torch.autograd.grad(ours.mean_loss(support, query), ours.outer._learned)
    for kind in (OneByOne, AllAtOnce):
        other = kind(learner)
        other.backward(support, query)
        found = flatten({str(n): value.grad for n, value in enumerate(other.theta)})
        assert (found - wanted).norm() <= tolerance * wanted.norm(), (kind, learner.config.preset)


def seconds(step, support, query, repeats):
    started = time.process_time()
    for _ in range(repeats):
        step(support, query)
    return (time.process_time() - started) / repeats


def measure(preset, changes, repeats, rounds):
    config = dataclasses.replace(load_preset(preset), **changes)
    exact = build_experiment(dataclasses.replace(config, dtype="float64")).learner
    check(exact, *batches(exact))
    learner = build_experiment(config).learner
    support, query = batches(learner)
    runners = {"metarl": Ours, "by hand, one by one": OneByOne, "by hand, all at once": AllAtOnce}
    steps = {name: kind(learner).step for name, kind in runners.items()}
    found = {name: [] for name in steps}
    for step in steps.values():  # warm
        step(support, query)
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(seconds(step, support, query, repeats))
    medians = {name: float(np.median(values)) for name, values in found.items()}
    by_hand = min(value for name, value in medians.items() if name != "metarl")
    return {"seconds": found, "medians": medians, "speed": by_hand / medians["metarl"]}


def main():
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=5)
    options = parse(made)
    torch.set_num_threads(1)
    found = {}
    for name, (preset, changes, repeats) in CASES.items():
        if options.small:
            changes, repeats = changes | SMALL, 1
        found[name] = measure(preset, changes, repeats, options.rounds)
        print(name, found[name]["medians"], f"speed {found[name]['speed']:.2f}", flush=True)
    about = {"versions": versions(), "load": os.getloadavg()}
    result = {**about, "rounds": options.rounds, "cases": found}
    names = list(next(iter(found.values()))["medians"])
    lines = [
        "Milliseconds of one processor for a meta-iteration (second order, Adam), medians; and the",
        "speed of metarl in that of the faster one by hand.",
        f"Written by `{command(options, 'rounds')}`; versions in supervised.json.",
        "",
        f"| | {' | '.join(names)} | speed |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for name, case in found.items():
        cells = " | ".join(f"{1e3 * case['medians'][each]:.1f}" for each in names)
        lines.append(f"| {name} | {cells} | {case['speed']:.2f} |")
    lines += [
        "",
        f"On one thread; load of the machine at the end: "
        f"{about['load'][0]:.1f} on {os.cpu_count()} cores. Rounds alternate, so that other work "
        "on the machine falls on all alike.",
    ]
    write(options.output, "supervised", result, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
