/** The value that a share of all values does not exceed; `NaN` of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? NaN
}

export function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0)
}

/** How much a series rises from the middle of its first third to the middle of its last third. */
export function growth(values: readonly number[]): number {
  const third = Math.floor(values.length / 3)
  if (third === 0) return NaN
  return percentile(values.slice(-third), 0.5) - percentile(values.slice(0, third), 0.5)
}
