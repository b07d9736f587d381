import { app } from "../../../scripts/app.js";

/** Lets `box` scroll with the wheel as long as it can, and leaves the rest (and zooming) to the canvas. */
export function shareWheel(lifetime, box, { sideways = false } = {}) {
  const onWheel = (event) => {
    const room = sideways ? box.scrollWidth > box.clientWidth : box.scrollHeight > box.clientHeight;
    if (event.ctrlKey || event.metaKey || !room) {
      event.preventDefault();
      event.stopPropagation();
      app.canvas.processMouseWheel(event);
      return;
    }
    event.stopPropagation();
    if (!sideways) return;
    event.preventDefault();
    box.scrollLeft += event.deltaY + event.deltaX;
  };
  box.dataset.captureWheel = "true"; // Nodes 2.0 then leaves the wheel to it while the focus is inside
  lifetime.listen(box, "wheel", onWheel, { passive: false });
}
