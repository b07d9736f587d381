/** At which step differential diffusion releases which grey: core/pictures/differential.py, as far as a page can know it. */

/** Steps of the schedule that the node itself takes as long as none is connected. */
export const STEPS = 20;

const TOLERANCE = 1e-6;
const TRAINED = 1000;
/** Black, violet, orange, white: dark is released late, bright from the first step on. */
const HEAT = [[0.05, 0.03, 0.2], [0.5, 0.1, 0.5], [0.95, 0.45, 0.25], [1, 0.97, 0.7]];
const NEVER = [0.5, 0.5, 0.5];

/**
 * The share of signal in variance, alpha-bar, that remains at each of the 1000 trained times of SD 1.5 and SDXL:
 * betas whose roots go evenly from sqrt(0.00085) to sqrt(0.012).
 */
function trainedAlphas() {
  const [low, high] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  let left = 1;
  return Array.from({ length: TRAINED }, (_, i) => (left *= 1 - (low + ((high - low) * i) / (TRAINED - 1)) ** 2));
}

/** The share of variance that is new when an image of SD 1.5 or SDXL is sampled again from the time `t`, 0..999. */
function calibrated(alphas, t) {
  const logSigma = (i) => Math.log((1 - alphas[i]) / alphas[i]) / 2;
  const below = Math.floor(t);
  const sigma = Math.exp(logSigma(below) + (t - below) * (logSigma(Math.min(below + 1, TRAINED - 1)) - logSigma(below)));
  return sigma ** 2 / (1 + sigma ** 2);
}

/**
 * The thresholds of `steps` steps of the scheduler `normal`, which never rise: a grey is free once it reaches them.
 *
 * Step by step the share of steps that is left; in `timestep` the share of the model's time, which `normal` spreads
 * evenly from its first to its last; in `calibrated` the model counts, and SD 1.5's and SDXL's is taken.
 */
export function thresholds(mode, steps) {
  const left = Array.from({ length: steps }, (_, i) => (steps > 1 ? 1 - i / (steps - 1) : 1));
  if (mode === "step") return left.map((_, i) => (steps - i) / steps);
  if (mode === "timestep") return left;
  const alphas = trainedAlphas();
  return left.map((share) => calibrated(alphas, share * (TRAINED - 1)));
}

/** The first step (from 0) at which each of the 256 greys of a mask is free; as many as there are where none is. */
export function releaseSteps(taus, strength) {
  return Array.from({ length: 256 }, (_, grey) => {
    if (!grey) return taus.length;
    const reach = (grey / 255) ** strength + TOLERANCE;
    const step = taus.findIndex((tau) => reach >= tau);
    return step < 0 ? taus.length : step;
  });
}

/** The colour `[red, green, blue]`, 0..255, of what is released at `step` of `steps`; grey where it never is. */
export function heat(step, steps) {
  const at = (1 - step / steps) * (HEAT.length - 1);
  const below = Math.min(Math.floor(at), HEAT.length - 2);
  const mixed = HEAT[below].map((colour, i) => colour + (HEAT[below + 1][i] - colour) * (at - below));
  return (step < steps ? mixed : NEVER).map((share) => Math.floor(share * 255));
}
