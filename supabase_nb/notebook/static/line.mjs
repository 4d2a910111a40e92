// The line to the kernel: what it said last, and whether anybody is at its other end.

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("./parts.mjs").Shown} Shown */
/** @typedef {import("./parts.mjs").View} View */
/** @typedef {import("@anywidget/types").AnyModel<{kind: string, words: Words}>} Model */
/**
 * What the kernel sends: what to show; that a wish came; how it ended; that the client is gone.
 * @typedef {{type: "view", view: View} | {type: "taken", id: string}
 *   | {type: "answer", id: string, ok: boolean, text: string} | {type: "closed"}} News
 */
/**
 * @typedef {object} Line
 * @property {Shown} shown
 * @property {Set<(news: News | null) => void>} views called with news, or with null when only `life` changed
 * @property {() => void} hello
 * @property {(now: number) => void} check
 * @property {(what: string) => string} ask
 * @property {() => void} stop
 */

/** How long an answer may take before we say that there is none, in ms. */
const PATIENCE = 10_000;
/** How long after something was due we ask whether the kernel is there, in ms. */
const GRACE = 10_000;

/**
 * One for each model. News that come before a view is rendered are kept: a kernel that runs a cell sends them
 * when it displays, but answers a view's `hello` only after the cell.
 * @param {Model} model
 * @returns {Line}
 */
export function listen(model) {
  /** @type {Shown} */
  const shown = { view: null, at: 0, life: "waiting" };
  /** @type {Line["views"]} */
  const views = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;

  const receive = (/** @type {News} */ news) => {
    clearTimeout(waiting);
    waiting = undefined;
    if (news.type === "view") {
      const life = news.view.status === "closed" ? "closed" : "live";
      Object.assign(shown, { view: news.view, at: Date.now(), life });
    }
    if (news.type === "closed") shown.life = "closed";
    views.forEach((tell) => tell(news));
  };
  const lose = (/** @type {"gone" | "silent"} */ life) => {
    if (shown.life === "gone" || shown.life === "closed") return;
    shown.life = life;
    views.forEach((tell) => tell(null));
  };
  const gone = () => lose("gone");

  model.on("msg:custom", receive);
  model.on("comm_live_update", gone); // Jupyter's: the kernel restarted or died
  const unwatch = watchKernel(model, gone);
  return {
    shown,
    views,
    hello: () => model.send({ type: "hello" }),
    check(now) {
      const { view, at, life } = shown;
      // What was overdue when it was told is no news: without automatic refreshes a token may stay expired.
      const due = [view?.refresh_in, view?.time_left].find((seconds) => (seconds ?? 0) > 0);
      if (life !== "live" || waiting || !due || now - at < due * 1000 + GRACE) return;
      waiting = setTimeout(() => lose("silent"), PATIENCE);
      model.send({ type: "hello" });
    },
    ask(what) {
      const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
      model.send({ type: "ask", what, id });
      return id;
    },
    stop() {
      clearTimeout(waiting);
      model.off("msg:custom", receive);
      model.off("comm_live_update", gone);
      unwatch();
    },
  };
}

/**
 * Call `gone` when the kernel is shut down. JupyterLab tells widgets of restarts, not of this; the way to learn
 * it is not a public one, so we do without where it is missing.
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
