/** As Python rounds: halves to the even neighbour. */
export function roundHalfEven(number) {
  const below = Math.floor(number);
  return number - below === 0.5 ? below + Math.abs(below % 2) : Math.round(number);
}
