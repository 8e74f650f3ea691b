// The page around adaptation.js: reads the goal and the sliders, adapts each policy, draws.

const SVG = "http://www.w3.org/2000/svg";
const VIEW = 0.8; // half the width that a field shows
const FIELD = 0.5; // half the width of the square that goals are drawn from
const WORST_RETURN = -100; // where a bar is full

/** Give uniform numbers in (0, 1) from a seed (mulberry32, public domain). */
function uniformNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** Draw standard normal numbers (Box and Muller 1958). */
function normalNumbers(count, seed) {
  const uniform = uniformNumbers(seed);
  const drawn = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    drawn[i] = radius * Math.cos(angle);
    drawn[i + 1] = radius * Math.sin(angle);
  }
  return drawn;
}

/** Give the noise of each phase; fewer episodes have the first of it. */
function noisesOf(seed, phases, episodes, horizon) {
  return Array.from({ length: phases }, (_, phase) =>
    normalNumbers(episodes * horizon * 2, 1000 * seed + phase));
}

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return Float64Array.from(new Float32Array(bytes.buffer));
}

function number(value, digits) {
  return Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "not finite";
}

function node(parent, name, attributes = {}, text = "") {
  const made = parent instanceof SVGElement || name === "svg"
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return parent.appendChild(made);
}

/** Give episodes as the outline of one SVG path. */
function outline(played) {
  return played.map(({ positions }) => {
    let line = "";
    for (let i = 0; i < positions.length; i += 2) {
      line += `${i ? "L" : "M"}${positions[i].toFixed(3)} ${positions[i + 1].toFixed(3)}`;
    }
    return line;
  }).join("");
}

/** Give the last points of episodes as an outline of strokes without length, which are dots. */
function ends(played) {
  return played.map(({ positions }) => {
    const [x, y] = positions.slice(-2);
    return `M${x.toFixed(3)} ${y.toFixed(3)}h0`;
  }).join("");
}

function phaseName(phase) {
  return phase === 0 ? "before" : phase === 1 ? "1 step" : `${phase} steps`;
}

/** Build what stands for one policy; give its field and what places the goal and shows episodes. */
function panel(parent, policy, help) {
  const theta = decode(policy.theta);
  const figure = node(parent, "figure", { class: "panel" });
  const field = node(figure, "svg", {
    viewBox: `${-VIEW} ${-VIEW} ${2 * VIEW} ${2 * VIEW}`,
    class: "field",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "field with a goal",
    "aria-describedby": help.id,
  });
  const upright = node(field, "g", { transform: "scale(1 -1)" });
  const whole = { x: -FIELD, y: -FIELD, width: 2 * FIELD, height: 2 * FIELD };
  node(upright, "rect", { class: "goals", ...whole });
  const phases = [0, 1, 2, 3].map((phase) => ({
    paths: node(upright, "path", { class: `paths phase-${phase}` }),
    ends: node(upright, "path", { class: `ends phase-${phase}` }),
  }));
  node(upright, "rect", { class: "start", x: -0.018, y: -0.018, width: 0.036, height: 0.036 });
  const goal = node(upright, "path", { class: "goal", d: star(0.05, 0.021) });
  const caption = node(figure, "figcaption");
  node(caption, "h3", {}, policy.label);
  if (policy.note) node(caption, "p", { class: "note" }, policy.note);
  const rows = node(caption, "ol", { class: "returns" });

  function place([x, y]) {
    goal.setAttribute("transform", `translate(${x} ${y})`);
    const at = `goal at x ${number(x, 2)}, y ${number(y, 2)}`;
    field.setAttribute("aria-label", `${policy.label}; ${at}`);
  }

  function show({ goal: at, episodes, rates, noises }) {
    const adapted = adapt(policy, theta, at, noises, episodes, rates);
    phases.forEach(({ paths, ends: dots }, phase) => {
      const played = phase < adapted.length ? adapted[phase].played : [];
      paths.setAttribute("d", outline(played));
      dots.setAttribute("d", ends(played));
    });
    rows.textContent = "";
    adapted.forEach(({ meanReturn }, phase) => {
      const row = node(rows, "li", { class: `phase-${phase}` });
      node(row, "span", { class: "name" }, phaseName(phase));
      const bar = node(row, "span", { class: "bar", "aria-hidden": "true" });
      const share = Math.min(1, meanReturn / WORST_RETURN);
      node(bar, "span", { style: `width: ${(100 * share).toFixed(1)}%` });
      node(row, "span", { class: "number" }, number(meanReturn, 1));
    });
    const [first, last] = [adapted[0], adapted[adapted.length - 1]].map((it) => it.meanReturn);
    return `${policy.label} ${number(first, 1)}` + (rates.length ? ` → ${number(last, 1)}` : "");
  }

  return { field, place, show };
}

