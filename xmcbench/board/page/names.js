// Positions of the names in a plot: a name covers no point, no line and no other name; where none is free, it is left out.
const LINE = 17; // height of a line of text in pixels, with the edge of page colour around it
const GAPS = [8, 12, 17, 23, 30, 38, 48, 60, 75, 92]; // distances of a name from its point
const FAR = 20; // distance from which a line leads to the point
const ANGLES = [0, 30, -30, 180, 150, -150, 90, -90, 60, -60, 120, -120, 15, -15, 165, -165, 75, -75, 105, -105];
const PIECES = 16; // boxes that stand for a line

/** Place the names of points, the first ones first, and add lines to those that are far; returns the points whose names
 * have no place. `all` are the points of the plot, named or not. `lines` are boxes that no name may cover, such as
 * intervals; a line to a name may cross them. */
function placeNames(drawing, all, points, texts, area, lines) {
  const dots = new Map(all.map((point) => [point, { x: point.left - 5, y: point.top - 5, w: 10, h: 10 }]));
  const taken = [...dots.values()];
  const without = [];
  points.forEach((point, i) => {
    const w = texts[i].getComputedTextLength() + 3;
    const isFree = ({ box, leader }) =>
      ![taken, lines].some((boxes) => boxes.some((other) => meet(box, other))) &&
      !leader.some((piece) => taken.some((other) => other !== dots.get(point) && meet(piece, other)));
    const found = places(point, w, area).find(isFree);
    if (!found) {
      without.push(point);
      texts[i].remove();
      return;
    }
    const { box, leader, end } = found;
    taken.push(box, ...leader);
    fill(texts[i], { x: box.x + 1.5, y: box.y + LINE - 5 }, []);
    if (leader.length) drawing.append(svg("line", { class: "leader", x1: point.left, y1: point.top, x2: end.x, y2: end.y }));
  });
  return without;
}

/** Place names in a column beside points that have the same x, in the order of the points and with lines to them; returns
 * the points whose names have no place. */
function stackNames(drawing, points, texts, area) {
  const most = Math.floor((area.bottom - area.top) / LINE);
  const order = [...points.keys()].sort((i, j) => points[i].top - points[j].top);
  const own = order.slice(0, most).map((i) => points[i].top - LINE / 2);
  const spread = [...own]; // pushed downwards; below, pushed upwards: half of both is as far apart
  for (let n = 1; n < own.length; n++) spread[n] = Math.max(spread[n], spread[n - 1] + LINE);
  for (let n = own.length - 2; n >= 0; n--) own[n] = Math.min(own[n], own[n + 1] - LINE);
  const within = (top, n) => Math.max(Math.min(top, area.bottom - (own.length - n) * LINE), area.top + n * LINE);
  const tops = own.map((top, n) => within((top + spread[n]) / 2, n));
  order.forEach((i, n) => {
    if (n >= most) return texts[i].remove();
    const [x, y] = [points[i].left + 30, tops[n] + LINE / 2];
    fill(texts[i], { x, y: y + 4 }, []);
    drawing.append(svg("line", { class: "leader", x1: points[i].left + 6, y1: points[i].top, x2: x - 4, y2: y }));
  });
  return order.slice(most).map((i) => points[i]);
}

/** The boxes around a point within the area that a text of this width may have, the nearest first. */
function places({ left, top }, w, area) {
  const found = [];
  const aside = (part) => 0.5 - Math.min(0.5, Math.max(-0.5, part)); // 0: the box begins there, 1: it ends there
  for (const away of GAPS) {
    for (const angle of ANGLES) {
      const [across, down] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
      const x = left + across * away - aside(across) * w;
      const y = top + down * away - aside(down) * LINE;
      if (x < area.left || x + w > area.right || y < area.top || y + LINE > area.bottom) continue;
      const end = { x: Math.min(Math.max(left, x), x + w), y: Math.min(Math.max(top, y), y + LINE) };
      found.push({ box: { x, y, w, h: LINE }, end, leader: away < FAR ? [] : pieces(left, top, end) });
    }
  }
  return found;
}

/** Small boxes along the line from a point to the end, which stand for it. */
function pieces(left, top, end) {
  const [w, h] = [(end.x - left) / PIECES, (end.y - top) / PIECES];
  return Array.from({ length: PIECES }, (_, i) => {
    const [x, y] = [left + i * w, top + i * h];
    return { x: Math.min(x, x + w) - 0.5, y: Math.min(y, y + h) - 0.5, w: Math.abs(w) + 1, h: Math.abs(h) + 1 };
  });
}

function meet(a, b) {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
