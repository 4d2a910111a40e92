// Shows the current notebook's session in JupyterLab's status bar, or next to Notebook 7's kernel status.
// Written by hand in the format that JupyterLab loads, so that there is no build step.
// JupyterLab's objects are `any` here, because their types aren't installed.

/** @typedef {{status: string, text: string, details: string}} View */

(() => {
  // The comm's name and id, as in supabase_nb/notebook/_displays/status_bar.py.
  const COMM = "supabase-nb.status-bar";
  /** @type {Record<string, string>} */
  const COLORS = {
    active: "var(--jp-success-color1, #388e3c)",
    refreshing: "var(--jp-success-color1, #388e3c)",
    restoring: "var(--jp-warn-color1, #f57c00)",
    retrying: "var(--jp-warn-color1, #f57c00)",
    expired: "var(--jp-error-color1, #d32f2f)",
  };

  /** JupyterLab's packages by name and version. @type {Record<string, Record<string, any>>} */
  let shared = {};

  /** @param {string} name */
  async function take(name) {
    const versions = Object.values(shared[name] ?? {});
    const version = versions.find(({ loaded }) => loaded) ?? versions[0];
    return version ? (await version.get())() : {};
  }

  async function plugins() {
    const packages = ["@jupyterlab/notebook", "@jupyterlab/statusbar", "@lumino/widgets"];
    const [{ INotebookTracker }, { IStatusBar }, { Widget }] = await Promise.all(packages.map(take));
    if (!INotebookTracker) return [];
    const plugin = {
      id: "supabase-nb:status-bar",
      description: "Shows the Supabase session of the current notebook.",
      autoStart: true,
      // Voila has no notebook tracker, and Notebook 7 has no status bar.
      optional: IStatusBar ? [INotebookTracker, IStatusBar] : [INotebookTracker],
      activate(/** @type {any} */ app, /** @type {any} */ tracker, /** @type {any} */ statusBar) {
        if (!tracker) return;
        const item = statusItem(Widget);
        if (statusBar) {
          const isActive = () => Boolean(item.view);
          statusBar.registerStatusItem("supabase-nb:session", { item: item.widget, align: "left", rank: 5, isActive });
        } else {
          app.shell.add(item.widget, "menu", { rank: 10_005 });
        }
        followNotebook(tracker, item.show);
      },
    };
    return [plugin];
  }

  /**
   * The item: a colored dot and text.
   * @param {any} Widget
   */
  function statusItem(Widget) {
    const widget = new Widget();
    const dot = document.createElement("span");
    const text = document.createElement("span");
    dot.setAttribute("aria-hidden", "true");
    dot.style.cssText = "width: 8px; height: 8px; border-radius: 50%; border: 1px solid; box-sizing: border-box";
    widget.node.append(dot, text);
    widget.node.style.cssText = "align-items: center; gap: 6px; padding: 0 8px; white-space: nowrap";
    widget.addClass("sb-status-item");
    text.className = "jp-StatusBar-TextItem";
    text.style.cssText = "color: var(--jp-ui-font-color1); font-size: var(--jp-ui-font-size1, 13px)";
    const item = { widget, view: /** @type {View | null} */ (null), show };
    /** @param {View | null} view */
    function show(view) {
      item.view = view?.text ? view : null;
      widget.setHidden(!item.view);
      widget.node.style.display = item.view ? "flex" : "";
      text.textContent = item.view?.text ?? "";
      widget.node.title = item.view?.details ?? "";
      const color = COLORS[item.view?.status ?? ""];
      dot.style.background = color ?? "transparent";
      dot.style.borderColor = color ?? "var(--jp-ui-font-color2, #757575)";
    }
    show(null);
    return item;
  }

  /**
   * Show the status from the current notebook's kernel, if any.
   * @param {any} tracker
   * @param {(view: View | null) => void} show
   */
  function followNotebook(tracker, show) {
    /** @type {any} */
    let context;
    /** @type {any} */
    let comm;

    const listen = () => {
      comm?.dispose();
      comm = undefined;
      show(null);
      const kernel = context?.session?.kernel;
      if (!kernel?.handleComms || kernel.hasComm(COMM)) return;
      const mine = (comm = kernel.createComm(COMM, COMM));
      comm.onMsg = (/** @type {any} */ { content }) => show(content.data);
      // After a page reload, request the status from the kernel, if it has one.
      kernel
        .requestCommInfo({ target_name: COMM })
        .then((/** @type {any} */ { content }) => content.comms?.[COMM] && !mine.isDisposed && mine.send({}))
        .catch(() => {});
    };
    // A restart closes all comms.
    const watch = () => void (comm?.isDisposed && listen());
    const follow = () => {
      context?.statusChanged.disconnect(watch);
      context?.kernelChanged.disconnect(listen);
      context = tracker.currentWidget?.sessionContext;
      context?.statusChanged.connect(watch);
      context?.kernelChanged.connect(listen);
      listen();
    };
    tracker.currentChanged.connect(follow);
    follow();
  }

  const containers = (/** @type {any} */ (globalThis)._JUPYTERLAB ??= {});
  containers["supabase-nb"] = {
    init: (/** @type {typeof shared} */ scope) => void (shared = scope),
    async get() {
      const extension = { __esModule: true, default: await plugins() };
      return () => extension;
    },
  };
})();
