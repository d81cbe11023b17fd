// The picture of the 360 degree player: a view into the panorama, the energy over it, marks and a compass.
//
// Python sends the frames and, for each tenth of a second, the covariance of the four channels, from which the
// energy toward any pixel is sqrt(y'Ry), as in ambisonics.energy_map.

const VIEW = Math.tan((100 / 2) * Math.PI / 180);  // half the width of the view, 100 degrees, at distance 1
const WIDEST = 560;  // pixels of the picture that is computed, half of that while it moves; the browser enlarges it
const MAP_HZ = 10;  // how often the energy map is drawn anew while the sound plays
const TRUE_COLOUR = "#56b4e9", HEARD_COLOUR = "#f0e442";  // Okabe-Ito
const MAGMA = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109]];
const times = (m, v) => m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
const transposed = (m) => m[0].map((_, j) => m.map((row) => row[j]));

// The value at a time of a list of vectors, `count` of them evenly from first_s, `step_s` apart; straight in between.
function between(values, size, count, position) {
  const place = clamp(position, 0, count - 1), k = Math.min(Math.floor(place), Math.max(0, count - 2));
  const share = place - k, next = Math.min(k + 1, count - 1);
  return Array.from({ length: size }, (_, i) => (1 - share) * values[k * size + i] + share * values[next * size + i]);
}

// Unit vectors of a picture's pixels: of the view, in the head's axes, or of the panorama, in the scene's.
function rays(width, height, panorama) {
  const out = new Float32Array(3 * width * height);
  for (let i = 0, at = 0; i < height; i++) for (let j = 0; j < width; j++, at += 3) {
    const across = 1 - 2 * (j + 0.5) / width, down = 1 - 2 * (i + 0.5) / height;
    const azimuth = Math.PI * across, elevation = Math.PI / 2 * down;
    const v = panorama
      ? [Math.cos(elevation) * Math.cos(azimuth), Math.cos(elevation) * Math.sin(azimuth), Math.sin(elevation)]
      : [1, VIEW * across, VIEW * down * height / width];
    const long = Math.hypot(...v);
    out[at] = v[0] / long; out[at + 1] = v[1] / long; out[at + 2] = v[2] / long;
  }
  return out;
}

// Whether a pixel lies on a line of equal energy: every tenth of the peak, in the upper half.
function lined(bands, at, across, root) {
  const band = bands[at] = Math.max(5, root * 10);
  return at % across > 0 && at > across && ((band | 0) !== bands[at - 1] || (band | 0) !== bands[at - across]);
}

// The picture, and over it the energy toward every pixel, sqrt(y'Ry): what is loud covers it, what is quiet does not.
// `look` takes a pixel's ray to the scene's axes, `listen` to those in which the covariance R is given.
function paint(image, table, look, listen, frame, energy) {
  const { width, height, data } = frame, pixels = image.data, below = 4 * width, across = image.width;
  const bands = new Uint8Array(pixels.length / 4);
  const [[a0, a1, a2], [b0, b1, b2], [c0, c1, c2]] = look, [[d0, d1, d2], [e0, e1, e2], [f0, f1, f2]] = listen;
  const [ww, wy, wz, wx, , yy, yz, yx, , , zz, zx, , , , xx] = energy.covariance, peak = energy.peak || 1;
  for (let at = 0, p = 0; p < pixels.length; at += 3, p += 4) {
    const r = table[at], s = table[at + 1], t = table[at + 2];
    const azimuth = Math.atan2(b0 * r + b1 * s + b2 * t, a0 * r + a1 * s + a2 * t);
    const elevation = Math.asin(clamp(c0 * r + c1 * s + c2 * t, -1, 1));
    const column = width * (0.5 - azimuth / (2 * Math.PI)) - 0.5;
    const row = clamp(height * (0.5 - elevation / Math.PI) - 0.5, 0, height - 1.001);
    const left = Math.floor(column), top = Math.floor(row), a = column - left, b = row - top;
    const one = 4 * (top * width + (left + width) % width), two = 4 * (top * width + (left + 1) % width);
    const x = d0 * r + d1 * s + d2 * t, y = e0 * r + e1 * s + e2 * t, z = f0 * r + f1 * s + f2 * t;
    const power = ww + yy * y * y + zz * z * z + xx * x * x
      + 2 * (wy * y + wz * z + wx * x + yz * y * z + yx * y * x + zx * z * x);
    const level = clamp(power / peak, 0, 1), root = Math.sqrt(level);  // what the energy map shows
    const shade = 4 * root, k = Math.min(3, shade | 0), share = shade - k, low = MAGMA[k], high = MAGMA[k + 1];
    const cover = 0.6 * energy.opacity * root ** 6;
    const pale = lined(bands, p / 4, across, root) ? 0.45 * energy.opacity : 0;
    for (let c = 0; c < 3; c++) {
      const seen = (1 - b) * ((1 - a) * data[one + c] + a * data[two + c])
        + b * ((1 - a) * data[one + below + c] + a * data[two + below + c]);
      const tinted = (1 - cover) * seen + cover * ((1 - share) * low[c] + share * high[c]);
      pixels[p + c] = (1 - pale) * tinted + pale * 255;
    }
    pixels[p + 3] = 255;
  }
}

