// Masks exact values in the notebook's cells, by their lengths and salted hashes.

/**
 * @typedef {{ length: number, hash: string }} Hashed
 * @typedef {{ start: number, end: number, index: number }} Found
 * @typedef {{
 *   getSource(): string, setSource(text: string): void, clearUndoHistory?(): void,
 *   updateSource?(start: number, end: number, text: string): void,
 *   getOutputs?(): any[], updateOutputs?(start: number, end: number, outputs: any[]): void,
 * }} Cell
 */

export const CELL_MASK = "***";
const RUN = /[A-Za-z0-9_.-]+/g;
const WORD = /[A-Za-z0-9]/;
// Prefixes that look like part of a value: \n, \x22, "; %22; a color's 31m.
const ESCAPE_PREFIXES = {
  "\\": /^(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[a-z])/,
  "%": /^[0-9a-fA-F]{2}/,
  "[": /^\d*m/,
  ";": /^\d+m/,
};

/**
 * Where one of the values is in a text.
 * @param {string} text
 * @param {Hashed[]} values
 * @param {string} salt
 * @returns {Found[]}
 */
export function findValues(text, values, salt) {
  const found = [];
  for (const run of text.matchAll(RUN)) {
    const cookie = run[0].indexOf("base64-eyJ");
    const inside = cookie < 0 ? [] : findValues(decodeBase64(run[0].slice(cookie + 7)), values, salt);
    if (inside.length) {
      const span = { start: run.index + cookie, end: run.index + run[0].length };
      found.push(...inside.map(({ index }) => ({ ...span, index })));
    } else {
      found.push(...findInRun(run[0], run.index, text[run.index - 1], values, salt));
    }
  }
  return found;
}

/**
 * A value is a whole run of token characters, or is delimited by characters that join words.
 * @param {string} run
 * @param {number} base
 * @param {string | undefined} before
 * @param {Hashed[]} values
 * @param {string} salt
 * @returns {Found[]}
 */
function findInRun(run, base, before, values, salt) {
  const prefix =
    before === undefined ? null : ESCAPE_PREFIXES[/** @type {keyof ESCAPE_PREFIXES} */ (before)]?.exec(run);
  const first = prefix ? prefix[0].length : 0;
  const found = [];
  for (let start = 0; start < run.length; start += 1) {
    if (start > 0 && start !== first && WORD.test(run[start - 1])) continue;
    for (const [index, { length, hash }] of values.entries()) {
      const end = start + length;
      const ends = end === run.length || (end < run.length && !WORD.test(run[end]));
      if (ends && sha256(salt + run.slice(start, end)) === hash) {
        found.push({ start: base + start, end: base + end, index });
        start = end - 1;
        break;
      }
    }
  }
  return found;
}

