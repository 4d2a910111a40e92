// Masking exact values in cells: whole runs of token characters, in the text as it is now.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import cleaner, { findValues, sha256 } from "../../supabase_nb/notebook/_displays/static/browser_masking.mjs";

const AT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2ln_bmF0-dXJl";
const RT = "ab2defgh4jkl";
const V2 = "AAx0-_9abcdefghijklmnopqrstuvwxyz0123456789ABC-";
const SALT = "00112233";

function hashed(...values) {
  return values.map((value) => ({
    length: value.length,
    hash: createHash("sha256")
      .update(SALT + value)
      .digest("hex"),
  }));
}

function found(text, ...values) {
  return findValues(text, hashed(...values), SALT).map(({ start, end }) => text.slice(start, end));
}

test("SHA-256 is node's", () => {
  for (const length of [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 900, 5000]) {
    const text = "aZ9_-.".repeat(length).slice(0, length);
    assert.equal(sha256(text), createHash("sha256").update(text).digest("hex"));
  }
});

test("wherever a value stands", () => {
  for (const write of [
    (t) => t,
    (t) => `"${t}"`,
    (t) => `x = '${t}'  # ${t}`,
    (t) => `https://x.co/#access_token=${t}&refresh_token=${t}`,
    (t) => `"\\n${t}\\n"`,
    (t) => `\\x22${t}\\u0022 and \\u0022${t}"`,
    (t) => `%22${t}%22`,
    (t) => `--token=${t}; -p ${t}`,
    (t) => `was ${t}, then ${t}. `,
    (t) => `_${t}_ and -${t}-`,
    (t) => `\x1b[31m${t}\x1b[0m \x1b[38;5;124m${t}\x1b[39m`,
  ]) {
    const text = write("@");
    const times = text.split("@").length - 1;
    for (const token of [AT, RT, V2]) {
      assert.deepEqual(found(write(token), AT, RT, V2), Array(times).fill(token), JSON.stringify(text));
    }
  }
});

test("a cookie that holds one goes as a whole", () => {
  const json = JSON.stringify({ access_token: AT, refresh_token: RT });
  const cookie = `base64-${Buffer.from(json).toString("base64url")}`;
  assert.ok(found(`c = "${cookie}"`, RT).includes(cookie));
  assert.deepEqual(found(`c = "${cookie}"`, "zzzzzzzzzzzz"), []);
});

test("nothing else", () => {
  for (const text of ["transactions", `${RT}x`, `x${RT}`, RT.toUpperCase(), RT.slice(1), AT.slice(0, -1), "é 🦄"]) {
    assert.deepEqual(found(`x = "${text}"`, AT, RT), []);
  }
});

/** A notebook, as JupyterLab's widget manager has it. */
function notebook(...sources) {
  const cells = sources.map((source) => ({
    source,
    cleared: 0,
    outputs: [],
    getSource() {
      return this.source;
    },
    setSource(text) {
      this.source = text;
    },
    updateSource(start, end, text) {
      this.source = this.source.slice(0, start) + text + this.source.slice(end);
    },
    clearUndoHistory() {
      this.cleared += 1;
    },
    getOutputs() {
      return this.outputs;
    },
    updateOutputs(start, end, outputs) {
      this.outputs.splice(start, end - start, ...outputs);
    },
  }));
  return { sharedModel: { cells }, readOnly: false };
}

function run(model, ...values) {
  const sent = [];
  const heard = {};
  const widget = {
    widget_manager: { context: { model } },
    on: (event, call) => (heard[event] = call),
    send: (message) => sent.push(message),
  };
  cleaner.initialize({ model: widget });
  heard["msg:custom"]({ type: "clean", id: 7, salt: SALT, values: hashed(...values) });
  assert.deepEqual(sent[0], { type: "ready" });
  return sent[1];
}

test("every cell that holds a value, and no other", () => {
  const book = notebook("x = 1", `rt = "${RT}" # é🦄 ${RT}`, `refresh_token = "transactions"`);
  const report = { type: "cleaned", id: 7, reachable: true, cells: [2], outputs: [], left: [], found: [1] };
  assert.deepEqual(run(book, AT, RT), report);
  const { cells } = book.sharedModel;
  assert.deepEqual(
    cells.map((cell) => cell.source),
    ["x = 1", 'rt = "***" # é🦄 ***', 'refresh_token = "transactions"'],
  );
  assert.deepEqual(
    cells.map((cell) => cell.cleared),
    [0, 1, 0],
    "the others keep their undo",
  );
});

test("outputs, at any depth", () => {
  const book = notebook("print(rt)", "y");
  const image = { output_type: "display_data", data: { "image/png": "AAAA" } };
  book.sharedModel.cells[0].outputs = [
    image,
    { output_type: "stream", name: "stdout", text: `${AT} ${RT}\n` },
    { output_type: "error", traceback: ["a", `\x1b[31m${RT}\x1b[0m`] },
    { output_type: "display_data", data: { "application/json": { a: [{ b: RT }], n: 1 } } },
  ];
  const report = run(book, AT, RT);
  assert.deepEqual([report.cells, report.outputs], [[], [1]]);
  const [first, ...others] = book.sharedModel.cells[0].outputs;
  assert.equal(first, image);
  assert.deepEqual(others, [
    { output_type: "stream", name: "stdout", text: "*** ***\n" },
    { output_type: "error", traceback: ["a", "\x1b[31m***\x1b[0m"] },
    { output_type: "display_data", data: { "application/json": { a: [{ b: "***" }], n: 1 } } },
  ]);
});

test("what cannot be edited is reported as left", () => {
  const book = notebook(`rt = "${RT}"`);
  book.readOnly = true;
  book.sharedModel.cells[0].outputs = [{ output_type: "stream", text: RT }];
  assert.deepEqual([run(book, RT).left, run(book, RT).cells], [[1], []]);
  assert.deepEqual([run(book, RT).outputs, book.sharedModel.cells[0].outputs[0].text], [[], RT]);
  const stubborn = notebook(`rt = "${RT}"`);
  stubborn.sharedModel.cells[0].updateSource = () => {};
  assert.deepEqual(run(stubborn, RT).left, [1]);
});

test("a front end without such a model says so", () => {
  assert.deepEqual(run(undefined, RT), { type: "cleaned", id: 7, reachable: false });
});
