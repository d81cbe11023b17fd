// The controls of the 360 degree player. Python puts foa_sound.js and foa_picture.js before it: together one ES module.

const FLOOR_DB = -54;  // the empty end of a meter
const VIEWS = new WeakMap();  // the views of each player: where it is shown twice, the first one sounds
const wrap = (angle) => Math.atan2(Math.sin(angle), Math.cos(angle));
const degrees = (angle) => Math.round(angle * 180 / Math.PI);

const SHELL = `<div class="fp-clips" role="radiogroup" aria-label="clip"></div>
<div class="fp-stage" tabindex="0" role="application" aria-label="Look around: drag, or use the arrow keys">
<canvas class="fp-picture"></canvas><canvas class="fp-marks"></canvas>
<div class="fp-hint">drag to look around</div></div>
<div class="fp-bar"><button class="fp-play" aria-label="play"></button>
<input class="fp-seek" type="range" min="0" step="0.01" aria-label="time"><output class="fp-time"></output></div>
<div class="fp-bar fp-switches"><button data-trait="looping">loop</button><button data-trait="head_locked"
title="The sound turns with the head, as in plain headphones">head-locked</button><button data-trait="projection"
title="The whole sphere at once">panorama</button><button class="fp-front">face front</button></div>
<div class="fp-panel"><canvas class="fp-compass"></canvas><div class="fp-meters"></div>
<p class="fp-words" aria-live="off"></p></div>
<details class="fp-legend"><summary>what you see</summary>Glow and white lines: how loud it is from there at this moment.
Blue ring: where the sound should come from. Yellow: where it comes from at this moment, on the mean of all that sounds.
Arrows at the edge: turn that way to see them. Dark: what no camera filmed. L and R: the two ears. W hears all sides alike,
Y left and right, Z up and down, X front and back. Head-locked: the sound turns with the head, as in plain headphones.
</details>`;

