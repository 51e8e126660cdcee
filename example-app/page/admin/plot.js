const [width, height] = [300, 40]

/**
 * A small plot of the last samples, the newest at its right end. Where a value is missing, so is the line.
 *
 * @param {(number | null)[]} values
 * @param {{ samples: number, top: number, label: string }} frame how many values there is room for, what the plot reaches
 *   up to, and what a screen reader says
 */
export function plot(values, { samples, top, label }) {
  const step = width / Math.max(1, samples - 1)
  const from = samples - values.length
  const points = values.map((value, at) =>
    value === null
      ? undefined
      : `${((from + at) * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`,
  )
  const svg = draw('svg', { class: 'plot', viewBox: `0 0 ${width} ${height}`, role: 'img' })
  svg.setAttribute('aria-label', label)
  // As wide as the words above it, with a line that is nowhere thicker for that.
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.append(draw('path', { class: 'ground', d: `M0,${height - 1}H${width}` }))
  svg.append(draw('path', { class: 'line', d: toPath(points) }))
  return svg
}

/** @param {(string | undefined)[]} points */
function toPath(points) {
  return points
    .map((point, at) => {
      if (point === undefined) return ''
      // A lone point is drawn too: a line of no length has round ends.
      return points[at - 1] === undefined ? `M${point}L${point}` : `L${point}`
    })
    .join('')
}

/** @param {string} name @param {Record<string, string>} attributes */
function draw(name, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  return made
}
