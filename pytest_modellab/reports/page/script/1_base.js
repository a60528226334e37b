// what all parts share; one script, wrapped in one function, is made of these files

const DATA = document.getElementById("modellab-data");
const METRICS = ["quality", "cost", "latency", "memory", "risk"];
const NAMES = {
  quality: "success", cost: "cost", latency: "latency", memory: "memory", risk: "risk",
};
const LIMITS = {
  quality: ["success at least", ""], worst_bucket: ["worst bucket at least", ""],
  forgetting: ["capabilities lost at most", ""], churn: ["churn at most", ""],
  cost: ["cost of 1,000 requests at most", "$"], latency: ["latency p95 at most", "s"],
  memory: ["memory at most", "GB"], risk: ["risk at most", ""],
  real_time_factor: ["real-time factor at most", ""], wer: ["word error rate at most", ""],
  cer: ["character error rate at most", ""],
};
const OF_MEDIA = new Set(["real_time_factor", "wer", "cer"]); // shown where they were measured
const AT_LEAST = new Set(["quality", "worst_bucket"]);

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat());
  return made;
}

const SVG = "http" + "://www.w3.org/2000/svg"; // a name, no address

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// numbers for a reader, as in words.py

const number = (v) => {
  const text = String(Number(v.toPrecision(3)));
  return text.includes("e") ? v.toFixed(8).replace(/\.?0+$/, "") : text;
};
const signed = (v) => {
  const text = v.toFixed(2);
  return Number(text) === 0 ? "0.00" : v > 0 ? `+${text}` : `−${text.slice(1)}`;
};
const share = (v) =>
  v > 0 && v < 0.01 ? "<1%" : v > 0.99 && v < 1 ? ">99%" : `${Math.round(100 * v)}%`;
const shown = {
  quality: (v) => v.toFixed(3),
  cost: (v) => `$${number(v)}`,
  latency: (v) => (v < 0.9995 ? `${number(1000 * v)} ms` : `${number(v)} s`),
  memory: (v) => (v < 0.9995 ? `${number(1000 * v)} MB` : `${number(v)} GB`),
  risk: (v) => v.toFixed(2),
  real_time_factor: number, wer: number, cer: number,
  worst_bucket: number, forgetting: number, churn: (v) => `${(100 * v).toFixed(1)}%`,
};
