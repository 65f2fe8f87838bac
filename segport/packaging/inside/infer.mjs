// The class of every pixel of a picture, by a network that Segport exported.
//
//   npm install onnxruntime-web
//   node infer.mjs NET.onnx PICTURE.ppm MASK.pgm
//
// NET.json, the manifest, lies beside NET.onnx. PICTURE is a binary PPM (P6, 8 bits: `magick photo.jpg photo.ppm`);
// decode other formats yourself. MASK is a PGM of class indices, at the picture's size: the same as `segport predict`
// writes, to the pixel. A browser has pixels already: it calls `prepare`, its session, and `networkMask` or `mask`.

/** What is subtracted and multiplied, float32, by value of a pixel, for each channel of the network. */
function tables({ mean, std }) {
  return mean.map((value, channel) => {
    const deviation = Math.fround(std[channel]);
    const shift = Math.fround(Math.fround(value) / deviation);
    const scale = Math.fround(Math.fround(1 / 255) / deviation);
    return Float32Array.from({ length: 256 }, (_, pixel) => Math.fround(pixel * scale) - shift);
  });
}

/** Planes of a picture by the manifest's colour order; `pixels` are interleaved, `step` bytes each. */
const PLANES = {
  RGB: (pixels, step) => [0, 1, 2].map((channel) => plane(pixels, step, (at) => pixels[at + channel])),
  L: (pixels, step) => [
    plane(pixels, step, (at) => (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 32768) >> 16),
  ],
};

function plane(pixels, step, value) {
  const found = new Uint8Array(pixels.length / step);
  for (let index = 0; index < found.length; index++) found[index] = value(index * step);
  return found;
}

/** Height and width that the network takes. */
export function sizeOf({ input, macs_shape }) {
  return [input.shape[2] ?? macs_shape[1], input.shape[3] ?? macs_shape[2]];
}

/** Network input, float32 (N, C, height, width), of a picture: `pixels` are RGB (step 3) or RGBA (step 4). */
export function prepare(manifest, pixels, size, step) {
  const { input } = manifest;
  if (!(input.colour_order in PLANES) || input.dtype !== "float32")
    throw new Error(`takes ${input.colour_order} pictures as ${input.dtype}; this script prepares RGB and L as float32`);
  const [height, width] = sizeOf(manifest);
  const length = height * width;
  const planes = PLANES[input.colour_order](pixels, step);
  const batch = input.shape[0] ?? 1;
  const data = new Float32Array(batch * planes.length * length);
  tables(input).forEach((table, channel) => {
    const small = resize(planes[channel], size, [height, width]);
    for (let index = 0; index < length; index++) data[channel * length + index] = table[small[index]];
  });
  for (let copy = 1; copy < batch; copy++) data.copyWithin(copy * planes.length * length, 0, planes.length * length);
  return { data, dims: [batch, planes.length, height, width] };
}

/** Pixels and weights of a triangle filter as wide as a step of the larger grid: Pillow's BILINEAR. */
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), from);
    const weights = [];
    for (let at = first; at < end; at++) weights.push(Math.max(0, 1 - Math.abs((at - centre + 0.5) * (1 / reach))));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

const BITS = 22;
const FIXED = { start: 2 ** (BITS - 1), weight: (one) => Math.trunc(one * 2 ** BITS + 0.5), value: (sum) => sum >> BITS };
const FLOAT = { start: 0, weight: (one) => one, value: (sum) => sum };

/**
 * A plane at another [height, width], as Pillow 13 does it: bytes in fixed point, floats in double precision, and rows
 * before columns where the height shrinks by more than twice what the width does. (Pillow 12 always begins with columns.)
 */
export function resize(source, [height, width], [newHeight, newWidth]) {
  const kind = source instanceof Float32Array ? FLOAT : FIXED;
  const across = (plane, rows) =>
    width === newWidth ? plane : filter(plane, taps(width, newWidth), kind, rows, width, 1, newWidth, 1);
  const down = (plane, columns) =>
    height === newHeight ? plane : filter(plane, taps(height, newHeight), kind, columns, 1, columns, 1, columns);
  const rowsFirst = newHeight < height && height - newHeight > 2 * (width - newWidth);
  return rowsFirst ? across(down(source, width), newHeight) : down(across(source, height), newWidth);
}