/** @param {string} data */
function decodeBase64(data) {
  const whole = data.slice(0, data.length - (data.length % 4 === 1 ? 1 : 0));
  try {
    return atob(whole.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return "";
  }
}

/**
 * Mask the values in every text of the data.
 * @param {any} data
 * @param {(text: string) => string} clean
 * @returns {any}
 */
function mapStrings(data, clean) {
  if (typeof data === "string") return clean(data);
  if (Array.isArray(data)) return data.map((item) => mapStrings(item, clean));
  if (data && typeof data === "object") {
    return Object.fromEntries(Object.entries(data).map(([key, item]) => [key, mapStrings(item, clean)]));
  }
  return data;
}

/**
 * Clean all cells.
 * @param {any} notebook The notebook's model.
 * @param {Hashed[]} values
 * @param {string} salt
 */
function cleanCells(notebook, values, salt) {
  const report = { cells: [], outputs: [], left: [], found: [] };
  /** @type {Record<string, number[]>} */
  const lists = report;
  const found = new Set();
  for (const [index, cell] of [...notebook.sharedModel.cells].entries()) {
    const spans = findValues(cell.getSource(), values, salt);
    for (const span of spans) found.add(span.index);
    if (spans.length && !notebook.readOnly) {
      for (const { start, end } of spans.reverse()) replaceIn(cell, start, end);
      cell.clearUndoHistory?.(); // otherwise Ctrl-Z would restore the value
    }
    if (spans.length) {
      const left = findValues(cell.getSource(), values, salt).length > 0;
      lists[left ? "left" : "cells"].push(index + 1);
    }
    if (cleanOutputs(notebook, index, cell, values, salt, found)) lists.outputs.push(index + 1);
  }
  return { ...report, found: [...found] };
}

/**
 * @param {Cell} cell
 * @param {number} start
 * @param {number} end
 */
function replaceIn(cell, start, end) {
  if (cell.updateSource) {
    cell.updateSource(start, end, CELL_MASK);
  } else {
    const text = cell.getSource();
    cell.setSource(text.slice(0, start) + CELL_MASK + text.slice(end));
  }
}

/**
 * @param {any} notebook
 * @param {number} index
 * @param {Cell} cell
 * @param {Hashed[]} values
 * @param {string} salt
 * @param {Set<number>} found
 */
function cleanOutputs(notebook, index, cell, values, salt, found) {
  let changed = false;
  if (notebook.readOnly) return changed;
  for (const [number, output] of (cell.getOutputs?.() ?? []).entries()) {
    let hit = false;
    const clean = mapStrings(output, (text) => {
      let result = text;
      for (const span of findValues(text, values, salt).reverse()) {
        result = result.slice(0, span.start) + CELL_MASK + result.slice(span.end);
        found.add(span.index);
        hit = true;
      }
      return result;
    });
    if (!hit) continue;
    const shown = notebook.cells?.get(index)?.outputs;
    if (shown?.set) shown.set(number, clean);
    else cell.updateOutputs?.(number, number + 1, [clean]);
    changed = true;
  }
  return changed;
}

/** @param {{ model: any }} context */
function initialize({ model }) {
  model.on("msg:custom", (/** @type {any} */ message) => {
    if (message?.type !== "clean") return;
    // Works only in JupyterLab and Notebook 7, and isn't public API.
    const notebook = model.widget_manager?.context?.model;
    const reachable = Array.isArray(notebook?.sharedModel?.cells);
    const done = reachable ? cleanCells(notebook, message.values, message.salt) : {};
    model.send({ type: "cleaned", id: message.id, reachable, ...done });
  });
  model.send({ type: "ready" });
}

// -- SHA-256. `crypto.subtle` is missing without TLS, and asynchronous, so that the text could change meanwhile.

const FRACTIONS = Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)));
const START = Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)));

/** @param {number} count */
function* primes(count) {
  for (let number = 2; count > 0; number += 1) {
    let divisor = 2;
    while (number % divisor) divisor += 1;
    if (divisor === number) {
      count -= 1;
      yield number;
    }
  }
}

/** @param {number} root */
function fraction(root) {
  return ((root % 1) * 2 ** 32) | 0;
}

/**
 * The hash of an ASCII text, as hexadecimal digits.
 * @param {string} text
 */
export function sha256(text) {
  const size = (((text.length + 8) >> 6) + 1) * 16;
  const words = new Int32Array(size);
  for (let at = 0; at < text.length; at += 1) words[at >> 2] |= text.charCodeAt(at) << (24 - (at % 4) * 8);
  words[text.length >> 2] |= 0x80 << (24 - (text.length % 4) * 8);
  words[size - 1] = text.length * 8;
  const hash = Int32Array.from(START);
  const mixed = new Int32Array(64);
  for (let block = 0; block < size; block += 16) {
    let [a, b, c, d, e, f, g, h] = hash;
    for (let at = 0; at < 64; at += 1) {
      if (at < 16) {
        mixed[at] = words[block + at];
      } else {
        const x = mixed[at - 15];
        const y = mixed[at - 2];
        mixed[at] =
          mixed[at - 16] +
          mixed[at - 7] +
          (rotateRight(x, 7) ^ rotateRight(x, 18) ^ (x >>> 3)) +
          (rotateRight(y, 17) ^ rotateRight(y, 19) ^ (y >>> 10));
      }
      const one =
        h +
        (rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25)) +
        ((e & f) ^ (~e & g)) +
        FRACTIONS[at] +
        mixed[at];
      const two = (rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    for (const [at, value] of [a, b, c, d, e, f, g, h].entries()) hash[at] += value;
  }
  return Array.from(hash, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/**
 * @param {number} word
 * @param {number} bits
 */
function rotateRight(word, bits) {
  return (word >>> bits) | (word << (32 - bits));
}

export default { initialize };
