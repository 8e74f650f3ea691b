// The inner loop of MAML on 2D navigation, as metarl computes it, in double precision: episodes by a
// Gaussian policy, advantages, the policy gradient and the step. Pure functions of numbers; nothing
// here knows the page. The names are those of the Python: metarl_envs.navigation,
// metarl.learning.policies, metarl.learning.returns, metarl.learning.objectives.
//
// A policy is { hiddenSizes, minimumStd, actionScale, horizon, discount, gaeLambda }, of layers with
// ReLU. Its parameters θ are one Float64Array: log σ of x and y, then weights (out, in) and biases of
// each layer. Noise is standard normal, (episode, time, 2).

const REACH = 0.1; // the longest move in x and in y
const GOAL_HALF_WIDTH = 0.01;
const RIDGE = 1e-5;
const FEATURES = 8;

/** Say where in θ the weights and biases of each layer begin. */
function layersOf(policy) {
  const sizes = [2, ...policy.hiddenSizes, 2];
  const layers = [];
  let start = 2; // behind log σ
  for (let i = 0; i + 1 < sizes.length; i++) {
    const [inputs, outputs] = [sizes[i], sizes[i + 1]];
    layers.push({ inputs, outputs, weights: start, biases: start + inputs * outputs });
    start += (inputs + 1) * outputs;
  }
  return layers;
}

/** Give each layer's weights as (in, out), so that an input of 0, half of them, costs nothing. */
function transposedWeights(layers, theta) {
  return layers.map(({ inputs, outputs, weights }) => {
    const turned = new Float64Array(inputs * outputs);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) turned[i * outputs + o] = theta[weights + o * inputs + i];
    }
    return turned;
  });
}

/** List where values are not 0; after a ReLU that is about half of them, and only those count. */
function nonzero(values) {
  const found = [];
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) found.push(i);
  return found;
}

/** Compute the inputs of every layer and at last the mean action, values[layer]. */
function forward(layers, turned, theta, values) {
  layers.forEach(({ outputs, biases }, layer) => {
    const output = values[layer + 1];
    for (let o = 0; o < outputs; o++) output[o] = theta[biases + o];
    addProducts(turned[layer], values[layer], output);
    if (layer + 1 === layers.length) return;
    for (let o = 0; o < outputs; o++) if (output[o] < 0) output[o] = 0;
  });
}

/** Add weights (in, out) times input to the output; four inputs at once halve the time. */
function addProducts(weights, input, output) {
  const size = output.length;
  const active = nonzero(input);
  let k = 0;
  for (; k + 4 <= active.length; k += 4) {
    const [i, j, l, m] = [active[k], active[k + 1], active[k + 2], active[k + 3]];
    const [a, b, c, d] = [input[i], input[j], input[l], input[m]];
    const [p, q, r, s] = [i * size, j * size, l * size, m * size];
    for (let o = 0; o < size; o++) {
      output[o] += a * weights[p + o] + b * weights[q + o] + c * weights[r + o] + d * weights[s + o];
    }
  }
  for (; k < active.length; k++) {
    const [value, row] = [input[active[k]], active[k] * size];
    for (let o = 0; o < size; o++) output[o] += value * weights[row + o];
  }
}

function standardDeviations(policy, theta) {
  const least = Math.log(policy.minimumStd);
  return [0, 1].map((axis) => Math.exp(Math.max(theta[axis], least)));
}

/** Give a function that moves a position by the noise at an index: a = μ + σ ε, scaled, clipped. */
function mover(policy, theta) {
  const layers = layersOf(policy);
  const turned = transposedWeights(layers, theta);
  const values = [2, ...layers.map((layer) => layer.outputs)].map((size) => new Float64Array(size));
  const mean = values[layers.length];
  const deviation = standardDeviations(policy, theta);
  const gain = REACH / policy.actionScale;
  return (position, noise, index) => {
    values[0].set(position);
    forward(layers, turned, theta, values);
    return [0, 1].map((axis) => {
      const action = mean[axis] + deviation[axis] * noise[index + axis];
      return position[axis] + Math.min(REACH, Math.max(-REACH, gain * action));
    });
  };
}

