// Players are pages of their own in iframes. Each says how tall it is and is told the theme; from disk they may not
// look into each other, but they may send messages.
const frames = () => [...document.querySelectorAll("iframe.foa-player-page")];
const dress = (frame) => frame.contentWindow.postMessage({ theme: document.documentElement.dataset.theme }, "*");

addEventListener("message", (event) => {
  const frame = frames().find((one) => one.contentWindow === event.source);
  if (!frame || !event.data.playerHeight) return;
  frame.style.height = `${Math.ceil(event.data.playerHeight)}px`;
  dress(frame);
});
new MutationObserver(() => frames().forEach(dress)).observe(document.documentElement, { attributeFilter: ["data-theme"] });

// From disk a page may not read another: search without the line of text under each result.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
