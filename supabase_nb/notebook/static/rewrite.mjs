// Takes tokens out of a cell's text. Knows where they stand and what they look like, not what they are.

/**
 * @typedef {{ start: number, end: number, pattern: string, text: string }} Edit
 * @typedef {{ id?: string, getSource(): string, setSource(text: string): void, clearUndoHistory?(): void }} Cell
 */

/**
 * The source without tokens; null when it does not hold what the edits describe.
 * @param {string} source
 * @param {Edit[]} edits
 */
export function applyEdits(source, edits) {
  const fits = edits.every(({ start, end, pattern }) =>
    new RegExp(`^(?:${pattern})$`).test(source.slice(start, end)),
  );
  if (fits) {
    let result = source;
    for (const { start, end, text } of [...edits].reverse()) {
      result = result.slice(0, start) + text + result.slice(end);
    }
    return result;
  }
  // Someone went on typing: look for each by what it looks like. What stands where nothing was, is left out.
  let result = source;
  for (const { pattern, text } of edits.filter((edit) => edit.end > edit.start)) {
    const found = new RegExp(pattern).exec(result);
    if (!found) return null;
    result = result.slice(0, found.index) + text + result.slice(found.index + found[0].length);
  }
  return result === source ? null : result;
}

/**
 * The cells of the notebook that a widget belongs to. JupyterLab and Notebook 7 only, and no public API.
 * @param {any} model
 * @returns {Cell[]}
 */
function cellsOf(model) {
  const cells = model.widget_manager?.context?.model?.sharedModel?.cells;
  return Array.isArray(cells) ? cells : [];
}

/** @param {{ model: any }} context */
function initialize({ model }) {
  const id = model.get("cell");
  const edits = model.get("edits");
  let done = 0;
  for (const cell of cellsOf(model)) {
    if (id && cell.id !== id) continue;
    const text = applyEdits(cell.getSource(), edits);
    if (text !== null) {
      cell.setSource(text);
      done += 1;
    }
    // Also when `set_next_input` was quicker: else Ctrl-Z brings the token back.
    if (id || text !== null) cell.clearUndoHistory?.();
  }
  model.send({ type: "rewritten", done });
}

export default { initialize };