/** Filter `lines` lines of a plane: from line to line it is `line` and `newLine`, from pixel to pixel `step` and `newStep`. */
function filter(source, positions, kind, lines, line, step, newLine, newStep) {
  const found = new source.constructor(lines * positions.length);
  positions.forEach(({ first, weights }, index) => {
    const scaled = weights.map(kind.weight);
    for (let at = 0; at < lines; at++) {
      let sum = kind.start;
      let from = at * line + first * step;
      for (const weight of scaled) {
        sum += source[from] * weight;
        from += step;
      }
      found[at * newLine + index * newStep] = kind.value(sum);
    }
  });
  return found;
}

/** The nearest pixel at another size, as Pillow finds it. */
function nearest(source, [height, width], [newHeight, newWidth]) {
  const rows = nearestOf(height, newHeight);
  const columns = nearestOf(width, newWidth);
  const found = new Uint8Array(newHeight * newWidth);
  rows.forEach((row, y) => columns.forEach((column, x) => { found[y * newWidth + x] = source[row * width + column]; }));
  return found;
}

function nearestOf(from, to) {
  const step = from / to;
  const found = [];
  for (let index = 0, at = step * 0.5; index < to; index++, at += step) found.push(Math.trunc(at));
  return found;
}

/** Index of the largest of planes that `plane(index)` gives; the first wins a tie, NaN never. */
function largest(plane, count, length) {
  const classes = new Uint8Array(length);
  const best = new Float32Array(length).fill(-Infinity);
  for (let index = 0; index < count; index++) {
    const values = plane(index);
    for (let at = 0; at < length; at++)
      if (values[at] > best[at]) {
        best[at] = values[at];
        classes[at] = index;
      }
  }
  return classes;
}

/** The class of every pixel at `size`, [height, width], of what the session gave. */
export function mask(outputs, size) {
  const { logits } = outputs;
  if (!logits) {
    const [, height, width] = outputs.mask.dims;
    return nearest(Uint8Array.from(outputs.mask.data.subarray(0, height * width), Number), [height, width], size);
  }
  const [, count, height, width] = logits.dims;
  const length = height * width;
  const plane = (index) => resize(logits.data.subarray(index * length, (index + 1) * length), [height, width], size);
  return largest(plane, count, size[0] * size[1]);
}

/** The class of every pixel at the network's own size. */
export function networkMask(outputs) {
  return mask(outputs, (outputs.logits ?? outputs.mask).dims.slice(-2));
}

/** A binary PPM: its pixels and [height, width]. */
function readPpm(bytes) {
  const head = /^P6\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 1000).toString("latin1"));
  if (!head) throw new Error("not a binary PPM of 8 bits (P6)");
  const [width, height] = [Number(head[1]), Number(head[2])];
  const pixels = bytes.subarray(head[0].length, head[0].length + 3 * width * height);
  if (pixels.length < 3 * width * height) throw new Error(`the PPM ends before its ${width}x${height} pixels`);
  return { pixels, size: [height, width] };
}

async function main([model, picture, target]) {
  const { readFileSync, writeFileSync } = await import("node:fs");
  const ort = await import("onnxruntime-web");
  const manifest = JSON.parse(readFileSync(model.replace(/\.onnx$/, ".json"), "utf8"));
  const { pixels, size } = readPpm(readFileSync(picture));
  const session = await ort.InferenceSession.create(readFileSync(model));
  const { data, dims } = prepare(manifest, pixels, size, 3);
  const outputs = await session.run({ [manifest.input.name]: new ort.Tensor("float32", data, dims) });
  const [height, width] = size;
  writeFileSync(target, Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`), mask(outputs, size)]));
}

if (globalThis.process?.argv[1]?.endsWith("infer.mjs"))
  main(process.argv.slice(2)).catch((error) => {
    console.error(`infer: ${error.message}`);
    process.exitCode = 2;
  });
