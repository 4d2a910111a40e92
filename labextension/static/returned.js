// The page that a sign-in with a provider returns to. It sends its URL to the notebook that is waiting for it.
// supabase_nb/notebook/_displays/static/return_page.mjs receives it. This works even if a page in between has cut this window off
// from the one that opened it.

(() => {
  const address = new URL(location.href);
  // Remove the code from the address bar and the history.
  history.replaceState(null, "", location.pathname);
  if (location.hostname === "127.0.0.1" && address.searchParams.get("host") === "localhost") {
    address.hostname = "localhost"; // the notebook's host
    address.searchParams.delete("host");
    location.replace(address);
    return;
  }
  const message = document.querySelector("p");
  const button = document.querySelector("button");
  const field = document.querySelector("input");
  if (!message || !button || !field) return;

  /** The notebook isn't waiting, or the browser keeps the two pages apart, as in a frame on another site. */
  const offerAddress = () => {
    if (!address.search && !address.hash) {
      message.textContent = "Close this window and start the sign-in in your notebook.";
      return;
    }
    message.textContent =
      "Your notebook didn't respond. If its form is still waiting, copy this page's URL and paste it there, below " +
      '"Did you end up on a different page?". Otherwise, close this window and start again.';
    button.hidden = false;
  };
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(address.href);
      message.textContent = "Copied. Paste it into the form in your notebook, then close this window.";
    } catch {
      // The browser refuses, as it does without TLS: show the address instead.
      message.textContent = "Copy this URL and paste it into the form in your notebook.";
      field.value = address.href;
      field.hidden = false;
      field.select();
    }
  };

  const timeout = setTimeout(offerAddress, 3000);
  const channel = new BroadcastChannel(`supabase-nb ${address.searchParams.get("supabase_nb_state")}`);
  channel.onmessage = ({ data }) => {
    if (!data?.taken) return;
    clearTimeout(timeout);
    channel.close();
    message.textContent = "You can close this window and return to your notebook.";
    window.close();
  };
  channel.postMessage({ address: address.href });
})();
