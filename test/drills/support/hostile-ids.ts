const shapes: readonly ((index: number) => string)[] = [
  (index) => `}${index}`,
  (index) => `{${index}}`,
  (index) => `{}${index}`,
  (index) => `}:0}:meta${index}`,
  (index) => `{kickout:${index % 16}}:stream${index}`,
  (index) => ` ${index} `,
  (index) => `\r\n*1\r\n$8\r\nFLUSHALL\r\n${index}`,
  (index) => `\u0000${index}`,
  (index) => `${index}:${index}:`,
  (index) => `"'\\]]--${index}`,
  (index) => `ümläut-${index}-日本-🙂`,
  (index) => `${index}`.padEnd(255, 'x'),
  (index) => `__proto__${index}`,
  (index) => `${index % 16}-${String(index).padStart(22, 'A')}`,
  (index) => `\u202e${index}\ufeff`,
]

/** Ids of users, chosen by an attacker who has read how hash tags, scripts and the protocol work. All are different. */
export function hostileIds(count: number): string[] {
  return Array.from({ length: count }, (_, index) => shapes[index % shapes.length]!(index))
}
