/** What is drawn over the picture in the outpaint frame. Boxes are `{left, top, right, bottom}` in the pen's units. */

function line(pen, x0, y0, x1, y1) {
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
}

/** A thin dashed line along the path, to be seen on light and on dark. */
function dashed(pen) {
  pen.lineWidth = 1;
  pen.strokeStyle = "rgb(0 0 0 / 45%)";
  pen.stroke();
  pen.setLineDash([4, 3]);
  pen.strokeStyle = "rgb(255 255 255 / 85%)";
  pen.stroke();
  pen.setLineDash([]);
}

/** The new room hatched, what is cut off darkened, and the frame. `empty` is the colour of a picture not known. */
export function drawFrame(pen, edge, picture, { line: accent, empty }) {
  const box = (path, { left, top, right, bottom }) => path.rect(left, top, right - left, bottom - top);
  if (empty) {
    pen.fillStyle = empty;
    pen.fillRect(picture.left, picture.top, picture.right - picture.left, picture.bottom - picture.top);
  }
  const both = (first, second) => {
    const path = new Path2D();
    box(path, first);
    box(path, second);
    return path;
  };
  const inside = {
    left: Math.max(edge.left, picture.left), right: Math.min(edge.right, picture.right),
    top: Math.max(edge.top, picture.top), bottom: Math.min(edge.bottom, picture.bottom),
  };
  pen.fillStyle = "rgb(0 0 0 / 62%)";
  pen.fill(both(picture, inside), "evenodd");
  const fresh = both(edge, inside);
  pen.save();
  pen.clip(fresh, "evenodd");
  pen.globalAlpha = 0.14;
  pen.fillStyle = accent;
  pen.fill(fresh, "evenodd");
  pen.globalAlpha = 0.4;
  pen.strokeStyle = accent;
  pen.lineWidth = 1;
  pen.beginPath();
  const tall = edge.bottom - edge.top;
  for (let x = edge.left - tall; x < edge.right; x += 9) line(pen, x, edge.bottom, x + tall, edge.top);
  pen.stroke();
  pen.restore();
  pen.strokeStyle = accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(edge.left, edge.top, edge.right - edge.left, tall);
}

/** How far the mask reaches into the picture, as dashed lines along the sides that grow; `reach` in the pen's units. */
export function drawReach(pen, edge, box, sides, reach) {
  const inner = (side, at) => (sides[side] > 0 ? at : null);
  const [left, right] = [Math.max(edge.left, box.left), Math.min(edge.right, box.right)];
  const [top, bottom] = [Math.max(edge.top, box.top), Math.min(edge.bottom, box.bottom)];
  pen.beginPath();
  for (const x of [inner("left", box.left + reach), inner("right", box.right - reach)]) {
    if (x > left && x < right) line(pen, x, top, x, bottom);
  }
  for (const y of [inner("top", box.top + reach), inner("bottom", box.bottom - reach)]) {
    if (y > top && y < bottom) line(pen, left, y, right, y);
  }
  dashed(pen);
}

/** The windows of the passes, each with its number in the corner that is farthest out. */
export function drawPasses(pen, edge, passes, scale) {
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const middle = [(edge.left + edge.right) / 2, (edge.top + edge.bottom) / 2];
  passes.forEach(({ left, top, right, bottom }, i) => {
    const [x0, x1] = [left, right].map((x) => edge.left + x * scale);
    const [y0, y1] = [top, bottom].map((y) => edge.top + y * scale);
    pen.beginPath();
    pen.rect(x0 + 2, y0 + 2, x1 - x0 - 4, y1 - y0 - 4);
    dashed(pen);
    const x = Math.abs(x0 - middle[0]) > Math.abs(x1 - middle[0]) ? x0 + 13 : x1 - 13;
    const y = Math.abs(y0 - middle[1]) > Math.abs(y1 - middle[1]) ? y0 + 13 : y1 - 13;
    pen.fillStyle = "rgb(0 0 0 / 62%)";
    pen.beginPath();
    pen.arc(x, y, 8, 0, 2 * Math.PI);
    pen.fill();
    pen.fillStyle = "#fff";
    pen.fillText(String(i + 1), x, y + 0.5);
  });
}

/** How much each side adds or cuts, where there is room to write it. */
export function drawAmounts(pen, edge, box, sides) {
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const middle = { x: (edge.left + edge.right) / 2, y: (edge.top + edge.bottom) / 2 };
  for (const [side, amount] of Object.entries(sides)) {
    if (!amount) continue;
    const text = `${amount > 0 ? "+" : "−"}${Math.abs(amount)}`;
    const across = side === "left" || side === "right";
    const room = Math.abs(edge[side] - box[side]);
    const long = pen.measureText(text).width + 10;
    if (room < (across ? long : 17)) continue;
    const between = (edge[side] + box[side]) / 2;
    const [x, y] = across ? [between, middle.y] : [middle.x, between];
    pen.fillStyle = "rgb(0 0 0 / 62%)";
    pen.beginPath();
    pen.roundRect(x - long / 2, y - 8, long, 16, 4);
    pen.fill();
    pen.fillStyle = "#fff";
    pen.fillText(text, x, y + 0.5);
  }
}
