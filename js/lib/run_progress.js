/** How far a run is, in words: iteration, step, elapsed and estimated time. */
import { clock } from "./dom.js";
import { say } from "./words.js";

export class RunProgress {
  #began = 0;
  #value = 0;
  #max = 0;
  /** Where the estimate counts from: iterations that were only taken from the store say nothing of speed. */
  #from = { time: 0, value: 0 };
  #iterationStart = 0;
  done = 0;
  of = 0;
  /** How many iterations were taken from the store. */
  reused = 0;
  running = false;

  begin() {
    const now = performance.now() / 1000;
    Object.assign(this, { running: true, done: 0, of: 0, reused: 0 });
    this.#began = now;
    this.#from = { time: now, value: 0 };
    this.#value = this.#max = this.#iterationStart = 0;
  }

  /** `value` of `max` sampler steps of the whole run are done. */
  step(value, max) {
    this.#value = value;
    this.#max = max;
  }

  iteration({ iteration, of, reused }) {
    this.done = iteration;
    this.of = of;
    this.#iterationStart = this.#value;
    if (!reused) return;
    this.reused++;
    this.#from = { time: performance.now() / 1000, value: this.#value };
  }

  /** 0..1 */
  get share() {
    return this.#max ? Math.min(1, this.#value / this.#max) : 0;
  }

  toString() {
    const now = performance.now() / 1000;
    const number = Math.min(this.done + 1, this.of);
    const parts = [this.of ? say("progress.iteration", { number, of: this.of }) : say("progress.first")];
    const step = this.#value - this.#iterationStart;
    if (step > 0) parts.push(say("progress.step", { step }));
    parts.push(clock(now - this.#began));
    const steps = this.#value - this.#from.value;
    if (steps > 0 && this.#value < this.#max) {
      const left = ((now - this.#from.time) / steps) * (this.#max - this.#value);
      parts.push(say("progress.left", { time: clock(left) }));
    }
    return parts.join(" · ");
  }

  /** Seconds since the beginning. */
  get elapsed() {
    return performance.now() / 1000 - this.#began;
  }
}
