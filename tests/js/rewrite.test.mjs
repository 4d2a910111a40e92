// Taking tokens out of a cell's text, which may have changed since it ran.
import assert from "node:assert/strict";
import { test } from "node:test";

import rewriter, { applyEdits } from "../../supabase_nb/notebook/static/rewrite.mjs";

const SOURCE = '%supabase_set_session "eyJabc.def.ghi" "rtrtrtrtrtrt"';
const EDITS = [
  { start: 21, end: 38, pattern: ' "[^\\n]{14}"', text: "" },
  { start: 38, end: 53, pattern: ' "[^\\n]{12}"', text: "" },
];

test("where the text is as it was", () => {
  assert.equal(applyEdits(SOURCE, EDITS), "%supabase_set_session");
});

test("where someone went on typing", () => {
  assert.equal(applyEdits(`# a\n${SOURCE}\nx = 1`, EDITS), "# a\n%supabase_set_session\nx = 1");
});

test("another text is left alone", () => {
  assert.equal(applyEdits("x = 1", EDITS), null);
  assert.equal(applyEdits("", EDITS), null);
  assert.equal(applyEdits("%supabase_set_session", EDITS), null);
});

test("a comment is put before, once, and only together with the rest", () => {
  const edits = [{ start: 0, end: 0, pattern: "", text: "# taken out\n" }, { start: 4, end: 8, pattern: '"[^\\n]{2}"', text: '""' }];
  assert.equal(applyEdits('x = "ab"', edits), '# taken out\nx = ""');
  assert.equal(applyEdits("y", edits), null);
});

/** A notebook, as JupyterLab's widget manager has it. */
function notebook(...cells) {
  const made = cells.map(([id, source]) => ({
    id,
    source,
    cleared: 0,
    getSource() {
      return this.source;
    },
    setSource(text) {
      this.source = text;
    },
    clearUndoHistory() {
      this.cleared += 1;
    },
  }));
  return { cells: made, widget_manager: { context: { model: { sharedModel: { cells: made } } } } };
}

function run(book, cell) {
  const sent = [];
  const model = {
    ...book,
    get: (name) => ({ cell, edits: EDITS })[name],
    send: (message) => sent.push(message),
  };
  rewriter.initialize({ model });
  return sent;
}

test("the cell that is named, and no other", () => {
  const book = notebook(["a", SOURCE], ["b", SOURCE]);
  assert.deepEqual(run(book, "b"), [{ type: "rewritten", done: 1 }]);
  assert.deepEqual(book.cells.map((cell) => cell.source), [SOURCE, "%supabase_set_session"]);
  assert.deepEqual(book.cells.map((cell) => cell.cleared), [0, 1]);
});

test("a cell that was rewritten already loses its undo all the same", () => {
  const book = notebook(["a", "%supabase_set_session"]);
  assert.deepEqual(run(book, "a"), [{ type: "rewritten", done: 0 }]);
  assert.equal(book.cells[0].cleared, 1);
});

test("whichever cells fit, when none is named", () => {
  const book = notebook(["a", "x = 1"], ["b", SOURCE], ["c", `${SOURCE}\n`]);
  assert.deepEqual(run(book, null), [{ type: "rewritten", done: 2 }]);
  assert.equal(book.cells[0].cleared, 0);
});

test("a front end without such a model is answered too", () => {
  assert.deepEqual(run({}, "a"), [{ type: "rewritten", done: 0 }]);
});
