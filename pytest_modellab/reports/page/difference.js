"use strict";
(() => {
  const form = document.querySelector(".filters");
  const cards = [...document.querySelectorAll(".pairs > li")];
  const shown = form.querySelector("output");
  const filter = () => {
    const wanted = [...form.querySelectorAll("select")].filter((one) => one.value !== "");
    let count = 0;
    for (const card of cards) {
      card.hidden = !wanted.every((one) => card.dataset[one.name] === one.value);
      if (!card.hidden) count += 1;
    }
    shown.textContent = `${count} of ${cards.length} samples shown`;
  };
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter(); // a browser keeps what was chosen when a page is loaded again
})();
