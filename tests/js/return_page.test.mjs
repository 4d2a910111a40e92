// Where a provider's window comes back to, and how its address reaches the form that waits for it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

import { receiveReturn, redirectToAdd, returnAddresses } from "../../supabase_nb/notebook/_displays/static/return_page.mjs";

const FILE = "supabase-nb/static/returned.html";

test("a page of the notebook's own server, behind any prefix", () => {
  const page = "https://hub.example.org/user/ada/lab/tree/work.ipynb?reset";
  const address = `https://hub.example.org/user/ada/lab/extensions/${FILE}`;
  assert.deepEqual(returnAddresses("/user/ada/lab/extensions", page), { local: address, requested: address });
  assert.deepEqual(returnAddresses("https://hub.example.org/user/ada/lab/extensions/", page).local, address);
  assert.equal(redirectToAdd(address), "https://hub.example.org/user/ada/lab/extensions/supabase-nb/static/**");
});

test("every project allows 127.0.0.1, but not localhost", () => {
  for (const host of ["127.0.0.1", "[::1]"]) {
    const address = `http://${host}:8888/lab/extensions/${FILE}`;
    assert.deepEqual(returnAddresses("/lab/extensions", `http://${host}:8888/lab`), {
      local: address,
      requested: address,
    });
    assert.equal(redirectToAdd(address), "");
  }
  const { local, requested } = returnAddresses("/lab/extensions", "http://localhost:8888/lab");
  assert.equal(local, `http://localhost:8888/lab/extensions/${FILE}`);
  assert.equal(requested, `http://127.0.0.1:8888/lab/extensions/${FILE}?host=localhost`);
  assert.equal(redirectToAdd(requested), "");
});

test("outside Jupyter there is none", () => {
  for (const [folder, page] of [
    [undefined, "http://127.0.0.1:2718/"],
    [7, "http://127.0.0.1:2718/"],
    ["/lab/extensions", "vscode-webview://1x2/index.html"],
    ["/lab/extensions", "about:srcdoc"],
  ]) {
    assert.deepEqual(returnAddresses(folder, page), { local: "", requested: "" });
  }
});

/** A page's channel doesn't keep the process running. */
class PageChannel extends BroadcastChannel {
  constructor(/** @type {string} */ name) {
    super(name);
    this.unref();
  }
}

/**
 * Open the page at an address, as a browser does.
 * @returns its elements, what it did, and `wait` for the time that a notebook has to respond
 */
async function comeBack(address, clipboard = undefined) {
  const page = { p: {}, button: { hidden: true }, input: { hidden: true, select() {} } };
  const did = { ...page, closed: false, led: "", kept: "", wait: () => {} };
  const url = new URL(address);
  runInNewContext(await readFile(new URL("../../labextension/static/returned.js", import.meta.url), "utf8"), {
    URL,
    BroadcastChannel: PageChannel,
    clearTimeout,
    setTimeout: (callback) => (did.wait = callback),
    history: { replaceState: (_state, _title, kept) => (did.kept = kept) },
    location: {
      href: url.href,
      hostname: url.hostname,
      pathname: url.pathname,
      replace: (to) => (did.led = String(to)),
    },
    document: { querySelector: (name) => page[name] },
    navigator: { clipboard },
    window: { close: () => (did.closed = true) },
  });
  return did;
}

test("without a notebook that responds, the page's address can be copied", async () => {
  const address = `https://hub.example.org/lab/extensions/${FILE}?code=c&supabase_nb_state=nobody`;
  let copied = "";
  const page = await comeBack(address, { writeText: async (text) => void (copied = text) });
  assert.equal(page.button.hidden, true);
  page.wait();
  assert.equal(page.button.hidden, false);
  assert.match(page.p.textContent, /copy this page's URL/);
  await page.button.onclick();
  assert.equal(copied, address);
  assert.equal(page.input.hidden, true);
});

test("where a page may not write to the clipboard, the address is shown", async () => {
  const address = `http://hub.example.org/lab/extensions/${FILE}?error=access_denied&supabase_nb_state=plain`;
  const page = await comeBack(address);
  page.wait();
  await page.button.onclick();
  assert.equal(page.input.hidden, false);
  assert.equal(page.input.value, address);
});

test("an address that no sign-in has led to isn't offered", async () => {
  const page = await comeBack(`https://hub.example.org/lab/extensions/${FILE}`);
  page.wait();
  assert.equal(page.button.hidden, true);
});

test("the page hands its address to the form that waits for it, and to no other", async () => {
  const address = `https://hub.example.org/lab/extensions/${FILE}?code=c&supabase_nb_state=mine`;
  const others = [];
  const stopOther = receiveReturn("another", (came) => others.push(came));
  const came = new Promise((resolve) => receiveReturn("mine", resolve));
  const did = await comeBack(address);
  assert.equal(await came, address);
  await new Promise((resolve) => setTimeout(resolve, 50));
  stopOther();
  assert.deepEqual(others, []);
  assert.equal(did.kept, `/lab/extensions/${FILE}`, "no code stays in the address bar");
  assert.equal(did.closed, true);
});

test("from 127.0.0.1 the page goes on to the notebook at localhost, and to no other host", async () => {
  const did = await comeBack(`http://127.0.0.1:8888/lab/extensions/${FILE}?host=localhost&code=c`);
  assert.equal(did.led, `http://localhost:8888/lab/extensions/${FILE}?code=c`);
  for (const address of [
    `http://127.0.0.1:8888/lab/extensions/${FILE}?host=evil.example&code=c&supabase_nb_state=x1`,
    `https://hub.example.org/lab/extensions/${FILE}?host=localhost&code=c&supabase_nb_state=x2`,
  ]) {
    const stop = receiveReturn(new URL(address).searchParams.get("supabase_nb_state"), () => {});
    assert.equal((await comeBack(address)).led, "");
    await new Promise((resolve) => setTimeout(resolve, 50));
    stop();
  }
});