function rewardAt(position, goal) {
  const [x, y] = [position[0] - goal[0], position[1] - goal[1]];
  return -Math.sqrt(x * x + y * y);
}

function isReached(position, goal) {
  return position.every((value, axis) => Math.abs(value - goal[axis]) < GOAL_HALF_WIDTH);
}

/**
 * Play episodes from (0, 0) to a goal.
 *
 * Gives for each { positions, noise, rewards }: positions before each move and after the last, x and
 * y in turn; the noise of the moves taken; the reward of each.
 */
function play(policy, theta, goal, noise, episodes) {
  const move = mover(policy, theta);
  return Array.from({ length: episodes }, (_, episode) => {
    const first = episode * policy.horizon * 2;
    let position = [0, 0];
    const positions = [0, 0];
    const rewards = [];
    while (rewards.length < policy.horizon) {
      position = move(position, noise, first + 2 * rewards.length);
      positions.push(...position);
      rewards.push(rewardAt(position, goal));
      if (isReached(position, goal)) break;
    }
    return { positions, rewards, noise: noise.subarray(first, first + 2 * rewards.length) };
  });
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** Sum the discounted rewards from each step to the end of its episode. */
function discountedReturns(rewards, discount) {
  const returns = new Array(rewards.length);
  let following = 0;
  for (let time = rewards.length - 1; time >= 0; time--) {
    following = rewards[time] + discount * following;
    returns[time] = following;
  }
  return returns;
}

/** Give [o, o², t/100, (t/100)², (t/100)³, 1], o clipped to ±10. */
function baselineFeatures(positions, time) {
  const x = Math.min(10, Math.max(-10, positions[2 * time]));
  const y = Math.min(10, Math.max(-10, positions[2 * time + 1]));
  const t = time / 100;
  return [x, y, x * x, y * y, t, t * t, t * t * t, 1];
}

/** Solve a x = b by Gaussian elimination with pivots; a (rows) and b are overwritten. */
function solve(a, b) {
  const size = b.length;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(a[row][column]) > Math.abs(a[pivot][column])) pivot = row;
    }
    [a[column], a[pivot]] = [a[pivot], a[column]];
    [b[column], b[pivot]] = [b[pivot], b[column]];
    for (let row = column + 1; row < size; row++) {
      const factor = a[row][column] / a[column][column];
      for (let k = column; k < size; k++) a[row][k] -= factor * a[column][k];
      b[row] -= factor * b[column];
    }
  }
  for (let row = size - 1; row >= 0; row--) {
    for (let k = row + 1; k < size; k++) b[row] -= a[row][k] * b[k];
    b[row] /= a[row][row];
  }
  return b;
}

/** Fit w = argmin Σ (φ·w − G)² + ρ|w|² over all steps. */
function fitLinearBaseline(features, returns) {
  const gram = Array.from({ length: FEATURES }, () => new Array(FEATURES).fill(0));
  const moment = new Array(FEATURES).fill(0);
  for (let i = 0; i < FEATURES; i++) gram[i][i] = RIDGE;
  features.forEach((rows, episode) => {
    rows.forEach((row, time) => {
      for (let i = 0; i < FEATURES; i++) {
        for (let j = 0; j < FEATURES; j++) gram[i][j] += row[i] * row[j];
        moment[i] += row[i] * returns[episode][time];
      }
    });
  });
  return solve(gram, moment);
}