function render({ model, el }) {
  const facts = model.get("_facts"), root = document.createElement("div");
  const find = (name) => root.querySelector(".fp-" + name);
  root.className = "foa-player";
  root.dataset.lmSuppressShortcuts = "true";  // the arrow keys are ours, not JupyterLab's
  root.innerHTML = SHELL;
  el.append(root);
  const deck = new Deck(facts, typed(Int16Array, model.get("_pcm")), typed(Float32Array, model.get("_filters")));
  const stage = new Stage(facts, typed(Uint8Array, model.get("_pictures")), typed(Float32Array, model.get("_fields")),
    find("picture"), find("marks"), find("compass"));
  const views = VIEWS.get(facts) || VIEWS.set(facts, []).get(facts), sounds = () => views[0] === root;
  views.push(root);
  const set = (values) => { for (const name in values) model.set(name, values[name]); model.save_changes(); };
  let drawing = 0, told = model.get("time_s"), moving = null;
  deck.offset = told;
  const stir = () => { drawing = drawing || requestAnimationFrame(tick); };

  // One step of the animation: draw, move the meters, tell Python four times a second what the time is.
  function tick() {
    const state = { clip: facts.labels.indexOf(model.get("clip")), time: deck.position(), moving: Boolean(moving) };
    for (const name of ["yaw", "pitch", "head_locked", "projection"]) state[name] = model.get(name);
    stage.fetch(state.time).then((fresh) => fresh && stir());
    words(stage.draw(state), state);
    find("seek").value = state.time;
    find("time").value = `${state.time.toFixed(1)} / ${deck.length.toFixed(1)} s`;
    const levels = deck.levels();
    find("meters").querySelectorAll("i").forEach((bar, k) => {
      bar.style.transform = `scaleX(${clamp(1 - levels[k] / FLOOR_DB, 0, 1)})`;
    });
    if (deck.voices.length && Math.abs(state.time - told) > 0.25) set({ time_s: told = state.time });
    drawing = deck.voices.length ? requestAnimationFrame(tick) : 0;
  }

  function words(places, { yaw, pitch }) {
    if (!places) return;
    const part = (angle, plus, minus) => degrees(angle) && `${Math.abs(degrees(angle))}° ${angle > 0 ? plus : minus}`;
    const from = (v) => part(Math.atan2(v[1], v[0]), "left of the nose", "right of the nose") || "straight ahead";
    const { truth, heard } = places, turned = [part(yaw, "left", "right"), part(pitch, "up", "down")].filter(Boolean);
    const lines = [`<b>head</b> ${turned.join(", ") || "straight"}`];
    if (truth) lines.push(`<b class="fp-true">true</b> ${from(truth)}`);
    lines.push(`<b class="fp-heard">heard</b> ${heard ? from(heard) : "from nowhere now"}`);
    const dot = truth && heard && clamp(truth[0] * heard[0] + truth[1] * heard[1] + truth[2] * heard[2], -1, 1);
    if (truth && heard) lines[lines.length - 1] += `, ${degrees(Math.acos(dot))}° off`;
    find("words").innerHTML = lines.join("<br>");
  }

  function show() {  // what the buttons say
    root.dataset.projection = model.get("projection");
    for (const b of find("clips").children) b.setAttribute("aria-checked", b.textContent === model.get("clip"));
    root.querySelectorAll("[data-trait]").forEach((b) => {
      const value = model.get(b.dataset.trait);
      b.setAttribute("aria-pressed", value === true || value === "panorama");
    });
    const playing = model.get("playing");
    Object.assign(find("play"), { textContent: playing ? "❚❚" : "▶", ariaLabel: playing ? "pause" : "play" });
    stir();
  }

  const look = () => {
    deck.turn(model.get("head_locked") ? headMatrix(0, 0) : headMatrix(model.get("yaw"), model.get("pitch")));
    stir();
  };
  const turn = (left, up) => set({
    yaw: wrap(model.get("yaw") + left), pitch: clamp(model.get("pitch") + up, -Math.PI / 2, Math.PI / 2),
  });
  const on = {
    "change:yaw": look, "change:pitch": look,
    "change:head_locked": () => { look(); show(); },
    "change:projection": show,
    "change:clip": () => { deck.choose(facts.labels.indexOf(model.get("clip"))); show(); },
    "change:looping": () => { deck.repeat(model.get("looping")); show(); },
    "change:time_s": () => { if (model.get("time_s") !== told) deck.seek(told = model.get("time_s")); stir(); },
    "change:playing": async () => {
      if (!sounds()) return show();
      if (!model.get("playing")) {
        deck.pause();
        set({ time_s: told = deck.position() });
      } else if (!(await deck.play())) {
        find("hint").textContent = "click ▶: a browser plays no sound before a click";
        delete root.dataset.touched;
        set({ playing: false });
      }
      show();
    },
  };
  for (const name in on) model.on(name, on[name]);
  deck.ended = () => set({ playing: false });

  for (const label of facts.labels) {
    const button = document.createElement("button");
    Object.assign(button, { textContent: label, onclick: () => set({ clip: label }) });
    button.setAttribute("role", "radio");
    find("clips").append(button);
  }
  find("meters").innerHTML = [..."LRWYZX"].map((name) => `<span>${name}<u><i></i></u></span>`).join("");
  find("seek").max = deck.length;
  find("seek").oninput = (event) => set({ time_s: Number(event.target.value) });
  find("play").onclick = () => set({ playing: !model.get("playing") });
  find("front").onclick = () => set({ yaw: 0, pitch: 0 });
  root.querySelectorAll("[data-trait]").forEach((button) => {
    const name = button.dataset.trait;
    const other = { view: "panorama", panorama: "view", true: false, false: true };
    button.onclick = () => set({ [name]: other[model.get(name)] });
  });
  const area = find("stage");
  area.onpointerdown = (event) => {
    area.setPointerCapture(event.pointerId);
    moving = [event.clientX, event.clientY];
    root.dataset.touched = "true";
  };
  area.onpointermove = (event) => {  // the view is pulled along; in the panorama it is the head that is moved
    if (!moving) return;
    const scale = model.get("projection") === "view" ? 2 * VIEW / area.clientWidth : -2 * Math.PI / area.clientWidth;
    turn((event.clientX - moving[0]) * scale, (event.clientY - moving[1]) * scale);
    moving = [event.clientX, event.clientY];
  };
  area.onpointerup = area.onpointercancel = () => { moving = null; stir(); };
  root.onkeydown = (event) => {  // arrows everywhere but on the time, which has its own; space where no button has it
    const step = Math.PI / 36, { key } = event, there = event.target === area;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[key] && event.target !== find("seek")) turn(...moves[key]);
    else if (key === " " && there) find("play").click();
    else if (key === "Home" && there) find("front").click();
    else return;
    event.preventDefault();
  };
  const resized = new ResizeObserver(stir);
  resized.observe(area);
  deck.choose(facts.labels.indexOf(model.get("clip")));
  deck.loop = model.get("looping");
  look();
  show();
  root.player = { deck, stage };  // for the tests, and for whoever looks inside
  return () => {
    for (const name in on) model.off(name, on[name]);
    if (sounds() && model.get("playing")) set({ playing: false });
    views.splice(views.indexOf(root), 1);
    resized.disconnect();
    cancelAnimationFrame(drawing);
    if (deck.context) deck.context.close();
  };
}

export default { render };
