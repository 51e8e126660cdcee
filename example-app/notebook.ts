export interface Note {
  id: number
  by: string
  text: string
  /** Milliseconds since the epoch. */
  at: number
}

/** Stands in for your data: the last notes, and the listeners for new ones. */
export class Notebook {
  readonly #notes: Note[] = []
  readonly #listeners = new Set<(note: Note) => void>()
  #lastId = 0

  list(): readonly Note[] {
    return this.#notes
  }

  add(by: string, text: string): Note {
    const note = { id: ++this.#lastId, by, text, at: Date.now() }
    this.#notes.push(note)
    if (this.#notes.length > 50) this.#notes.shift()
    for (const listener of this.#listeners) listener(note)
    return note
  }

  /** Returns the way to stop listening. */
  onAdd(listener: (note: Note) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
