"use strict";
const element = (id) => document.getElementById(id);
const cases = Array.from(element("cases").children);
let shown = cases;
const number = (text) => (text === "" ? Infinity : Number(text));
const orders = {
  index: (a, b) => number(a.dataset.index) - number(b.dataset.index),
  norm: (a, b) => number(a.dataset.norm) - number(b.dataset.norm),
  class: (a, b) => number(a.dataset.class) - number(b.dataset.class),
  ratio: (a, b) => number(a.dataset.ratio) - number(b.dataset.ratio),
};
function update() {
  const wanted = { label: element("label").value, answer: element("answer").value, outcome: element("outcome").value };
  const text = element("find").value.trim().toLowerCase();
  const fits = (item) =>
    Object.keys(wanted).every((key) => wanted[key] === "" || item.dataset[key] === wanted[key]) &&
    (text === "" || item.dataset.index === text || item.dataset.name.toLowerCase().includes(text));
  const order = orders[element("order").value];
  const infinite = (x) => (Number.isNaN(x) ? 0 : x);
  shown = cases.filter(fits).sort((a, b) => infinite(order(a, b)) || orders.index(a, b));
  for (const item of cases) item.hidden = true;
  for (const item of shown) {
    item.hidden = false;
    element("cases").append(item);
  }
  element("count").textContent = `${shown.length} of ${cases.length} images`;
}
const viewer = element("viewer");
let current = 0;
function open(position) {
  current = (position + shown.length) % shown.length;
  const item = shown[current];
  const [original, adversarial, perturbation] = item.querySelectorAll("img");
  const parts = { original, adversarial, perturbation };
  for (const name of Object.keys(parts)) {
    const image = element(`viewer-${name}`);
    image.src = parts[name].src;
    image.alt = parts[name].alt;
    image.className = parts[name].className;
  }
  element("viewer-title").textContent = `${item.dataset.name} (${current + 1} of ${shown.length})`;
  element("viewer-numbers").replaceChildren(item.querySelector("dl").cloneNode(true));
  slide();
  if (!viewer.open) viewer.showModal();
}
function slide() {
  element("viewer-adversarial").style.clipPath = `inset(0 0 0 ${element("slider").value}%)`;
}
for (const id of ["order", "label", "answer", "outcome"]) element(id).addEventListener("change", update);
element("find").addEventListener("input", update);
element("controls").addEventListener("submit", (event) => event.preventDefault());
element("slider").addEventListener("input", slide);
element("previous").addEventListener("click", () => open(current - 1));
element("next").addEventListener("click", () => open(current + 1));
element("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (event.target.id === "slider") return;
  if (event.key === "ArrowLeft") open(current - 1);
  if (event.key === "ArrowRight") open(current + 1);
});
element("cases").addEventListener("click", (event) => {
  const pair = event.target.closest(".pair");
  if (!pair) return;
  event.preventDefault();
  open(shown.indexOf(pair.parentElement));
});
element("controls").hidden = false;
update();
