// Shows what two files see in a picture; the worker computes it.
const at = (id) => document.getElementById(id);
const SIDES = ["left", "right"];
const PICTURE = "picture alone";
const ALPHA = 0.55; // of a class over the picture, as in `segport predict`
const MOST_PIXELS = 25e6; // a picture's, beyond which a phone's memory does not do

const worker = new Worker("worker.mjs", { type: "module" });
const waiting = new Map();
let picture, manifest, models, asked = 0;

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) reject(new Error(data.error));
  else resolve(data);
};
worker.onerror = (event) => say(`The worker did not start: ${event.message ?? "no reason given"}`, true);

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

function predict(name) {
  const id = ++asked;
  const message = { id, name, pixels: picture.data, size: [picture.height, picture.width] };
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage(message);
  });
}

async function readPicture(file) {
  // as the file has them: upright, no colour profile applied, no transparency multiplied in
  const how = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, how).catch(() => {
    throw new Error(`${file.name ?? "what was pasted"} is no picture that this browser can read.`);
  });
  if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error(`${bitmap.width}x${bitmap.height} pixels are too many; 25 million will do.`);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

async function show(file) {
  try {
    picture = await readPicture(file);
    await compare();
  } catch (error) {
    say(error.message, true);
  }
}

let latest = 0;
async function compare() {
  if (!picture) return;
  const mine = ++latest;
  const names = SIDES.map((side) => at(side).value);
  const found = {};
  for (const name of new Set(names.filter((name) => name !== PICTURE))) {
    say(`Running ${name}.`);
    found[name] = await predict(name);
    if (mine !== latest) return; // another picture or file was chosen meanwhile
  }
  at("result").hidden = false;
  SIDES.forEach((side, index) => draw(side, found[names[index]]));
  const [left, right] = names.map((name) => found[name]);
  drawDifference(left, right, names);
  list(names, [left, right]);
  window.segport = { left, right }; // for who wants the masks in the browser's console
  say(`${picture.width}x${picture.height} pixels, computed at ${(left ?? right).size.toReversed().join("x")}.`);
}

/** The picture under a mask's colours, background untouched. */
function draw(side, one) {
  const canvas = at(`${side}-view`);
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const pixels = new Uint8ClampedArray(picture.data);
  if (one) paint(pixels, one);
  canvas.getContext("2d").putImageData(new ImageData(pixels, picture.width, picture.height), 0, 0);
  at(`${side}-tag`).textContent = label(at(side).value);
}

function paint(pixels, { classes, size: [height, width] }) {
  for (let y = 0, to = 0; y < picture.height; y++) {
    const row = Math.floor(((y + 0.5) * height) / picture.height) * width;
    for (let x = 0; x < picture.width; x++, to += 4) {
      const found = classes[row + Math.floor(((x + 0.5) * width) / picture.width)];
      if (found === 0) continue;
      for (let channel = 0; channel < 3; channel++)
        pixels[to + channel] += ALPHA * (manifest.palette[found][channel] - pixels[to + channel]);
    }
  }
}

function drawDifference(left, right, names) {
  const both = left && right && names[0] !== names[1];
  at("difference").hidden = !both;
  at("agreement").textContent = both ? "" : "Choose two files to see where they differ.";
  if (!both) return;
  const [height, width] = left.size;
  const pixels = new Uint8ClampedArray(4 * height * width);
  let alike = 0;
  left.classes.forEach((found, index) => {
    const same = found === right.classes[index];
    alike += same;
    pixels.set(same ? (found ? [150, 150, 150, 255] : [205, 205, 205, 255]) : [220, 30, 30, 255], 4 * index);
  });
  const canvas = at("difference");
  [canvas.width, canvas.height] = [width, height];
  canvas.style.aspectRatio = `${picture.width} / ${picture.height}`;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const others = width * height - alike;
  at("agreement").textContent = `${percent(alike, width * height, 3)} of ${width * height} pixels have the same class, ${others} another.`;
}

function list(names, sides) {
  const rows = names.map((name, index) => {
    const model = models.find((one) => one.name === name);
    const mega = model ? (model.bytes / 1e6).toFixed(2) : "-";
    return row([SIDES[index], label(name), mega, sides[index]?.milliseconds.toFixed(0) ?? "-"]);
  });
  at("facts").replaceChildren(...rows);
  SIDES.forEach((side, index) => { at(`${side}-share`).textContent = label(names[index]); });
  const counts = sides.map((one) => one && count(one.classes));
  const seen = manifest.classes.map((_, index) => index).filter((index) => counts.some((one) => one?.[index]));
  at("legend").replaceChildren(...seen.map((index) => {
    const shares = counts.map((one, side) => (one ? percent(one[index], sides[side].classes.length, 2) : "-"));
    const found = row([manifest.classes[index], ...shares]);
    found.cells[0].prepend(swatch(manifest.palette[index]));
    return found;
  }));
}

function count(classes) {
  const counts = new Array(manifest.classes.length).fill(0);
  for (const one of classes) counts[one]++;
  return counts;
}

/** Rounded down, so that 100 % is said of all pixels only. */
function percent(part, whole, digits) {
  const unit = 10 ** digits;
  return `${(Math.floor((part / whole) * 100 * unit) / unit).toFixed(digits)} %`;
}

function row(cells) {
  const found = document.createElement("tr");
  for (const text of cells) found.insertCell().textContent = text;
  return found;
}

function swatch(colour) {
  const found = document.createElement("canvas");
  found.className = "swatch";
  [found.width, found.height] = [1, 1];
  const context = found.getContext("2d");
  context.fillStyle = `rgb(${colour.join(" ")})`;
  context.fillRect(0, 0, 1, 1);
  return found;
}

function label(name) {
  return models.find((one) => one.name === name)?.id ?? name;
}

function slide(share) {
  at("slider").value = share;
  at("stack").style.setProperty("--at", `${share}%`);
}

function listen() {
  at("file").onchange = (event) => event.target.files[0] && show(event.target.files[0]);
  at("slider").oninput = (event) => slide(event.target.value);
  for (const side of SIDES) at(side).onchange = () => compare().catch((error) => say(error.message, true));
  const drag = (event) => {
    const box = at("stack").getBoundingClientRect();
    if (event.buttons) slide(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
  };
  at("stack").onpointerdown = (event) => { at("stack").setPointerCapture(event.pointerId); drag(event); };
  at("stack").onpointermove = drag;
  document.onpaste = (event) => event.clipboardData.files[0] && show(event.clipboardData.files[0]);
  document.ondragover = (event) => { event.preventDefault(); at("drop").classList.add("over"); };
  document.ondragleave = () => at("drop").classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    if (event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
  };
}

async function start() {
  models = await (await fetch("models.json")).json();
  manifest = await (await fetch(`${models[0].name}.json`)).json();
  const names = [PICTURE, ...models.map((one) => one.name)];
  const chosen = models.length > 1 ? [models[0].name, models.at(-1).name] : [PICTURE, models[0].name];
  SIDES.forEach((side, index) => {
    at(side).replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen[index])));
  });
  listen();
  say("Waiting for a picture.");
}

start().catch((error) => say(error.message, true));
