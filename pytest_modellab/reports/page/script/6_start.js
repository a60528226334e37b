document.querySelectorAll("table.sortable").forEach(sortable);
JSON.parse(DATA.textContent).forEach((t, i) => {
  if (t.metric) { // a page of one comparison, by a metric that stands in for success
    NAMES.quality = t.metric;
    LIMITS.quality[0] = `${t.metric} at least`;
  }
  document.querySelectorAll(`#t${i} .without-script`).forEach((note) => note.remove());
  const place = document.querySelector(`#t${i} .explore`);
  if (place) explore(place, t, `t${i}-e`);
});
