// The page that a sign-in with a provider comes back to: hands its address to the notebook that waits for it.
// supabase_nb/notebook/static/return_page.mjs is the other end. It needs no window that opened this one: pages in
// between may have cut the two apart.

(() => {
  const address = new URL(location.href);
  // No code stays in the address bar or in the history.
  history.replaceState(null, "", location.pathname);
  if (location.hostname === "127.0.0.1" && address.searchParams.get("host") === "localhost") {
    address.hostname = "localhost"; // where the notebook is
    address.searchParams.delete("host");
    location.replace(address);
    return;
  }
  const show = (/** @type {string} */ text) => {
    const line = document.querySelector("p");
    if (line) line.textContent = text;
  };
  const late = setTimeout(
    () => show("No notebook is waiting for this sign-in any more. Close this window and start again in your notebook."),
    3000,
  );
  const line = new BroadcastChannel(`supabase-nb ${address.searchParams.get("supabase_nb_state")}`);
  line.onmessage = ({ data }) => {
    if (!data?.taken) return;
    clearTimeout(late);
    line.close();
    show("You can close this window and return to your notebook.");
    window.close();
  };
  line.postMessage({ address: address.href });
})();
