// The connection to the kernel: its last message, whether it is still running, and requests to it.
import { agreed } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./parts.mjs").Shown} Shown */
/** @typedef {import("./parts.mjs").View} View */
/** @typedef {import("@anywidget/types").AnyModel<{kind: string, words: Words}>} Model */
/** @typedef {import("./providers.mjs").Provider} Provider */
/**
 * The kernel's messages: the state to show, a request was received, its result, the client was closed, open the
 * form, a provider's sign-in ended.
 * @typedef {{type: "view", view: View} | {type: "taken", id: string} | {type: "closed"}
 *   | {type: "open", provider?: Provider | null}
 *   | {type: "answer", id: string, ok: boolean, text: string, providers?: Provider[], anonymous?: boolean, email?: boolean,
 *     attempt?: string, url?: string, nonce?: string}
 *   | {type: "returned", attempt: string, ok: boolean, text: string}} News
 */
/**
 * @typedef {object} Channel
 * @property {Shown} shown
 * @property {Set<(news: News | null) => void>} views called with news, or with null when only `life` changed
 * @property {() => void} hello
 * @property {(now: number) => void} check
 * @property {(what: string, fields?: Record<string, string>) => string} ask
 * @property {() => boolean} isToOpen whether a new view should open its form
 * @property {() => Provider | null} provider the provider that the form then offers first
 * @property {() => void} stop
 */
/**
 * One request at a time.
 * @typedef {object} RequestSender
 * @property {() => boolean} busy
 * @property {(what: string, fields?: Record<string, string>) => void} ask
 * @property {(news: News | null) => void} receive
 * @property {() => void} drop
 */

/** How long to wait for a response before saying that there is none, in ms. */
const PATIENCE = 10_000;
/** How long after an expected change we check whether the kernel is running, in ms. */
const GRACE = 10_000;
/** When to explain why the kernel hasn't received a request yet, in ms. */
const BUSY_AFTER = 2_000;
/** How long a view may take to be drawn after a request to open its form, in ms. */
const OPEN_WITHIN = 10_000;

/**
 * One per model. It keeps messages that arrive before a view is rendered, because a kernel that is running a cell
 * sends the state with the display, but responds to a view's `hello` only after the cell.
 * @param {Model} model
 * @returns {Channel}
 */
export function openChannel(model) {
  /** @type {Shown} */
  const shown = { view: null, at: 0, ends: null, due: null, life: "waiting" };
  /** @type {Channel["views"]} */
  const views = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  let opened = -Infinity;
  /** @type {Provider | null} */
  let provider = null;

  const receive = (/** @type {News} */ news) => {
    clearTimeout(waiting);
    waiting = undefined;
    if (news.type === "view") {
      const { view } = news;
      const at = Date.now();
      const moment = (/** @type {number | null} */ seconds, /** @type {number | null} */ name) =>
        seconds === null ? null : agreed(`${view.host} ${name}`, at + seconds * 1000);
      const ends = moment(view.time_left, view.expires_at);
      const due = moment(view.refresh_in, view.refresh_at);
      Object.assign(shown, { view, at, ends, due, life: view.status === "closed" ? "closed" : "live" });
    }
    if (news.type === "closed") shown.life = "closed";
    if (news.type === "open") {
      opened = Date.now();
      provider = news.provider ?? null;
    }
    (news.type === "open" ? [...views].slice(-1) : views).forEach((tell) => tell(news));
  };
  const lose = (/** @type {"gone" | "silent"} */ life) => {
    if (shown.life === "gone" || shown.life === "closed") return;
    shown.life = life;
    views.forEach((tell) => tell(null));
  };
  const gone = () => lose("gone");

  model.on("msg:custom", receive);
  model.on("comm_live_update", gone); // sent by Jupyter when the kernel has restarted or died
  const unwatch = watchKernel(model, gone);
  return {
    shown,
    views,
    hello: () => model.send({ type: "hello" }),
    check(now) {
      const { view, at, life } = shown;
      // Ignore what was overdue from the start: without automatic refresh, a token can stay expired.
      const due = [view?.refresh_in, view?.time_left].find((seconds) => (seconds ?? 0) > 0);
      if (life !== "live" || waiting || !due || now - at < due * 1000 + GRACE) return;
      waiting = setTimeout(() => lose("silent"), PATIENCE);
      model.send({ type: "hello" });
    },
    ask(what, fields) {
      const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
      model.send({ type: "ask", what, id, ...(fields ? { fields } : {}) });
      return id;
    },
    isToOpen: () => Date.now() - opened < OPEN_WITHIN,
    provider: () => (Date.now() - opened < OPEN_WITHIN ? provider : null),
    stop() {
      clearTimeout(waiting);
      model.off("msg:custom", receive);
      model.off("comm_live_update", gone);
      unwatch();
    },
  };
}

/**
 * @param {Channel} channel
 * @param {(step: "sent" | "busy" | "taken" | "done" | "failed", text: string) => void} tell
 * @returns {RequestSender}
 */
export function requestSender(channel, tell) {
  let id = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  return {
    busy: () => Boolean(id),
    ask(what, fields) {
      id = channel.ask(what, fields);
      later = setTimeout(() => tell("busy", ""), BUSY_AFTER);
      tell("sent", "");
    },
    receive(news) {
      if (!id || !news || (news.type !== "taken" && news.type !== "answer") || news.id !== id) return;
      clearTimeout(later);
      if (news.type === "taken") return tell("taken", "");
      id = "";
      tell(news.ok ? "done" : "failed", news.text);
    },
    drop() {
      id = "";
      clearTimeout(later);
    },
  };
}

/**
 * Call `gone` when the kernel is shut down. JupyterLab notifies widgets only of restarts. This uses a private API,
 * and does nothing if it is missing.
 * @param {Model} model
 * @param {() => void} gone
 * @returns {() => void} stop
 */
function watchKernel(model, gone) {
  const session = /** @type {any} */ (model).widget_manager?.context?.sessionContext;
  const signal = session?.kernelChanged;
  if (!signal?.connect) return () => {};
  const changed = () => {
    if (!session.session?.kernel) gone();
  };
  signal.connect(changed);
  return () => signal.disconnect(changed);
}
