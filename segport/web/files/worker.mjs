// Runs networks beside the page, so that it answers meanwhile. One message asks for one mask.
import * as ort from "./ort.wasm.bundle.min.mjs";
import { networkMask, prepare, sizeOf } from "./infer.mjs";

ort.env.wasm.numThreads = 1;

const opened = new Map();

async function open(name) {
  const manifest = await (await fetch(`${name}.json`)).json();
  const session = await ort.InferenceSession.create(`${name}.onnx`);
  const [height, width] = sizeOf(manifest);
  const blank = prepare(manifest, new Uint8Array(3 * height * width), [height, width], 3);
  await session.run(feeds(manifest, blank)); // the first run also sets up its memory
  return { manifest, session };
}

function feeds(manifest, { data, dims }) {
  return { [manifest.input.name]: new ort.Tensor("float32", data, dims) };
}

async function predict({ name, pixels, size }) {
  if (!opened.has(name)) opened.set(name, await open(name));
  const { manifest, session } = opened.get(name);
  const input = feeds(manifest, prepare(manifest, pixels, size, 4));
  const start = performance.now();
  const outputs = await session.run(input);
  const milliseconds = performance.now() - start;
  return { classes: networkMask(outputs), size: sizeOf(manifest), milliseconds };
}

let queue = Promise.resolve();
self.onmessage = ({ data }) => {
  queue = queue.then(() => predict(data)).then(
    (found) => self.postMessage({ id: data.id, ...found }),
    (error) => self.postMessage({ id: data.id, error: String(error.message ?? error) }),
  );
};
