import { Comment, Converter } from 'typedoc'

/**
 * A plugin of typedoc: the members of an anonymous type (`options: { noServer: boolean }`, a union of object types) are
 * documented where the type stands, so that the check for names without documentation leaves them alone.
 */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      if (/(^|\.)__type(\.|$)/.test(reflection.getFullName()) && !reflection.hasComment()) {
        reflection.comment = new Comment([{ kind: 'text', text: ' ' }])
      }
    }
  })
}
