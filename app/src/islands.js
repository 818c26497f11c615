// Brings the islands of a page to life. As Leptos' own script (leptos 0.8, src/hydration/island_script.js; MIT) walks the page,
// but without waiting for an idle moment, which a busy page does not have, and behind what the page is painted with.
async (script, wasm) => {
  const children = [];
  const walk = async (node) => {
    const tag = node.localName;
    if (tag === "leptos-island") {
      const hydrate = module[node.dataset.component];
      // Only when the server and the browser's files come from two builds.
      if (!hydrate) return console.error(`This page and its script do not fit together: ${node.dataset.component}`);
      children.at(-1)?.();
      await hydrate(node);
    }
    if (tag === "leptos-children") children.push(node.$$on_hydrate);
    for (const child of node.children) {
      if (child.localName === "leptos-island" || child.querySelector("leptos-island")) await walk(child);
    }
    if (tag === "leptos-children") children.pop();
  };
  const bytes = fetch(wasm, { priority: "low" });
  const module = await import(script);
  await module.default({ module_or_path: bytes });
  module.hydrate();
  await walk(document.body);
}