/** Outline a star of five points. */
function star(outer, inner) {
  const corners = Array.from({ length: 10 }, (_, corner) => {
    const [radius, angle] = [corner % 2 ? inner : outer, (Math.PI * (corner + 2.5)) / 5];
    return `${(radius * Math.cos(angle)).toFixed(4)} ${(radius * Math.sin(angle)).toFixed(4)}`;
  });
  return `M${corners.join("L")}Z`;
}

/** Read what an address says behind #, such as goal=0.3,-0.2&alpha=0.05&episodes=1&steps=3. */
function readAddress(text) {
  const said = Object.fromEntries(new URLSearchParams(text.slice(1)));
  const goal = (said.goal ?? "").split(",").map(Number);
  return { ...said, goal: goal.length === 2 && goal.every(Number.isFinite) ? goal : null };
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Let mouse, finger and keys move the goal over a field, by calling moveTo(x, y), moveBy(x, y). */
function listen(field, moveTo, moveBy) {
  function point(event) {
    const { left, top, width } = field.getBoundingClientRect();
    const scale = (2 * VIEW) / width;
    moveTo(scale * (event.clientX - left) - VIEW, VIEW - scale * (event.clientY - top));
  }
  field.addEventListener("click", point);
  field.addEventListener("pointermove", (event) => {
    // By touch, the same movement scrolls the page.
    if (event.pointerType === "mouse" && event.buttons === 1) point(event);
  });
  field.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    const size = event.shiftKey ? 0.01 : 0.05;
    moveBy(size * move[0], size * move[1]);
  });
}

/**
 * Give a function that shows the situation, one policy at a time, so that the page answers between.
 *
 * What changes meanwhile is shown next. At last `said` tells the results.
 */
function shower(panels, situation, said) {
  let [changes, running] = [0, false];
  return async () => {
    changes += 1;
    if (running) return;
    running = true;
    for (let seen = 0; seen !== changes; ) {
      seen = changes;
      const results = [];
      for (const each of panels) {
        await new Promise((resolve) => setTimeout(resolve));
        results.push(each.show(situation()));
      }
      const [x, y] = situation().goal.map((value) => number(value, 2));
      said.textContent = `Goal at x ${x}, y ${y}. Mean returns: ${results.join("; ")}.`;
    }
    running = false;
  };
}

/** Bring a section of the page to life. */
function start(section, data) {
  const slider = {};
  for (const name of ["alpha", "episodes", "steps"]) {
    slider[name] = section.querySelector(`input[name=${name}]`);
  }
  const place = section.querySelector(".panels");
  const help = section.querySelector(".help");
  const panels = data.policies.map((policy) => panel(place, policy, help));
  const horizon = Math.max(...data.policies.map((policy) => policy.horizon));
  let [goal, seed, noises] = [data.goal, 0, []];

  const show = shower(panels, situation, section.querySelector("[role=status]"));

  function situation() {
    const alpha = data.alphas[slider.alpha.value];
    const rates = data.proportions.slice(0, slider.steps.value).map((part) => alpha * part);
    return { goal, episodes: Number(slider.episodes.value), rates, noises };
  }

  function update() {
    for (const [name, input] of Object.entries(slider)) {
      const value = name === "alpha" ? `${data.alphas[input.value]}` : input.value;
      section.querySelector(`output[name=${name}]`).textContent = value;
      input.setAttribute("aria-valuetext", value);
    }
    for (const each of panels) each.place(goal);
    show();
  }

  function moveTo(...wanted) {
    // Rounded, because 0.05 + 0.05 + 0.05 is 0.15000000000000002.
    const inside = wanted.map((value) => Math.min(FIELD, Math.max(-FIELD, value)));
    goal = inside.map((value) => Math.round(1000 * value) / 1000);
    update();
  }

  function drawNoise() {
    seed += 1;
    noises = noisesOf(seed, data.proportions.length + 1, slider.episodes.max, horizon);
    update();
  }

  function follow(hash) {
    const address = readAddress(hash);
    if (!address.goal) return;
    const alpha = data.alphas.indexOf(Number(address.alpha ?? data.alpha));
    if (alpha >= 0) slider.alpha.value = alpha;
    slider.episodes.value = address.episodes ?? data.episodes;
    slider.steps.value = address.steps ?? data.steps;
    moveTo(...address.goal);
  }

  for (const { field } of panels) {
    listen(field, moveTo, (x, y) => moveTo(goal[0] + x, goal[1] + y));
  }
  for (const input of Object.values(slider)) input.addEventListener("input", update);
  section.querySelector("button[name=noise]").addEventListener("click", drawNoise);
  window.addEventListener("hashchange", () => follow(window.location.hash));
  // A link that was followed before changes no address, and yet is to be followed again.
  for (const link of section.querySelectorAll(".try a")) {
    link.addEventListener("click", () => follow(link.hash));
  }
  drawNoise();
  follow(window.location.hash);
}
