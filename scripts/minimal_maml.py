"""MAML-TRPO in one file, by plain double backward: the readable twin of metarl.

It makes the same update as `metarl train navigation-2d --curvature-fraction 1` and shares no code
with it but the environment: the adaptation is differentiated through by autograd, the curvature is
the Hessian of the KL divergence through the whole adaptation. A test holds one iteration of the two
equal.

Finn, Abbeel, Levine 2017 (arXiv 1703.03400), algorithm 3; hyperparameters of the authors' code.

    python scripts/minimal_maml.py --iterations 20
"""

import argparse
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

ENVIRONMENT = "metarl_envs:metarl/Navigation2D-v0"
LARGEST_MOVE = 0.1
INITIALISATION, TASK, RESET, ACTION = range(4)  # what a random stream is for
TRAIN = 0


@dataclass
class Sizes:
    tasks: int = 20
    episodes: int = 20
    horizon: int = 100
    hidden: int = 100
    inner_learning_rate: float = 0.5
    inner_steps: int = 1
    discount: float = 0.99
    max_kl: float = 0.01
    cg_iterations: int = 10
    damping: float = 1e-5
    line_search_steps: int = 15
    line_search_ratio: float = 0.8
    seed: int = 1


def keyed(seed, *key):
    return np.random.SeedSequence(seed, spawn_key=key)


# --- the policy: a Gaussian with a two-layer perceptron for its mean; parameters are a list


def initial_parameters(sizes, dtype):
    generator = torch.Generator().manual_seed(
        int(keyed(sizes.seed, INITIALISATION).generate_state(1)[0])
    )
    parameters = [torch.zeros(2)]  # log standard deviation
    for inputs, outputs in ((2, sizes.hidden), (sizes.hidden, sizes.hidden), (sizes.hidden, 2)):
        weight = torch.empty(outputs, inputs)
        torch.nn.init.xavier_uniform_(weight, generator=generator)
        parameters += [weight, torch.zeros(outputs)]
    return [parameter.to(dtype) for parameter in parameters]


def distribution(parameters, observations):
    log_std, w1, b1, w2, b2, w3, b3 = parameters
    hidden = torch.relu(observations @ w1.T + b1)
    hidden = torch.relu(hidden @ w2.T + b2)
    return torch.distributions.Normal(hidden @ w3.T + b3, log_std.exp())


# --- data: all episodes of one task


def collect(parameters, goal, sizes, *key):
    environments = [gym.make(ENVIRONMENT).unwrapped for _ in range(sizes.episodes)]
    noise = np.stack(
        [
            np.random.Generator(
                np.random.PCG64(keyed(sizes.seed, ACTION, *key, episode))
            ).standard_normal((sizes.horizon, 2))
            for episode in range(sizes.episodes)
        ]
    )
    observation = np.stack([env.reset(options={"task": goal})[0] for env in environments])
    alive = np.ones(sizes.episodes, dtype=bool)
    episodes = [[] for _ in environments]
    for time in range(sizes.horizon):
        with torch.no_grad():
            policy = distribution(
                parameters, torch.as_tensor(observation, dtype=parameters[0].dtype)
            )
        step_noise = torch.as_tensor(noise[:, time], dtype=policy.mean.dtype)
        action = (policy.mean + policy.stddev * step_noise).numpy()
        move = np.clip(action.astype(np.float64) * LARGEST_MOVE, -LARGEST_MOVE, LARGEST_MOVE)
        for i in np.flatnonzero(alive):
            before = observation[i].copy()
            observation[i], reward, terminated, _, _ = environments[i].step(move[i])
            episodes[i].append((before, action[i], reward))
            alive[i] = not terminated
    return episodes


def prepare(episodes, sizes, dtype):
    """Advantages from the linear baseline, normalised over the task (generalised, with λ = 1)."""
    features, returns = [], []
    for episode in episodes:
        total, reversed_returns = 0.0, []
        for _, _, reward in reversed(episode):
            total = reward + sizes.discount * total
            reversed_returns.append(total)
        returns += reversed_returns[::-1]
        for time, (observation, _, _) in enumerate(episode):
            o = observation.astype(np.float32 if dtype == torch.float32 else np.float64)
            o = np.clip(o.astype(np.float64), -10, 10)
            t = time / 100
            features.append(np.concatenate([o, o**2, [t, t**2, t**3, 1.0]]))
    features, returns = np.array(features), np.array(returns)
    gram = features.T @ features + 1e-5 * np.eye(features.shape[1])
    advantages = returns - features @ np.linalg.solve(gram, features.T @ returns)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    steps = [step for episode in episodes for step in episode]
    observations = torch.as_tensor(np.array([step[0] for step in steps]), dtype=dtype)
    actions = torch.as_tensor(np.array([step[1] for step in steps]), dtype=dtype)
    return observations, actions, torch.as_tensor(advantages, dtype=dtype)


