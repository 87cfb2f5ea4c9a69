// Positions of the names in a plot.
const LINE = 15; // height of a line of text in pixels
const SIDES = [[1, 0], [0.7, 0.8], [0.7, -0.8], [-1, 0], [-0.7, -0.8], [-0.7, 0.8], [0, -1.7], [0, 1.7]];

/** Put each name near its point, where it covers no point, no other name and not the frontier. A name that is far from
 * its point gets a line to it. */
function placeNames(points, texts, area) {
  const taken = points.map(({ left, top }) => ({ x: left - 5, y: top - 5, w: 10, h: 10 }));
  taken.push(...lines(points, area));
  const leaders = [];
  points.forEach((point, i) => {
    const w = texts[i].getComputedTextLength();
    let chosen = null;
    for (const away of [8, 15, 24, 36, 50, 66]) {
      for (const [across, down] of SIDES) {
        const x = point.left + across * away - (across < 0 ? w : across === 0 ? w / 2 : 0);
        const box = { x, y: point.top + down * away - LINE / 2, w, h: LINE };
        const aside = box.x < area.left || box.x + w > area.right;
        const outside = aside || box.y < area.top - LINE || box.y + LINE > area.bottom;
        const cost = taken.reduce((sum, other, j) => sum + (j === i ? 0 : overlap(box, other)), outside ? 1e4 : 0);
        if (!chosen || cost < chosen.cost) chosen = { box, cost, away };
      }
      if (chosen.cost === 0) break;
    }
    const { box } = chosen;
    taken.push(box);
    fill(texts[i], { x: box.x, y: box.y + LINE - 4 }, []);
    if (chosen.away > 20) {
      const end = Math.min(Math.max(point.left, box.x), box.x + w);
      leaders.push(svg("line", { class: "leader", x1: point.left, y1: point.top, x2: end, y2: box.y + LINE / 2 }));
    }
  });
  return leaders;
}

/** The frontier's lines as boxes. */
function lines(points, area) {
  const front = points.filter((point) => point.front);
  return front.flatMap(({ left, top }, i) => {
    const next = front[i + 1] ?? { left: area.right, top };
    const along = { x: left, y: top - 1, w: next.left - left, h: 2 };
    return [along, { x: next.left - 1, y: next.top, w: 2, h: top - next.top }];
  });
}

function overlap(a, b) {
  const across = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
  const down = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y);
  return across > 0 && down > 0 ? across * down : 0;
}
