// Makes the page live: asks for status.json, and when there is something new, for the page, of which it draws what differs. What nobody changed keeps its focus and its
// selection, and a screen reader its place.
"use strict";
(() => {
  const every = Number(document.body.dataset.every);
  if (!every) return; // it holds still
  const patience = Math.max(10000, 3 * every); // ms
  const lost = document.getElementById("lost");
  const said = document.getElementById("said");
  let seen = document.getElementById("main").dataset.time; // of the model that is drawn
  let answers = words();

  async function ask(path) {
    const reply = await fetch(path, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(patience) });
    if (!reply.ok) throw new Error(path + ": " + reply.status);
    return reply;
  }

  // draw makes one node like another, and leaves alone what is alike.
  function draw(to, from) {
    if (to.nodeType !== from.nodeType || to.nodeName !== from.nodeName) {
      to.replaceWith(document.importNode(from, true));
      return;
    }
    if (to.nodeType === Node.TEXT_NODE) {
      if (to.data !== from.data) to.data = from.data;
      return;
    }
    if (to.nodeType !== Node.ELEMENT_NODE) return;
    for (const name of to.getAttributeNames()) if (!from.hasAttribute(name)) to.removeAttribute(name);
    for (const name of from.getAttributeNames()) if (to.getAttribute(name) !== from.getAttribute(name)) to.setAttribute(name, from.getAttribute(name));
    const old = [...to.childNodes], now = [...from.childNodes];
    now.forEach((node, i) => old[i] ? draw(old[i], node) : to.append(document.importNode(node, true)));
    old.slice(now.length).forEach((node) => node.remove());
  }

  // words are the answers alone: times change all the time, and are not to be read out.
  function words() {
    return [...document.querySelectorAll(".card")].map((card) => card.querySelector(".question").textContent + " " + card.querySelector(".word").textContent + ".").join(" ");
  }

  async function look() {
    try {
      const model = await (await ask("status.json")).json();
      if (model.time !== seen) {
        const page = new DOMParser().parseFromString(await (await ask("./")).text(), "text/html");
        draw(document.getElementById("main"), page.getElementById("main"));
        draw(document.querySelector("link[rel=icon]"), page.querySelector("link[rel=icon]"));
        document.title = page.title;
        seen = document.getElementById("main").dataset.time; // it may be newer than the model
        const now = words();
        if (answers !== now) said.textContent = now;
        answers = now;
      }
      lost.hidden = true;
      lost.textContent = "";
    } catch (e) {
      if (lost.hidden) {
        lost.textContent = "walctl does not answer: what stands here is old.";
        lost.hidden = false;
      }
    }
    setTimeout(look, every);
  }
  setTimeout(look, every);
})();
