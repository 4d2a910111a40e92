// The connection to the kernel: its last message, whether it is still running, and requests to it.
import { stableMoment } from "./shared.mjs";

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
 *   | {type: "returned", attempt: string, ok: boolean, text: string}} Message
 */
/**
 * @typedef {object} Channel
 * @property {Shown} shown
 * @property {Set<(message: Message | null) => void>} views called with a message, or with null when only `life` changed
 * @property {() => void} requestView
 * @property {(now: number) => void} check
 * @property {(what: string, fields?: Record<string, string>) => string} send
 * @property {() => boolean} shouldOpen whether a new view should open its form
 * @property {() => Provider | null} provider the provider that the form then offers first
 * @property {() => void} stop
 */
/**
 * One request at a time.
 * @typedef {object} RequestSender
 * @property {() => boolean} busy
 * @property {(what: string, fields?: Record<string, string>) => void} send
 * @property {(message: Message | null) => void} receive
 * @property {() => void} reset
 */

/** How long to wait for a response before saying that there is none, in ms. */
const RESPONSE_TIMEOUT_MS = 10_000;
/** How long after an expected change we check whether the kernel is running, in ms. */
const OVERDUE_AFTER_MS = 10_000;
/** When to explain why the kernel hasn't received a request yet, in ms. */
export const BUSY_AFTER_MS = 2_000;
/** How long a view may take to be drawn after a request to open its form, in ms. */
const OPEN_TIMEOUT_MS = 10_000;

/**
 * One per model. It keeps messages that arrive before a view is rendered, because a kernel that is running a cell
 * sends the state with the display, but responds to a view's `requestView` only after the cell.
 * @param {Model} model
 * @returns {Channel}
 */
export function openChannel(model) {
  /** @type {Shown} */
  const shown = { view: null, at: 0, ends: null, due: null, life: "waiting" };
  /** @type {Channel["views"]} */
  const views = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let responseTimer;
  let openRequestedAt = -Infinity;
  /** @type {Provider | null} */
  let provider = null;

  const receive = (/** @type {Message} */ message) => {
    clearTimeout(responseTimer);
    responseTimer = undefined;
    if (message.type === "view") {
      const { view } = message;
      const at = Date.now();
      const momentIn = (/** @type {number | null} */ seconds, /** @type {number | null} */ name) =>
        seconds === null ? null : stableMoment(`${view.host} ${name}`, at + seconds * 1000);
      const ends = momentIn(view.time_left, view.expires_at);
      const due = momentIn(view.refresh_in, view.refresh_at);
      Object.assign(shown, { view, at, ends, due, life: view.status === "closed" ? "closed" : "live" });
    }
    if (message.type === "closed") shown.life = "closed";
    if (message.type === "open") {
      openRequestedAt = Date.now();
      provider = message.provider ?? null;
    }
    (message.type === "open" ? [...views].slice(-1) : views).forEach((listener) => listener(message));
  };
  const markLost = (/** @type {"gone" | "silent"} */ life) => {
    if (shown.life === "gone" || shown.life === "closed") return;
    shown.life = life;
    views.forEach((listener) => listener(null));
  };
  const onKernelGone = () => markLost("gone");

  model.on("msg:custom", receive);
  model.on("comm_live_update", onKernelGone); // sent by Jupyter when the kernel has restarted or died
  const unwatch = watchKernel(model, onKernelGone);
  return {
    shown,
    views,
    requestView: () => model.send({ type: "hello" }),
    check(now) {
      const { view, at, life } = shown;
      // Ignore what was overdue from the start: without automatic refresh, a token can stay expired.
      const due = [view?.refresh_in, view?.time_left].find((seconds) => (seconds ?? 0) > 0);
      if (life !== "live" || responseTimer || !due || now - at < due * 1000 + OVERDUE_AFTER_MS) return;
      responseTimer = setTimeout(() => markLost("silent"), RESPONSE_TIMEOUT_MS);
      model.send({ type: "hello" });
    },
    send(what, fields) {
      const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
      model.send({ type: "ask", what, id, ...(fields ? { fields } : {}) });
      return id;
    },
    shouldOpen: () => Date.now() - openRequestedAt < OPEN_TIMEOUT_MS,
    provider: () => (Date.now() - openRequestedAt < OPEN_TIMEOUT_MS ? provider : null),
    stop() {
      clearTimeout(responseTimer);
      model.off("msg:custom", receive);
      model.off("comm_live_update", onKernelGone);
      unwatch();
    },
  };
}

/**
 * @param {Channel} channel
 * @param {(step: "sent" | "busy" | "taken" | "done" | "failed", text: string) => void} onStep
 * @returns {RequestSender}
 */
export function requestSender(channel, onStep) {
  let id = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let busyTimer;
  return {
    busy: () => Boolean(id),
    send(what, fields) {
      id = channel.send(what, fields);
      busyTimer = setTimeout(() => onStep("busy", ""), BUSY_AFTER_MS);
      onStep("sent", "");
    },
    receive(message) {
      if (!id || !message || (message.type !== "taken" && message.type !== "answer") || message.id !== id) return;
      clearTimeout(busyTimer);
      if (message.type === "taken") return onStep("taken", "");
      id = "";
      onStep(message.ok ? "done" : "failed", message.text);
    },
    reset() {
      id = "";
      clearTimeout(busyTimer);
    },
  };
}

/**
 * Call `onKernelGone` when the kernel is shut down. JupyterLab notifies widgets only of restarts. This uses a private API,
 * and does nothing if it is missing.
 * @param {Model} model
 * @param {() => void} onKernelGone
 * @returns {() => void} stop
 */
function watchKernel(model, onKernelGone) {
  const session = /** @type {any} */ (model).widget_manager?.context?.sessionContext;
  const signal = session?.kernelChanged;
  if (!signal?.connect) return () => {};
  const onKernelChanged = () => {
    if (!session.session?.kernel) onKernelGone();
  };
  signal.connect(onKernelChanged);
  return () => signal.disconnect(onKernelChanged);
}
