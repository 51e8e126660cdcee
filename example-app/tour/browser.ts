/** The little of a browser that a sign-in by redirects needs: cookies, and following where it is sent. */
export class Browser {
  /** By origin: the hosts of this tour share none. */
  readonly #cookies = new Map<string, Map<string, string>>()

  /** One request with the cookies of its origin; keeps those of the answer. */
  async send(url: string, init: RequestInit = {}): Promise<Response> {
    const { origin } = new URL(url)
    const jar = this.#cookies.get(origin) ?? new Map<string, string>()
    this.#cookies.set(origin, jar)
    const headers = new Headers(init.headers)
    headers.set('Cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      if (value === '') jar.delete(name)
      else jar.set(name, value)
    }
    return answer
  }

  /**
   * Goes to an address, or posts a form to it, and follows redirects until there is a page.
   *
   * @param until - an address to stop at, whatever its query
   */
  async follow(
    url: string,
    until?: string,
    form?: URLSearchParams,
  ): Promise<{ url: string; status: number; text: string }> {
    let at = url
    let answer = await this.send(at, form ? { method: 'POST', body: form } : {})
    for (;;) {
      const location = answer.headers.get('Location')
      if (location === null) return { url: at, status: answer.status, text: await answer.text() }
      await answer.arrayBuffer()
      at = new URL(location, at).href
      if (until !== undefined && at.split('?')[0] === until)
        return { url: at, status: 200, text: '' }
      answer = await this.send(at)
    }
  }
}