# --- the inner loop


def inner_loss(parameters, data):
    observations, actions, advantages = data
    log_probs = distribution(parameters, observations).log_prob(actions).sum(-1)
    return -(log_probs * advantages).mean()


def adapt(parameters, supports, learning_rate):
    """Inner gradient steps; autograd can differentiate through them."""
    for data in supports:
        gradients = torch.autograd.grad(inner_loss(parameters, data), parameters, create_graph=True)
        parameters = [p - learning_rate * g for p, g in zip(parameters, gradients, strict=True)]
    return parameters


# --- the outer loop


def outer_loss_and_kl(theta, tasks, sizes):
    """Means over tasks of the surrogate loss and of the KL divergence, after adaptation."""
    losses, divergences = [], []
    for supports, (observations, actions, advantages), old in tasks:
        new = distribution(adapt(theta, supports, sizes.inner_learning_rate), observations)
        ratio = (new.log_prob(actions).sum(-1) - old.log_prob(actions).sum(-1)).exp()
        losses.append(-(ratio * advantages).mean())
        divergences.append(torch.distributions.kl_divergence(old, new).sum(-1).mean())
    return torch.stack(losses).mean(), torch.stack(divergences).mean()


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unflat(vector, like):
    pieces = vector.split([tensor.numel() for tensor in like])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, like, strict=True)]


def conjugate_gradient(product, target, iterations):
    solution, residual, direction = torch.zeros_like(target), target.clone(), target.clone()
    squared = residual @ residual
    for _ in range(iterations):
        if squared < 1e-10:
            break
        image = product(direction)
        length = squared / (direction @ image)
        solution, residual = solution + length * direction, residual - length * image
        squared, previous = residual @ residual, squared
        direction = residual + squared / previous * direction
    return solution


def iterate(theta: list[Tensor], iteration: int, sizes: Sizes):
    """One meta-iteration; gives the new parameters and the mean returns of each phase."""
    space = gym.make(ENVIRONMENT).unwrapped.task_space
    tasks, returns = [], []
    for index in range(sizes.tasks):
        space.seed(int(keyed(sizes.seed, TASK, TRAIN, iteration, index).generate_state(1)[0]))
        goal, supports, task_returns = space.sample(), [], []
        for phase in range(sizes.inner_steps + 1):
            leaf = [p.clone().requires_grad_() for p in theta]
            adapted = [p.detach() for p in adapt(leaf, supports, sizes.inner_learning_rate)]
            episodes = collect(adapted, goal, sizes, TRAIN, iteration, phase, index)
            supports.append(prepare(episodes, sizes, theta[0].dtype))
            task_returns.append(np.mean([sum(step[2] for step in e) for e in episodes]))
        *supports, query = supports
        tasks.append((supports, query, distribution(adapted, query[0])))
        returns.append(task_returns)

    leaf = [p.clone().requires_grad_() for p in theta]
    loss, kl = outer_loss_and_kl(leaf, tasks, sizes)
    gradient = flat(torch.autograd.grad(loss, leaf, retain_graph=True))
    kl_gradient = flat(torch.autograd.grad(kl, leaf, create_graph=True))

    def curvature(vector):
        product = torch.autograd.grad(kl_gradient @ vector, leaf, retain_graph=True)
        return flat(product) + sizes.damping * vector

    direction = conjugate_gradient(curvature, gradient, sizes.cg_iterations)
    step = torch.sqrt(2 * sizes.max_kl / (direction @ curvature(direction))) * direction
    for exponent in range(sizes.line_search_steps):
        candidate = unflat(flat(theta) - sizes.line_search_ratio**exponent * step, theta)
        new_loss, new_kl = outer_loss_and_kl([p.requires_grad_() for p in candidate], tasks, sizes)
        if new_loss < loss and new_kl <= sizes.max_kl:
            theta = [p.detach() for p in candidate]
            break
    return theta, np.mean(returns, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=20)
    for field in fields(Sizes):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=type(field.default), default=field.default)
    options = vars(parser.parse_args())
    iterations = options.pop("iterations")
    sizes = Sizes(**options)
    theta = initial_parameters(sizes, torch.float32)
    for iteration in range(1, iterations + 1):
        theta, returns = iterate(theta, iteration, sizes)
        print(f"iteration {iteration}: return {returns[0]:.2f} before, {returns[-1]:.2f} after")


if __name__ == "__main__":
    main()
