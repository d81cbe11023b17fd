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

// The search finds a section by its title only where the words are half of it; here, where they all are in it.
const stems = (text) => splitQuery(text.toLowerCase()).map((word) => new Stemmer().stemWord(word));
const sections = ({ alltitles, titles, docnames, filenames }, terms) => Object.entries(alltitles)
  .filter(([title]) => terms.every((term) => stems(title).some((stem) => stem.startsWith(term))))
  .flatMap(([title, places]) => places.filter(([, id]) => id).map(([page, id]) =>
    [docnames[page], `${titles[page]} > ${title}`, `#${id}`, null, 15, filenames[page], "title"]));

document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined" || !Search._performSearch) return; // not the page of the search, or a later Sphinx
  const pages = Search._performSearch;
  Search._performSearch = (query, terms, ...more) => {
    const found = pages(query, terms, ...more); // what is best comes last
    const inside = terms.size ? sections(Search._index, [...terms]) : [];
    const known = new Set(inside.map(([page, , place]) => page + place));
    inside.sort((one, other) => other[1].localeCompare(one[1], "en", { numeric: true }));
    return [...found.filter(([page, , place]) => !known.has(page + place)), ...inside];
  };
});

// Who comes from the search lands where the first of its words is, not at the top of a long page. Sphinx marks the
// words, but not by itself where the theme brings the search along to every page.
addEventListener("load", () => {
  if (DOCUMENTATION_OPTIONS.pagename === "search" || typeof SphinxHighlight === "undefined") return;
  SphinxHighlight.highlightSearchWords(); // soon after
  setTimeout(() => {
    const marked = [...document.querySelectorAll(".bd-article .highlighted")].find((one) => one.getClientRects().length);
    if (marked && !location.hash) marked.scrollIntoView({ block: "center" });
  }, 50);
});
