/** A page of Acme. Without scripts: its policy allows none. */
function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="/acme.css">
  <title>${escape(title)} · Acme</title>
  <main>
    <h1>${escape(title)}</h1>
    ${body}
  </main>
</html>`
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

export function signInPage(uid: string, accounts: readonly { id: string; name: string }[]): string {
  const buttons = accounts.map(
    ({ id, name }) =>
      `<p><button name="account" value="${escape(id)}">${escape(name)}</button></p>`,
  )
  return page(
    'Sign in at Acme',
    `<p>Who are you? Acme is a demo and asks for no password.</p>
    <form method="post" action="/interaction/${escape(uid)}">${buttons.join('')}</form>`,
  )
}

/** @param form - of oidc-provider, with its own protection against forgery */
export function signOutPage(form: string): string {
  return page(
    'Sign out of Acme',
    `<p>Acme then tells every application that you have signed in to from here.</p>
    ${form}
    <button form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
  )
}

export function signedOutPage(): string {
  return page('You have signed out of Acme', '<p>Look at the other page.</p>')
}

export function errorPage(description: string): string {
  return page('That did not work', `<p>${escape(description)}</p>`)
}
