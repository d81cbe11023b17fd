// The sound of the 360 degree player: a field turned with the head and made binaural. foa_picture.js goes on from here.
//
// Axes as in the package: a vector is (front, left, up), channels are W, Y, Z, X (ambiX). yaw is how far the head is
// turned to the left and pitch how far up, radians. Python sends 16-bit samples (no codec that could reorder
// channels) and the two ear filters of binaural.py.

const SMOOTH_S = 0.012;  // time constant of every change of a gain: too short to notice, too long to click
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

// From the scene's axes to those of the turned head: the transpose of ambisonics.rotation_matrix(yaw, pitch).
export function headMatrix(yaw, pitch) {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return [[cy * cp, sy * cp, sp], [-sy, cy, 0], [-cy * sp, -sy * sp, cp]];
}

function typed(Type, view) {  // a typed array from a DataView whose place in its buffer may not be aligned
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

// The clips as AudioBuffers of four channels, from planar 16-bit samples.
export function audioBuffers(context, facts, pcm) {
  return facts.labels.map((_, clip) => {
    const buffer = context.createBuffer(4, facts.samples, facts.rate);
    for (let c = 0; c < 4; c++) {
      const begin = (clip * 4 + c) * facts.samples;
      buffer.copyToChannel(Float32Array.from(pcm.subarray(begin, begin + facts.samples), (x) => x / 32767), c);
    }
    return buffer;
  });
}

// input (W, Y, Z, X) -> nine gains that turn (Y, Z, X) -> a filter for W and one for Y -> the two ears.
// The head is mirror-symmetric, so left = W part + Y part and right = W part - Y part.
export function buildGraph(context, facts, filters) {
  const gain = (value) => Object.assign(context.createGain(), { channelInterpretation: "discrete" }, value);
  const input = gain({ channelCount: 4, channelCountMode: "explicit" });
  const split = context.createChannelSplitter(4), output = context.createChannelMerger(2);
  const master = gain(), minus = gain();
  const turned = [0, 1, 2].map(() => gain({ channelCount: 1, channelCountMode: "explicit" }));  // Y, Z, X of the head
  const turns = turned.map((sum) => [1, 2, 3].map((channel) => {
    const node = gain();
    split.connect(node, channel).connect(sum);
    return node.gain;
  }));
  const taps = filters.length / 2;
  const ears = [0, 1].map((k) => {
    const node = context.createConvolver(), impulse = context.createBuffer(1, taps, facts.rate);
    impulse.copyToChannel(filters.subarray(k * taps, (k + 1) * taps), 0);
    node.normalize = false;
    node.buffer = impulse;
    return node;
  });
  input.connect(split);
  split.connect(ears[0], 0);
  turned[0].connect(ears[1]).connect(minus);
  ears[0].connect(output, 0, 0);
  ears[1].connect(output, 0, 0);
  ears[0].connect(output, 0, 1);
  minus.connect(output, 0, 1);
  output.connect(master).connect(context.destination);
  minus.gain.value = -1;
  master.gain.value = facts.gain;
  const order = [1, 2, 0];  // Y, Z, X are left, up, front
  const turn = (matrix, now) => turns.forEach((row, i) => row.forEach((param, j) => {
    const value = matrix[order[i]][order[j]];
    if (now) param.value = value; else param.setTargetAtTime(value, context.currentTime, SMOOTH_S);
  }));
  const meters = [[split, 0], [turned[0], 0], [turned[1], 0], [turned[2], 0]].map(([node, k]) => tap(context, node, k));
  const sides = context.createChannelSplitter(2);
  master.connect(sides);
  return { input, turn, meters: [tap(context, sides, 0), tap(context, sides, 1), ...meters] };
}

function tap(context, node, channel) {
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  node.connect(analyser, channel);
  return analyser;
}

// All clips run side by side, in time to the sample; switching moves their gains, so there is no gap.
class Deck {
  constructor(facts, pcm, filters) {
    Object.assign(this, { facts, pcm, filters, offset: 0, voices: [], clip: 0, matrix: headMatrix(0, 0) });
    this.length = facts.samples / facts.rate;
  }

  position() {
    if (!this.voices.length) return this.offset;
    const now = this.offset + Math.max(0, this.context.currentTime - this.since);
    return this.loop ? now % this.length : Math.min(now, this.length);
  }

  async play() {
    if (!this.context) {  // at the clips' own rate: the filters fit, and the browser resamples once, at the end
      this.context = new AudioContext({ sampleRate: this.facts.rate });
      this.graph = buildGraph(this.context, this.facts, this.filters);
      this.graph.turn(this.matrix, true);
      this.buffers = audioBuffers(this.context, this.facts, this.pcm);
    }
    await Promise.race([this.context.resume(), new Promise((done) => setTimeout(done, 500))]);
    if (this.context.state !== "running") return false;  // browsers want a click on the page first
    if (!this.voices.length) this.start();
    return true;
  }

  start() {
    if (this.offset >= this.length - 1e-3) this.offset = 0;
    this.since = this.context.currentTime + 0.02;
    this.voices = this.buffers.map((buffer, k) => {
      const source = this.context.createBufferSource(), gain = this.context.createGain();
      Object.assign(gain, { channelInterpretation: "discrete" }).gain.value = 0;
      source.buffer = buffer;
      source.loop = this.loop;
      source.connect(gain).connect(this.graph.input);
      source.start(this.since, this.offset);
      gain.gain.setTargetAtTime(k === this.clip ? 1 : 0, this.since, SMOOTH_S / 4);
      return { source, gain };
    });
    this.voices[0].source.onended = () => { this.voices = []; this.offset = 0; this.ended(); };
  }

  pause() {
    this.offset = this.position();
    for (const { source, gain } of this.voices) {
      source.onended = () => gain.disconnect();
      gain.gain.setTargetAtTime(0, this.context.currentTime, SMOOTH_S / 2);
      source.stop(this.context.currentTime + 6 * SMOOTH_S);
    }
    this.voices = [];
  }

  seek(seconds) {
    const running = this.voices.length > 0;
    this.pause();
    this.offset = clamp(seconds, 0, this.length);
    if (running) this.start();
  }

  choose(clip) {
    this.clip = clip;
    this.voices.forEach(({ gain }, k) =>
      gain.gain.setTargetAtTime(k === clip ? 1 : 0, this.context.currentTime, SMOOTH_S));
  }

  repeat(loop) {
    this.offset = this.position();
    if (this.voices.length) this.since = this.context.currentTime;
    this.loop = loop;
    this.voices.forEach(({ source }) => { source.loop = loop; });
  }

  turn(matrix) {
    this.matrix = matrix;
    if (this.graph) this.graph.turn(matrix, false);
  }

  levels() {  // decibels of full scale: left, right, W, Y, Z, X
    if (!this.voices.length) return Array(6).fill(-Infinity);
    const block = new Float32Array(1024);
    return this.graph.meters.map((analyser) => {
      analyser.getFloatTimeDomainData(block);
      return 10 * Math.log10(block.reduce((sum, x) => sum + x * x, 0) / block.length);
    });
  }
}
