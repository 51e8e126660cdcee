/** The value below which a share of the samples lies; 0.5 is the median. */
export function quantile(samples, share) {
  if (samples.length === 0) return Number.NaN
  const sorted = [...samples].sort((a, b) => a - b)
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)]
  const above = sorted[Math.ceil(position)]
  return below + (above - below) * (position % 1)
}

export const median = (samples) => quantile(samples, 0.5)

/** How one contender of a race compares with another: by the ratios of both to the baseline. */
export function ratioOf(race, name, other) {
  return median(race[name].ratios) / median(race[other].ratios)
}
