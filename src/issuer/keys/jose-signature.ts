/** How long each half of an ECDSA signature is, bytes. */
const halfBytes: Readonly<Record<string, number>> = { ES256: 32, ES384: 48, ES512: 66 }

const sequenceTag = 0x30
const integerTag = 0x02

interface Element {
  readonly content: Uint8Array
  /** Where the next element begins. */
  readonly end: number
}

/** Reads one DER element of a tag. `undefined` for anything that is not exactly one. */
function readElement(bytes: Uint8Array, tag: number, start: number): Element | undefined {
  const [found, short] = bytes.subarray(start, start + 2)
  if (found !== tag || short === undefined) return undefined
  // A length of 128 and more has a byte of its own here: no signature is longer than 255 bytes.
  const isLong = short === 0x81
  const length = isLong ? bytes[start + 2] : short
  if (length === undefined || (isLong ? length < 0x80 : length > 0x7f)) return undefined
  const from = start + (isLong ? 3 : 2)
  const content = bytes.subarray(from, from + length)
  return content.byteLength === length ? { content, end: from + length } : undefined
}

/** A positive DER integer in a fixed number of bytes. */
function toFixed(integer: Uint8Array, length: number): Buffer | undefined {
  const [first, second] = integer
  if (first === undefined || first > 0x7f) return undefined
  if (first === 0 && integer.byteLength > 1 && (second ?? 0) <= 0x7f) return undefined
  const digits = first === 0 ? integer.subarray(1) : integer
  if (digits.byteLength > length) return undefined
  return Buffer.concat([Buffer.alloc(length - digits.byteLength), digits])
}

/**
 * The readings of a signature of a key management service, the most likely first. An ECDSA signature is two numbers side by
 * side (JOSE, IEEE P1363) or a DER sequence of them. Some signatures fit both by length and first byte, so the caller has to
 * verify each reading.
 *
 * @see RFC 7518 §3.4
 */
export function signatureForms(algorithm: string, signature: Uint8Array): Uint8Array[] {
  const half = halfBytes[algorithm]
  if (half === undefined) return [signature]
  const converted = fromDer(signature, half)
  return [
    ...(signature.byteLength === 2 * half ? [signature] : []),
    ...(converted ? [converted] : []),
  ]
}

function fromDer(signature: Uint8Array, half: number): Buffer | undefined {
  const sequence = readElement(signature, sequenceTag, 0)
  if (sequence?.end !== signature.byteLength) return undefined
  const r = readElement(sequence.content, integerTag, 0)
  const s = r && readElement(sequence.content, integerTag, r.end)
  if (!r || s?.end !== sequence.content.byteLength) return undefined
  const [first, second] = [toFixed(r.content, half), toFixed(s.content, half)]
  return first && second && Buffer.concat([first, second])
}