class Stage {
  constructor(facts, pictures, fields, canvas, marks, compass) {
    Object.assign(this, { facts, pictures, fields, canvas, marks, compass, tables: {}, shown: -1 });
    this.paper = document.createElement("canvas");
  }

  // The frame on show at a time; it is decoded when it is needed, so a long video costs no memory.
  async fetch(seconds) {
    const ends = this.facts.picture_ends;
    const k = clamp(Math.floor(seconds * this.facts.video_rate + 1e-6), 0, ends.length - 1);
    if (k === this.shown || this.busy) return false;
    this.busy = true;
    const bytes = this.pictures.subarray(k ? ends[k - 1] : 0, ends[k]);
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    Object.assign(this.paper, { width: picture.width, height: picture.height });
    const pen = this.paper.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0);
    this.frame = pen.getImageData(0, 0, picture.width, picture.height);
    this.shown = k;
    this.busy = false;
    return true;
  }

  // What is heard at a time: covariance, peak of the map, share of the loudest moment, and where it comes from.
  energy(seconds, clip) {
    const { steps, step_s: step } = this.facts, size = 18;
    const clipFields = this.fields.subarray(clip * steps * size, (clip + 1) * steps * size);
    const now = between(clipFields, size, steps, seconds / step - 0.5);
    const flow = [now[3], now[1], now[2]], long = Math.hypot(...flow);
    const opacity = clamp(1 + 10 * Math.log10(now[17] + 1e-9) / 45, 0, 1);
    const heard = long > 0.05 * now[0] && opacity > 0.02 ? flow.map((v) => v / long) : null;
    return { covariance: now.slice(0, 16), peak: now[16], opacity, heard };
  }

  truth(seconds) {
    const { truth } = this.facts;
    if (!truth) return null;
    const share = seconds * this.facts.rate / this.facts.samples;
    const v = between(truth.flat(), 3, truth.length, share * (truth.length - 1));
    return v.map((x) => x / Math.hypot(...v));
  }

  draw(state) {
    const panorama = state.projection === "panorama", box = this.canvas.clientWidth, dpr = devicePixelRatio || 1;
    if (!this.frame || !box) return;
    const width = 2 * Math.round(Math.min(box * dpr, state.moving ? WIDEST / 2 : WIDEST) / 2);
    const height = Math.round(width * (panorama ? 1 / 2 : 9 / 16)), key = `${width} ${panorama}`;
    if (this.key !== key) {
      Object.assign(this.canvas, { width, height });
      this.tables[key] = this.tables[key] || rays(width, height, panorama);
      this.image = new ImageData(width, height);
      this.key = key;
    }
    const head = headMatrix(state.yaw, state.pitch), back = transposed(head), same = headMatrix(0, 0);
    const energy = this.energy(state.time, state.clip), locked = state.head_locked;
    const look = panorama ? same : back, listen = locked !== panorama ? same : panorama ? head : back;
    const drawn = [key, this.shown, state.yaw, state.pitch, state.clip, locked, Math.round(state.time * MAP_HZ)].join();
    if (drawn !== this.drawn) {
      paint(this.image, this.tables[key], look, listen, this.frame, energy);
      this.canvas.getContext("2d").putImageData(this.image, 0, 0);
      this.drawn = drawn;
    }
    const toHead = (v) => v && times(head, v);  // heard in the axes of the head, or with the head locked as it is
    const heard = energy.heard && (locked ? energy.heard : toHead(energy.heard));
    const places = { truth: toHead(this.truth(state.time)), heard };
    this.mark(places, panorama ? back : null, dpr);
    this.drawCompass(places, state.yaw, dpr);
    return places;
  }

  // Rings where the sound is (true) and where it seems to come from; in the panorama also the edge of the view.
  mark(places, back, dpr) {
    const width = this.marks.width = this.canvas.clientWidth * dpr;
    const height = this.marks.height = this.canvas.clientHeight * dpr;
    const pen = this.marks.getContext("2d"), unit = Math.max(9, width / 70 / dpr) * dpr;
    const spot = (v) => {
      const near = width / 2 / VIEW / v[0];
      if (!back) return v[0] <= 0 ? null : [width / 2 - near * v[1], height / 2 - near * v[2]];
      const [f, l, u] = times(back, v);
      return [width * (0.5 - Math.atan2(l, f) / 2 / Math.PI), height * (0.5 - Math.asin(clamp(u, -1, 1)) / Math.PI)];
    };
    const stroke = (colour, thick, draw) => [["#000a", thick + 2], [colour, thick]].forEach(([style, line]) => {
      Object.assign(pen, { strokeStyle: style, lineWidth: line * dpr, lineCap: "round" });
      pen.beginPath();
      draw();
      pen.stroke();
    });
    if (back) stroke("#fff", 1.5, () => {
      let last = null;
      for (let k = 0; k <= 160; k++) {
        const side = k / 40 % 4 | 0, s = 1 - 2 * (k / 40 % 1), t = 9 / 16;
        const [l, u] = [[s, t], [-1, s * t], [-s, -t], [1, -s * t]][side];
        const at = spot([1, VIEW * l, VIEW * u]);
        if (last && Math.abs(at[0] - last) < width / 2) pen.lineTo(...at); else pen.moveTo(...at);
        last = at[0];
      }
    });
    for (const [v, colour, size] of [[places.truth, TRUE_COLOUR, 1.3], [places.heard, HEARD_COLOUR, 0.6]]) {
      const at = v && spot(v), seen = at && at[0] > 0 && at[0] < width && at[1] > 0 && at[1] < height;
      if (seen) stroke(colour, 2.5, () => pen.arc(...at, size * unit, 0, 7));
      else if (v) stroke(colour, 3, () => {  // out of view: an arrow at the edge that it is beyond
        const long = Math.hypot(v[1], v[2]) || 1, [right, down] = [-v[1] / long, -v[2] / long];
        const edge = Math.min((width / 2 - unit) / Math.abs(right), (height / 2 - unit) / Math.abs(down));
        const far = edge - (size > 1 ? 0 : 1.3 * unit), x = width / 2 + far * right, y = height / 2 + far * down;
        pen.moveTo(x - 0.7 * unit * (right + down), y - 0.7 * unit * (down - right));
        pen.lineTo(x, y);
        pen.lineTo(x - 0.7 * unit * (right - down), y - 0.7 * unit * (down + right));
      });
    }
  }

  // The horizon from above, the head in the middle looking up the page; "front" goes round as the head turns.
  drawCompass(places, yaw, dpr) {
    const side = this.compass.width = this.compass.height = this.compass.clientWidth * dpr;
    const pen = this.compass.getContext("2d"), middle = side / 2, r = side * 0.36;
    const ink = getComputedStyle(this.compass).color;
    const at = (azimuth, far) => [middle - far * Math.sin(azimuth), middle - far * Math.cos(azimuth)];
    const path = (style, fill, draw) => {
      Object.assign(pen, { strokeStyle: style, fillStyle: style, lineWidth: 1.5 * dpr });
      pen.beginPath();
      draw();
      if (fill) pen.fill(); else pen.stroke();
    };
    pen.globalAlpha = 0.14;
    path(ink, true, () => {  // what is in view
      pen.moveTo(middle, middle);
      pen.arc(middle, middle, r, -7 / 9 * Math.PI, -2 / 9 * Math.PI);
    });
    pen.globalAlpha = 0.5;
    path(ink, false, () => pen.arc(middle, middle, r, 0, 7));
    pen.globalAlpha = 1;
    path(ink, true, () => {
      pen.ellipse(middle, middle, r * 0.2, r * 0.25, 0, 0, 7);
      pen.arc(middle, middle - r * 0.27, r * 0.07, 0, 7);  // the nose
    });
    const font = `600 ${side * 0.11}px system-ui, sans-serif`;
    Object.assign(pen, { font, textAlign: "center", textBaseline: "middle" });
    ["F", "L", "B", "R"].forEach((name, k) => pen.fillText(name, ...at(k * Math.PI / 2 - yaw, side * 0.435)));
    const dot = (v, far) => at(Math.atan2(v[1], v[0]), far * Math.max(0.35, Math.hypot(v[0], v[1])));
    if (places.truth) path(TRUE_COLOUR, false, () => pen.arc(...dot(places.truth, r), side * 0.055, 0, 7));
    if (places.heard) path(HEARD_COLOUR, true, () => pen.arc(...dot(places.heard, r), side * 0.032, 0, 7));
  }
}
