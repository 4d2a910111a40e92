// Runs Python in Pyodide in node: node in_node.mjs PYODIDE PACKAGES SCRIPT [ARGUMENT].
// What `await main(argument)` of the script returns is printed.
// Pyodide is the real one, in a worker as in a browser, and so is fetch(). XMLHttpRequest, which node lacks, is made
// of the main thread's fetch(): as in a browser it blocks the worker. Nothing here checks CORS: Chromium does.
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const LARGEST = 8 << 20;

if (isMainThread) {
  const [pyodide, packages, script, argument = ""] = process.argv.slice(2);
  const shared = new SharedArrayBuffer(LARGEST);
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { pyodide, packages, script, argument, shared },
    execArgv: [],
  });
  const size = new Int32Array(shared, 0, 2);
  worker.on("message", async ({ request, result }) => {
    if (result !== undefined) {
      process.stdout.write(result);
      process.exit(0);
    }
    const encoded = new TextEncoder().encode(JSON.stringify(await answer(request)));
    new Uint8Array(shared, 8).set(encoded);
    Atomics.store(size, 1, encoded.length);
    Atomics.store(size, 0, 1);
    Atomics.notify(size, 0);
  });
  worker.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
} else {
  globalThis.XMLHttpRequest = BlockingRequest();
  const { loadPyodide } = await import(pathToFileURL(`${workerData.pyodide}/pyodide.mjs`).href);
  const python = await loadPyodide({ indexURL: workerData.pyodide });
  python.mountNodeFS("/packages", workerData.packages);
  python.mountNodeFS("/script", dirname(workerData.script));
  python.mountNodeFS("/ours/supabase_nb", join(import.meta.dirname, "..", "..", "supabase_nb"));
  python.globals.set("name", basename(workerData.script, ".py"));
  python.globals.set("argument", workerData.argument);
  const result = await python.runPythonAsync(`
import importlib, sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/ours", "/packages", "/script"]
await importlib.import_module(name).main(argument)
`);
  parentPort.postMessage({ result: String(result) });
}

async function answer({ method, url, headers, body, timeout }) {
  try {
    const signal = timeout ? AbortSignal.timeout(timeout) : undefined;
    const response = await fetch(url, { method, headers, body: body && Buffer.from(body, "base64"), signal });
    return {
      status: response.status,
      url: response.url,
      headers: [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join(""),
      body: Buffer.from(await response.arrayBuffer()).toString("base64"),
    };
  } catch (error) {
    return { failed: error.name === "TimeoutError" ? "TimeoutError" : "NetworkError" };
  }
}

function BlockingRequest() {
  const size = new Int32Array(workerData.shared, 0, 2);
  return class XMLHttpRequest {
    timeout = 0;
    #headers = {};
    #answer = null;
    open(method, url, isAsync) {
      if (isAsync) throw new Error("only synchronous requests are made in the tests");
      Object.assign(this, { method, url });
    }
    setRequestHeader(name, value) {
      this.#headers[name] = value;
    }
    send(body) {
      Atomics.store(size, 0, 0);
      const content = body ? Buffer.from(body).toString("base64") : null;
      const request = { method: this.method, url: this.url, headers: this.#headers, body: content, timeout: this.timeout };
      parentPort.postMessage({ request });
      Atomics.wait(size, 0, 0);
      const bytes = new Uint8Array(workerData.shared, 8, Atomics.load(size, 1)).slice();
      this.#answer = JSON.parse(new TextDecoder().decode(bytes));
      if (this.#answer.failed) throw new DOMException("no answer", this.#answer.failed);
    }
    get status() {
      return this.#answer.status;
    }
    get responseURL() {
      return this.#answer.url;
    }
    getAllResponseHeaders() {
      return this.#answer.headers;
    }
    get response() {
      return Uint8Array.from(Buffer.from(this.#answer.body, "base64")).buffer;
    }
  };
}