/** Give each episode's generalised advantages, together of mean 0 and standard deviation 1. */
function normalisedAdvantages(policy, played) {
  const { discount, gaeLambda } = policy;
  const returns = played.map(({ rewards }) => discountedReturns(rewards, discount));
  const features = played.map(({ positions, rewards }) =>
    rewards.map((_, time) => baselineFeatures(positions, time)));
  const weights = fitLinearBaseline(features, returns);
  const advantages = played.map(({ rewards }, episode) => {
    const values = features[episode].map((row) => sum(row.map((f, i) => f * weights[i])));
    values.push(0); // after the last step, whether the goal was reached or the time was up
    const residuals = rewards.map((r, time) => r + discount * values[time + 1] - values[time]);
    return discountedReturns(residuals, discount * gaeLambda);
  });
  const all = advantages.flat();
  const mean = sum(all) / all.length;
  const variance = sum(all.map((value) => (value - mean) ** 2)) / all.length;
  const scale = 1 / (Math.sqrt(variance) + 1e-8);
  return advantages.map((episode) => episode.map((value) => (value - mean) * scale));
}

/**
 * Give ∇L(θ), L = −mean log π(a|s) A over the steps of episodes that θ itself played.
 *
 * Of log N(a; μ, σ²) the derivatives are ε / σ by μ and ε² − 1 by log σ, ε = (a − μ) / σ.
 */
function policyGradient(policy, theta, played, advantages) {
  const layers = layersOf(policy);
  const turned = transposedWeights(layers, theta);
  const sizes = [2, ...layers.map((layer) => layer.outputs)];
  const values = sizes.map((size) => new Float64Array(size));
  const slopes = sizes.map((size) => new Float64Array(size)); // of the loss, by values
  const output = slopes[layers.length];
  const deviation = standardDeviations(policy, theta);
  const free = [0, 1].map((axis) => theta[axis] >= Math.log(policy.minimumStd));
  const steps = advantages.flat().length;
  const gradient = new Float64Array(theta.length);
  played.forEach(({ positions, noise }, episode) => {
    advantages[episode].forEach((advantage, time) => {
      const weight = -advantage / steps;
      values[0][0] = positions[2 * time];
      values[0][1] = positions[2 * time + 1];
      forward(layers, turned, theta, values);
      for (let axis = 0; axis < 2; axis++) {
        const epsilon = noise[2 * time + axis];
        output[axis] = (weight * epsilon) / deviation[axis];
        if (free[axis]) gradient[axis] += weight * (epsilon * epsilon - 1);
      }
      backward(layers, theta, values, slopes, gradient);
    });
  });
  return gradient;
}

/** Go back through the layers from the slopes of the mean action; add to the gradient. */
function backward(layers, theta, values, slopes, gradient) {
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const { inputs, weights, biases } = layers[layer];
    const [input, slope, before] = [values[layer], slopes[layer + 1], slopes[layer]];
    const active = nonzero(input); // where an input is 0, so are its weights' slopes and the ReLU's
    before.fill(0);
    for (const o of nonzero(slope)) {
      const value = slope[o];
      const row = weights + o * inputs;
      gradient[biases + o] += value;
      for (let k = 0; k < active.length; k++) {
        const i = active[k];
        gradient[row + i] += value * input[i];
        before[i] += value * theta[row + i];
      }
    }
  }
}

/** Take one step θ − α ∇L(θ) on episodes that θ played. */
function innerStep(policy, theta, played, rate) {
  const gradient = policyGradient(policy, theta, played, normalisedAdvantages(policy, played));
  return theta.map((value, index) => value - rate * gradient[index]);
}

/**
 * Play, take a step, play again: a step for each α in `rates`, on fresh episodes each.
 *
 * noises has an array for each phase, one more than there are rates. Gives the phases, each
 * { theta, played, meanReturn }.
 */
function adapt(policy, theta, goal, noises, episodes, rates) {
  const phases = [];
  for (let phase = 0; phase <= rates.length; phase++) {
    if (phase > 0) theta = innerStep(policy, theta, phases[phase - 1].played, rates[phase - 1]);
    const played = play(policy, theta, goal, noises[phase], episodes);
    const meanReturn = sum(played.map(({ rewards }) => sum(rewards))) / episodes;
    phases.push({ theta, played, meanReturn });
  }
  return phases;
}
