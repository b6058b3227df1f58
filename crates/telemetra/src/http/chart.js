// The chart of chat rate on a canvas: final windows as a line over a filled area, provisional ones dashed,
// moments as dots. Sharp on every screen, in the page's own colours. Knows nothing of where data comes from.

const LEFT = 46, RIGHT = 14, TOP = 14, BOTTOM = 24;

export function clock(ms, seconds = true) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false };
  return new Date(ms).toLocaleTimeString([], seconds ? { ...options, second: "2-digit" } : options);
}

/// Draws `chart`; `hoverX` is the pointer's place in CSS pixels, or null. Returns what lies under it.
export function draw(canvas, chart, hoverX) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  const points = chart.points;
  if (points.length === 0) return null;

  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => colours.getPropertyValue(name).trim();
  const from = chart.from_ms, to = Math.max(chart.newest_ms, from + 1);
  const top = niceTop(Math.max(...points.map((point) => point.rate), 0.1));
  const x = (ms) => LEFT + ((ms - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (rate) => height - BOTTOM - (rate / top) * (height - TOP - BOTTOM);
  const plot = { ctx, x, y, width, height, colour };

  grid(plot, top, from, to);
  for (const run of runs(points)) {
    const firstOpen = run.findIndex((point) => !point.is_final);
    const closed = firstOpen < 0 ? run : run.slice(0, firstOpen);
    // The provisional part starts at the last final point, so that the curve does not break.
    const open = firstOpen < 0 ? [] : run.slice(Math.max(firstOpen - 1, 0));
    area(plot, closed, 1);
    area(plot, open, 0.45);
    line(plot, closed, []);
    line(plot, open, [4, 4]);
  }
  const marks = chart.moments.filter((moment) => moment.start_ms >= from);
  const rates = new Map(points.map((point) => [point.start_ms, point.rate]));
  for (const moment of marks) {
    dot(plot, x(moment.start_ms), y(rates.get(moment.start_ms) ?? moment.rate), "--moment", 4);
  }
  return hoverX === null ? null : hover(plot, points, marks, hoverX);
}

/// Consecutive points without a hole: where no window exists there is no line.
function runs(points) {
  const steps = points.slice(1).map((point, at) => point.start_ms - points[at].start_ms);
  const step = steps.length ? Math.min(...steps) : 0;
  const all = [];
  points.forEach((point, at) => {
    if (at === 0 || point.start_ms - points[at - 1].start_ms > 3 * step) all.push([]);
    all[all.length - 1].push(point);
  });
  return all;
}

function niceTop(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 8, 10].map((step) => step * power).find((value) => value >= most * 1.08) ?? 10 * power;
}

function grid({ ctx, x, y, width, height, colour }, top, from, to) {
  ctx.font = "12px system-ui, sans-serif";
  ctx.lineWidth = 1;
  ctx.strokeStyle = colour("--grid");
  ctx.fillStyle = colour("--quiet");
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (let part = 0; part <= 4; part++) {
    const rate = (top * part) / 4;
    const level = Math.round(y(rate)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(LEFT, level);
    ctx.lineTo(width - RIGHT, level);
    ctx.stroke();
    ctx.fillText(rate >= 100 ? Math.round(rate) : Number(rate.toPrecision(2)), LEFT - 8, level);
  }
  const minutes = [1, 2, 5, 10, 15, 30, 60, 120].find((step) => (to - from) / (step * 60000) <= width / 95) ?? 240;
  const step = minutes * 60000;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (let ms = Math.ceil(from / step) * step; ms <= to; ms += step) {
    if (x(ms) < width - 24) ctx.fillText(clock(ms, false), x(ms), height - BOTTOM + 8);
  }
}

function trace({ ctx, x, y }, points) {
  ctx.beginPath();
  points.forEach((point, at) => {
    if (at === 0) ctx.moveTo(x(point.start_ms), y(point.rate));
    else ctx.lineTo(x(point.start_ms), y(point.rate));
  });
}

function area(plot, points, strength) {
  if (points.length < 2) return;
  const { ctx, x, y, colour } = plot;
  trace(plot, points);
  ctx.lineTo(x(points[points.length - 1].start_ms), y(0));
  ctx.lineTo(x(points[0].start_ms), y(0));
  ctx.closePath();
  ctx.fillStyle = colour("--fill");
  ctx.globalAlpha = strength;
  ctx.fill();
  ctx.globalAlpha = 1;
}

function line(plot, points, dashes) {
  const { ctx, colour } = plot;
  if (points.length === 1) return dot(plot, plot.x(points[0].start_ms), plot.y(points[0].rate), "--accent", 2);
  trace(plot, points);
  ctx.setLineDash(dashes);
  ctx.lineWidth = 2;
  ctx.lineJoin = "round";
  ctx.strokeStyle = colour("--accent");
  ctx.stroke();
  ctx.setLineDash([]);
}

function dot({ ctx, colour }, atX, atY, name, radius) {
  ctx.beginPath();
  ctx.arc(atX, atY, radius, 0, 2 * Math.PI);
  ctx.fillStyle = colour(name);
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = colour("--card");
  ctx.stroke();
}

function hover(plot, points, marks, hoverX) {
  const { ctx, x, y, height, colour } = plot;
  const away = (item) => Math.abs(x(item.start_ms) - hoverX);
  const point = points.reduce((best, other) => (away(other) < away(best) ? other : best));
  const atX = Math.round(x(point.start_ms)) + 0.5;
  ctx.beginPath();
  ctx.moveTo(atX, TOP);
  ctx.lineTo(atX, height - BOTTOM);
  ctx.lineWidth = 1;
  ctx.strokeStyle = colour("--quiet");
  ctx.globalAlpha = 0.5;
  ctx.stroke();
  ctx.globalAlpha = 1;
  dot(plot, atX, y(point.rate), "--accent", 4);
  return { x: atX, point, moments: marks.filter((moment) => away(moment) < 8).slice(0, 4) };
}
