document.querySelectorAll("table.sortable").forEach(sortable);
JSON.parse(DATA.textContent).forEach((t, i) => {
  document.querySelectorAll(`#t${i} .without-script`).forEach((note) => note.remove());
  const place = document.querySelector(`#t${i} .explore`);
  if (place) explore(place, t, `t${i}-e`);
});
